//! `POST /revoke` (RFC 7009): a client gives back what it holds. Either token of a grant ends the whole grant.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use super::body::{Body, form};
use super::client_auth;
use super::error::{JsonError, no_store};
use super::taking_back::{By, take_back};
use crate::app::App;
use crate::ephemeral::Meter;
use crate::oauth::GrantId;
use crate::oauth::error::{Error, invalid_client, invalid_request};
use crate::oauth::secret::RefreshToken;
use crate::web::address::ClientAddress;
use crate::web::params::Params;

/// Revokes a token. 200 for whatever is dead afterwards, known or not (RFC 7009 §2.2); the hint is not needed to
/// tell our tokens apart and never misleads.
pub async fn post(
    State(app): State<Arc<App>>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, JsonError> {
    let params = form(&headers, &body)?;
    // Where nobody can count, it goes on: it only takes access away.
    if let Ok(quota) = app.ephemeral.quota(Meter::Revoke(&address), app.config.limits.token).await {
        quota.or_refuse("too many revocations from this address")?;
    }
    let client = client_auth::authenticate(&app, &headers, &params, &address).await?;
    let basic = client.basic;
    revoke(&app, &client, &params).await.map_err(|error| JsonError { error, basic })?;
    Ok(no_store(StatusCode::OK.into_response()))
}

async fn revoke(app: &App, client: &client_auth::Authenticated, params: &Params) -> Result<(), Error> {
    params.get("token_type_hint")?;
    let token = params.get("token")?.ok_or_else(|| invalid_request("token is missing"))?;
    let Some(grant_id) = grant_of(app, token).await? else { return Ok(()) };
    let Some(grant) = app.store.find_grant(&grant_id).await? else { return Ok(()) };
    // Another client's token: nothing happens, and nothing is told.
    if grant.client.client_id != client.client_id {
        return Ok(());
    }
    if !grant.client.may_use(client.method) {
        return Err(invalid_client("the client must authenticate with its registered method"));
    }
    take_back(app, app.store.write().await?, &grant, By::Client).await?;
    Ok(())
}

/// The grant behind a token of ours, alive or not.
async fn grant_of(app: &App, token: &str) -> Result<Option<GrantId>, Error> {
    if let Some(refresh_token) = RefreshToken::presented(token) {
        let row = app.store.find_refresh_token(&refresh_token.hash()).await?;
        return Ok(row.map(|row| row.grant_id));
    }
    // Whichever resource it is for.
    let claims = app.verify(token, None).await?.ok();
    Ok(claims.map(|claims| GrantId::new(claims.grant_id)))
}
