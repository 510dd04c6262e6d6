//! Documents of others as fetched: client ID metadata documents and key sets, with their HTTP lifetimes.

use super::{Result, Store, Tx};
use crate::clock::Timestamp;
use crate::oauth::ClientId;

/// Keeps a fetched document, as the cache writes it, under a key that names its purpose and URL.
pub async fn keep(tx: &mut Tx, key: &str, cached: &str, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO fetched_documents (key, cached, updated_at) VALUES ($1, $2, $3) \
         ON CONFLICT (key) DO UPDATE SET cached = excluded.cached, updated_at = excluded.updated_at",
    )
    .bind(key)
    .bind(cached)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A fact about somebody's document that is kept for good, beside the documents: there is a fixed number of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note<'a> {
    /// The host of this client's metadata document said something else than what came with the program.
    Contradicted(&'a ClientId),
}

impl Note<'_> {
    /// No document has such a key: theirs begin with other words.
    fn key(self) -> String {
        match self {
            Self::Contradicted(client_id) => format!("contradicted {client_id}"),
        }
    }
}

/// When notes were last confirmed, so that neither age nor number make them go.
const FOR_GOOD: Timestamp = Timestamp(i64::MAX);

/// Keeps a note until it is removed.
pub async fn note(tx: &mut Tx, note: Note<'_>) -> Result<()> {
    keep(tx, &note.key(), "", FOR_GOOD).await
}

/// Removes a note, if it is there.
pub async fn remove_note(tx: &mut Tx, note: Note<'_>) -> Result<()> {
    sqlx::query("DELETE FROM fetched_documents WHERE key = $1").bind(note.key()).execute(&mut **tx).await?;
    Ok(())
}

/// Forgets some documents that were not fetched or confirmed since `before`. Returns how many.
pub async fn remove_old(tx: &mut Tx, before: Timestamp, at_most: u32) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM fetched_documents WHERE updated_at < $1 AND key IN (\
         SELECT key FROM fetched_documents WHERE updated_at < $1 ORDER BY updated_at LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(at_most))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets some of the documents that were confirmed longest ago, beyond `most`. Returns how many.
pub async fn remove_beyond(tx: &mut Tx, most: i64, at_most: u32) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM fetched_documents WHERE key IN (\
         SELECT key FROM fetched_documents ORDER BY updated_at DESC LIMIT $2 OFFSET $1)",
    )
    .bind(most)
    .bind(i64::from(at_most))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

impl Store {
    /// Whether there is this note.
    pub async fn is_noted(&self, note: Note<'_>) -> Result<bool> {
        Ok(self.find_document(&note.key()).await?.is_some())
    }

    /// The document kept under this key, as the cache wrote it.
    pub async fn find_document(&self, key: &str) -> Result<Option<String>> {
        let row: Option<(String,)> = sqlx::query_as("SELECT cached FROM fetched_documents WHERE key = $1")
            .bind(key)
            .fetch_optional(self.read())
            .await?;
        Ok(row.map(|(cached,)| cached))
    }
}
