//! Refresh tokens, by hash: one chain per grant, whose head is the row that was not rotated.

use super::{Result, Store, Tx};
use crate::clock::Timestamp;
use crate::oauth::GrantId;
use crate::oauth::secret::SecretHash;

/// A refresh token as recorded.
#[derive(Clone, Debug)]
pub struct RefreshTokenRow {
    /// The grant that it renews.
    pub grant_id: GrantId,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// When it was rotated, and its successor, sealed with a key that only its holder can derive.
    pub rotated: Option<(Timestamp, String)>,
}

/// Records a new head.
pub async fn record(
    tx: &mut Tx,
    hash: &SecretHash,
    grant_id: &GrantId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO refresh_tokens (token_hash, grant_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(hash.as_str())
    .bind(grant_id.as_str())
    .bind(now.0)
    .bind(expires_at.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Rotates a head: `true` for the one caller that does it.
pub async fn rotate(tx: &mut Tx, hash: &SecretHash, sealed_successor: &str, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE refresh_tokens SET rotated_at = $2, sealed_successor = $3 \
         WHERE token_hash = $1 AND rotated_at IS NULL AND expires_at > $2",
    )
    .bind(hash.as_str())
    .bind(now.0)
    .bind(sealed_successor)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes some tokens that expired before `before`. Returns how many.
pub async fn remove_expired(tx: &mut Tx, before: Timestamp, at_most: u32) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM refresh_tokens WHERE expires_at < $1 AND token_hash IN (\
         SELECT token_hash FROM refresh_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(at_most))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

impl Store {
    /// The token of this hash, rotated or not.
    pub async fn find_refresh_token(&self, hash: &SecretHash) -> Result<Option<RefreshTokenRow>> {
        let row: Option<(String, i64, Option<i64>, Option<String>)> = sqlx::query_as(
            "SELECT grant_id, expires_at, rotated_at, sealed_successor FROM refresh_tokens \
             WHERE token_hash = $1",
        )
        .bind(hash.as_str())
        .fetch_optional(self.read())
        .await?;
        Ok(row.map(|(grant_id, expires_at, rotated_at, sealed_successor)| RefreshTokenRow {
            grant_id: GrantId::new(grant_id),
            expires_at: Timestamp(expires_at),
            rotated: rotated_at.map(Timestamp).zip(sealed_successor),
        }))
    }
}
