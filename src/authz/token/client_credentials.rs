//! The grant type `client_credentials` (OAuth 2.1 §4.2): a machine asks for itself.
//!
//! All tokens of a machine are issued under one standing grant of its own, which lives as the grants of people do:
//! it is revoked with any of its tokens, ends with its client, and every call asks whether it is still there. Only
//! the making of that grant is an event ([`Kind::GrantGiven`]). A machine has no refresh token and asks anew
//! instead, as often as people's clients refresh, so its tokens are no event as those renewals are none.

use super::{Issued, Presented, access_alone};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::clock::Timestamp;
use crate::config::Audience;
use crate::oauth::client::{AuthMethod, Client};
use crate::oauth::error::{Error, invalid_client, invalid_scope, unauthorized_client};
use crate::oauth::{Authentication, GrantId, RedirectUri, Scopes, UserId, machine};
use crate::storage::grants::{self, Grant};
use crate::storage::machines::{self, Standing};
use crate::storage::{Tx, audit, commit, disabled_clients, undo};

/// One request of a machine.
pub struct MachineTokens<'a> {
    app: &'a App,
    client: &'a Client,
    user_id: UserId,
    audience: Audience<'a>,
    /// All that its tokens may reach.
    reach: Scopes,
}

impl<'a> MachineTokens<'a> {
    /// Begins a request. Whoever is no machine, or has not proven that it is, is refused.
    pub fn new(app: &'a App, presented: &'a Presented<'a>) -> Result<Self, Error> {
        let client =
            presented.client.filter(|_| presented.is_machine() && presented.method != AuthMethod::None);
        let client = client.ok_or_else(|| {
            unauthorized_client(
                "client_credentials is for machines, which an operator of this server registers",
            )
        })?;
        if let Some(Err(error)) = presented.scope.map(Scopes::parse) {
            return Err(
                invalid_scope("scope must be space-separated tokens of printable ASCII").detail(error)
            );
        }
        let audience = match presented.resource {
            Some(named) => named,
            None => app.config.audiences().named_or_default([])?,
        };
        let reach = machine::reach(&client.registered_scopes(), &audience.scopes());
        Ok(Self { app, client, user_id: UserId::of_machine(&client.client_id), audience, reach })
    }

    /// Whom its tokens are of: itself.
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// What it gets.
    pub fn negotiate(&self, asked: Option<&Scopes>) -> Result<Scopes, Error> {
        machine::negotiate(&self.reach, asked)
    }

    /// Finds the standing grant, or records it, in one transaction, and issues an access token under it.
    pub async fn issue(&self, scopes: &Scopes) -> Result<Issued, Error> {
        let (app, now) = (self.app, self.app.now());
        let client_id = &self.client.client_id;
        let user = app.store.find_user(&self.user_id).await?;
        if user.is_none_or(|user| user.disabled_at.is_some()) {
            return Err(disabled());
        }
        let mut tx = app.store.write().await?;
        if !machines::hold(&mut tx, client_id, now).await? {
            undo(tx).await?;
            return Err(invalid_client("the client is unknown: it was removed"));
        }
        if disabled_clients::exists(&mut tx, client_id).await? {
            undo(tx).await?;
            return Err(disabled());
        }
        let grant = self.standing_grant(&mut tx, now).await?;
        commit(tx).await?;
        let lifetime = app.config.tokens.access_token_lifetime.min(grant.expires_at.since(now));
        access_alone(app, (&grant, self.audience), scopes, lifetime, now)
    }

    async fn standing_grant(&self, tx: &mut Tx, now: Timestamp) -> Result<Grant, Error> {
        let tokens = &self.app.config.tokens;
        let grant = Grant {
            grant_id: GrantId::issue(&self.app.random),
            user_id: self.user_id.clone(),
            client: Client { secret_hash: None, ..self.client.clone() },
            redirect_uri: RedirectUri::stored(""),
            resource: self.audience.resource().as_str().to_owned(),
            scopes: self.reach.clone(),
            authentication: Authentication::at(now),
            created_at: now,
            expires_at: now.plus(tokens.grant_lifetime),
            activated_at: Some(now),
            last_used_at: None,
            revoked_at: None,
        };
        let wanted = Standing {
            client_id: &self.client.client_id,
            resource: &grant.resource,
            scopes: &grant.scopes,
            // One whose end is near would give short tokens only.
            beyond: now.plus(tokens.access_token_lifetime.min(tokens.grant_lifetime / 2)),
        };
        if let Some((grant_id, expires_at)) = machines::find_standing(tx, wanted).await? {
            return Ok(Grant { grant_id, expires_at, ..grant });
        }
        grants::record(tx, &grant).await?;
        grants::activate(tx, &grant.grant_id, now).await?;
        let event = Event::new(Kind::GrantGiven, Outcome::Done)
            .user(&grant.user_id)
            .client(&grant.client.client_id)
            .grant(&grant.grant_id)
            .detail(format!("to a machine: {}", grant.scopes));
        audit::record(tx, now, &event);
        Ok(grant)
    }
}

fn disabled() -> Error {
    unauthorized_client("this machine is disabled")
}
