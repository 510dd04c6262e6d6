//! `mandate stdio`: the real binary, driven over its pipes.

mod grant;
mod lines;
mod program;
mod tools;
