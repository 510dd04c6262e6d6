//! `GET /authorize` (OAuth 2.1 §4.1.1). First client and redirect URI: until both are proven, what goes wrong is
//! said to the person on a page. From then on the client is told through its callback.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;

use super::callback::{Callback, redirect};
use super::client_document::DocumentProblem;
use super::clients::{self, Lookup};
use super::error::AuthorizeError;
use super::pages::errors;
use super::request::{Asked, Negotiated, Prompt};
use super::{answer, consent, engine, flow, views};
use crate::app::App;
use crate::clock::Timestamp;
use crate::ephemeral::Meter;
use crate::identity::session::{self, Session};
use crate::oauth::client::{Client, ClientKind};
use crate::oauth::error::invalid_request;
use crate::oauth::redirect_uri::Destination;
use crate::oauth::{Error, ErrorCode, RedirectUri};
use crate::telemetry;
use crate::web::address::ClientAddress;
use crate::web::page::ErrorPage;
use crate::web::params::Params;
use crate::web::refusal::quoted;

/// The longest query that is parked, in bytes.
const MAX_QUERY: usize = 8 * 1024;

/// Answers an authorization request.
pub async fn get(
    State(app): State<Arc<App>>,
    jar: CookieJar,
    address: ClientAddress,
    RawQuery(query): RawQuery,
) -> Result<Response, AuthorizeError> {
    let query = query.unwrap_or_default();
    if query.len() > MAX_QUERY {
        return Err(invalid_request("the request is too long").into());
    }
    let params = Params::parse(query.as_bytes())?;
    let client = find_client(&app, &params, &address.0).await?;
    telemetry::note("mandate.client.kind", client.kind.as_str());
    let callback = callback(&app, &client, &params)?;
    let session = session::find(&app, &jar).await?;
    let prompt = Prompt::parse(&params).unwrap_or_default();
    let judged = judge(&app, &client, &callback, &params).await;
    let may_be_told = session.is_some() || may_be_told_at_once(&client, callback.redirect_uri());
    if prompt.none {
        if !may_be_told && !answer::is_proven(&client, callback.redirect_uri()) {
            return Err(errors::nobody_signed_in().because(format!("client {}", client.client_id)).into());
        }
        let negotiated = judged.map_err(|error| AuthorizeError::Back(callback.clone(), error))?;
        let session = session.filter(|session| signed_in(Some(session), prompt, app.now()));
        return consent::silently(&app, &client, &callback, negotiated, session).await;
    }
    if let Err(error) = judged
        && may_be_told
    {
        return Err(AuthorizeError::Back(callback, error));
    }
    let begun_at = app.now();
    charge(&app, &address.0).await?;
    let (id, cookie) = flow::park(&app, &query, client).await?;
    let next = if signed_in(session.as_ref(), prompt, begun_at) {
        format!("/consent/{id}")
    } else {
        format!("/login?flow={id}")
    };
    Ok((CookieJar::new().add(cookie), redirect(&next)).into_response())
}

/// Whether the person need not sign in (again) before going on with a request that began at `begun_at`.
pub fn signed_in(session: Option<&Session>, prompt: Prompt, begun_at: Timestamp) -> bool {
    session.is_some_and(|session| {
        prompt.signed_in_since(begun_at).is_none_or(|since| session.authentication.auth_time >= since)
    })
}

/// Checks everything after client and redirect URI.
pub async fn judge(
    app: &App,
    client: &Client,
    callback: &Callback,
    params: &Params,
) -> Result<Negotiated, Error> {
    let asked = Asked::read(client, callback.redirect_uri(), params)?;
    engine::negotiate(app, asked).await
}

/// The way back, if the redirect URI is the client's (OAuth 2.1 §2.3). The answer goes to the URI as requested,
/// port of a loopback listener included.
pub fn callback(app: &App, client: &Client, params: &Params) -> Result<Callback, Box<ErrorPage>> {
    let refused = |what: &str| {
        let page = errors::redirect_uri_refused(&views::client_name(client));
        Box::new(page.because(format!("client {}, redirect_uri {what}", client.client_id)))
    };
    let requested = params.get("redirect_uri").map_err(|_| refused("is there twice"))?;
    let registered = client.metadata.find_redirect_uri(requested);
    let registered =
        registered.ok_or_else(|| refused(&requested.map_or_else(|| "is missing".into(), without_secrets)))?;
    let effective = requested.map_or_else(|| registered.clone(), RedirectUri::stored);
    Ok(Callback::new(effective, params, &app.config.public_url))
}

/// An address that somebody gave, as the log has it: what follows the path can be secret, and so can what stands before
/// the host.
fn without_secrets(address: &str) -> String {
    let address = address.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = address.split_once("://") else { return quoted(address) };
    let (authority, path) = rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    quoted(&format!("{scheme}://{host}{path}"))
}

async fn find_client(app: &App, params: &Params, address: &str) -> Result<Client, AuthorizeError> {
    let unknown = |what: &str| errors::unknown_client().because(format!("client_id {what}"));
    let client_id = params.get("client_id").map_err(|_| unknown("is there twice"))?;
    let client_id = client_id.ok_or_else(|| errors::no_client().because("client_id is missing"))?;
    match clients::find(app, client_id, address).await? {
        Lookup::Known(client) => Ok(*client),
        Lookup::Unknown => Err(unknown(&without_secrets(client_id)).into()),
        Lookup::Disabled => {
            Err(errors::client_disabled().because(format!("client {}", quoted(client_id))).into())
        }
        Lookup::Document(problem) => {
            let (page, reason) = match problem {
                DocumentProblem::Unreachable { host, reason } => {
                    (errors::document_unreachable(&host), reason)
                }
                DocumentProblem::Invalid { host, reason } => (errors::document_refused(&host), reason),
            };
            let message = format!("{} ({reason})", page.message.trim_end_matches('.'));
            let page = ErrorPage { message: format!("{message}."), ..page };
            // Whoever looked for the document has logged what it is like.
            Err(page.logged().into())
        }
    }
}

/// Whether an error may go back before anybody has signed in. Anyone can register a client that leads to any
/// website, so for those a person signs in first, or we would be an open redirector (OAuth 2.1 §7.13.2). The
/// user's own machine, and clients that an operator registered, are told at once.
fn may_be_told_at_once(client: &Client, redirect_uri: &RedirectUri) -> bool {
    client.kind == ClientKind::Registered || redirect_uri.destination() != Destination::Web
}

async fn charge(app: &App, address: &str) -> Result<(), Error> {
    let quota = app.ephemeral.quota(Meter::Park(address), app.config.limits.authorize).await?;
    quota.or_refuse("too many authorization requests from this address, try again later")
}

/// What `prompt=none` answers when somebody would have to sign in.
pub fn login_required() -> Error {
    Error::new(ErrorCode::LoginRequired, "nobody is signed in in this browser, or not lately enough")
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn of_an_address_the_log_has_no_query_and_no_password() {
        for (address, expected) in [
            ("https://u:p@t.example:8443/cb?code=x#y", "https://t.example:8443/cb"),
            ("https://t.example/a@b", "https://t.example/a@b"),
            ("https://u:p@t.example", "https://t.example"),
            ("app:/cb?x", "app:/cb"),
            ("client_1", "client_1"),
        ] {
            assert_eq!(without_secrets(address), expected);
        }
    }
}
