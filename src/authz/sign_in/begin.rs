//! `POST /login/{provider}`: somebody chose a provider. `GET`, where there is no other way to sign in: then there is nothing
//! to choose.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;
use http::HeaderMap;

use super::purpose::{self, Purpose};
use super::{only_way, provider, stopped};
use crate::app::App;
use crate::authz::body::{Typed, check_origin, form};
use crate::authz::callback::redirect;
use crate::authz::error::PageResult;
use crate::config::providers::Provider;
use crate::ephemeral::Meter;
use crate::identity::upstream::{Trouble, request};
use crate::oauth::Error;
use crate::telemetry::metrics::Credential;
use crate::web::address::ClientAddress;
use crate::web::params::Params;

/// Goes on to the provider by itself, where it is the only way; otherwise there is a page to choose on.
pub async fn get(
    State(app): State<Arc<App>>,
    jar: CookieJar,
    address: ClientAddress,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> PageResult {
    let provider = provider(&app, &name)?;
    let params = Params::parse(query.unwrap_or_default().as_bytes())?;
    let purpose = purpose::find(&app, &jar, params.get("flow")?).await?;
    if only_way(&app).is_none() {
        return Ok(redirect(&login_page(purpose.flow())));
    }
    go(&app, provider, &purpose, false, &address).await
}

/// Goes on to the provider that somebody chose.
pub async fn post(
    State(app): State<Arc<App>>,
    jar: CookieJar,
    address: ClientAddress,
    Path(name): Path<String>,
    headers: HeaderMap,
    Typed(body): Typed,
) -> PageResult {
    let provider = provider(&app, &name)?;
    let params = form(&headers, &body)?;
    let purpose = purpose::find(&app, &jar, params.get("flow")?).await?;
    check_origin(&app, ("login", &purpose.anchor), &params)?;
    let switching = params.get("switch")?.is_some();
    go(&app, provider, &purpose, switching, &address).await
}

/// The page on which somebody chooses how to sign in.
pub(super) fn login_page(flow: Option<&str>) -> String {
    // It stays, where it would go on by itself: whoever comes from here has something to read first.
    flow.map_or_else(|| "/login?stay=1".to_owned(), |id| format!("/login?flow={id}&stay=1"))
}

async fn go(
    app: &App,
    provider: &Provider,
    purpose: &Purpose,
    switching: bool,
    address: &ClientAddress,
) -> PageResult {
    charge(app, &address.0).await?;
    match request::begin(app, provider, purpose.wish(switching)).await {
        Ok(begun) => {
            let response: Response =
                (CookieJar::new().add(begun.cookie), redirect(&begun.location)).into_response();
            Ok(response)
        }
        Err(Trouble::Ours(error)) => Err(error.into()),
        Err(trouble) => {
            app.metrics.authentication_failed(Credential::Provider, trouble.word());
            Ok(stopped::by_trouble(app, provider, purpose.flow(), &trouble))
        }
    }
}

async fn charge(app: &App, address: &str) -> Result<(), Error> {
    let quota = app.ephemeral.quota(Meter::SignInElsewhere(address), app.config.limits.authorize).await?;
    quota.or_refuse("too many sign-ins from this address, try again later")
}
