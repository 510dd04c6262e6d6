//! What `serve --demo` puts into an empty database.

use super::Failure;
use crate::app::App;
use crate::identity::account::{self, Username};
use crate::identity::password::{NO_PASSWORD, Password};
use crate::oauth::UserId;
use crate::storage::leases::{self, Work};
use crate::storage::users::{self, Role, User};
use crate::storage::{commit, undo};
use crate::tickets;

/// What there is to try the server with.
pub(super) enum Demo {
    /// The demo's people, who are there now or since an earlier start.
    Users(Vec<Account>),
    /// Accounts of somebody's own, and nothing was added.
    Occupied,
}

/// A demo account, as it is shown at every start.
pub(super) struct Account {
    /// The name.
    pub(super) username: &'static str,
    /// What is known of signing in to it.
    pub(super) known: Known,
    /// What it is good for.
    pub(super) what: &'static str,
}

/// What is known of signing in to a demo account.
pub(super) enum Known {
    /// The password. Derived from the sealing key, so that it can be shown again without being stored.
    Password(String),
    /// It has another one since.
    Changed,
    /// It was disabled since.
    Disabled,
}

const USERS: [(&str, Role, &str); 2] = [
    ("alice", Role::Agent, "agent: sees every ticket"),
    ("bob", Role::Requester, "requester: sees own tickets"),
];

/// Fills an empty database. Says what is there, now or since an earlier start.
pub(super) async fn prepare(app: &App) -> Result<Demo, Failure> {
    let mut passwords = Vec::new();
    for (username, ..) in USERS {
        passwords.push(password(app, username)?);
    }
    let is_new = app.store.has_no_users().await? && fill(app, &passwords).await?;
    let mut accounts = Vec::new();
    let mut is_ours = is_new;
    for ((username, _, what), password) in USERS.into_iter().zip(passwords) {
        let user = if is_new { None } else { app.store.find_user_by_name(username).await? };
        let holds = is_new || holds(&password, user.as_ref()).await?;
        is_ours |= holds;
        let known = match user {
            Some(user) if user.disabled_at.is_some() => Known::Disabled,
            _ if holds => Known::Password(password),
            _ => Known::Changed,
        };
        // What a role sees is said of tickets alone.
        let what = what.split(':').next().filter(|_| !app.config.own.has_tickets()).unwrap_or(what);
        accounts.push(Account { username, known, what });
    }
    Ok(if is_ours { Demo::Users(accounts) } else { Demo::Occupied })
}

/// Whether the demo's password is still that of the account.
async fn holds(password: &str, user: Option<&User>) -> Result<bool, Failure> {
    let claimed = Password::claimed(password).ok_or_else(unusable)?;
    Ok(claimed.matches(user.map(|user| user.password_hash.clone())).await?)
}

/// Fills the database. `false` when another replica did it meanwhile.
async fn fill(app: &App, passwords: &[String]) -> Result<bool, Failure> {
    let mut people = Vec::new();
    for ((username, role, _), password) in USERS.into_iter().zip(passwords) {
        let password = Password::chosen(password).map_err(|_| unusable())?;
        people.push(account::prepare(app, &name(username)?, password, role).await?);
    }
    // Colleagues whose tickets fill the demo. Nobody can sign in as them: they have no password.
    let tickets = app.config.own.has_tickets();
    for username in tickets::demo::COLLEAGUES.into_iter().filter(|_| tickets) {
        people.push(User {
            user_id: UserId::issue(&app.random),
            username: username.to_owned(),
            role: Role::Requester,
            password_hash: NO_PASSWORD.to_owned(),
            created_at: app.now(),
            disabled_at: Some(app.now()),
        });
    }
    let ids: Vec<UserId> = people.iter().map(|user| user.user_id.clone()).collect();
    let mut tx = app.store.write_patiently().await?;
    leases::hold(&mut tx, Work::FirstAccount).await?;
    if users::exists(&mut tx).await? {
        undo(tx).await?;
        return Ok(false);
    }
    for user in &people {
        account::record(app, &mut tx, user).await?;
    }
    if tickets {
        tickets::demo::fill(&mut tx, &ids, app.now()).await?;
    }
    commit(tx).await?;
    Ok(true)
}

fn password(app: &App, username: &str) -> Result<String, Failure> {
    let tag = app.keys.sealing.tag("demo password", username).map_err(crate::oauth::Error::from)?;
    // Letters and digits only: easy to select and to type.
    Ok(tag.chars().filter(char::is_ascii_alphanumeric).take(16).collect())
}

fn name(username: &str) -> Result<Username, Failure> {
    Username::parse(username).map_err(|error| Failure::Said(error.to_string()))
}

fn unusable() -> Failure {
    Failure::Said("a demo password cannot be made".to_owned())
}
