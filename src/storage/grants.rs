//! Grants: who let which client do what, where, until when.

use sqlx::Row as _;

use super::clients::parse_kind;
use super::{Result, StorageError, Store, Tx};
use crate::clock::Timestamp;
use crate::ephemeral::admission::GrantKey;
use crate::oauth::client::Client;
use crate::oauth::{Authentication, ClientId, GrantId, RedirectUri, Scopes, UserId};

/// A grant as recorded at consent.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Its id.
    pub grant_id: GrantId,
    /// Who granted it.
    pub user_id: UserId,
    /// To whom, as it described itself at that moment. Never carries the secret's hash.
    pub client: Client,
    /// Where the code went.
    pub redirect_uri: RedirectUri,
    /// The audience of its tokens.
    pub resource: String,
    /// What was allowed.
    pub scopes: Scopes,
    /// How the user had signed in.
    pub authentication: Authentication,
    /// When it was granted.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When its code was redeemed.
    pub activated_at: Option<Timestamp>,
    /// When a call was last made under it, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Since when it is revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Grant {
    /// What names it where grants are remembered.
    pub fn key(&self) -> GrantKey {
        GrantKey { user_id: self.user_id.as_str().to_owned(), grant_id: self.grant_id.as_str().to_owned() }
    }

    /// Whether tokens may be issued and calls made under it.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.activated_at.is_some() && self.expires_at > now
    }
}

pub(super) struct Row {
    grant_id: String,
    user_id: String,
    client_id: String,
    client_kind: String,
    client_metadata: String,
    redirect_uri: String,
    resource: String,
    scope: String,
    auth_time: i64,
    acr: Option<String>,
    amr: Option<String>,
    created_at: i64,
    expires_at: i64,
    activated_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl<'r> sqlx::FromRow<'r, sqlx::any::AnyRow> for Row {
    fn from_row(row: &'r sqlx::any::AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            grant_id: row.try_get("grant_id")?,
            user_id: row.try_get("user_id")?,
            client_id: row.try_get("client_id")?,
            client_kind: row.try_get("client_kind")?,
            client_metadata: row.try_get("client_metadata")?,
            redirect_uri: row.try_get("redirect_uri")?,
            resource: row.try_get("resource")?,
            scope: row.try_get("scope")?,
            auth_time: row.try_get("auth_time")?,
            acr: row.try_get("acr")?,
            amr: row.try_get("amr")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
            activated_at: row.try_get("activated_at")?,
            last_used_at: row.try_get("last_used_at")?,
            revoked_at: row.try_get("revoked_at")?,
        })
    }
}

pub(super) fn parse_scope(scope: &str) -> Result<Scopes> {
    Scopes::parse(scope).map_err(|error| StorageError::corrupt("grants.scope", error))
}

pub(super) fn parse(row: Row) -> Result<Grant> {
    Ok(Grant {
        grant_id: GrantId::new(row.grant_id),
        user_id: UserId::new(row.user_id),
        client: Client {
            client_id: ClientId::new(row.client_id),
            kind: parse_kind(&row.client_kind)?,
            metadata: serde_json::from_str(&row.client_metadata)
                .map_err(|error| StorageError::corrupt("grants.client_metadata", error))?,
            secret_hash: None,
        },
        redirect_uri: RedirectUri::stored(row.redirect_uri),
        resource: row.resource,
        scopes: parse_scope(&row.scope)?,
        authentication: Authentication {
            auth_time: Timestamp(row.auth_time),
            acr: row.acr,
            amr: Authentication::parse_amr(row.amr.as_deref()),
        },
        created_at: Timestamp(row.created_at),
        expires_at: Timestamp(row.expires_at),
        activated_at: row.activated_at.map(Timestamp),
        last_used_at: row.last_used_at.map(Timestamp),
        revoked_at: row.revoked_at.map(Timestamp),
    })
}

/// Records a grant at consent.
pub async fn record(tx: &mut Tx, grant: &Grant) -> Result<()> {
    let metadata = serde_json::to_string(&grant.client.metadata)
        .map_err(|error| StorageError::corrupt("grants.client_metadata", error))?;
    sqlx::query(
        "INSERT INTO grants (grant_id, user_id, client_id, client_kind, client_metadata, redirect_uri, \
         resource, scope, auth_time, created_at, expires_at, acr, amr) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(grant.grant_id.as_str())
    .bind(grant.user_id.as_str())
    .bind(grant.client.client_id.as_str())
    .bind(grant.client.kind.as_str())
    .bind(metadata)
    .bind(grant.redirect_uri.as_str())
    .bind(&grant.resource)
    .bind(grant.scopes.to_string())
    .bind(grant.authentication.auth_time.0)
    .bind(grant.created_at.0)
    .bind(grant.expires_at.0)
    .bind(grant.authentication.acr.as_deref())
    .bind(grant.authentication.amr_text())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks a grant as taken up by its client. `false` when it has ended meanwhile.
pub async fn activate(tx: &mut Tx, grant_id: &GrantId, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE grants SET activated_at = $2 \
         WHERE grant_id = $1 AND activated_at IS NULL AND revoked_at IS NULL",
    )
    .bind(grant_id.as_str())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Puts off the end of a live grant. `false` when it has ended.
pub async fn extend(tx: &mut Tx, grant_id: &GrantId, until: Timestamp, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE grants SET expires_at = $2 \
         WHERE grant_id = $1 AND revoked_at IS NULL AND expires_at > $3",
    )
    .bind(grant_id.as_str())
    .bind(until.0)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a grant. `true` when this call ended it.
pub async fn revoke(tx: &mut Tx, grant_id: &GrantId, because: &str, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE grants SET revoked_at = $2, revoked_because = $3 WHERE grant_id = $1 AND revoked_at IS NULL",
    )
    .bind(grant_id.as_str())
    .bind(now.0)
    .bind(because)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends every grant of a user, taken up or not yet. Returns which.
pub async fn revoke_all(
    tx: &mut Tx,
    user_id: &UserId,
    because: &str,
    now: Timestamp,
) -> Result<Vec<GrantKey>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "UPDATE grants SET revoked_at = $2, revoked_because = $3 \
         WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 RETURNING user_id, grant_id",
    )
    .bind(user_id.as_str())
    .bind(now.0)
    .bind(because)
    .fetch_all(&mut **tx)
    .await?;
    Ok(keys(rows))
}

