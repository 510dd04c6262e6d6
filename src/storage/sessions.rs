//! Browser sessions, by the hash of what their cookie carries.

use super::{Result, Store, Tx};
use crate::clock::Timestamp;
use crate::oauth::secret::SecretHash;
use crate::oauth::{Authentication, UserId};

/// A browser in which somebody is signed in.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Who.
    pub user_id: UserId,
    /// How they signed in.
    pub authentication: Authentication,
    /// Who vouched for them, unless it was we ourselves.
    pub vouched: Option<Vouched>,
    /// Until when it lasts.
    pub expires_at: Timestamp,
}

/// The sign-in elsewhere that a session rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// Who vouches.
    pub issuer: String,
    /// For whom, in the issuer's words.
    pub subject: String,
    /// The session there, where the issuer names it.
    pub sid: Option<String>,
}

/// Records a new session.
pub async fn record(tx: &mut Tx, hash: &SecretHash, session: &SessionRow, now: Timestamp) -> Result<()> {
    let vouched = session.vouched.as_ref();
    sqlx::query(
        "INSERT INTO sessions (token_hash, user_id, auth_time, created_at, expires_at, acr, amr, issuer, \
         subject, sid) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(hash.as_str())
    .bind(session.user_id.as_str())
    .bind(session.authentication.auth_time.0)
    .bind(now.0)
    .bind(session.expires_at.0)
    .bind(session.authentication.acr.as_deref())
    .bind(session.authentication.amr_text())
    .bind(vouched.map(|vouched| vouched.issuer.as_str()))
    .bind(vouched.map(|vouched| vouched.subject.as_str()))
    .bind(vouched.and_then(|vouched| vouched.sid.as_deref()))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Confirms, in a transaction that acts in its name, that a session has not ended: who ends it waits.
pub async fn confirm(tx: &mut Tx, hash: &SecretHash) -> Result<bool> {
    let done = sqlx::query("UPDATE sessions SET auth_time = auth_time WHERE token_hash = $1")
        .bind(hash.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the sessions that rest on a sign-in elsewhere: of this subject, of this session there, or of both where both
/// are named (OpenID Connect Back-Channel Logout §2.7). Returns whose they were.
pub async fn revoke_vouched(
    tx: &mut Tx,
    issuer: &str,
    subject: Option<&str>,
    sid: Option<&str>,
) -> Result<Vec<UserId>> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "DELETE FROM sessions WHERE issuer = $1 AND ($2 = '' OR subject = $2) \
         AND ($3 = '' OR sid = $3 OR (sid IS NULL AND $2 <> '')) \
         AND ($2 <> '' OR $3 <> '') RETURNING user_id",
    )
    .bind(issuer)
    .bind(subject.unwrap_or_default())
    .bind(sid.unwrap_or_default())
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|(user_id,)| UserId::new(user_id)).collect())
}

/// Ends a session.
pub async fn revoke(tx: &mut Tx, hash: &SecretHash) -> Result<()> {
    sqlx::query("DELETE FROM sessions WHERE token_hash = $1").bind(hash.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Removes some sessions that ended before `now`. Returns how many.
pub async fn remove_expired(tx: &mut Tx, now: Timestamp, at_most: u32) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM sessions WHERE expires_at <= $1 AND token_hash IN (\
         SELECT token_hash FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(now.0)
    .bind(i64::from(at_most))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

type Row = (String, i64, i64, Option<String>, Option<String>, Option<String>, Option<String>, Option<String>);

impl Store {
    /// The session of this hash, if it lasts beyond `now`.
    pub async fn find_session(&self, hash: &SecretHash, now: Timestamp) -> Result<Option<SessionRow>> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT user_id, auth_time, expires_at, acr, amr, issuer, subject, sid FROM sessions \
             WHERE token_hash = $1 AND expires_at > $2",
        )
        .bind(hash.as_str())
        .bind(now.0)
        .fetch_optional(self.read())
        .await?;
        Ok(row.map(|(user_id, auth_time, expires_at, acr, amr, issuer, subject, sid)| SessionRow {
            user_id: UserId::new(user_id),
            authentication: Authentication {
                auth_time: Timestamp(auth_time),
                acr,
                amr: Authentication::parse_amr(amr.as_deref()),
            },
            vouched: issuer.zip(subject).map(|(issuer, subject)| Vouched { issuer, subject, sid }),
            expires_at: Timestamp(expires_at),
        }))
    }
}
