//! Grants that rest on the tokens of another issuer: its user granted them there, and here they are recorded when the
//! first such token is seen, so that they are limited, recorded and taken back like any other.
//!
//! A user has one at most with each such client. When it ended, another takes its place with the next token, unless its
//! user took it back: then none does until they let the client in again.

use super::grants::{Grant, Row, parse, parse_scope};
use super::{Result, StorageError, Store, Tx};
use crate::clock::Timestamp;
use crate::oauth::{ClientId, GrantId, Scopes, UserId};

/// Why a grant ended that its user took back, as recorded.
pub const TAKEN_BACK: &str = "the user took it back";
/// The same after they let its client in again.
const ALLOWED_AGAIN: &str = "the user took it back, and let the client in again";

/// How a user stands with such a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no grant, or none any more.
    None,
    /// This one lives.
    Live {
        /// Which.
        grant_id: GrantId,
        /// The scopes that tokens have brought so far.
        scopes: Scopes,
        /// When it ends by itself.
        expires_at: Timestamp,
    },
    /// The user took this one back.
    TakenBack(GrantId),
}

type StandingRow = (String, String, i64, Option<i64>, Option<String>);

/// How many of a user with a client have ended. One that lives is not counted.
pub(super) async fn count_ended(
    tx: &mut Tx,
    user_id: &UserId,
    client_id: &ClientId,
    now: Timestamp,
) -> Result<i64> {
    let (count,): (i64,) = sqlx::query_as(
        "SELECT count(*) FROM grants WHERE user_id = $1 AND client_id = $2 AND client_kind = 'external' \
         AND (revoked_at IS NOT NULL OR expires_at <= $3)",
    )
    .bind(user_id.as_str())
    .bind(client_id.as_str())
    .bind(now.0)
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

/// The id of the next one of a user with a client. `numbered` makes the ids of theirs: of two who record the next one
/// at once the second meets the id of the first, whose grant lives or was taken back meanwhile.
///
/// The number is how many have ended, or the next after it that no ended one has: after a restore some of them are
/// missing, and the numbers of those that are there do not begin with the first.
pub async fn next_id(
    tx: &mut Tx,
    user_id: &UserId,
    client_id: &ClientId,
    now: Timestamp,
    numbered: impl Fn(i64) -> GrantId,
) -> Result<GrantId> {
    let mut number = count_ended(tx, user_id, client_id, now).await?;
    loop {
        let grant_id = numbered(number);
        let ended: Option<(i64,)> = sqlx::query_as(
            "SELECT created_at FROM grants WHERE grant_id = $1 AND (revoked_at IS NOT NULL OR expires_at <= $2) \
             AND COALESCE(revoked_because, '') <> $3",
        )
        .bind(grant_id.as_str())
        .bind(now.0)
        .bind(TAKEN_BACK)
        .fetch_optional(&mut **tx)
        .await?;
        if ended.is_none() {
            return Ok(grant_id);
        }
        number += 1;
    }
}

/// Whether a user took a grant with a client back and has not let it in again, in the transaction that would record
/// another.
pub async fn is_taken_back(tx: &mut Tx, user_id: &UserId, client_id: &ClientId) -> Result<bool> {
    let row: Option<(String,)> = sqlx::query_as(
        "SELECT grant_id FROM grants WHERE user_id = $1 AND client_id = $2 AND client_kind = 'external' \
         AND revoked_because = $3 LIMIT 1",
    )
    .bind(user_id.as_str())
    .bind(client_id.as_str())
    .bind(TAKEN_BACK)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.is_some())
}

/// Records one, taken up already. `false` when another request was first: the id is the same for both.
pub async fn record(tx: &mut Tx, grant: &Grant) -> Result<bool> {
    let metadata = serde_json::to_string(&grant.client.metadata)
        .map_err(|error| StorageError::corrupt("grants.client_metadata", error))?;
    let done = sqlx::query(
        "INSERT INTO grants (grant_id, user_id, client_id, client_kind, client_metadata, redirect_uri, \
         resource, scope, auth_time, created_at, expires_at, activated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $10) ON CONFLICT (grant_id) DO NOTHING",
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
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Widens a live grant from these scopes to those, and puts off its end. `false` when it has ended or was widened
/// meanwhile.
pub async fn widen(
    tx: &mut Tx,
    grant_id: &GrantId,
    from: &Scopes,
    to: &Scopes,
    until: Timestamp,
    now: Timestamp,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE grants SET scope = $3, expires_at = $4 \
         WHERE grant_id = $1 AND scope = $2 AND revoked_at IS NULL AND expires_at > $5",
    )
    .bind(grant_id.as_str())
    .bind(from.to_string())
    .bind(to.to_string())
    .bind(until.0)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets the client of a grant in again that its user took back. `false` when there is nothing to let in.
pub async fn allow_again(tx: &mut Tx, user_id: &UserId, grant_id: &GrantId) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE grants SET revoked_because = $4 WHERE grant_id = $1 AND user_id = $2 \
         AND client_kind = 'external' AND revoked_because = $3",
    )
    .bind(grant_id.as_str())
    .bind(user_id.as_str())
    .bind(TAKEN_BACK)
    .bind(ALLOWED_AGAIN)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

impl Store {
    /// How a user stands with a client of another issuer.
    pub async fn find_standing(
        &self,
        user_id: &UserId,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<Standing> {
        let row: Option<StandingRow> = sqlx::query_as(
            "SELECT grant_id, scope, expires_at, revoked_at, revoked_because FROM grants \
             WHERE user_id = $1 AND client_id = $2 AND client_kind = 'external' \
             ORDER BY CASE WHEN revoked_at IS NULL AND expires_at > $3 THEN 0 \
             WHEN revoked_because = $4 THEN 1 ELSE 2 END, created_at DESC LIMIT 1",
        )
        .bind(user_id.as_str())
        .bind(client_id.as_str())
        .bind(now.0)
        .bind(TAKEN_BACK)
        .fetch_optional(self.read())
        .await?;
        let Some((grant_id, scope, expires_at, revoked_at, because)) = row else { return Ok(Standing::None) };
        let grant_id = GrantId::new(grant_id);
        Ok(match revoked_at {
            None if expires_at > now.0 => {
                Standing::Live { grant_id, scopes: parse_scope(&scope)?, expires_at: Timestamp(expires_at) }
            }
            Some(_) if because.as_deref() == Some(TAKEN_BACK) => Standing::TakenBack(grant_id),
            _ => Standing::None,
        })
    }

    /// The grants by which a user's clients of other issuers are kept out, latest first.
    pub async fn list_taken_back(&self, user_id: &UserId) -> Result<Vec<Grant>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT grant_id, user_id, client_id, client_kind, client_metadata, redirect_uri, resource, \
             scope, auth_time, acr, amr, created_at, expires_at, activated_at, last_used_at, revoked_at \
             FROM grants WHERE user_id = $1 AND client_kind = 'external' AND revoked_because = $2 \
             ORDER BY revoked_at DESC, grant_id LIMIT 100",
        )
        .bind(user_id.as_str())
        .bind(TAKEN_BACK)
        .fetch_all(self.read())
        .await?;
        rows.into_iter().map(parse).collect()
    }
}
