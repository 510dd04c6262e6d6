//! What ends after a database was put back to an earlier state.
//!
//! Whatever was taken back since would live again, and refresh tokens that were rotated since would look stolen: so
//! every grant ends, and every browser session. A signing key that was revoked since would sign again: so all that are
//! stored are revoked, and new ones are made at the next start. All of it can be done again.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::external_grants::TAKEN_BACK;
use super::leases::{self, Work};
use super::{Result, Store, Tx, audit, commit, setup_links, signing_keys};
use crate::audit::{Event, Kind, Outcome};
use crate::clock::Timestamp;

/// How much is ended in one transaction.
const AT_ONCE: u32 = 1000;

/// Why grants end, as recorded.
const BECAUSE: &str = "the database was restored";

/// What ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// How many grants.
    pub grants: u64,
    /// How many of them rest on the tokens of another issuer, and count as taken back.
    pub external: u64,
    /// How many such were taken back, as the database says that was replaced.
    pub carried: u64,
    /// How many browser sessions.
    pub sessions: u64,
    /// The signing keys that were revoked.
    pub keys: Vec<String>,
}

/// What ends how.
#[derive(Clone, Debug)]
pub struct Ending<'a> {
    /// Why grants end that rest on the tokens of another issuer.
    pub external: &'a str,
    /// The keys that are in files of the configuration: only there can they be taken back.
    pub given_keys: &'a [String],
    /// The moment.
    pub now: Timestamp,
}

/// A grant that rests on the tokens of another issuer and that its user took back: a row of a database that is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenBack {
    grant_id: String,
    user_id: String,
    client_id: String,
    client_metadata: String,
    redirect_uri: String,
    resource: String,
    scope: String,
    auth_time: i64,
    created_at: i64,
    expires_at: i64,
    revoked_at: i64,
}

impl<'r> sqlx::FromRow<'r, SqliteRow> for TakenBack {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            grant_id: row.try_get("grant_id")?,
            user_id: row.try_get("user_id")?,
            client_id: row.try_get("client_id")?,
            client_metadata: row.try_get("client_metadata")?,
            redirect_uri: row.try_get("redirect_uri")?,
            resource: row.try_get("resource")?,
            scope: row.try_get("scope")?,
            auth_time: row.try_get("auth_time")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
            revoked_at: row.try_get("revoked_at")?,
        })
    }
}

/// Reads those of a database.
pub(super) const TAKEN_BACK_ROWS: &str = "SELECT grant_id, user_id, client_id, client_metadata, redirect_uri, resource, \
     scope, auth_time, created_at, expires_at, revoked_at FROM grants \
     WHERE client_kind = 'external' AND revoked_because = $1 AND revoked_at IS NOT NULL";

/// Why grants that rest on the tokens of another issuer end where nobody can let them in again.
pub const EXTERNAL: &str = BECAUSE;

/// Ends every grant that has not ended, every browser session, and every signing key but those that are given.
pub async fn end_all(store: &Store, ending: &Ending<'_>) -> Result<Ended> {
    let mut ended = Ended::default();
    let mut after = String::new();
    loop {
        let mut tx = store.write_patiently().await?;
        let some = end_some_grants(&mut tx, &after, ending).await?;
        commit(tx).await?;
        let Some((last, _)) = some.iter().max() else { break };
        after.clone_from(last);
        ended.grants += u64::try_from(some.len()).unwrap_or(0);
        let external = some.iter().filter(|(_, kind)| kind == "external").count();
        ended.external += u64::try_from(external).unwrap_or(0);
    }
    loop {
        let mut tx = store.write_patiently().await?;
        let some = end_some_sessions(&mut tx).await?;
        commit(tx).await?;
        ended.sessions += some;
        if some == 0 {
            break;
        }
    }
    ended.keys = revoke_keys(store, ending).await?;
    Ok(ended)
}

/// Has it that the users took these back, who are known in this database. Returns how many.
pub async fn carry_over(store: &Store, taken_back: &[TakenBack]) -> Result<u64> {
    let mut carried = 0;
    let mut tx = store.write_patiently().await?;
    for row in taken_back {
        let done = sqlx::query(
            "INSERT INTO grants (grant_id, user_id, client_id, client_kind, client_metadata, redirect_uri, resource, \
             scope, auth_time, created_at, expires_at, revoked_at, revoked_because) \
             SELECT $1, user_id, $3, 'external', $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM users WHERE user_id = $2 \
             ON CONFLICT (grant_id) DO UPDATE SET revoked_at = excluded.revoked_at, \
             revoked_because = excluded.revoked_because",
        )
        .bind(&row.grant_id)
        .bind(&row.user_id)
        .bind(&row.client_id)
        .bind(&row.client_metadata)
        .bind(&row.redirect_uri)
        .bind(&row.resource)
        .bind(&row.scope)
        .bind(row.auth_time)
        .bind(row.created_at)
        .bind(row.expires_at)
        .bind(row.revoked_at)
        .bind(TAKEN_BACK)
        .execute(&mut *tx)
        .await?;
        carried += done.rows_affected();
    }
    commit(tx).await?;
    Ok(carried)
}

/// Uses up the links that make a first account, and says in the audit log what was done. Done after every restore.
pub async fn record(store: &Store, what: &str, now: Timestamp) -> Result<()> {
    let mut tx = store.write_patiently().await?;
    setup_links::use_up(&mut tx, now).await?;
    audit::record(&mut tx, now, &Event::new(Kind::Restored, Outcome::Done).detail(what));
    commit(tx).await
}

/// In the order of their ids, so that none is looked at twice. Returns each with its client's kind. One that rests on
/// tokens of another issuer and has run out may have been prolonged and taken back since.
async fn end_some_grants(tx: &mut Tx, after: &str, ending: &Ending<'_>) -> Result<Vec<(String, String)>> {
    let ended = sqlx::query_as(
        "UPDATE grants SET revoked_at = $1, \
         revoked_because = CASE WHEN client_kind = 'external' THEN $2 ELSE $3 END \
         WHERE revoked_at IS NULL AND grant_id IN (\
         SELECT grant_id FROM grants WHERE grant_id > $4 AND revoked_at IS NULL \
         AND (expires_at > $1 OR client_kind = 'external') \
         ORDER BY grant_id LIMIT $5) RETURNING grant_id, client_kind",
    )
    .bind(ending.now.0)
    .bind(ending.external)
    .bind(BECAUSE)
    .bind(after)
    .bind(i64::from(AT_ONCE))
    .fetch_all(&mut **tx)
    .await?;
    Ok(ended)
}

async fn end_some_sessions(tx: &mut Tx) -> Result<u64> {
    let done =
        sqlx::query("DELETE FROM sessions WHERE token_hash IN (SELECT token_hash FROM sessions LIMIT $1)")
            .bind(i64::from(AT_ONCE))
            .execute(&mut **tx)
            .await?;
    Ok(done.rows_affected())
}

async fn revoke_keys(store: &Store, ending: &Ending<'_>) -> Result<Vec<String>> {
    let mut tx = store.write_patiently().await?;
    leases::hold(&mut tx, Work::SigningKeys).await?;
    let mut revoked = Vec::new();
    for row in signing_keys::list(&mut tx).await? {
        let kid = row.life.kid;
        if !ending.given_keys.contains(&kid) && signing_keys::revoke(&mut tx, &kid, ending.now).await? {
            let event = Event::new(Kind::KeyRevoked, Outcome::Done).detail(format!("{kid}; {BECAUSE}"));
            audit::record(&mut tx, ending.now, &event);
            revoked.push(kid);
        }
    }
    commit(tx).await?;
    Ok(revoked)
}
