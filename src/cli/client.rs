//! `mandate client add|list|remove|disable|enable`.

use clap::Subcommand;

use super::open::Opening;
use super::output::{say, table};
use super::{Failure, client_add};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::identity::machine;
use crate::oauth::client::ClientKind;
use crate::oauth::{ClientId, UserId};
use crate::storage::{Store, audit, clients, commit, disabled_clients, grants, machines};

/// Manage clients that are registered by hand.
#[derive(Debug, Subcommand)]
pub(super) enum Client {
    Add(client_add::Add),
    /// List the registered clients, those that registered themselves included.
    #[command(after_help = "Example:\n  mandate client list")]
    List,
    /// Let a client in no more, whichever way it is known: registered here, by a document of its own, or at another
    /// issuer. What users granted it is refused from the next call on, and nothing can be granted to it.
    #[command(after_help = "Example:\n  mandate client disable acme:reports")]
    Disable {
        /// Which.
        client_id: String,
    },
    /// Let a disabled client in again. Its users connect it anew.
    #[command(after_help = "Example:\n  mandate client enable acme:reports")]
    Enable {
        /// Which.
        client_id: String,
    },
    /// Remove a client. What users granted it is refused from the next call on; a machine acts no more.
    #[command(after_help = "Example:\n  mandate client remove client_4fB1")]
    Remove {
        /// Which.
        client_id: String,
    },
}

/// How many grants of a client are ended at once.
const GRANTS_AT_ONCE: u32 = 500;
/// Why they end, as recorded.
const REMOVED: &str = "the client was removed";
const DISABLED: &str = "the client was disabled";

pub(super) async fn run(command: Client, opening: Opening<'_>) -> Result<(), Failure> {
    let existing = || opening.existing();
    match command {
        Client::Add(add) => client_add::run(add, &existing().await?).await,
        Client::List => list(&opening.stored().await?.store).await,
        Client::Disable { client_id } => disable(&existing().await?, &ClientId::new(client_id)).await,
        Client::Enable { client_id } => enable(&existing().await?, &ClientId::new(client_id)).await,
        Client::Remove { client_id } => remove(&existing().await?, &ClientId::new(client_id)).await,
    }
}

async fn list(store: &Store) -> Result<(), Failure> {
    let clients = store.list_clients().await?;
    let disabled = store.list_disabled_clients().await?;
    let state = |client_id: &ClientId| {
        if disabled.iter().any(|(id, _)| id == client_id) { "disabled" } else { "active" }.to_owned()
    };
    let mut rows: Vec<Vec<String>> = clients
        .iter()
        .map(|row| {
            vec![
                row.client.client_id.to_string(),
                row.client.kind.as_str().to_owned(),
                row.client.metadata.token_endpoint_auth_method.as_str().to_owned(),
                state(&row.client.client_id),
                row.last_used_at.rfc3339(),
                row.client.shown_name().chars().filter(|c| !c.is_control()).collect(),
            ]
        })
        .collect();
    // Those of documents and of other issuers are not registered here.
    let others = disabled.iter().filter(|(id, _)| clients.iter().all(|row| row.client.client_id != *id));
    rows.extend(others.map(|(id, _)| {
        let unknown = || "-".to_owned();
        vec![id.to_string(), unknown(), unknown(), state(id), unknown(), String::new()]
    }));
    table(&["CLIENT_ID", "KIND", "AUTH_METHOD", "STATE", "LAST_USED", "NAME"], &rows);
    Ok(())
}

/// Forgets the client first, so that nothing more is granted to it, and then ends the grants, some at a time: there may
/// be very many. What a command that broke off left over, the next one ends.
async fn remove(app: &App, client_id: &ClientId) -> Result<(), Failure> {
    let is_machine =
        app.store.find_client(client_id).await?.is_some_and(|row| row.client.kind == ClientKind::Machine);
    let mut tx = app.store.write_patiently().await?;
    let is_known = clients::remove(&mut tx, client_id).await?;
    if is_known {
        let event = Event::new(Kind::ClientRemoved, Outcome::Done).client(client_id).detail("by hand");
        audit::record(&mut tx, app.now(), &event);
    }
    if is_known && is_machine {
        machine::retire(app, &mut tx, client_id).await?;
    }
    commit(tx).await?;
    let ended = end_grants(app, client_id, REMOVED).await?;
    if !is_known && ended == 0 {
        return Err(Failure::Said(format!(
            "there is no client {client_id}; `mandate client list` shows them all"
        )));
    }
    say(&format!("Removed {client_id}. Grants that ended with it: {ended}."));
    Ok(())
}

/// Keeps new grants from being made first, then ends those that there are.
async fn disable(app: &App, client_id: &ClientId) -> Result<(), Failure> {
    if client_id.as_str().is_empty() || !client_id.as_str().bytes().all(|b| (0x20..=0x7e).contains(&b)) {
        return Err(Failure::Said("a client's id is printable ASCII".to_owned()));
    }
    let mut tx = app.store.write_patiently().await?;
    let is_new = disabled_clients::record(&mut tx, client_id, app.now()).await?;
    if is_new {
        let event = Event::new(Kind::ClientDisabled, Outcome::Done).client(client_id);
        audit::record(&mut tx, app.now(), &event);
    }
    commit(tx).await?;
    let ended = end_grants(app, client_id, DISABLED).await?;
    let what = if is_new { "Disabled" } else { "It was disabled already:" };
    say(&format!("{what} {client_id}. Grants that ended with it: {ended}."));
    // It is done, whatever becomes of this.
    if let Ok(false) = app.store.has_seen_client(client_id).await {
        say(
            "No client with this id has been seen here: compare it with `mandate client list` and the audit log.",
        );
    }
    Ok(())
}

async fn enable(app: &App, client_id: &ClientId) -> Result<(), Failure> {
    // Those that a command left over which broke off: they must not come back to life.
    end_grants(app, client_id, DISABLED).await?;
    let mut tx = app.store.write_patiently().await?;
    if !disabled_clients::remove(&mut tx, client_id).await? {
        return Err(Failure::Said(format!(
            "{client_id} is not disabled; `mandate client list` shows who is"
        )));
    }
    let event = Event::new(Kind::ClientEnabled, Outcome::Done).client(client_id);
    audit::record(&mut tx, app.now(), &event);
    commit(tx).await?;
    say(&format!("Enabled {client_id}. What was granted to it before has ended; its users connect it anew."));
    Ok(())
}

/// Ends what was granted to a client, and, of a machine, what others were granted to act as it.
pub(super) async fn end_grants(app: &App, client_id: &ClientId, because: &str) -> Result<usize, Failure> {
    let account = UserId::of_machine(client_id);
    let mut ended = 0;
    loop {
        let mut tx = app.store.write_patiently().await?;
        let mut some = grants::revoke_some_of(&mut tx, client_id, because, app.now(), GRANTS_AT_ONCE).await?;
        some.extend(machines::revoke_some(&mut tx, &account, app.now(), GRANTS_AT_ONCE).await?);
        app.commit_ending(tx, &some).await?;
        if some.is_empty() {
            return Ok(ended);
        }
        ended += some.len();
    }
}
