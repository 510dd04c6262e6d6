//! `POST /introspect` (RFC 7662): the server of another resource asks whether a token is good and what it reaches.
//!
//! A server is told of tokens for its own resource, and that every other one is not active: not why, and not whether it
//! exists (§2.2, §4). Each answer takes one look at the store, whatever was presented.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde_json::{Value, json};

use super::body::{Body, form};
use super::client_auth::{Credentials, FAILURES, credentials};
use super::error::{JsonError, no_store};
use crate::app::App;
use crate::clock::Timestamp;
use crate::config::OtherResource;
use crate::ephemeral::{Key, Meter};
use crate::oauth::claims::AccessTokenClaims;
use crate::oauth::error::{Error, invalid_client, invalid_request};
use crate::oauth::{GrantId, Scopes};
use crate::storage::live_grants::LiveGrant;
use crate::storage::{commit, grants};
use crate::telemetry;
use crate::web::address::ClientAddress;
use crate::web::params::Params;

/// The longest token that is looked at, in bytes. Ours have about 700.
const LONGEST_TOKEN: usize = 8 * 1024;
/// How exactly the last use of a grant is known.
const USE_PRECISION: Duration = Duration::from_mins(1);
/// The meter of names that no resource has.
const NOBODY: &str = "";

/// Says whether a token is active for the caller's resource.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, JsonError> {
    let basic = headers.contains_key(header::AUTHORIZATION);
    let params = form(&headers, &body)?;
    let answer = introspect(&app, &headers, &params, &address.0).await;
    let answer = answer.map_err(|error| JsonError { error, basic })?;
    Ok(no_store(Json(answer).into_response()))
}

async fn introspect(
    app: &Arc<App>,
    headers: &HeaderMap,
    params: &Params,
    address: &str,
) -> Result<Value, Error> {
    let caller = caller(app, headers, params, address).await?;
    let quota =
        app.ephemeral.quota(Meter::Introspection(caller.name()), app.config.limits.introspect).await?;
    quota.or_refuse("too many introspections by this resource server")?;
    // There is one kind of token that can be active here, so the hint says nothing (RFC 7662 §2.1).
    params.get("token_type_hint")?;
    let token = params.get("token")?.ok_or_else(|| invalid_request("token is missing"))?;
    let (told, outcome) = match find(app, caller, token).await? {
        None => (json!({ "active": false }), "inactive"),
        Some((claims, grant)) => {
            note_use(app, &claims, &grant);
            (active(&claims, &grant), "active")
        }
    };
    telemetry::note("mandate.outcome", outcome);
    Ok(told)
}

/// The resource whose server asks, by its name and secret (RFC 7662 §2.1).
async fn caller<'a>(
    app: &'a App,
    headers: &HeaderMap,
    params: &Params,
    address: &str,
) -> Result<&'a OtherResource, Error> {
    let credentials = credentials(headers, params)?;
    let kind = credentials.kind();
    let judged = match credentials {
        Credentials::Basic { client_id, secret } | Credentials::Post { client_id, secret } => {
            by_secret(app, &client_id, &secret, address).await
        }
        Credentials::Name(_) | Credentials::Assertion { .. } => {
            Err(invalid_client("send the resource's name as client_id and its secret as client_secret"))
        }
    };
    judged.inspect_err(|error| {
        if !error.code.is_ours() {
            app.metrics.authentication_failed(kind, error.code.as_str());
        }
    })
}

async fn by_secret<'a>(
    app: &'a App,
    name: &str,
    secret: &str,
    address: &str,
) -> Result<&'a OtherResource, Error> {
    let named = app.config.other_resources.find(name);
    if let Some(resource) = named.filter(|resource| resource.is_proven_by(secret)) {
        return Ok(resource);
    }
    // The right secret is never refused for the wrong ones of others: it is too long to be guessed.
    let meter = || Meter::ResourceSecret(named.map_or(NOBODY, OtherResource::name), address);
    let quota = app.ephemeral.peek(meter(), FAILURES).await?;
    quota.or_refuse("too many failed authentications of this resource server")?;
    app.ephemeral.quota(meter(), FAILURES).await?;
    Err(invalid_client("no resource has this name and this secret"))
}

/// What a token says and the grant behind it, if it is one of ours for this resource, has not expired, and its grant
/// lives and its user may act.
async fn find(
    app: &App,
    caller: &OtherResource,
    token: &str,
) -> Result<Option<(AccessTokenClaims, LiveGrant)>, Error> {
    let now = app.now();
    let verified = match token.len() {
        0..=LONGEST_TOKEN => app.verify(token, Some(caller.resource().as_str())).await?.ok(),
        _ => None,
    };
    let grant_id = verified.as_ref().map_or("none", |claims| claims.grant_id.as_str());
    let grant = app.store.find_live_grant(&GrantId::new(grant_id), now).await?;
    Ok(verified.zip(grant).filter(|(claims, grant)| {
        grant.user_id.as_str() == claims.sub && grant.client_id.as_str() == claims.client_id
    }))
}

/// RFC 7662 §2.2. The scope is never more than what is granted.
fn active(claims: &AccessTokenClaims, grant: &LiveGrant) -> Value {
    let scopes = Scopes::parse(&claims.scope).unwrap_or_default().intersection(&grant.scopes);
    let mut answer = json!({
        "active": true,
        "scope": scopes.to_string(),
        "client_id": claims.client_id,
        "username": grant.username,
        "token_type": "Bearer",
        "exp": claims.exp,
        "iat": claims.iat,
        "sub": claims.sub,
        "aud": claims.aud,
        "iss": claims.iss,
        "jti": claims.jti,
    });
    // A machine never signed in.
    if let (Value::Object(members), Some(auth_time)) = (&mut answer, claims.auth_time) {
        members.insert("auth_time".into(), json!(auth_time));
    }
    answer
}

/// Notes that a grant is used, at most once a minute and without keeping anybody waiting.
fn note_use(app: &Arc<App>, claims: &AccessTokenClaims, grant: &LiveGrant) {
    let now = app.now();
    if grant.last_used_at.is_some_and(|at| at.plus(USE_PRECISION) > now) {
        return;
    }
    let (own, grant_id) = (app.clone(), GrantId::new(claims.grant_id.clone()));
    app.tasks.spawn(async move {
        if let Err(error) = touch(&own, &grant_id, now).await {
            tracing::warn!(detail = error.detail.as_deref(), "last use of a grant not noted");
        }
    });
}

async fn touch(app: &App, grant_id: &GrantId, now: Timestamp) -> Result<(), Error> {
    if !app.ephemeral.once(Key::Noted(grant_id.as_str()), USE_PRECISION).await? {
        return Ok(());
    }
    let mut tx = app.store.write().await?;
    grants::touch(&mut tx, grant_id, now, now.minus(USE_PRECISION)).await?;
    Ok(commit(tx).await?)
}
