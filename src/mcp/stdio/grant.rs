//! The grant of a program on the machine of its user: recorded like any other, so that it is seen under Connected
//! apps, recorded in the audit log and taken back at once.
//!
//! It ends with the process. Should that end without a word, the grant ends by itself soon after, because a process
//! that lives puts the end off, again and again. A machine that slept for longer finds its grant at its end; then
//! another is recorded, as if the program had been started again, unless somebody took the first one back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::principal::Verified;
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::clock::Timestamp;
use crate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata};
use crate::oauth::{Authentication, ClientId, Error, GrantId, RedirectUri, Scopes, UserId};
use crate::storage::grants::Grant;
use crate::storage::{self, audit, commit, grants};

/// The id of the client that such a program is: no registration hands it out.
const CLIENT_ID: &str = "stdio";
/// Its name.
const CLIENT_NAME: &str = "This computer (stdio)";
/// Where access goes.
const REDIRECT_URI: &str = "http://localhost/";
/// How long after the last word of its process a grant ends.
const LEASE: Duration = Duration::from_mins(15);
/// How much of that may be left before the end is put off.
const RENEW_BELOW: Duration = Duration::from_mins(10);

/// Why there is no grant for somebody.
#[derive(Debug, thiserror::Error)]
pub enum NoGrant {
    /// There is no account of this name.
    #[error("there is no account named {0}; `mandate user list` shows them all")]
    Unknown(String),
    /// The account is disabled.
    #[error("the account {0} is disabled; nobody can act with it")]
    Disabled(String),
    /// The store cannot be asked.
    #[error(transparent)]
    Storage(#[from] storage::StorageError),
}

/// A grant that lives as long as the process.
#[derive(Debug)]
pub struct LocalGrant {
    app: Arc<App>,
    user_id: UserId,
    scopes: Scopes,
    current: Mutex<Current>,
}

#[derive(Clone, Debug)]
struct Current {
    token: Arc<Verified>,
    expires_at: Timestamp,
}

impl LocalGrant {
    /// Records a grant of these scopes by the user of this name.
    pub async fn begin(app: Arc<App>, username: &str, scopes: Scopes) -> Result<Self, NoGrant> {
        let user = app.store.find_user_by_name(username).await?;
        // A machine gets its tokens by itself, within what it is registered for, which this way would leave out.
        let user = user.filter(|user| !user.user_id.is_machine());
        let user = user.ok_or_else(|| NoGrant::Unknown(username.to_owned()))?;
        if user.disabled_at.is_some() {
            return Err(NoGrant::Disabled(user.username));
        }
        let current = record(&app, &user.user_id, &scopes).await?;
        Ok(Self { app, user_id: user.user_id, scopes, current: Mutex::new(current) })
    }

    /// What calls are made with. Puts the end of the grant off where that is due.
    pub(in crate::mcp) async fn token(&self) -> Result<Arc<Verified>, Error> {
        let Current { token, expires_at } = self.current();
        let now = self.app.now();
        if expires_at.since(now) > RENEW_BELOW {
            return Ok(token);
        }
        let until = now.plus(LEASE);
        let mut tx = self.app.store.write().await?;
        let renewed = grants::extend(&mut tx, &token.grant_id, until, now).await?;
        commit(tx).await?;
        let next = if renewed {
            Current { token, expires_at: until }
        } else if self.is_over(&token.grant_id).await? {
            record(&self.app, &self.user_id, &self.scopes).await?
        } else {
            return Ok(token);
        };
        let token = next.token.clone();
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(token)
    }

    /// Whether the grant came to its end by itself, and its user may still act.
    async fn is_over(&self, grant_id: &GrantId) -> Result<bool, Error> {
        let grant = self.app.store.find_grant(grant_id).await?;
        if grant.is_none_or(|grant| grant.revoked_at.is_some()) {
            return Ok(false);
        }
        let user = self.app.store.find_user(&self.user_id).await?;
        Ok(user.is_some_and(|user| user.disabled_at.is_none()))
    }

    /// Ends the grant.
    pub async fn end(&self) -> Result<(), Error> {
        let token = self.current().token;
        let Some(grant) = self.app.store.find_grant(&token.grant_id).await? else { return Ok(()) };
        let now = self.app.now();
        let mut tx = self.app.store.write_patiently().await?;
        if grants::revoke(&mut tx, &token.grant_id, "its program ended", now).await? {
            let event = event(Kind::GrantRevoked, &grant).detail("its program ended");
            audit::record(&mut tx, now, &event);
        }
        self.app.commit_ending(tx, &[grant.key()]).await
    }

    fn current(&self) -> Current {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn record(app: &App, user_id: &UserId, scopes: &Scopes) -> storage::Result<Current> {
    let now = app.now();
    let grant = Grant {
        grant_id: GrantId::issue(&app.random),
        user_id: user_id.clone(),
        client: client(),
        redirect_uri: RedirectUri::stored(REDIRECT_URI),
        resource: app.config.public_url.resource().as_str().to_owned(),
        scopes: scopes.clone(),
        authentication: Authentication::at(now),
        created_at: now,
        expires_at: now.plus(LEASE),
        activated_at: Some(now),
        last_used_at: None,
        revoked_at: None,
    };
    let mut tx = app.store.write_patiently().await?;
    grants::record(&mut tx, &grant).await?;
    grants::activate(&mut tx, &grant.grant_id, now).await?;
    audit::record(&mut tx, now, &event(Kind::GrantGiven, &grant).detail(scopes.to_string()));
    commit(tx).await?;
    Ok(Current { token: Arc::new(Verified::local(&grant)), expires_at: grant.expires_at })
}

fn event(kind: Kind, grant: &Grant) -> Event {
    Event::new(kind, Outcome::Done)
        .user(&grant.user_id)
        .client(&grant.client.client_id)
        .grant(&grant.grant_id)
}

fn client() -> Client {
    Client {
        client_id: ClientId::new(CLIENT_ID),
        kind: ClientKind::Registered,
        metadata: ClientMetadata {
            client_name: Some(CLIENT_NAME.to_owned()),
            redirect_uris: vec![RedirectUri::stored(REDIRECT_URI)],
            application_type: Some("native".to_owned()),
            ..ClientMetadata::unsaid(AuthMethod::None)
        },
        secret_hash: None,
    }
}
