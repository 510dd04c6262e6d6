//! Browser sessions, by the hash of what their cookie carries.

use super::{Result, Store, Tx};
use crate::clock::Timestamp;
use crate::oauth::UserId;
use crate::oauth::secret::SecretHash;

/// A browser in which somebody is signed in.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Who.
    pub user_id: UserId,
    /// When they gave their password.
    pub auth_time: Timestamp,
    /// Until when it lasts.
    pub expires_at: Timestamp,
}

/// Records a new session.
pub async fn record(tx: &mut Tx, hash: &SecretHash, session: &SessionRow, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO sessions (token_hash, user_id, auth_time, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(hash.as_str())
    .bind(session.user_id.as_str())
    .bind(session.auth_time.0)
    .bind(now.0)
    .bind(session.expires_at.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Confirms, in a transaction that acts in its name, that a session has not ended: who ends it waits.
pub async fn confirm(tx: &mut Tx, hash: &SecretHash) -> Result<bool> {
    let done = sqlx::query("UPDATE sessions SET auth_time = auth_time WHERE token_hash = $1")
        .bind(hash.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a session.
pub async fn revoke(tx: &mut Tx, hash: &SecretHash) -> Result<()> {
    sqlx::query("DELETE FROM sessions WHERE token_hash = $1").bind(hash.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Removes some sessions that ended before `now`. Returns how many.
pub async fn remove_expired(tx: &mut Tx, now: Timestamp, at_most: u32) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM sessions WHERE expires_at <= $1 AND token_hash IN (\
         SELECT token_hash FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(now.0)
    .bind(i64::from(at_most))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

impl Store {
    /// The session of this hash, if it lasts beyond `now`.
    pub async fn find_session(&self, hash: &SecretHash, now: Timestamp) -> Result<Option<SessionRow>> {
        let row: Option<(String, i64, i64)> = sqlx::query_as(
            "SELECT user_id, auth_time, expires_at FROM sessions WHERE token_hash = $1 AND expires_at > $2",
        )
        .bind(hash.as_str())
        .bind(now.0)
        .fetch_optional(self.read())
        .await?;
        Ok(row.map(|(user_id, auth_time, expires_at)| SessionRow {
            user_id: UserId::new(user_id),
            auth_time: Timestamp(auth_time),
            expires_at: Timestamp(expires_at),
        }))
    }
}
