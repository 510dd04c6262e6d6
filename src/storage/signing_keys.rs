//! Signing keys: their public halves, and sealed their private ones.

use super::{Result, StorageError, Store, Tx};
use crate::clock::Timestamp;
use crate::keys::ring::Life;
use crate::keys::{SigningKeyRow, algorithm_of, name_of};

type Text = String;
type Row = (Text, Text, Text, Text, i64, i64, Option<i64>, Option<i64>, Option<i64>);

/// Adds a key. One that is there already stays as it is.
pub async fn record(tx: &mut Tx, key: &SigningKeyRow) -> Result<()> {
    sqlx::query(
        "INSERT INTO signing_keys (kid, alg, sealed_private_key, public_jwk, created_at, active_from) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (kid) DO NOTHING",
    )
    .bind(&key.life.kid)
    .bind(name_of(key.life.algorithm))
    .bind(key.sealed_private_key.as_deref().unwrap_or_default())
    .bind(&key.public_jwk)
    .bind(key.life.created_at.0)
    .bind(key.life.active_from.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Publishes a key, the first time or again: that counts as made anew. `false` when it was revoked.
pub async fn publish(tx: &mut Tx, key: &SigningKeyRow) -> Result<bool> {
    record(tx, key).await?;
    sqlx::query(
        "UPDATE signing_keys SET retired_at = NULL, kept_until = NULL, created_at = $2, active_from = $3 \
         WHERE kid = $1 AND retired_at IS NOT NULL AND revoked_at IS NULL",
    )
    .bind(&key.life.kid)
    .bind(key.life.created_at.0)
    .bind(key.life.active_from.0)
    .execute(&mut **tx)
    .await?;
    let published: Option<(String,)> =
        sqlx::query_as("SELECT kid FROM signing_keys WHERE kid = $1 AND retired_at IS NULL")
            .bind(&key.life.kid)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(published.is_some())
}

/// Sets when a published key begins to sign, unless that is set or already past. `false` when it is.
pub async fn activate(tx: &mut Tx, kid: &str, active_from: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE signing_keys SET active_from = $2 \
         WHERE kid = $1 AND active_from > $2 AND retired_at IS NULL",
    )
    .bind(kid)
    .bind(active_from.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Says that a published key is kept until then at least.
pub async fn keep(tx: &mut Tx, kid: &str, until: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE signing_keys SET kept_until = $2 \
         WHERE kid = $1 AND retired_at IS NULL AND (kept_until IS NULL OR kept_until < $2)",
    )
    .bind(kid)
    .bind(until.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends a key whose time is over: it is published no more, and its private half is gone. `false` when it is kept
/// longer after all.
pub async fn retire(tx: &mut Tx, kid: &str, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE signing_keys SET retired_at = $2, sealed_private_key = '' \
         WHERE kid = $1 AND retired_at IS NULL AND kept_until <= $2",
    )
    .bind(kid)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a key at once, for good. `false` when there is none that was not revoked yet.
pub async fn revoke(tx: &mut Tx, kid: &str, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE signing_keys SET retired_at = COALESCE(retired_at, $2), revoked_at = $2, \
         sealed_private_key = '' WHERE kid = $1 AND revoked_at IS NULL",
    )
    .bind(kid)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

const PUBLISHED: &str = "SELECT kid, alg, sealed_private_key, public_jwk, created_at, active_from, kept_until, \
    retired_at, revoked_at FROM signing_keys WHERE retired_at IS NULL ORDER BY created_at, active_from, kid";

const ALL: &str = "SELECT kid, alg, sealed_private_key, public_jwk, created_at, active_from, kept_until, \
    retired_at, revoked_at FROM signing_keys ORDER BY created_at, active_from, kid";

/// As [`Store::list_signing_keys`], in the transaction that may change them.
pub async fn list(tx: &mut Tx) -> Result<Vec<SigningKeyRow>> {
    let rows: Vec<Row> = sqlx::query_as(PUBLISHED).fetch_all(&mut **tx).await?;
    rows.into_iter().map(parse).collect()
}

impl Store {
    /// Every key that is published, oldest first.
    pub async fn list_signing_keys(&self) -> Result<Vec<SigningKeyRow>> {
        let rows: Vec<Row> = sqlx::query_as(PUBLISHED).fetch_all(self.read()).await?;
        rows.into_iter().map(parse).collect()
    }

    /// Every key that ever was, oldest first.
    pub async fn list_all_signing_keys(&self) -> Result<Vec<SigningKeyRow>> {
        let rows: Vec<Row> = sqlx::query_as(ALL).fetch_all(self.read()).await?;
        rows.into_iter().map(parse).collect()
    }
}

fn parse(row: Row) -> Result<SigningKeyRow> {
    let (kid, alg, sealed, public_jwk, created_at, active_from, kept_until, retired_at, revoked_at) = row;
    let algorithm = algorithm_of(&alg).ok_or_else(|| StorageError::corrupt("signing key", &alg))?;
    let sealed_private_key = Some(sealed).filter(|sealed| !sealed.is_empty());
    let life = Life {
        kid,
        algorithm,
        can_sign: sealed_private_key.is_some(),
        created_at: Timestamp(created_at),
        active_from: Timestamp(active_from),
        kept_until: kept_until.map(Timestamp),
    };
    let (retired_at, revoked_at) = (retired_at.map(Timestamp), revoked_at.map(Timestamp));
    Ok(SigningKeyRow { life, sealed_private_key, public_jwk, retired_at, revoked_at })
}
