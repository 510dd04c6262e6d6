//! Mandate: an OAuth 2.1 authorization server and an MCP server in one binary.
//!
//! The five-minute tour. Two halves: [`authz`] is the OAuth server, one file per endpoint; [`mcp`] is the
//! protected server, where `gate.rs` lets a request in or answers 401, 403 or 429, and `call.rs` runs one tool
//! call. They never import each other: authz writes tokens and grants, mcp reads them. They share words
//! ([`oauth`], pure), durable facts ([`storage`], one SQL text) and perishable ones ([`ephemeral`]). What goes
//! wrong is an [`oauth::Error`]; who hears of it depends on the function's return type. Time, randomness and
//! ids come from [`app::App`].
//!
//! Whoever builds their own MCP server on this begins at [`extension`].

/// With what extensions write their statements: the version that [`extension::ReadOnly`] and [`extension::Tx`] take.
pub use sqlx;

/// With what extensions derive their schemas: the version whose `JsonSchema` [`extension::Reads`] and
/// [`extension::Writes`] take.
pub use schemars;

#[cfg(test)]
mod architecture;
#[cfg(test)]
#[path = "../e2e/support/services/mod.rs"]
#[expect(dead_code, reason = "what only the tests in e2e/ use")]
mod services;

pub mod app;
pub mod audit;
pub mod authz;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connect;
pub mod ephemeral;
pub mod extension;
pub mod identity;
pub mod keys;
pub mod mcp;
pub mod oauth;
pub mod random;
pub mod server;
pub mod storage;
pub mod telemetry;
pub mod tickets;
pub mod web;
