//! Who may do what: grant (401), scopes (403) and quota (429) of one message, whatever it came by.

use std::sync::Arc;

use serde_json::Value;
use tracing::Instrument as _;

use super::challenge::Challenge;
use super::entrance::{self, Entrance};
use super::issuers;
use super::limits::Standings;
use super::message::Message;
use super::observe::{self, Clients};
use super::once::Asked;
use super::operation::Operation;
use super::permit::Permit;
use super::principal::Verified;
use super::refusal::Refusal;
use super::surface::Surface;
use super::trail::{self, Trail};
use super::watch::{Opening, Watch};
use crate::app::App;
use crate::audit::reason;
use crate::config::issuers::Issuer;
use crate::oauth::Error;
use crate::telemetry;

/// Gives permits, and writes down whom it gave none.
pub(super) struct Admission {
    app: Arc<App>,
    surface: Arc<Surface>,
    trail: Trail,
    clients: Clients,
}

impl Admission {
    /// Has let nobody in yet.
    pub(super) fn new(app: Arc<App>, surface: Arc<Surface>) -> Self {
        Self { trail: Trail::new(app.clone()), clients: Clients::new(), app, surface }
    }

    /// The trail of refusals.
    pub(super) fn trail(&self) -> &Trail {
        &self.trail
    }

    /// A permit for what a message asks.
    pub(super) async fn admit(
        &self,
        token: &Verified,
        message: &Message,
        trace_id: Option<String>,
    ) -> Result<(Permit, Standings), Refusal> {
        let operation = Operation::of(message, &self.surface, &self.app.config.mcp);
        let watched = observe::begin(&self.app, message, operation);
        let trace_id = watched.trace_id().map(str::to_owned).or(trace_id);
        let judging = self.judge(token, message, operation, &watched, trace_id);
        let judged = judging.instrument(watched.span()).await;
        if let Err(refusal) = &judged {
            observe::refused(&self.app, &self.clients, token, &watched, refusal).await;
        }
        judged
    }

    async fn judge(
        &self,
        token: &Verified,
        message: &Message,
        operation: Operation,
        watched: &telemetry::Operation,
        trace_id: Option<String>,
    ) -> Result<(Permit, Standings), Refusal> {
        let needed = operation.scopes();
        let reaches = needed.is_subset(&token.scopes);
        // What the token does not reach counts against no limit and claims nothing: scopes come before the quota.
        let wanted = if reaches { operation } else { Operation::Protocol };
        let fault = |error| Refusal::Fault(message.id.clone(), error);
        let asked = match wanted {
            Operation::Tool(tool) => Asked::of(&self.app.keys.sealing, tool, &message.params)
                .map_err(|error| fault(error.into()))?,
            _ => None,
        };
        let asking = entrance::ask(&self.app, token, wanted, asked.clone());
        let mut entrance = asking.instrument(telemetry::step("gate")).await.map_err(fault)?;
        let moved = match (&entrance, &token.issuer) {
            (Entrance::Ended, Some(issuer)) => self.moved(token, issuer).await.map_err(fault)?,
            _ => None,
        };
        if let Some(moved) = &moved {
            entrance = entrance::ask(&self.app, moved, wanted, asked).await.map_err(fault)?;
        }
        let token = moved.as_ref().unwrap_or(token);
        let by = trail::By { token, operation, params: &message.params, trace_id: trace_id.as_deref() };
        match entrance {
            Entrance::Ended => {
                self.trail.refused(by, reason::GRANT_ENDED).await;
                Err(Challenge::BadToken.into())
            }
            Entrance::Limited { name, rate, retry_after, standings } => {
                self.trail.refused(by, reason::RATE_LIMITED).await;
                Err(Refusal::Limited { id: message.id.clone(), name, rate, retry_after, standings })
            }
            Entrance::Open { principal, standings, .. }
                if !reaches || !needed.is_subset(&principal.scopes) =>
            {
                self.trail.refused(by, reason::INSUFFICIENT_SCOPE).await;
                let (granted, issuer) = (principal.scopes, token.issuer.clone());
                let challenge = Challenge::InsufficientScope { needed, granted, issuer };
                Err(Refusal::OutOfReach(challenge, standings))
            }
            Entrance::Open { principal, standings, claim } => {
                self.trail.note_use(&principal);
                Ok((Permit::new(principal, operation, claim, trace_id, watched.clone()), standings))
            }
        }
    }

    /// A token of another issuer whose grant has ended, under the grant that has taken its place: for whoever was let
    /// in again.
    async fn moved(&self, token: &Verified, issuer: &Arc<Issuer>) -> Result<Option<Verified>, Error> {
        let party = issuers::Party {
            issuer,
            user_id: &token.user_id,
            client_id: &token.client_id,
            scopes: &token.scopes,
        };
        let current = issuers::under(&self.app, party).await?;
        let another = current.ok().filter(|grant_id| *grant_id != token.grant_id);
        Ok(another.map(|grant_id| token.moved(issuer.clone(), grant_id)))
    }

    /// The same permit with a place among the open streams, before any stream begins.
    pub(super) async fn watch(&self, permit: Permit, id: Option<&Value>) -> Result<Permit, Refusal> {
        match Watch::open(&self.app, permit.principal(), None).await {
            Ok(Opening::Open(watch)) => Ok(permit.with_watch(*watch)),
            Ok(Opening::Full) => {
                Err(Refusal::TooManyStreams(id.cloned(), self.app.config.mcp.streams_per_grant))
            }
            Err(error) => Err(Refusal::Fault(id.cloned(), error)),
        }
    }
}
