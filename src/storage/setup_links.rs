//! One-time links that create the first account.

use super::{Result, Store, Tx};
use crate::clock::Timestamp;
use crate::oauth::secret::SecretHash;

/// Records a link and ends every earlier one.
pub async fn record(tx: &mut Tx, hash: &SecretHash, now: Timestamp, expires_at: Timestamp) -> Result<()> {
    use_up(tx, now).await?;
    sqlx::query("INSERT INTO setup_links (token_hash, created_at, expires_at) VALUES ($1, $2, $3)")
        .bind(hash.as_str())
        .bind(now.0)
        .bind(expires_at.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ends every link.
pub async fn use_up(tx: &mut Tx, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE setup_links SET consumed_at = $1 WHERE consumed_at IS NULL")
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Redeems a link: `true` for the one caller that gets it.
pub async fn redeem(tx: &mut Tx, hash: &SecretHash, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE setup_links SET consumed_at = $2 \
         WHERE token_hash = $1 AND consumed_at IS NULL AND expires_at > $2",
    )
    .bind(hash.as_str())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

impl Store {
    /// Whether a link could be redeemed now.
    pub async fn is_setup_link_live(&self, hash: &SecretHash, now: Timestamp) -> Result<bool> {
        let row: Option<(i64,)> = sqlx::query_as(
            "SELECT expires_at FROM setup_links \
             WHERE token_hash = $1 AND consumed_at IS NULL AND expires_at > $2",
        )
        .bind(hash.as_str())
        .bind(now.0)
        .fetch_optional(self.read())
        .await?;
        Ok(row.is_some())
    }
}
