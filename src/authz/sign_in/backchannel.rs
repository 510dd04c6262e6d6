//! `POST /login/{provider}/logout`: a provider tells that somebody signed out there (OpenID Connect Back-Channel Logout
//! §2.5, §2.7, §2.8). The browser sessions that rest on that sign-in end, on every replica at once.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::authz::body::{Body, form};
use crate::authz::error::{JsonError, no_store};
use crate::config::providers::Provider;
use crate::ephemeral::Meter;
use crate::identity::upstream::logout_token::{self, SignedOut};
use crate::oauth::error::{Error, invalid_request};
use crate::storage::{audit, commit, sessions};
use crate::web::address::ClientAddress;
use crate::web::not_found;

/// Ends the sessions that a logout token names; also when there are none.
pub async fn post(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    address: ClientAddress,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, JsonError> {
    let provider = app.config.providers.get(&name).filter(|provider| provider.backchannel_logout);
    let Some(provider) = provider else { return Ok(not_found::json()) };
    // Whoever ends everybody's sessions at once sends many, from one address.
    let quota = app.ephemeral.quota(Meter::LogoutToken(&address.0), app.config.limits.token).await;
    quota.map_err(Error::from)?.or_refuse("too many logout tokens from this address, try again later")?;
    let params = form(&headers, &body)?;
    let token = params.get("logout_token")?;
    let token = token.ok_or_else(|| invalid_request("logout_token is missing"))?;
    end(&app, provider, token, &address.0).await?;
    Ok(no_store(StatusCode::OK.into_response()))
}

async fn end(app: &App, provider: &Provider, token: &str, address: &str) -> Result<(), Error> {
    let (whose, jti) = logout_token::check(app, provider, token, address).await?;
    let ended = end_sessions(app, provider, &whose).await;
    if ended.is_err() {
        // The provider will say it again.
        logout_token::forget(app, provider, &jti).await?;
    }
    ended
}

async fn end_sessions(app: &App, provider: &Provider, whose: &SignedOut) -> Result<(), Error> {
    let (subject, sid) = (whose.subject.as_deref(), whose.sid.as_deref());
    let mut tx = app.store.write().await?;
    let ended = sessions::revoke_vouched(&mut tx, &provider.issuer, subject, sid).await?;
    for user_id in &ended {
        let event = Event::new(Kind::SignOut, Outcome::Done).user(user_id);
        audit::record(&mut tx, app.now(), &event.detail(format!("at {}", provider.name)));
    }
    commit(tx).await?;
    tracing::info!(provider = provider.name, sessions = ended.len(), "signed out at a provider");
    Ok(())
}
