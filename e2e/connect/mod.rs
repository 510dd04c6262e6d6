//! `mandate connect`: the real binary on pipes, as a client that only speaks stdio runs it.

mod dance;
mod support;
