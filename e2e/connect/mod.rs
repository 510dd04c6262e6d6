//! `mandate connect`: the real binary on pipes, as a client that only speaks stdio runs it.

mod away;
mod dance;
mod discovery;
mod refresh;
mod step_up;
mod support;
mod wire;
