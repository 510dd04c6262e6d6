//! The authorization server.
//!
//! Owns registration, the browser's way through sign-in and consent, codes, tokens and their revocation. Does
//! not own what tokens are used for: it writes grants and tokens, `mcp` reads them, they never call each other.

pub mod callback;
pub mod client_auth;
pub mod client_document;
pub mod clients;
pub mod engine;
pub mod error;
pub mod fetched;
pub mod flow;
pub mod pages;
pub mod request;
pub mod token;
