//! What every call asks of its grant.

use super::grants::parse_scope;
use super::users::Role;
use super::{Result, Store};
use crate::clock::Timestamp;
use crate::oauth::{ClientId, GrantId, Scopes, UserId};

/// What a call under a grant needs to know, read on every call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveGrant {
    /// Who granted it.
    pub user_id: UserId,
    /// The user's name.
    pub username: String,
    /// What the user may do at all.
    pub role: Role,
    /// To whom.
    pub client_id: ClientId,
    /// What was allowed.
    pub scopes: Scopes,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When a call was last noted.
    pub last_used_at: Option<Timestamp>,
}

type LiveRow = (String, String, String, String, String, i64, Option<i64>);

impl Store {
    /// What a call needs to know of its grant, if the grant is live and neither its user nor its client disabled.
    pub async fn find_live_grant(&self, grant_id: &GrantId, now: Timestamp) -> Result<Option<LiveGrant>> {
        let row: Option<LiveRow> = sqlx::query_as(
            "SELECT users.user_id, users.username, users.role, grants.client_id, grants.scope, \
             grants.expires_at, grants.last_used_at FROM grants JOIN users ON users.user_id = grants.user_id \
             WHERE grants.grant_id = $1 AND grants.revoked_at IS NULL AND grants.activated_at IS NOT NULL \
             AND grants.expires_at > $2 AND users.disabled_at IS NULL AND NOT EXISTS (\
             SELECT 1 FROM disabled_clients WHERE disabled_clients.client_id = grants.client_id)",
        )
        .bind(grant_id.as_str())
        .bind(now.0)
        .fetch_optional(self.read())
        .await?;
        let parse = |(user_id, username, role, client_id, scope, expires_at, last_used_at): LiveRow| {
            Ok(LiveGrant {
                user_id: UserId::new(user_id),
                username,
                role: Role::stored(&role)?,
                client_id: ClientId::new(client_id),
                scopes: parse_scope(&scope)?,
                expires_at: Timestamp(expires_at),
                last_used_at: last_used_at.map(Timestamp),
            })
        };
        row.map(parse).transpose()
    }
}
