//! Mandate: an OAuth 2.1 authorization server and an MCP server in one binary.

pub mod authz;
pub mod web;
