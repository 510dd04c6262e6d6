//! What a decision leads to: a grant and its code, and the memory of the answer so that a second click or a reload
//! gets the same one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::authorize::login_required;
use super::callback::Callback;
use super::flow::{self, Flow};
use super::lasting;
use super::pages::client_name::ClientName;
use super::request::Negotiated;
use super::views;
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::clock::Timestamp;
use crate::ephemeral::Key;
use crate::identity::session::Session;
use crate::oauth::client::{Client, ClientKind};
use crate::oauth::error::{Error, server_error, unauthorized_client};
use crate::oauth::redirect_uri::Destination;
use crate::oauth::secret::{AuthorizationCode, SecretHash};
use crate::oauth::{GrantId, RedirectUri, Scopes};
use crate::storage::codes::CodeRow;
use crate::storage::grants::Grant;
use crate::storage::{audit, codes, commit, disabled_clients, grants, sessions, undo};
use crate::web::text::DisplayName;

/// How long the same answer is given again.
const REPEATED_FOR: Duration = Duration::from_secs(60);

/// Whether the identity of a client is proven, so that it may go unasked: its code can only reach a website of
/// its own, and it either is that website (a document there) or must show its secret to use the code.
pub fn is_proven(client: &Client, redirect_uri: &RedirectUri) -> bool {
    let own_host = || client.proven_host().is_some_and(|host| host == redirect_uri.shown_host());
    let proven = match client.kind {
        ClientKind::Document => own_host(),
        ClientKind::Registered => !client.may_use(crate::oauth::client::AuthMethod::None),
        ClientKind::Dynamic | ClientKind::Machine | ClientKind::External => false,
    };
    proven && redirect_uri.destination() == Destination::Web
}

