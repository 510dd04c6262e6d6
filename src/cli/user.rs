//! `mandate user add|list|disable|enable|role|password`.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};

use super::client::end_grants;
use super::open::Opening;
use super::output::{say, table};
use super::{Failure, secret};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::identity::account::{self, Username};
use crate::storage::Store;
use crate::storage::users::{Recorded, Role, User as Account};
use crate::storage::{audit, commit, grants, users};

/// Manage local accounts.
#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Add an account. The password is read from the terminal, standard input or a file.
    #[command(after_help = "Example:\n  mandate user add alice --role agent < password.txt")]
    Add {
        /// The name to sign in with.
        username: String,
        /// What the user may see.
        #[arg(long, value_enum, default_value = "requester")]
        role: RoleName,
        /// A file whose first line is the password; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List the accounts.
    #[command(after_help = "Example:\n  mandate user list")]
    List,
    /// Disable an account: nobody can sign in or act with it, from the next call on.
    #[command(after_help = "Example:\n  mandate user disable alice")]
    Disable {
        /// Whose account.
        username: String,
    },
    /// Let a disabled account be used again. What its apps were granted before has ended; they are connected anew.
    #[command(after_help = "Example:\n  mandate user enable alice")]
    Enable {
        /// Whose account.
        username: String,
    },
    /// Change an account's role. It holds from the next call on; where replicas share Redis, within ten seconds.
    #[command(after_help = "Example:\n  mandate user role bob agent")]
    Role {
        /// Whose role.
        username: String,
        /// What the user may see from now on.
        #[arg(value_enum)]
        role: RoleName,
    },
    /// Set an account's password; end its browser sessions and what its apps were granted.
    #[command(after_help = "Example:\n  mandate user password alice < password.txt")]
    Password {
        /// Whose password.
        username: String,
        /// Leave the apps connected.
        #[arg(long)]
        keep_apps: bool,
        /// A file whose first line is the password; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

/// Why grants end with a password, as recorded.
const NEW_PASSWORD: &str = "the password was changed";

/// The same where they end with the account.
const DISABLED: &str = "the account was disabled";

/// A role as written on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RoleName {
    /// Sees and closes own tickets.
    Requester,
    /// Sees and closes every ticket.
    Agent,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Requester => Self::Requester,
            RoleName::Agent => Self::Agent,
        }
    }
}

pub(super) async fn run(command: User, opening: Opening<'_>) -> Result<(), Failure> {
    match command {
        User::Add { username, role, password_file } => {
            let app = opening.new_or_existing().await?;
            add(&app, &username, role.into(), password_file.as_deref()).await
        }
        User::List => list(&opening.stored().await?.store).await,
        User::Disable { username } => disable(&opening.existing().await?, &username).await,
        User::Enable { username } => enable(&opening.existing().await?, &username).await,
        User::Role { username, role } => {
            change_role(&opening.existing().await?, &username, role.into()).await
        }
        User::Password { username, keep_apps, password_file } => {
            let app = opening.existing().await?;
            let kept = if keep_apps { Kept::Apps } else { Kept::Nothing };
            set_password(&app, &username, kept, password_file.as_deref()).await
        }
    }
}

async fn add(app: &App, username: &str, role: Role, password_file: Option<&Path>) -> Result<(), Failure> {
    let name = Username::parse(username).map_err(|error| Failure::Said(error.to_string()))?;
    let password = secret::new_password(password_file)?;
    let user = account::prepare(app, &name, password, role).await?;
    let mut tx = app.store.write_patiently().await?;
    if account::record(app, &mut tx, &user).await? == Recorded::Taken {
        return Err(Failure::Said(format!("there is already an account named {}", name.as_str())));
    }
    commit(tx).await?;
    say(&format!("Added {} ({}).", user.username, user.role.as_str()));
    Ok(())
}

async fn disable(app: &App, username: &str) -> Result<(), Failure> {
    let user = find(app, username).await?;
    let mut tx = app.store.write_patiently().await?;
    users::disable(&mut tx, &user.user_id, app.now()).await?;
    audit::record(&mut tx, app.now(), &changed(&user, "disabled"));
    let ended = grants::list_unended(&mut tx, &user.user_id, app.now()).await?;
    app.commit_ending(tx, &ended).await?;
    if let Some(client_id) = user.user_id.machine_client() {
        // A control plane acts as others, too.
        end_grants(app, &client_id, DISABLED).await?;
    }
    say(&format!("Disabled {}. Its apps are refused from now on.", user.username));
    Ok(())
}

