//! The authorization server, seen from outside.

mod account;
mod authorize;
mod consent;
mod dance;
mod documents;
mod login;
mod metadata;
mod register;
mod setup;
