//! Signing keys, sealed.

use super::{Result, Store, Tx};
use crate::clock::Timestamp;
use crate::keys::SigningKeyRow;

type Row = (String, String, String, String, i64, i64);

/// Adds a key.
pub async fn record(tx: &mut Tx, key: &SigningKeyRow) -> Result<()> {
    sqlx::query(
        "INSERT INTO signing_keys (kid, alg, sealed_private_key, public_jwk, created_at, active_from) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&key.kid)
    .bind(&key.alg)
    .bind(&key.sealed_private_key)
    .bind(&key.public_jwk)
    .bind(key.created_at.0)
    .bind(key.active_from.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

const PUBLISHED: &str = "SELECT kid, alg, sealed_private_key, public_jwk, created_at, active_from \
    FROM signing_keys WHERE retired_at IS NULL ORDER BY created_at, active_from, kid";

/// As [`Store::list_signing_keys`], in the transaction that may add one.
pub async fn list(tx: &mut Tx) -> Result<Vec<SigningKeyRow>> {
    let rows: Vec<Row> = sqlx::query_as(PUBLISHED).fetch_all(&mut **tx).await?;
    Ok(rows.into_iter().map(parse).collect())
}

impl Store {
    /// Every key that is published, oldest first.
    pub async fn list_signing_keys(&self) -> Result<Vec<SigningKeyRow>> {
        let rows: Vec<Row> = sqlx::query_as(PUBLISHED).fetch_all(self.read()).await?;
        Ok(rows.into_iter().map(parse).collect())
    }
}

fn parse((kid, alg, sealed_private_key, public_jwk, created_at, active_from): Row) -> SigningKeyRow {
    SigningKeyRow {
        kid,
        alg,
        sealed_private_key,
        public_jwk,
        created_at: Timestamp(created_at),
        active_from: Timestamp(active_from),
    }
}
