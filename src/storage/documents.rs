//! Documents of others as fetched: client ID metadata documents and key sets, with their HTTP lifetimes.

use super::{Result, Store, Tx};
use crate::clock::Timestamp;

/// Keeps a fetched document, as the cache writes it, for its URL.
pub async fn keep(tx: &mut Tx, url: &str, cached: &str, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO fetched_documents (url, cached, updated_at) VALUES ($1, $2, $3) \
         ON CONFLICT (url) DO UPDATE SET cached = excluded.cached, updated_at = excluded.updated_at",
    )
    .bind(url)
    .bind(cached)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets documents that were not fetched or confirmed since `before`.
pub async fn remove_old(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    let done = sqlx::query("DELETE FROM fetched_documents WHERE updated_at < $1")
        .bind(before.0)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected())
}

impl Store {
    /// The document kept for this URL, as the cache wrote it.
    pub async fn find_document(&self, url: &str) -> Result<Option<String>> {
        let row: Option<(String,)> = sqlx::query_as("SELECT cached FROM fetched_documents WHERE url = $1")
            .bind(url)
            .fetch_optional(self.read())
            .await?;
        Ok(row.map(|(cached,)| cached))
    }
}
