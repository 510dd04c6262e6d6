//! Local accounts: what a username may look like, and how an account is made.

use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::oauth::error::Error;
use crate::oauth::{ClientId, UserId};
use crate::storage::users::{Recorded, Role, User};
use crate::storage::{Tx, audit, users};

use super::password::{NO_PASSWORD, Password};

/// A username as somebody may choose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

/// Why a username cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a username has 1 to 64 letters, digits, dots, dashes, underscores or @")]
pub struct BadUsername;

impl Username {
    /// Parses a username: no spaces and nothing that could pass for another name on a page.
    pub fn parse(text: &str) -> Result<Self, BadUsername> {
        let text = text.trim();
        let fits = (1..=64).contains(&text.chars().count());
        let plain = text.chars().all(|c| c.is_alphanumeric() || ".-_@".contains(c));
        if fits && plain { Ok(Self(text.to_owned())) } else { Err(BadUsername) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes an account. Hashing takes a while, so it is done before a transaction is open.
pub async fn prepare(app: &App, name: &Username, password: Password, role: Role) -> Result<User, Error> {
    Ok(User {
        user_id: UserId::issue(&app.random),
        username: name.as_str().to_owned(),
        role,
        password_hash: password.hash().await?,
        created_at: app.now(),
        disabled_at: None,
    })
}

/// An account that nobody can sign in to by a password: somebody else says who they are.
pub fn without_password(app: &App, name: &Username, role: Role) -> User {
    User {
        user_id: UserId::issue(&app.random),
        username: name.as_str().to_owned(),
        role,
        password_hash: NO_PASSWORD.to_owned(),
        created_at: app.now(),
        disabled_at: None,
    }
}

/// The account of a machine. Its name is its id, which no person can choose: a username has no colon.
pub fn of_machine(app: &App, client_id: &ClientId, role: Role) -> User {
    let user_id = UserId::of_machine(client_id);
    User {
        username: user_id.as_str().to_owned(),
        user_id,
        role,
        password_hash: NO_PASSWORD.to_owned(),
        created_at: app.now(),
        disabled_at: None,
    }
}

/// Records a prepared account with its audit event.
pub async fn record(app: &App, tx: &mut Tx, user: &User) -> Result<Recorded, Error> {
    let recorded = users::record(tx, user).await?;
    if recorded == Recorded::Yes {
        let event = Event::new(Kind::AccountChanged, Outcome::Done).user(&user.user_id).detail("created");
        audit::record(tx, app.now(), &event);
    }
    Ok(recorded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_short_and_plain() {
        for good in ["alice", " bob ", "a.b-c_d@example.com", "\u{c5}sa"] {
            assert!(Username::parse(good).is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", " ", "a b", "a<b", "a\u{202e}b", "client:reports", long.as_str()] {
            assert_eq!(Username::parse(bad), Err(BadUsername), "{bad}");
        }
    }
}
