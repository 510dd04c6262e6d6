//! Effects done: the row that makes a retried write replay its first result.

use super::{Result, Tx};
use crate::clock::Timestamp;
use crate::oauth::{ClientId, UserId};

/// Names one effect of one user through one client.
#[derive(Clone, Copy, Debug)]
pub struct EffectKey<'a> {
    /// On whose behalf.
    pub user_id: &'a UserId,
    /// By which client.
    pub client_id: &'a ClientId,
    /// The caller's key.
    pub idempotency_key: &'a str,
}

/// An effect that was done before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The tool that did it.
    pub tool: String,
    /// Digest of the arguments it was given.
    pub arguments_digest: String,
    /// Its result, JSON.
    pub result: String,
}

/// The effect done under this key, if any, not older than `since`.
pub async fn find(tx: &mut Tx, key: EffectKey<'_>, since: Timestamp) -> Result<Option<Effect>> {
    let row: Option<(String, String, String)> = sqlx::query_as(
        "SELECT tool, arguments_digest, result FROM effects \
         WHERE user_id = $1 AND client_id = $2 AND idempotency_key = $3 AND created_at > $4",
    )
    .bind(key.user_id.as_str())
    .bind(key.client_id.as_str())
    .bind(key.idempotency_key)
    .bind(since.0)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|(tool, arguments_digest, result)| Effect { tool, arguments_digest, result }))
}

/// Records an effect in the transaction that does it. Replaces a row that has outlived its day.
pub async fn record(tx: &mut Tx, key: EffectKey<'_>, effect: &Effect, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO effects (user_id, client_id, idempotency_key, tool, arguments_digest, result, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_id, client_id, idempotency_key) \
         DO UPDATE SET tool = excluded.tool, arguments_digest = excluded.arguments_digest, \
         result = excluded.result, created_at = excluded.created_at",
    )
    .bind(key.user_id.as_str())
    .bind(key.client_id.as_str())
    .bind(key.idempotency_key)
    .bind(&effect.tool)
    .bind(&effect.arguments_digest)
    .bind(&effect.result)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets effects that were done before `before`: their keys may be used anew.
pub async fn remove_older(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    let done =
        sqlx::query("DELETE FROM effects WHERE created_at < $1").bind(before.0).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}
