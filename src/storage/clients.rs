//! Clients that we registered.

use super::{Result, StorageError, Store, Tx};
use crate::clock::Timestamp;
use crate::oauth::client::{Client, ClientKind};
use crate::oauth::secret::SecretHash;
use crate::oauth::{ClientId, UserId};

/// A registered client with its dates.
#[derive(Clone, Debug)]
pub struct ClientRow {
    /// The client.
    pub client: Client,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last obtained tokens.
    pub last_used_at: Timestamp,
}

type Row = (String, String, String, Option<String>, i64, i64, Option<String>);

pub(super) fn parse_kind(name: &str) -> Result<ClientKind> {
    let all = [
        ClientKind::Dynamic,
        ClientKind::Registered,
        ClientKind::Machine,
        ClientKind::Document,
        ClientKind::External,
    ];
    all.into_iter()
        .find(|kind| kind.as_str() == name)
        .ok_or_else(|| StorageError::corrupt("client kind", name))
}

fn parse(row: Row) -> Result<ClientRow> {
    let (client_id, kind, metadata, secret_hash, created_at, last_used_at, user_id) = row;
    // The first schema knows two kinds only; what makes a registered client a machine is its account.
    let kind = if user_id.is_some() { ClientKind::Machine } else { parse_kind(&kind)? };
    Ok(ClientRow {
        client: Client {
            client_id: ClientId::new(client_id),
            kind,
            metadata: serde_json::from_str(&metadata)
                .map_err(|error| StorageError::corrupt("clients.metadata", error))?,
            secret_hash: secret_hash.map(SecretHash::stored),
        },
        created_at: Timestamp(created_at),
        last_used_at: Timestamp(last_used_at),
    })
}

/// Adds a client. `false` when the id is taken. The account of a machine is there already.
pub async fn record(tx: &mut Tx, client: &Client, now: Timestamp) -> Result<bool> {
    let metadata = serde_json::to_string(&client.metadata)
        .map_err(|error| StorageError::corrupt("clients.metadata", error))?;
    let is_machine = client.kind == ClientKind::Machine;
    let done = sqlx::query(
        "INSERT INTO clients (client_id, kind, metadata, secret_hash, created_at, last_used_at, \
         user_id) VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT (client_id) DO NOTHING",
    )
    .bind(client.client_id.as_str())
    .bind(if is_machine { ClientKind::Registered.as_str() } else { client.kind.as_str() })
    .bind(metadata)
    .bind(client.secret_hash.as_ref().map(|hash| hash.as_str().to_owned()))
    .bind(now.0)
    .bind(is_machine.then(|| UserId::of_machine(&client.client_id).as_str().to_owned()))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes that the client obtained tokens.
pub async fn touch(tx: &mut Tx, client_id: &ClientId, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE clients SET last_used_at = $2 WHERE client_id = $1")
        .bind(client_id.as_str())
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets a client. `false` when there is none.
pub async fn remove(tx: &mut Tx, client_id: &ClientId) -> Result<bool> {
    let done = sqlx::query("DELETE FROM clients WHERE client_id = $1")
        .bind(client_id.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets some clients that registered themselves, hold no live grant, and were last used before `before` or
/// never since they registered before `registered_before`. Returns how many.
pub async fn remove_unused(
    tx: &mut Tx,
    before: Timestamp,
    registered_before: Timestamp,
    now: Timestamp,
    at_most: u32,
) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM clients \
         WHERE (last_used_at < $1 OR (last_used_at = created_at AND created_at < $3)) \
         AND client_id IN (SELECT client_id FROM clients WHERE kind = 'dynamic' \
         AND last_used_at < $5 AND (last_used_at < $1 OR (last_used_at = created_at AND created_at < $3)) \
         AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.client_id = clients.client_id \
         AND grants.revoked_at IS NULL AND grants.activated_at IS NOT NULL AND grants.expires_at > $2) \
         ORDER BY last_used_at LIMIT $4)",
    )
    .bind(before.0)
    .bind(now.0)
    .bind(registered_before.0)
    .bind(i64::from(at_most))
    // Implied by the two conditions after it, and what the index goes by.
    .bind(before.max(registered_before).0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

impl Store {
    /// The registered client of this id.
    pub async fn find_client(&self, client_id: &ClientId) -> Result<Option<ClientRow>> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT client_id, kind, metadata, secret_hash, created_at, last_used_at, user_id FROM clients \
             WHERE client_id = $1",
        )
        .bind(client_id.as_str())
        .fetch_optional(self.read())
        .await?;
        row.map(parse).transpose()
    }

    /// Whether a client of this id is registered, or anybody ever granted it anything.
    pub async fn has_seen_client(&self, client_id: &ClientId) -> Result<bool> {
        let (seen,): (i64,) = sqlx::query_as(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM clients WHERE client_id = $1) \
             OR EXISTS (SELECT 1 FROM grants WHERE client_id = $1) THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END",
        )
        .bind(client_id.as_str())
        .fetch_one(self.read())
        .await?;
        Ok(seen == 1)
    }

    /// How many clients registered themselves.
    pub async fn count_dynamic_clients(&self) -> Result<i64> {
        let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM clients WHERE kind = 'dynamic'")
            .fetch_one(self.read())
            .await?;
        Ok(count)
    }

    /// Every registered client, newest first.
    pub async fn list_clients(&self) -> Result<Vec<ClientRow>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT client_id, kind, metadata, secret_hash, created_at, last_used_at, user_id FROM clients \
             ORDER BY created_at DESC, client_id",
        )
        .fetch_all(self.read())
        .await?;
        rows.into_iter().map(parse).collect()
    }
}
