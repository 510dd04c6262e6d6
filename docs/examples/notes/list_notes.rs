//! `list_notes`: the user's notes, the newest first.

use mandate::extension::{Failure, Look, Reads, Reply, Timestamp, Tool};
use mandate::sqlx;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// ANCHOR: tool
pub(crate) static TOOL: Tool =
    Tool::reads::<ListNotes>("list_notes", "List notes", "Lists the user's notes, the newest first.")
        .scopes(&["notes:read"]);

#[derive(Deserialize, JsonSchema)]
struct ListNotes {
    /// How many notes to list.
    #[serde(default = "some")]
    #[schemars(range(min = 1, max = 50))]
    limit: i64,
}

fn some() -> i64 {
    10
}
// ANCHOR_END: tool

// ANCHOR: result
#[derive(Serialize, JsonSchema)]
struct Notes {
    notes: Vec<Note>,
}

/// A note, as every tool shows it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Note {
    /// Its id.
    pub(crate) id: String,
    /// What it says.
    pub(crate) text: String,
    /// When it was kept (RFC 3339).
    pub(crate) kept_at: String,
}
// ANCHOR_END: result

// ANCHOR: run
impl Reads for ListNotes {
    type Output = Notes;

    async fn run(self, look: Look<'_>) -> Result<Reply<Notes>, Failure> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT note_id, text, created_at FROM x_notes WHERE user_id = $1 \
             ORDER BY created_at DESC, note_id LIMIT $2",
        )
        .bind(look.principal.user_id.as_str())
        .bind(self.limit)
        .fetch_all(look.read())
        .await?;
        let note = |(id, text, at)| Note { id, text, kept_at: Timestamp(at).rfc3339() };
        let notes: Vec<Note> = rows.into_iter().map(note).collect();
        let lines: Vec<String> =
            notes.iter().map(|note| format!("{}: {}", note.kept_at, note.text)).collect();
        let text = if lines.is_empty() { "There are no notes yet.".to_owned() } else { lines.join("\n") };
        Ok(Reply::new(Notes { notes }, text))
    }
}
// ANCHOR_END: run