/// Ends some grants of a client. Returns which; none when there are no more.
pub async fn revoke_some_of(
    tx: &mut Tx,
    client_id: &ClientId,
    because: &str,
    now: Timestamp,
    at_most: u32,
) -> Result<Vec<GrantKey>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "UPDATE grants SET revoked_at = $2, revoked_because = $4 \
         WHERE revoked_at IS NULL AND grant_id IN (\
         SELECT grant_id FROM grants WHERE client_id = $1 AND revoked_at IS NULL AND expires_at > $2 LIMIT $3) \
         RETURNING user_id, grant_id",
    )
    .bind(client_id.as_str())
    .bind(now.0)
    .bind(i64::from(at_most))
    .bind(because)
    .fetch_all(&mut **tx)
    .await?;
    Ok(keys(rows))
}

/// The grants of a user that have not ended, taken up or not yet, in the transaction that disables them.
pub async fn list_unended(tx: &mut Tx, user_id: &UserId, now: Timestamp) -> Result<Vec<GrantKey>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT user_id, grant_id FROM grants WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2",
    )
    .bind(user_id.as_str())
    .bind(now.0)
    .fetch_all(&mut **tx)
    .await?;
    Ok(keys(rows))
}

fn keys(rows: Vec<(String, String)>) -> Vec<GrantKey> {
    rows.into_iter().map(|(user_id, grant_id)| GrantKey { user_id, grant_id }).collect()
}

/// Removes some grants that nobody took up: recorded before `before`, and their codes are gone. Returns how many.
pub async fn remove_not_taken_up(tx: &mut Tx, before: Timestamp, at_most: u32) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM grants WHERE activated_at IS NULL AND grant_id IN (\
         SELECT grant_id FROM grants WHERE activated_at IS NULL AND created_at < $1 AND NOT EXISTS (\
         SELECT 1 FROM authorization_codes WHERE authorization_codes.grant_id = grants.grant_id) \
         ORDER BY created_at LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(at_most))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Removes some grants of machines that ended before `before`: each minted token has one of its own. Returns how many.
pub async fn remove_of_machines(tx: &mut Tx, before: Timestamp, at_most: u32) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM grants WHERE client_kind = 'machine' AND grant_id IN (\
         SELECT grant_id FROM grants WHERE client_kind = 'machine' AND expires_at < $1 \
         ORDER BY expires_at LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(at_most))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Notes that a call was made, unless one was noted after `unless_after`.
pub async fn touch(tx: &mut Tx, grant_id: &GrantId, now: Timestamp, unless_after: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE grants SET last_used_at = $2 \
         WHERE grant_id = $1 AND (last_used_at IS NULL OR last_used_at < $3)",
    )
    .bind(grant_id.as_str())
    .bind(now.0)
    .bind(unless_after.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// The grant of this id, live or not.
    pub async fn find_grant(&self, grant_id: &GrantId) -> Result<Option<Grant>> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT grant_id, user_id, client_id, client_kind, client_metadata, redirect_uri, resource, \
             scope, auth_time, acr, amr, created_at, expires_at, activated_at, last_used_at, revoked_at \
             FROM grants WHERE grant_id = $1",
        )
        .bind(grant_id.as_str())
        .fetch_optional(self.read())
        .await?;
        row.map(parse).transpose()
    }

    /// A user's live grants, newest first; what was minted comes last, because there may be very many.
    pub async fn list_live_grants(&self, user_id: &UserId, now: Timestamp) -> Result<Vec<Grant>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT grant_id, user_id, client_id, client_kind, client_metadata, redirect_uri, resource, \
             scope, auth_time, acr, amr, created_at, expires_at, activated_at, last_used_at, revoked_at \
             FROM grants WHERE user_id = $1 AND revoked_at IS NULL AND activated_at IS NOT NULL \
             AND expires_at > $2 ORDER BY client_kind = 'machine', created_at DESC, grant_id LIMIT 500",
        )
        .bind(user_id.as_str())
        .bind(now.0)
        .fetch_all(self.read())
        .await?;
        rows.into_iter().map(parse).collect()
    }
}
