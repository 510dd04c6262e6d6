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

/// What a claim says about the effect that is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    /// The tool that will do it.
    pub tool: &'static str,
    /// Digest of the arguments it was given.
    pub arguments_digest: &'a str,
}

/// The effect done under this key, if any.
pub async fn find(tx: &mut Tx, key: EffectKey<'_>) -> Result<Option<Effect>> {
    let row: Option<(String, String, String)> = sqlx::query_as(
        "SELECT tool, arguments_digest, result FROM effects \
         WHERE user_id = $1 AND client_id = $2 AND idempotency_key = $3",
    )
    .bind(key.user_id.as_str())
    .bind(key.client_id.as_str())
    .bind(key.idempotency_key)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|(tool, arguments_digest, result)| Effect { tool, arguments_digest, result }))
}

/// Claims a key in the transaction that is about to do the effect: `true` when it is free, or was used at or
/// before `since`. Whoever claims it at the same time waits here until this transaction has ended, and then
/// finds the effect or may do it: so it is done once, whatever else is lost.
pub async fn claim(
    tx: &mut Tx,
    key: EffectKey<'_>,
    claimed: Claimed<'_>,
    since: Timestamp,
    now: Timestamp,
) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO effects (user_id, client_id, idempotency_key, tool, arguments_digest, result, created_at) \
         VALUES ($1, $2, $3, $4, $5, '', $6) ON CONFLICT (user_id, client_id, idempotency_key) \
         DO UPDATE SET tool = excluded.tool, arguments_digest = excluded.arguments_digest, result = '', \
         created_at = excluded.created_at WHERE effects.created_at <= $7",
    )
    .bind(key.user_id.as_str())
    .bind(key.client_id.as_str())
    .bind(key.idempotency_key)
    .bind(claimed.tool)
    .bind(claimed.arguments_digest)
    .bind(now.0)
    .bind(since.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records what came of a claimed effect, JSON.
pub async fn record(tx: &mut Tx, key: EffectKey<'_>, result: &str) -> Result<()> {
    sqlx::query(
        "UPDATE effects SET result = $4 WHERE user_id = $1 AND client_id = $2 AND idempotency_key = $3",
    )
    .bind(key.user_id.as_str())
    .bind(key.client_id.as_str())
    .bind(key.idempotency_key)
    .bind(result)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets some effects that were done before `before`: their keys may be used anew. Returns how many.
pub async fn remove_older(tx: &mut Tx, before: Timestamp, at_most: u32) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM effects WHERE created_at < $1 AND (user_id, client_id, idempotency_key) IN (\
         SELECT user_id, client_id, idempotency_key FROM effects WHERE created_at < $1 \
         ORDER BY created_at LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(at_most))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