async fn enable(app: &App, username: &str) -> Result<(), Failure> {
    let user = find(app, username).await?;
    let mut tx = app.store.write_patiently().await?;
    if !users::enable(&mut tx, &user.user_id).await? {
        return Err(Failure::Said(format!("the account {} is not disabled", user.username)));
    }
    audit::record(&mut tx, app.now(), &changed(&user, "enabled"));
    // Whoever had it disabled for a reason does not want all of its apps back at once.
    let ended = grants::revoke_all(&mut tx, &user.user_id, DISABLED, app.now()).await?;
    app.commit_ending(tx, &ended).await?;
    say(&format!("Enabled {}. Apps that have to be connected again: {}.", user.username, ended.len()));
    Ok(())
}

/// What a new password leaves as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Apps,
    Nothing,
}

async fn set_password(
    app: &App,
    username: &str,
    kept: Kept,
    password_file: Option<&Path>,
) -> Result<(), Failure> {
    let user = find(app, username).await?;
    if user.user_id.is_machine() {
        return Err(Failure::Said(format!(
            "{} is a machine: it has no password; a new secret comes with a new registration",
            user.username
        )));
    }
    let hash = secret::new_password(password_file)?.hash().await?;
    let mut tx = app.store.write_patiently().await?;
    users::set_password(&mut tx, &user.user_id, &hash).await?;
    let ended = match kept {
        Kept::Apps => Vec::new(),
        Kept::Nothing => grants::revoke_all(&mut tx, &user.user_id, NEW_PASSWORD, app.now()).await?,
    };
    let what = format!("new password; grants that ended with it: {}", ended.len());
    audit::record(&mut tx, app.now(), &changed(&user, &what));
    app.commit_ending(tx, &ended).await?;
    say(&format!("Set the password of {}. Its browser sessions have ended.", user.username));
    say(&format!("Apps that lost their access: {}.", ended.len()));
    Ok(())
}

async fn change_role(app: &App, username: &str, role: Role) -> Result<(), Failure> {
    let user = find(app, username).await?;
    let (name, said) = (&user.username, role.as_str());
    if let Some(issuer) = issuer_of_role(app, &user).await? {
        return Err(Failure::Said(format!(
            "the role of {name} follows what {issuer} says, and would be undone by the next word from there: change it there"
        )));
    }
    let mut tx = app.store.write_patiently().await?;
    if !users::set_role(&mut tx, &user.user_id, role).await? {
        return Err(Failure::Said(format!("the role of {name} is {said} already")));
    }
    audit::record(&mut tx, app.now(), &changed(&user, &format!("now {said}")));
    commit(tx).await?;
    say(&format!("The role of {name} is {said} from now on."));
    Ok(())
}

/// An issuer that the account is linked to, and whose word its role follows.
async fn issuer_of_role(app: &App, user: &Account) -> Result<Option<String>, Failure> {
    let linked = app.store.list_identities(&user.user_id).await?;
    let providers = app.config.providers.values().map(|provider| (&provider.issuer, &provider.accounts));
    let issuers = app.config.issuers.iter().map(|issuer| (&issuer.issuer, &issuer.accounts));
    let mut saying = providers.chain(issuers).filter(|(_, accounts)| accounts.say_roles());
    let said = saying.find(|(issuer, _)| linked.iter().any(|identity| identity.issuer == **issuer));
    Ok(said.map(|(issuer, _)| issuer.clone()))
}

async fn list(store: &Store) -> Result<(), Failure> {
    let users = store.list_users().await?;
    let rows: Vec<Vec<String>> = users
        .iter()
        .map(|user| {
            let state = if user.disabled_at.is_some() { "disabled" } else { "active" };
            let kind = if user.user_id.is_machine() { "machine" } else { "person" };
            vec![
                user.username.clone(),
                kind.to_owned(),
                user.role.as_str().to_owned(),
                state.to_owned(),
                user.created_at.rfc3339(),
                user.user_id.to_string(),
            ]
        })
        .collect();
    table(&["USERNAME", "KIND", "ROLE", "STATE", "CREATED", "ID"], &rows);
    Ok(())
}

/// The account of this name.
pub(super) async fn find(app: &App, username: &str) -> Result<Account, Failure> {
    let user = app.store.find_user_by_name(username).await?;
    user.ok_or_else(|| {
        Failure::Said(format!("there is no account named {username}; `mandate user list` shows them all"))
    })
}

fn changed(user: &Account, what: &str) -> Event {
    Event::new(Kind::AccountChanged, Outcome::Done).user(&user.user_id).detail(what)
}