/// Records the grant of this authorization and issues its code, in one transaction.
pub async fn issue_code(
    app: &App,
    client: &Client,
    callback: &Callback,
    negotiated: &Negotiated,
    session: &Session,
    scopes: &Scopes,
) -> Result<(AuthorizationCode, SecretHash), Error> {
    let now = app.now();
    let code = AuthorizationCode::issue(&app.random);
    let grant = Grant {
        grant_id: GrantId::issue(&app.random),
        user_id: session.user.user_id.clone(),
        client: client.clone(),
        redirect_uri: callback.redirect_uri().clone(),
        resource: negotiated.resource.clone(),
        scopes: scopes.clone(),
        authentication: session.authentication.clone(),
        created_at: now,
        expires_at: now.plus(app.config.tokens.grant_lifetime),
        activated_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    let row = CodeRow {
        grant_id: grant.grant_id.clone(),
        code_challenge: negotiated.code_challenge.clone(),
        expires_at: now.plus(app.config.tokens.code_lifetime),
        consumed_at: None,
    };
    let event = Event::new(Kind::Consent, Outcome::Done)
        .user(&grant.user_id)
        .client(&client.client_id)
        .grant(&grant.grant_id)
        .detail(scopes.to_string());
    let hash = code.hash();
    lasting::begin(app, Key::Code(hash.as_str()), app.config.tokens.code_lifetime).await?;
    let mut tx = app.store.write().await?;
    if !sessions::confirm(&mut tx, &session.hash()).await? {
        undo(tx).await?;
        return Err(login_required());
    }
    if disabled_clients::exists(&mut tx, &client.client_id).await? {
        undo(tx).await?;
        return Err(unauthorized_client("the people who run this server have disabled the client"));
    }
    grants::record(&mut tx, &grant).await?;
    codes::record(&mut tx, &hash, &row, now).await?;
    audit::record(&mut tx, now, &event);
    commit(tx).await?;
    Ok((code, hash))
}

/// Records that the person said no.
pub async fn record_denial(app: &App, client: &Client, session: &Session) -> Result<(), Error> {
    let event =
        Event::new(Kind::Consent, Outcome::Refused).user(&session.user.user_id).client(&client.client_id);
    let mut tx = app.store.write().await?;
    audit::record(&mut tx, app.now(), &event);
    Ok(commit(tx).await?)
}

/// An answer that was given.
pub enum Answered {
    /// Give it again: it leads here.
    Again(String),
    /// The client of this name has it already.
    Connected(ClientName),
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    // Sealed: it holds the code.
    location: String,
    code_hash: Option<String>,
    client_name: String,
    // Whether the people who run this server gave it.
    #[serde(default)]
    name_is_given: bool,
    anchor_hash: String,
    at: Timestamp,
}

/// Claims the right to answer: of two clicks, one gets it.
pub async fn claim(app: &App, id: &str) -> Result<bool, Error> {
    Ok(app.ephemeral.once(Key::Answering(id), REPEATED_FOR).await?)
}

/// Gives the right back when answering failed.
pub async fn release(app: &App, id: &str) -> Result<(), Error> {
    app.ephemeral.take(Key::Answering(id)).await?;
    Ok(())
}

/// Remembers an answer. `code` is the hash of the code that it carries.
pub async fn remember(
    app: &App,
    id: &str,
    flow: &Flow,
    location: &str,
    code: Option<SecretHash>,
) -> Result<(), Error> {
    let remembered = Remembered {
        location: app.keys.sealing.seal("answer", location.as_bytes(), &app.random)?,
        code_hash: code.map(|hash| hash.as_str().to_owned()),
        client_name: flow.client.shown_name().to_owned(),
        name_is_given: !views::client_name(&flow.client).is_claimed(),
        anchor_hash: flow.cookie_hash().as_str().to_owned(),
        at: app.now(),
    };
    let value = serde_json::to_string(&remembered).map_err(unreadable)?;
    Ok(app.ephemeral.put(Key::Answered(id), value, flow::LIFETIME).await?)
}

/// What a flow was answered with, for the browser that holds its `anchor`. A code that was used already is not
/// handed over again: the client would take it for a replay.
pub async fn find(app: &App, id: &str, anchor: &str) -> Result<Option<Answered>, Error> {
    let Some(remembered) = recall(app, id).await? else { return Ok(None) };
    if !SecretHash::stored(remembered.anchor_hash.clone()).matches(anchor) {
        return Ok(None);
    }
    // The right to answer was claimed for as long.
    let recent = lasting::lasts(app, Key::Answering(id), remembered.at.plus(REPEATED_FOR)).await?;
    let Some(hash) = remembered.code_hash.clone() else {
        return if recent { Ok(Some(Answered::Again(open(app, &remembered)?))) } else { Ok(None) };
    };
    let code = app.store.find_code(&SecretHash::stored(hash.clone())).await?;
    let unused = match code.filter(|code| code.consumed_at.is_none()) {
        Some(code) => lasting::lasts(app, Key::Code(&hash), code.expires_at).await?,
        None => false,
    };
    Ok(Some(if recent && unused {
        Answered::Again(open(app, &remembered)?)
    } else {
        let name = DisplayName::of(&remembered.client_name);
        let is_given = remembered.name_is_given;
        Answered::Connected(if is_given { ClientName::Given(name) } else { ClientName::Claimed(name) })
    }))
}

/// Where the answer leads, for a second click whose first one is being answered right now.
pub async fn find_location(app: &App, id: &str) -> Result<Option<String>, Error> {
    recall(app, id).await?.map(|remembered| open(app, &remembered)).transpose()
}

async fn recall(app: &App, id: &str) -> Result<Option<Remembered>, Error> {
    let value = app.ephemeral.find(Key::Answered(id)).await?;
    value.map(|value| serde_json::from_str(&value).map_err(unreadable)).transpose()
}

fn open(app: &App, remembered: &Remembered) -> Result<String, Error> {
    let plain = app.keys.sealing.open("answer", &remembered.location)?;
    String::from_utf8(plain).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    server_error("the server made an error").detail(format!("a remembered answer: {error}"))
}
