//! The authorization server, seen from outside.

mod ask;
mod client_auth;
mod dance;
mod refresh;
mod revoke;
mod token;
