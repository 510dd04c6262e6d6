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

/// A demo account, as it is shown at every start.
pub(super) struct Account {
    /// The name.
    pub(super) username: &'static str,
    /// The password. Derived from the sealing key, so that it can be shown again without being stored.
    pub(super) password: String,
    /// What it is good for.
    pub(super) what: &'static str,
}

const USERS: [(&str, Role, &str); 2] = [
    ("alice", Role::Agent, "agent: sees every ticket"),
    ("bob", Role::Requester, "requester: sees own tickets"),
];

/// Fills an empty database. Returns the demo accounts when they are there, now or since an earlier start.
pub(super) async fn prepare(app: &App) -> Result<Vec<Account>, Failure> {
    let mut accounts = Vec::new();
    for (username, _, what) in USERS {
        // What a role sees is said of tickets alone.
        let what = what.split(':').next().filter(|_| !app.config.own.has_tickets()).unwrap_or(what);
        accounts.push(Account { username, password: password(app, username)?, what });
    }
    if app.store.has_no_users().await? && fill(app, &accounts).await? {
        return Ok(accounts);
    }
    for known in &accounts {
        let user = app.store.find_user_by_name(known.username).await?;
        let hash = user.map(|user| user.password_hash);
        let claimed = Password::claimed(&known.password).ok_or_else(unusable)?;
        if !claimed.matches(hash).await? {
            return Ok(Vec::new());
        }
    }
    Ok(accounts)
}

/// Fills the database. `false` when another replica did it meanwhile.
async fn fill(app: &App, accounts: &[Account]) -> Result<bool, Failure> {
    let mut people = Vec::new();
    for ((username, role, _), account) in USERS.into_iter().zip(accounts) {
        let password = Password::chosen(&account.password).map_err(|_| unusable())?;
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
