//! Machines: clients with an account of their own, and the one grant that each acts under.

#[cfg(test)]
mod contract;

use super::users::Role;
use super::{Result, Tx};
use crate::clock::Timestamp;
use crate::ephemeral::admission::GrantKey;
use crate::oauth::{ClientId, GrantId, Scopes, UserId};

/// What the standing grant of a machine is found by.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The machine.
    pub client_id: &'a ClientId,
    /// The audience of its tokens.
    pub resource: &'a str,
    /// All that its tokens may reach.
    pub scopes: &'a Scopes,
    /// It must last until after this moment.
    pub beyond: Timestamp,
}

/// Notes that a machine obtains tokens. Until the transaction ends no other one does so for it, and nobody removes it:
/// of two that ask at once the second finds the grant of the first. `false` when it is no machine, or no longer.
pub async fn hold(tx: &mut Tx, client_id: &ClientId, now: Timestamp) -> Result<bool> {
    let done =
        sqlx::query("UPDATE clients SET last_used_at = $2 WHERE client_id = $1 AND user_id IS NOT NULL")
            .bind(client_id.as_str())
            .bind(now.0)
            .execute(&mut **tx)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// The grant that a machine gave itself, with its end. None of those that were minted for it: their clients are others.
pub async fn find_standing(tx: &mut Tx, wanted: Standing<'_>) -> Result<Option<(GrantId, Timestamp)>> {
    let row: Option<(String, i64)> = sqlx::query_as(
        "SELECT grant_id, expires_at FROM grants WHERE user_id = $1 AND client_id = $2 AND resource = $3 \
         AND scope = $4 AND revoked_at IS NULL AND activated_at IS NOT NULL AND expires_at > $5 \
         ORDER BY expires_at DESC, grant_id LIMIT 1",
    )
    .bind(UserId::of_machine(wanted.client_id).as_str())
    .bind(wanted.client_id.as_str())
    .bind(wanted.resource)
    .bind(wanted.scopes.to_string())
    .bind(wanted.beyond.0)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|(grant_id, expires_at)| (GrantId::new(grant_id), Timestamp(expires_at))))
}

/// Ends some grants of a machine that is removed, whoever they were given to. Returns which; none when there are no
/// more.
pub async fn revoke_some(
    tx: &mut Tx,
    user_id: &UserId,
    now: Timestamp,
    at_most: u32,
) -> Result<Vec<GrantKey>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "UPDATE grants SET revoked_at = $2, revoked_because = 'the machine was removed' \
         WHERE revoked_at IS NULL AND grant_id IN (\
         SELECT grant_id FROM grants WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 LIMIT $3) \
         RETURNING user_id, grant_id",
    )
    .bind(user_id.as_str())
    .bind(now.0)
    .bind(i64::from(at_most))
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|(user_id, grant_id)| GrantKey { user_id, grant_id }).collect())
}

/// Lets the account of a machine act again, in this role. `false` when there is none of exactly this id.
pub async fn let_in(tx: &mut Tx, user_id: &UserId, role: Role) -> Result<bool> {
    let done = sqlx::query("UPDATE users SET role = $2, disabled_at = NULL WHERE user_id = $1")
        .bind(user_id.as_str())
        .bind(role.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}
