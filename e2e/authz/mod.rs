//! The authorization server, seen from outside.

mod authorize;
mod dance;
mod metadata;
