//! The authorization server, seen from outside.

mod authorize;
mod consent;
mod dance;
mod login;
mod metadata;
