//! Users and their roles.

use super::{Result, StorageError, Store, Tx};
use crate::clock::Timestamp;
use crate::oauth::UserId;

/// What a user may see and do with tickets, whatever a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sees and closes the tickets that they reported.
    Requester,
    /// Sees and closes every ticket.
    Agent,
}

impl Role {
    /// The role as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requester => "requester",
            Self::Agent => "agent",
        }
    }

    /// The role of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Requester, Self::Agent].into_iter().find(|role| role.as_str() == text)
    }

    pub(crate) fn stored(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| StorageError::corrupt("users.role", text))
    }
}

/// A local account.
#[derive(Clone)]
pub struct User {
    /// Stands in `sub`.
    pub user_id: UserId,
    /// As the user writes it.
    pub username: String,
    /// What they may see.
    pub role: Role,
    /// A PHC string.
    pub password_hash: String,
    /// When the account was made.
    pub created_at: Timestamp,
    /// Since when nobody may sign in or act with it.
    pub disabled_at: Option<Timestamp>,
}

/// What became of a new account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It exists now.
    Yes,
    /// The username is taken.
    Taken,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

type Row = (String, String, String, String, i64, Option<i64>);

fn parse(row: Row) -> Result<User> {
    let (user_id, username, role, password_hash, created_at, disabled_at) = row;
    Ok(User {
        user_id: UserId::new(user_id),
        username,
        role: Role::stored(&role)?,
        password_hash,
        created_at: Timestamp(created_at),
        disabled_at: disabled_at.map(Timestamp),
    })
}

/// The form under which usernames are compared: `Alice` and `alice` are one.
pub fn username_key(username: &str) -> String {
    username.trim().to_lowercase()
}

/// Adds an account, unless its name is taken.
pub async fn record(tx: &mut Tx, user: &User) -> Result<Recorded> {
    let done = sqlx::query(
        "INSERT INTO users (user_id, username, username_key, role, password_hash, created_at, disabled_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (username_key) DO NOTHING",
    )
    .bind(user.user_id.as_str())
    .bind(&user.username)
    .bind(username_key(&user.username))
    .bind(user.role.as_str())
    .bind(&user.password_hash)
    .bind(user.created_at.0)
    .bind(user.disabled_at.map(|at| at.0))
    .execute(&mut **tx)
    .await?;
    Ok(if done.rows_affected() == 1 { Recorded::Yes } else { Recorded::Taken })
}

/// Confirms, in the transaction that signs a user in, that the password is still the one that was checked and the
/// account not disabled: a new password ends every session, also one that is being made.
pub async fn confirm(tx: &mut Tx, user: &User) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE users SET password_hash = password_hash \
         WHERE user_id = $1 AND password_hash = $2 AND disabled_at IS NULL",
    )
    .bind(user.user_id.as_str())
    .bind(&user.password_hash)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets the password, and thereby ends the user's browser sessions. `false` when there is no such user.
pub async fn set_password(tx: &mut Tx, user_id: &UserId, password_hash: &str) -> Result<bool> {
    let done = sqlx::query("UPDATE users SET password_hash = $2 WHERE user_id = $1")
        .bind(user_id.as_str())
        .bind(password_hash)
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(user_id.as_str()).execute(&mut **tx).await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the account a role. `false` when it has it already. Calls under its grants are judged by it within seconds.
pub async fn set_role(tx: &mut Tx, user_id: &UserId, role: Role) -> Result<bool> {
    let done = sqlx::query("UPDATE users SET role = $2 WHERE user_id = $1 AND role <> $2")
        .bind(user_id.as_str())
        .bind(role.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// What an issuer last said of the role of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleStatement {
    /// When.
    pub at: Timestamp,
    /// That there is none.
    pub withheld: bool,
}

/// Gives the account the role that its issuer said it has at `said_at`. With `None`, the issuer said that it has none,
/// and the account keeps the last one. `false` when something newer was said before. Calls under its grants are judged
/// by it within seconds.
pub async fn say_role(tx: &mut Tx, user_id: &UserId, role: Option<Role>, said_at: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE users SET role = COALESCE($2, role), role_withheld = $3, role_said_at = $4 \
         WHERE user_id = $1 AND (role_said_at IS NULL OR role_said_at <= $4)",
    )
    .bind(user_id.as_str())
    .bind(role.map(Role::as_str))
    .bind(i64::from(role.is_none()))
    .bind(said_at.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Disables the account and ends its sessions. Keeps the first moment when called again.
pub async fn disable(tx: &mut Tx, user_id: &UserId, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE users SET disabled_at = $2 WHERE user_id = $1 AND disabled_at IS NULL")
        .bind(user_id.as_str())
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(user_id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Lets a disabled account be used again. `false` when it was not disabled.
pub async fn enable(tx: &mut Tx, user_id: &UserId) -> Result<bool> {
    let done =
        sqlx::query("UPDATE users SET disabled_at = NULL WHERE user_id = $1 AND disabled_at IS NOT NULL")
            .bind(user_id.as_str())
            .execute(&mut **tx)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Finds a person: machines have accounts, too, and nobody can sign in to those.
const ANY_PERSON: &str = "SELECT 1 FROM users WHERE user_id NOT LIKE 'client:%' LIMIT 1";

/// Whether any person has an account.
pub async fn exists(tx: &mut Tx) -> Result<bool> {
    let row: Option<(i64,)> = sqlx::query_as(ANY_PERSON).fetch_optional(&mut **tx).await?;
    Ok(row.is_some())
}

impl Store {
    /// What an issuer last said of the role of the account. None when no issuer did.
    pub async fn find_role_statement(&self, user_id: &UserId) -> Result<Option<RoleStatement>> {
        let row: Option<(Option<i64>, i64)> =
            sqlx::query_as("SELECT role_said_at, role_withheld FROM users WHERE user_id = $1")
                .bind(user_id.as_str())
                .fetch_optional(self.read())
                .await?;
        let said = row.and_then(|(at, withheld)| Some((at?, withheld)));
        Ok(said.map(|(at, withheld)| RoleStatement { at: Timestamp(at), withheld: withheld != 0 }))
    }

    /// The user of this name, in any letter case.
    pub async fn find_user_by_name(&self, username: &str) -> Result<Option<User>> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT user_id, username, role, password_hash, created_at, disabled_at FROM users \
             WHERE username_key = $1",
        )
        .bind(username_key(username))
        .fetch_optional(self.read())
        .await?;
        row.map(parse).transpose()
    }

    /// The user of this id.
    pub async fn find_user(&self, user_id: &UserId) -> Result<Option<User>> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT user_id, username, role, password_hash, created_at, disabled_at FROM users \
             WHERE user_id = $1",
        )
        .bind(user_id.as_str())
        .fetch_optional(self.read())
        .await?;
        row.map(parse).transpose()
    }

    /// Every user, by name.
    pub async fn list_users(&self) -> Result<Vec<User>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT user_id, username, role, password_hash, created_at, disabled_at FROM users \
             ORDER BY username_key",
        )
        .fetch_all(self.read())
        .await?;
        rows.into_iter().map(parse).collect()
    }

    /// Whether no person has an account yet.
    pub async fn has_no_users(&self) -> Result<bool> {
        let row: Option<(i64,)> = sqlx::query_as(ANY_PERSON).fetch_optional(self.read()).await?;
        Ok(row.is_none())
    }
}
