//! A server that somebody else builds on Mandate: the one of `docs/examples/notes`.

#[expect(dead_code, reason = "its `main` is that of the program itself")]
#[path = "../../docs/examples/notes/main.rs"]
mod notes;
mod probes;
mod program;
mod server;
