//! Authorization codes, by hash. A used code stays for a while, so that a replay can be told from garbage.

use super::{Result, Store, Tx};
use crate::clock::Timestamp;
use crate::oauth::GrantId;
use crate::oauth::pkce::CodeChallenge;
use crate::oauth::secret::SecretHash;

/// A code as recorded.
#[derive(Clone, Debug)]
pub struct CodeRow {
    /// The grant that it takes up.
    pub grant_id: GrantId,
    /// What the verifier must match.
    pub code_challenge: CodeChallenge,
    /// Until when it can be redeemed.
    pub expires_at: Timestamp,
    /// Since when it is used.
    pub consumed_at: Option<Timestamp>,
}

/// Records a new code.
pub async fn record(tx: &mut Tx, hash: &SecretHash, code: &CodeRow, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO authorization_codes (code_hash, grant_id, code_challenge, created_at, \
         expires_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(hash.as_str())
    .bind(code.grant_id.as_str())
    .bind(code.code_challenge.as_str())
    .bind(now.0)
    .bind(code.expires_at.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What became of an attempt to redeem a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redemption {
    /// This caller has it, and no other.
    Redeemed,
    /// Somebody had it before.
    Used,
    /// There is no such code any more.
    Gone,
}

/// Redeems a code (OAuth 2.1 §4.1.3). Whether it came in time is for the caller to judge.
pub async fn redeem(tx: &mut Tx, hash: &SecretHash, now: Timestamp) -> Result<Redemption> {
    let done = sqlx::query(
        "UPDATE authorization_codes SET consumed_at = $2 \
         WHERE code_hash = $1 AND consumed_at IS NULL",
    )
    .bind(hash.as_str())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(Redemption::Redeemed);
    }
    let used: Option<(i64,)> = sqlx::query_as(
        "SELECT consumed_at FROM authorization_codes WHERE code_hash = $1 AND consumed_at IS NOT NULL",
    )
    .bind(hash.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(if used.is_some() { Redemption::Used } else { Redemption::Gone })
}

/// Removes some codes that expired before `before`. Returns how many.
pub async fn remove_expired(tx: &mut Tx, before: Timestamp, at_most: u32) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM authorization_codes WHERE expires_at < $1 AND code_hash IN (\
         SELECT code_hash FROM authorization_codes WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(at_most))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

impl Store {
    /// The code of this hash, used or not.
    pub async fn find_code(&self, hash: &SecretHash) -> Result<Option<CodeRow>> {
        let row: Option<(String, String, i64, Option<i64>)> = sqlx::query_as(
            "SELECT grant_id, code_challenge, expires_at, consumed_at \
             FROM authorization_codes WHERE code_hash = $1",
        )
        .bind(hash.as_str())
        .fetch_optional(self.read())
        .await?;
        Ok(row.map(|(grant_id, code_challenge, expires_at, consumed_at)| CodeRow {
            grant_id: GrantId::new(grant_id),
            code_challenge: CodeChallenge::stored(code_challenge),
            expires_at: Timestamp(expires_at),
            consumed_at: consumed_at.map(Timestamp),
        }))
    }
}
