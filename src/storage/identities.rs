//! Whose account is whose at an issuer. An identity is the issuer and its subject, and nothing that changes hands,
//! such as an e-mail address (OpenID Connect Core §5.7).

use super::{Result, Store, Tx};
use crate::clock::Timestamp;
use crate::oauth::UserId;

/// Somebody as an issuer names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The issuer, byte for byte.
    pub issuer: String,
    /// The subject there.
    pub subject: String,
}

/// Links an identity to an account. `false` when it is linked to one already.
pub async fn record(tx: &mut Tx, identity: &Identity, user_id: &UserId, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO identities (issuer, subject, user_id, linked_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (issuer, subject) DO NOTHING",
    )
    .bind(&identity.issuer)
    .bind(&identity.subject)
    .bind(user_id.as_str())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

impl Store {
    /// Whose account an identity is linked to.
    pub async fn find_identity(&self, identity: &Identity) -> Result<Option<UserId>> {
        let row: Option<(String,)> =
            sqlx::query_as("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2")
                .bind(&identity.issuer)
                .bind(&identity.subject)
                .fetch_optional(self.read())
                .await?;
        Ok(row.map(|(user_id,)| UserId::new(user_id)))
    }

    /// The identities that are linked to an account, oldest first.
    pub async fn list_identities(&self, user_id: &UserId) -> Result<Vec<Identity>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT issuer, subject FROM identities WHERE user_id = $1 ORDER BY linked_at, issuer, subject",
        )
        .bind(user_id.as_str())
        .fetch_all(self.read())
        .await?;
        Ok(rows.into_iter().map(|(issuer, subject)| Identity { issuer, subject }).collect())
    }
}
