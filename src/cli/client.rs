//! `mandate client add|list|remove`.

use clap::Subcommand;

use super::output::{say, table};
use super::{Failure, client_add};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::identity::machine;
use crate::oauth::client::ClientKind;
use crate::oauth::{ClientId, UserId};
use crate::storage::{audit, clients, commit, grants, machines};

/// Manage clients that are registered by hand.
#[derive(Debug, Subcommand)]
pub(super) enum Client {
    Add(client_add::Add),
    /// List the registered clients, those that registered themselves included.
    #[command(after_help = "Example:\n  mandate client list")]
    List,
    /// Remove a client. What users granted it is refused from the next call on; a machine acts no more.
    #[command(after_help = "Example:\n  mandate client remove client_4fB1")]
    Remove {
        /// Which.
        client_id: String,
    },
}

/// How many grants of a removed client are ended at once.
const GRANTS_AT_ONCE: u32 = 500;

pub(super) async fn run(command: Client, app: &App) -> Result<(), Failure> {
    match command {
        Client::Add(add) => client_add::run(add, app).await,
        Client::List => list(app).await,
        Client::Remove { client_id } => remove(app, &ClientId::new(client_id)).await,
    }
}

async fn list(app: &App) -> Result<(), Failure> {
    let clients = app.store.list_clients().await?;
    let rows: Vec<Vec<String>> = clients
        .iter()
        .map(|row| {
            vec![
                row.client.client_id.to_string(),
                row.client.kind.as_str().to_owned(),
                row.client.metadata.token_endpoint_auth_method.as_str().to_owned(),
                row.last_used_at.rfc3339(),
                row.client.shown_name().chars().filter(|c| !c.is_control()).collect(),
            ]
        })
        .collect();
    table(&["CLIENT_ID", "KIND", "AUTH_METHOD", "LAST_USED", "NAME"], &rows);
    Ok(())
}

/// Ends the grants first, some at a time: a client may have very many. What a command that broke off left over, the
/// next one ends.
async fn remove(app: &App, client_id: &ClientId) -> Result<(), Failure> {
    let is_machine =
        app.store.find_client(client_id).await?.is_some_and(|row| row.client.kind == ClientKind::Machine);
    let mut ended = end_grants(app, client_id).await?;
    let mut tx = app.store.write_patiently().await?;
    let is_known = clients::remove(&mut tx, client_id).await?;
    if is_known {
        let what = format!("by hand; grants that ended with it: {ended}");
        let event = Event::new(Kind::ClientRemoved, Outcome::Done).client(client_id).detail(what);
        audit::record(&mut tx, app.now(), &event);
    }
    if is_known && is_machine {
        machine::retire(app, &mut tx, client_id).await?;
    }
    commit(tx).await?;
    // Those that were granted meanwhile.
    ended += end_grants(app, client_id).await?;
    if !is_known && ended == 0 {
        return Err(Failure::Said(format!(
            "there is no client {client_id}; `mandate client list` shows them all"
        )));
    }
    say(&format!("Removed {client_id}. Grants that ended with it: {ended}."));
    Ok(())
}

/// Ends what was granted to a client, and, of a machine, what others were granted to act as it.
async fn end_grants(app: &App, client_id: &ClientId) -> Result<usize, Failure> {
    let account = UserId::of_machine(client_id);
    let mut ended = 0;
    loop {
        let mut tx = app.store.write_patiently().await?;
        let mut some = grants::revoke_some_of(&mut tx, client_id, app.now(), GRANTS_AT_ONCE).await?;
        some.extend(machines::revoke_some(&mut tx, &account, app.now(), GRANTS_AT_ONCE).await?);
        app.commit_ending(tx, &some).await?;
        if some.is_empty() {
            return Ok(ended);
        }
        ended += some.len();
    }
}
