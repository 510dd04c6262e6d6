//! The authorization server.

pub mod pages;
