//! Notes: an MCP server of its own on Mandate. People keep notes through their AI app, and each sees only theirs.

mod add_note;
mod list_notes;

use std::process::ExitCode;

use mandate::extension::{Extension, Program, Scope, Step};

#[expect(clippy::needless_update, reason = "what a later version adds has its default")]
// ANCHOR: extension
/// The tools with what they need.
static NOTES: Extension = Extension {
    name: "notes",
    instructions: "Notes that the user keeps. List them before you add one: it may be there already.",
    scopes: &[
        Scope::read("notes:read", "See your notes", "Read the notes that you have kept. It changes nothing."),
        Scope::write("notes:write", "Keep notes for you", "Add notes, which only you can see."),
    ],
    tools: &[&list_notes::TOOL, &add_note::TOOL],
    steps: &[Step::new(
        "notes",
        "CREATE TABLE x_notes (note_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, text TEXT NOT NULL, \
         created_at BIGINT NOT NULL); \
         CREATE INDEX x_notes_by_user ON x_notes (user_id, created_at); \
         CREATE TABLE x_note_counts (user_id TEXT PRIMARY KEY, kept BIGINT NOT NULL)",
    )],
    ..Extension::EMPTY
};
// ANCHOR_END: extension

// ANCHOR: main
/// The program: what people call it, and what it serves.
pub(crate) fn program() -> Program {
    Program::new("notes", "Notes", env!("CARGO_PKG_VERSION")).with(&NOTES)
}

fn main() -> ExitCode {
    mandate::cli::main_with(program())
}
// ANCHOR_END: main

// ANCHOR: test
#[cfg(test)]
mod tests {
    use mandate::extension::Role;
    use mandate::extension::testing::{Bench, Called};
    use serde_json::json;

    #[test]
    fn the_program_can_be_run() {
        super::program().check().unwrap();
    }

    #[tokio::test]
    async fn everybody_sees_the_notes_that_they_kept() {
        let bench = Bench::of(super::program()).await.unwrap();
        let alice = bench.caller("alice", Role::Agent, &["notes:read", "notes:write"]).await.unwrap();
        let bob = bench.caller("bob", Role::Agent, &["notes:read"]).await.unwrap();

        alice.call("add_note", json!({ "text": "Buy milk" })).await.unwrap();
        let hers = alice.call("list_notes", json!({})).await.unwrap();
        assert_eq!(hers.structured()["notes"][0]["text"], "Buy milk");
        let his = bob.call("list_notes", json!({})).await.unwrap();
        assert_eq!(his.structured()["notes"], json!([]));

        let refused = bob.call("add_note", json!({ "text": "Buy bread" })).await.unwrap();
        assert!(matches!(refused, Called::Refused { status: 403, .. }), "{refused:?}");
    }
}
// ANCHOR_END: test
