//! Clients that an operator lets in no more, whichever way they became known: registered here, by a document of
//! their own, or at another issuer.

use super::{Result, Store, Tx};
use crate::clock::Timestamp;
use crate::oauth::ClientId;

/// Disables a client. Keeps the first moment when called again. `false` when it was disabled already.
pub async fn record(tx: &mut Tx, client_id: &ClientId, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO disabled_clients (client_id, disabled_at) VALUES ($1, $2) \
         ON CONFLICT (client_id) DO NOTHING",
    )
    .bind(client_id.as_str())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets a client in again. `false` when it was not disabled.
pub async fn remove(tx: &mut Tx, client_id: &ClientId) -> Result<bool> {
    let done = sqlx::query("DELETE FROM disabled_clients WHERE client_id = $1")
        .bind(client_id.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a client is disabled, in the transaction that records a grant for it.
pub async fn exists(tx: &mut Tx, client_id: &ClientId) -> Result<bool> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT disabled_at FROM disabled_clients WHERE client_id = $1")
        .bind(client_id.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.is_some())
}

impl Store {
    /// Whether a client is disabled.
    pub async fn is_client_disabled(&self, client_id: &ClientId) -> Result<bool> {
        let row: Option<(i64,)> =
            sqlx::query_as("SELECT disabled_at FROM disabled_clients WHERE client_id = $1")
                .bind(client_id.as_str())
                .fetch_optional(self.read())
                .await?;
        Ok(row.is_some())
    }

    /// Every disabled client with the moment, latest first.
    pub async fn list_disabled_clients(&self) -> Result<Vec<(ClientId, Timestamp)>> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT client_id, disabled_at FROM disabled_clients ORDER BY disabled_at DESC, client_id",
        )
        .fetch_all(self.read())
        .await?;
        Ok(rows.into_iter().map(|(id, at)| (ClientId::new(id), Timestamp(at))).collect())
    }
}
