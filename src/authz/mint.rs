//! `POST /mint`: a control plane gets a short-lived access token for somebody. It is a machine that an operator
//! registered for `tokens:mint`, and it authenticates as at the token endpoint, whose answers these are (OAuth 2.1
//! §3.2.3, §3.2.4). No browser calls it, so there is no CORS.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::body::Body;
use super::client_auth::Authenticated;
use super::error::JsonError;
use super::minting::{self, Minter, Order, Whom};
use super::token::{self, Issued};
use crate::app::App;
use crate::oauth::UserId;
use crate::oauth::client::{AuthMethod, Client};
use crate::oauth::error::{Error, invalid_request, unauthorized_client};
use crate::oauth::scope::TOKENS_MINT;
use crate::web::address::ClientAddress;
use crate::web::params::Params;

/// Mints a token for a control plane.
pub async fn post(
    State(app): State<Arc<App>>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, JsonError> {
    let (client, params) = token::asked(&app, &address, &headers, &body).await?;
    token::answer(&client, mint(&app, &client, &params).await)
}

async fn mint(app: &App, client: &Authenticated, params: &Params) -> Result<Issued, Error> {
    let client = control_plane(app, client).await?;
    let whom = match (params.get("username")?, params.get("machine")?) {
        (Some(name), None) => Whom::User(name),
        (None, Some(client_id)) => Whom::Machine(client_id),
        _ => return Err(invalid_request("name whom the token is for: either username or machine")),
    };
    let order = Order {
        whom,
        scope: params.get("scope")?.ok_or_else(|| invalid_request("scope is missing"))?,
        resources: params.all("resource").collect(),
        lifetime: params.get("lifetime")?.map(seconds).transpose()?,
        purpose: params.get("purpose")?,
    };
    Ok(minting::mint(app, &Minter::control_plane(client), &order).await?.issued)
}

/// The client, if it is registered to mint, has proven who it is, and is not disabled.
async fn control_plane<'a>(app: &App, client: &'a Authenticated) -> Result<&'a Client, Error> {
    let refused = || unauthorized_client("only a machine that is registered for tokens:mint can mint tokens");
    // Of clients that are no machines nothing is registered.
    let may = |known: &&Client| known.registered_scopes().contains(TOKENS_MINT);
    let known = client.client.as_ref().filter(may).filter(|_| client.method != AuthMethod::None);
    let known = known.ok_or_else(refused)?;
    let account = app.store.find_user(&UserId::of_machine(&known.client_id)).await?;
    let is_disabled = account.is_none_or(|account| account.disabled_at.is_some())
        || app.store.is_client_disabled(&known.client_id).await?;
    if is_disabled { Err(unauthorized_client("this machine is disabled")) } else { Ok(known) }
}

fn seconds(text: &str) -> Result<Duration, Error> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| is_number);
    seconds.map(Duration::from_secs).ok_or_else(|| invalid_request("lifetime must be a number of seconds"))
}
