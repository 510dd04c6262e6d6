//! `add_note`: keeps a note for the user.

use mandate::extension::{Failure, Reply, Scene, Tool, Tx, Writes};
use mandate::sqlx;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::list_notes::Note;

// ANCHOR: tool
pub(crate) static TOOL: Tool =
    Tool::writes::<AddNote>("add_note", "Add a note", "Keeps a note, which only the user can see.")
        .scopes(&["notes:write"]);

#[derive(Deserialize, Serialize, JsonSchema)]
struct AddNote {
    /// What to remember.
    #[schemars(length(min = 1, max = 2000))]
    text: String,
}

/// How many notes one user may keep.
const MOST: i64 = 1000;
// ANCHOR_END: tool

// ANCHOR: run
impl Writes for AddNote {
    type Output = Note;

    async fn run(&self, tx: &mut Tx, scene: &Scene<'_>) -> Result<Reply<Note>, Failure> {
        let user_id = scene.principal.user_id.as_str();
        // One statement looks at the limit and counts: of two calls at once the second waits, and looks again.
        let counted = sqlx::query(
            "INSERT INTO x_note_counts (user_id, kept) VALUES ($1, 1) ON CONFLICT (user_id) \
             DO UPDATE SET kept = x_note_counts.kept + 1 WHERE x_note_counts.kept < $2",
        )
        .bind(user_id)
        .bind(MOST)
        .execute(tx.connection())
        .await?;
        if counted.rows_affected() == 0 {
            return Err(Failure::unable(format!(
                "There are {MOST} notes, which is the most. Nothing was added."
            )));
        }
        let id = scene.new_id();
        sqlx::query("INSERT INTO x_notes (note_id, user_id, text, created_at) VALUES ($1, $2, $3, $4)")
            .bind(&id)
            .bind(user_id)
            .bind(&self.text)
            .bind(scene.now.0)
            .execute(tx.connection())
            .await?;
        let note = Note { id, text: self.text.clone(), kept_at: scene.now.rfc3339() };
        Ok(Reply::new(note, "The note is kept."))
    }
}
// ANCHOR_END: run
