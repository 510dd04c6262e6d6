//! The authorization server, seen from outside.

mod access_token;
mod account;
mod activity;
mod ask;
mod authorize;
mod client_auth;
mod consent;
mod dance;
mod disabled_clients;
mod documents;
mod introspect;
mod keys;
mod known_clients;
mod login;
mod machines;
mod metadata;
mod mint;
mod private_key_jwt;
mod refresh;
mod register;
mod resources;
mod revoke;
mod setup;
mod token;
mod upstream;
