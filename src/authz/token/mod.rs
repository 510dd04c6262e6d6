//! `POST /token` (OAuth 2.1 §3.2): five steps that every grant type shares, then one file per grant type.

pub mod authorization_code;
pub mod client_credentials;
pub mod refresh_token;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;

use super::body::{Body, form};
use super::client_auth::{self, Authenticated};
use super::engine;
use super::error::{JsonError, no_store};
use crate::app::App;
use crate::clock::Timestamp;
use crate::config::Audience;
use crate::ephemeral::Meter;
use crate::oauth::claims::AccessTokenClaims;
use crate::oauth::client::{AuthMethod, Client, ClientKind};
use crate::oauth::error::{
    Error, invalid_grant, invalid_request, invalid_target, unauthorized_client, unsupported_grant_type,
};
use crate::oauth::scope::OFFLINE_ACCESS;
use crate::oauth::{ClientId, Scopes};
use crate::storage::grants::Grant;
use crate::telemetry;
use crate::web::address::ClientAddress;
use crate::web::params::Params;

/// What a client presents at the token endpoint, after it was authenticated.
pub struct Presented<'a> {
    /// Who.
    pub client_id: &'a ClientId,
    /// What it says of itself, unless it is a metadata document.
    pub client: Option<&'a Client>,
    /// How it proved it.
    pub method: AuthMethod,
    /// `grant_type`.
    pub grant_type: &'a str,
    /// `code`.
    pub code: Option<&'a str>,
    /// `redirect_uri`.
    pub redirect_uri: Option<&'a str>,
    /// `code_verifier`.
    pub code_verifier: Option<&'a str>,
    /// `refresh_token`.
    pub refresh_token: Option<&'a str>,
    /// `scope`.
    pub scope: Option<&'a str>,
    /// What `resource` names.
    pub resource: Option<Audience<'a>>,
}

impl Presented<'_> {
    /// Whom the tokens of a grant are for. `resource` can only name the one that was allowed (RFC 8707 §2.2).
    pub fn audience<'c>(&self, app: &'c App, grant: &Grant) -> Result<Audience<'c>, Error> {
        let audience = app.config.audiences().find(&grant.resource).ok_or_else(|| {
            invalid_grant("the resource that was allowed is not here any more").detail(&grant.resource)
        })?;
        match self.resource {
            Some(named) if named.resource() != audience.resource() => {
                Err(invalid_target("resource must be the one that was allowed"))
            }
            _ => Ok(audience),
        }
    }
}

impl Presented<'_> {
    /// Whether a machine asks.
    fn is_machine(&self) -> bool {
        self.client.is_some_and(|client| client.kind == ClientKind::Machine)
    }
}

