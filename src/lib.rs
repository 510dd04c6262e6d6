//! Mandate: an OAuth 2.1 authorization server and an MCP resource server in one binary.

pub mod web;
