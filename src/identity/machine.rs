//! Machines: how an operator makes one, and how one is let in no more.

use super::account;
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::oauth::client::Client;
use crate::oauth::error::Error;
use crate::oauth::{ClientId, UserId};
use crate::storage::users::{Recorded, Role};
use crate::storage::{Tx, audit, clients, machines, users};

/// Registers a machine with its account. The id of one that was removed gives its account back: it is the same
/// machine to whoever reads its tickets. The transaction of one that is [`Recorded::Taken`] is to be undone.
pub async fn register(app: &App, tx: &mut Tx, client: &Client, role: Role) -> Result<Recorded, Error> {
    let now = app.now();
    let user = account::of_machine(app, &client.client_id, role);
    let what = match users::record(tx, &user).await? {
        Recorded::Yes => "created",
        Recorded::Taken if machines::let_in(tx, &user.user_id, role).await? => "let in again",
        // Names are compared in any letter case.
        Recorded::Taken => return Ok(Recorded::Taken),
    };
    if !clients::record(tx, client, now).await? {
        return Ok(Recorded::Taken);
    }
    let what = format!("{what} for a machine, {}", role.as_str());
    let account = Event::new(Kind::AccountChanged, Outcome::Done).user(&user.user_id);
    audit::record(tx, now, &account.client(&client.client_id).detail(what));
    let what = format!("by hand, a machine for {}", client.registered_scopes());
    let registered = Event::new(Kind::ClientRegistered, Outcome::Done).user(&user.user_id);
    audit::record(tx, now, &registered.client(&client.client_id).detail(what));
    Ok(Recorded::Yes)
}

/// Lets the account of a removed machine in no more.
pub async fn retire(app: &App, tx: &mut Tx, client_id: &ClientId) -> Result<(), Error> {
    let user_id = UserId::of_machine(client_id);
    users::disable(tx, &user_id, app.now()).await?;
    let event = Event::new(Kind::AccountChanged, Outcome::Done).user(&user_id).client(client_id);
    audit::record(tx, app.now(), &event.detail("disabled with its machine"));
    Ok(())
}
