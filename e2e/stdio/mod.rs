//! `mandate stdio`: the real binary, driven over its pipes.

mod confirm;
mod grant;
mod lines;
pub(crate) mod program;
mod tools;
mod updates;
