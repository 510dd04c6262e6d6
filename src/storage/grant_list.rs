//! Grants as an operator lists them, those that have ended included: a page at a time, in the order of their ids, so
//! that a million of them neither sit in memory nor keep one statement busy.

use super::clients::parse_kind;
use super::{Result, Store};
use crate::clock::Timestamp;
use crate::oauth::client::ClientKind;
use crate::oauth::{ClientId, GrantId, UserId};

/// Which grants are listed: of everybody, where nothing is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Of this user.
    pub user_id: Option<&'a UserId>,
    /// To this client.
    pub client_id: Option<&'a ClientId>,
}

/// A grant of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub grant_id: GrantId,
    /// Who granted it.
    pub user_id: UserId,
    /// To whom.
    pub client_id: ClientId,
    /// How the client was known.
    pub client_kind: ClientKind,
    /// The audience of its tokens.
    pub resource: String,
    /// What was allowed, as stored.
    pub scope: String,
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
    /// Why.
    pub revoked_because: Option<String>,
}

type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

/// The statement for the grants that meet a condition. A text of its own for each filter, because the index that
/// serves it is another one.
macro_rules! page_where {
    ($condition:literal) => {
        concat!(
            "SELECT grant_id, user_id, client_id, client_kind, resource, scope, created_at, expires_at, activated_at, \
             last_used_at, revoked_at, revoked_because FROM grants WHERE grant_id > $1",
            $condition,
            " ORDER BY grant_id LIMIT $2"
        )
    };
}

impl Store {
    /// The grants that a filter lets through, after this id, in the order of their ids.
    pub async fn list_grants(
        &self,
        filter: Filter<'_>,
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<Listed>> {
        let (statement, of) = match (filter.user_id, filter.client_id) {
            (None, None) => (page_where!(""), [None, None]),
            (Some(user), None) => (page_where!(" AND user_id = $3"), [Some(user.as_str()), None]),
            (None, Some(client)) => (page_where!(" AND client_id = $3"), [Some(client.as_str()), None]),
            (Some(user), Some(client)) => (
                page_where!(" AND user_id = $3 AND client_id = $4"),
                [Some(user.as_str()), Some(client.as_str())],
            ),
        };
        let after = after.map_or("", GrantId::as_str);
        let mut query = sqlx::query_as(statement).bind(after).bind(i64::from(limit));
        for id in of.into_iter().flatten() {
            query = query.bind(id);
        }
        // Planned for this very client: one has twenty grants, another a tenth of all.
        let rows: Vec<Row> = query.persistent(false).fetch_all(self.read()).await?;
        rows.into_iter().map(parse).collect()
    }
}

fn parse(row: Row) -> Result<Listed> {
    let (grant_id, user_id, client_id, kind, resource, scope, created_at, expires_at, ..) = row;
    let (.., activated_at, last_used_at, revoked_at, revoked_because) = row;
    Ok(Listed {
        grant_id: GrantId::new(grant_id),
        user_id: UserId::new(user_id),
        client_id: ClientId::new(client_id),
        client_kind: parse_kind(&kind)?,
        resource,
        scope,
        created_at: Timestamp(created_at),
        expires_at: Timestamp(expires_at),
        activated_at: activated_at.map(Timestamp),
        last_used_at: last_used_at.map(Timestamp),
        revoked_at: revoked_at.map(Timestamp),
        revoked_because,
    })
}
