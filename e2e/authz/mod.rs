//! The authorization server, seen from outside.

mod access_token;
mod ask;
mod authorize;
mod client_auth;
mod consent;
mod dance;
mod key_host;
mod login;
mod metadata;
mod private_key_jwt;
mod refresh;
mod revoke;
mod signer;
mod token;
