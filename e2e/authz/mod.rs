//! The authorization server, seen from outside.

mod dance;
