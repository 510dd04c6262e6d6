//! The authorization server, seen from outside.

mod ask;
mod dance;
mod refresh;
mod token;
