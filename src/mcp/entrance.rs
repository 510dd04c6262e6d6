//! The one question that every request asks before it comes in: does its grant live, is it within its limits,
//! and what does its idempotency key say. One round trip to the ephemeral store, and one to the database when
//! that store does not know the grant.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::limits::{Standings, limits};
use super::once::{Asked, Claimed};
use super::operation::Operation;
use super::principal::{Principal, Verified};
use crate::app::App;
use crate::clock::Timestamp;
use crate::ephemeral::Rate;
use crate::ephemeral::admission::{Admission, Admitted, GrantKey, Known};
use crate::oauth::error::server_error;
use crate::oauth::{Error, Scopes};
use crate::storage::live_grants::LiveGrant;
use crate::storage::users::Role;

/// What was found about a request.
#[derive(Debug)]
pub(super) enum Entrance {
    /// It may come in.
    Open {
        /// On whose behalf.
        principal: Principal,
        /// How its limits stand.
        standings: Standings,
        /// Its idempotency key, where it has one.
        claim: Option<Arc<Claimed>>,
    },
    /// Its grant has ended.
    Ended,
    /// Too many came before it.
    Limited {
        /// The limit's name.
        name: String,
        /// The limit.
        rate: Rate,
        /// How long to wait.
        retry_after: std::time::Duration,
        /// How all its limits stand.
        standings: Standings,
    },
}

/// What the ephemeral store remembers of a grant.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    client_id: String,
    role: String,
    scope: String,
    expires_at: Timestamp,
    last_used_at: Option<Timestamp>,
}

/// Asks for one operation of the bearer of a token.
pub(super) async fn ask(
    app: &Arc<App>,
    token: &Verified,
    operation: Operation,
    asked: Option<Asked>,
) -> Result<Entrance, Error> {
    let grant_key =
        GrantKey { user_id: token.user_id.as_str().to_owned(), grant_id: token.grant_id.as_str().to_owned() };
    let limits = limits(operation, &app.config.mcp);
    let attempt = app.random.id();
    let mut admission = Admission {
        grant: &grant_key,
        client_id: token.client_id.as_str(),
        known: None,
        limits: &limits,
        claim: asked.as_ref().map(|asked| asked.claim_key(token, &attempt)),
    };
    let mut admitted = app.ephemeral.admit(admission).await?;
    let known;
    if let Admitted::UnknownGrant { asked_at } = admitted {
        let grant = app.store.find_live_grant(&token.grant_id, app.now()).await?;
        let Some(grant) = grant.filter(|grant| grant.user_id == token.user_id) else {
            return Ok(Entrance::Ended);
        };
        known = remember(&grant)?;
        admission.known = Some(Known { facts: &known, asked_at });
        admitted = app.ephemeral.admit(admission).await?;
    }
    match admitted {
        Admitted::UnknownGrant { .. } => {
            Err(server_error("the server made an error").detail("a grant is not taken in"))
        }
        Admitted::EndedGrant => Ok(Entrance::Ended),
        Admitted::Limited { limit, retry_after, standings } => {
            let which = limits.get(limit);
            let which =
                which.ok_or_else(|| server_error("the server made an error").detail("no such limit"))?;
            Ok(Entrance::Limited {
                name: which.name.to_owned(),
                rate: which.rate,
                retry_after,
                standings: Standings::new(&limits, &standings),
            })
        }
        Admitted::In { grant, standings, claim } => {
            let claim = asked.zip(claim).map(|(asked, found)| {
                Arc::new(Claimed::new(app.clone(), token, asked, attempt.clone(), found))
            });
            let Some(principal) = principal(token, &grant, app.now())? else { return Ok(Entrance::Ended) };
            Ok(Entrance::Open { principal, standings: Standings::new(&limits, &standings), claim })
        }
    }
}

fn remember(grant: &LiveGrant) -> Result<String, Error> {
    let remembered = Remembered {
        client_id: grant.client_id.as_str().to_owned(),
        role: grant.role.as_str().to_owned(),
        scope: grant.scopes.to_string(),
        expires_at: grant.expires_at,
        last_used_at: grant.last_used_at,
    };
    serde_json::to_string(&remembered).map_err(unreadable)
}

/// The principal of a token whose grant the store knows. `None` when the grant is over or is another client's.
fn principal(token: &Verified, grant: &str, now: Timestamp) -> Result<Option<Principal>, Error> {
    let grant: Remembered = serde_json::from_str(grant).map_err(unreadable)?;
    if grant.expires_at <= now || grant.client_id != token.client_id.as_str() {
        return Ok(None);
    }
    let granted = Scopes::parse(&grant.scope).map_err(unreadable)?;
    let token_ends_at = Timestamp(token.expires.saturating_mul(1000));
    Ok(Some(Principal {
        user_id: token.user_id.clone(),
        role: Role::parse(&grant.role).ok_or_else(|| unreadable("role"))?,
        client_id: token.client_id.clone(),
        grant_id: token.grant_id.clone(),
        // What is remembered of another issuer's grant may lag behind the token that has just widened it.
        scopes: match token.issuer {
            Some(_) => token.scopes.clone(),
            None => token.scopes.intersection(&granted),
        },
        expires_at: grant.expires_at.min(token_ends_at),
        token_ends_at,
        last_used_at: grant.last_used_at,
    }))
}

fn unreadable(why: impl std::fmt::Display) -> Error {
    server_error("the server made an error").detail(format!("a remembered grant: {why}"))
}
