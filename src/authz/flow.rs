//! A parked authorization request: what waits while a person signs in and decides.
//!
//! Its id is in the address, and a cookie of its own ties it to the browser that opened it, so that several flows
//! live side by side in one browser and none can be finished in another. The query is kept as it came and
//! checked again at each step; the client is kept as it was, so that a document that changes in between changes
//! nothing.

use std::time::Duration;

use axum_extra::extract::cookie::{Cookie, CookieJar};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::clock::Timestamp;
use crate::ephemeral::Key;
use crate::oauth::client::Client;
use crate::oauth::error::{Error, server_error};
use crate::oauth::secret::{FlowToken, SecretHash};
use crate::web::cookies;

/// How long a person may take.
pub const LIFETIME: Duration = Duration::from_secs(30 * 60);

const AFTERWARDS: Duration = Duration::from_secs(300);

/// What waits.
#[derive(Serialize, Deserialize)]
pub struct Flow {
    /// The query of the authorization request, as it came.
    pub query: String,
    /// The client as it was when the request came.
    pub client: Client,
    /// When the request came.
    pub begun_at: Timestamp,
    cookie_hash: String,
}

impl Flow {
    /// The hash of the cookie that ties it to its browser.
    pub fn cookie_hash(&self) -> SecretHash {
        SecretHash::stored(self.cookie_hash.clone())
    }
}

/// What an id in an address stands for.
pub enum Found {
    /// This flow, begun in this browser; `anchor` is its cookie's secret, for forms.
    Here {
        /// The flow.
        flow: Box<Flow>,
        /// What its forms are anchored to.
        anchor: String,
    },
    /// A flow of another browser.
    Elsewhere,
    /// None, or no longer.
    Gone,
}

/// Parks a request. The cookie must go out with the answer.
pub async fn park(app: &App, query: &str, client: Client) -> Result<(String, Cookie<'static>), Error> {
    let (id, token) = (app.random.id(), FlowToken::issue(&app.random));
    let cookie_hash = token.hash().as_str().to_owned();
    let flow = Flow { query: query.to_owned(), client, begun_at: app.now(), cookie_hash };
    let value = serde_json::to_string(&flow)
        .map_err(|error| server_error("the server made an error").detail(error))?;
    app.ephemeral.put(Key::Flow(&id), value, LIFETIME).await?;
    let cookie = cookies::make(&app.config.public_url, &cookie_of(&id), token.reveal().to_owned(), LIFETIME);
    Ok((id, cookie))
}

/// Finds a parked request.
pub async fn find(app: &App, id: &str, jar: &CookieJar) -> Result<Found, Error> {
    let Some(value) = app.ephemeral.find(Key::Flow(id)).await? else { return Ok(Found::Gone) };
    let flow: Flow = serde_json::from_str(&value)
        .map_err(|error| server_error("the server made an error").detail(error))?;
    let hash = flow.cookie_hash();
    Ok(match anchor(app, id, jar) {
        Some(anchor) if hash.matches(&anchor) => Found::Here { flow: Box::new(flow), anchor },
        _ => Found::Elsewhere,
    })
}

/// Forgets a request that was answered.
pub async fn end(app: &App, id: &str) -> Result<(), Error> {
    app.ephemeral.take(Key::Flow(id)).await?;
    Ok(())
}

/// The secret that this browser holds for a flow.
pub fn anchor(app: &App, id: &str, jar: &CookieJar) -> Option<String> {
    let cookie = jar.get(&cookies::name(&app.config.public_url, &cookie_of(id)))?;
    Some(cookie.value().to_owned())
}

/// The cookie of a flow that was answered, kept just long enough for a reload: browsers would otherwise collect
/// them until a proxy finds their headers too long.
pub fn cookie_for_a_while(app: &App, id: &str, jar: &CookieJar) -> Option<Cookie<'static>> {
    let secret = anchor(app, id, jar)?;
    Some(cookies::make(&app.config.public_url, &cookie_of(id), secret, AFTERWARDS))
}

fn cookie_of(id: &str) -> String {
    format!("flow-{id}")
}