/// The answer of OAuth 2.1 §3.2.3. `scope` is always sent.
#[derive(Serialize)]
pub struct Issued {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

impl Issued {
    /// The access token.
    pub fn access_token(&self) -> &str {
        &self.access_token
    }
}

/// Answers a token request.
pub async fn post(
    State(app): State<Arc<App>>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, JsonError> {
    let (client, params) = asked(&app, &address, &headers, &body).await?;
    answer(&client, grant(&app, &client, &params).await)
}

/// Whoever asks for a token, and for what.
pub(super) async fn asked(
    app: &Arc<App>,
    address: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Authenticated, Params), JsonError> {
    // 1. Read the form.
    let params = form(headers, body)?;
    // 2. Authenticate the client.
    let quota = app.ephemeral.quota(Meter::Token(address), app.config.limits.token).await;
    quota.map_err(Error::from)?.or_refuse("too many token requests from this address")?;
    let client = client_auth::authenticate(app, headers, &params, address).await?;
    Ok((client, params))
}

/// 5. Answer: in kind, when the client came with the `Authorization` header.
pub(super) fn answer(client: &Authenticated, issued: Result<Issued, Error>) -> Result<Response, JsonError> {
    let issued = issued.map_err(|error| JsonError { error, basic: client.basic })?;
    Ok(no_store(Json(issued).into_response()))
}

async fn grant(app: &App, client: &Authenticated, params: &Params) -> Result<Issued, Error> {
    // 3. Every token is for one resource that we know, and for nothing else (RFC 8707 §2.2).
    let resource = app.config.audiences().named(params.all("resource"))?;
    let grant_type = params.get("grant_type")?.ok_or_else(|| invalid_request("grant_type is missing"))?;
    let presented = Presented {
        client_id: &client.client_id,
        client: client.client.as_ref(),
        method: client.method,
        grant_type,
        code: params.get("code")?,
        redirect_uri: params.get("redirect_uri")?,
        code_verifier: params.get("code_verifier")?,
        refresh_token: params.get("refresh_token")?,
        scope: params.get("scope")?,
        resource,
    };
    // 4. Run the grant type's machine.
    let (known, issued) = match grant_type {
        // Nobody is there to be asked for consent, so only a machine has this one, and it has no other.
        "client_credentials" => ("client_credentials", engine::issue_to_machine(app, &presented).await),
        "authorization_code" | "refresh_token" if presented.is_machine() => {
            let refusal =
                unauthorized_client("a machine acts for itself: grant_type must be client_credentials");
            ("other", Err(refusal))
        }
        "authorization_code" => ("authorization_code", engine::redeem_code(app, &presented).await),
        "refresh_token" => ("refresh_token", engine::rotate(app, &presented).await),
        _ => {
            let refusal = unsupported_grant_type(
                "grant_type must be authorization_code, refresh_token or client_credentials",
            );
            ("other", Err(refusal))
        }
    };
    telemetry::note("oauth.grant_type", known);
    if issued.is_ok() {
        app.metrics.tokens_issued(known);
        telemetry::note("mandate.outcome", "issued");
    }
    issued
}

/// Makes the answer: a signed access token (RFC 9068) beside its refresh token.
fn issue(
    app: &App,
    (grant, audience): (&Grant, Audience<'_>),
    scopes: &Scopes,
    refresh_token: &str,
    now: Timestamp,
) -> Result<Issued, Error> {
    // Never beyond the grant's own end.
    let lifetime = app.config.tokens.access_token_lifetime.min(grant.expires_at.since(now));
    let issued = access_alone(app, (grant, audience), scopes, lifetime, now)?;
    Ok(Issued { refresh_token: Some(refresh_token.to_owned()), ..issued })
}

/// The answer without a refresh token: for machines, which can ask again at any time.
pub(super) fn access_alone(
    app: &App,
    (grant, audience): (&Grant, Audience<'_>),
    scopes: &Scopes,
    lifetime: Duration,
    now: Timestamp,
) -> Result<Issued, Error> {
    // Of a machine's deeds nobody who signed in is the cause; and some providers do not say when somebody did.
    let somebody = grant.client.kind != ClientKind::Machine;
    let claims = AccessTokenClaims {
        iss: app.config.public_url.issuer().to_owned(),
        sub: grant.user_id.as_str().to_owned(),
        aud: audience.resource().as_str().to_owned(),
        client_id: grant.client.client_id.as_str().to_owned(),
        scope: scopes.intersection(&audience.scopes()).to_string(),
        jti: app.random.id(),
        iat: now.unix_seconds(),
        exp: now.plus(lifetime).unix_seconds(),
        auth_time: somebody.then(|| grant.authentication.auth_time.unix_seconds()).filter(|at| *at > 0),
        acr: grant.authentication.acr.clone(),
        amr: grant.authentication.amr.clone(),
        grant_id: grant.grant_id.as_str().to_owned(),
    };
    Ok(Issued {
        access_token: app.keys.sign(&claims, now)?,
        token_type: "Bearer",
        expires_in: lifetime.as_secs(),
        scope: scopes.intersection(&audience.scopes().union(&Scopes::of([OFFLINE_ACCESS]))).to_string(),
        refresh_token: None,
    })
}
