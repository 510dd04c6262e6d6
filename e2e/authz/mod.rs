//! The authorization server, seen from outside.

mod access_token;
mod ask;
mod client_auth;
mod dance;
mod key_host;
mod private_key_jwt;
mod refresh;
mod revoke;
mod signer;
mod token;
