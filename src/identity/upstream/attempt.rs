//! A sign-in while somebody is at the provider. Its `state` is in the address, and a cookie of its own ties it to the
//! browser that began it, so that several are under way side by side and none can be finished in another browser.

use std::fmt;
use std::time::Duration;

use axum_extra::extract::cookie::{Cookie, CookieJar};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::clock::Timestamp;
use crate::ephemeral::Key;
use crate::oauth::error::{Error, server_error};
use crate::oauth::secret::SecretHash;
use crate::web::cookies;

/// How long somebody may take at the provider.
const LIFETIME: Duration = Duration::from_secs(600);
const SEALED_FOR: &str = "sign-in elsewhere";

/// What is kept of it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// The provider's name here.
    pub(super) provider: String,
    /// What its ID token must repeat.
    pub(super) nonce: String,
    /// What the code is redeemed with (RFC 7636).
    pub(super) verifier: String,
    /// The parked authorization request to go on with.
    pub(super) flow: Option<String>,
    /// What it must be newer than, when the person is to prove anew who they are.
    pub(super) anew_since: Option<Timestamp>,
    /// How old the proof may be when the sign-in begins, in seconds.
    pub(super) max_age: Option<u64>,
    /// When the sign-in began.
    pub(super) begun_at: Timestamp,
    /// What the cookie holds, hashed.
    pub(super) cookie_hash: String,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// What a `state` stands for.
pub(super) enum Found {
    /// A sign-in of this browser. It is over now: nobody else finds it.
    Taken(Box<Attempt>),
    /// One of another browser; it goes on there.
    Elsewhere,
    /// None, or no longer.
    Gone,
}

/// Keeps a sign-in. The cookie must go out with the answer, and holds what `cookie_hash` is the hash of.
pub(super) async fn keep(
    app: &App,
    state: &str,
    secret: &str,
    attempt: &Attempt,
) -> Result<Cookie<'static>, Error> {
    let plain = serde_json::to_vec(attempt)
        .map_err(|error| server_error("the server made an error").detail(error))?;
    let sealed = app.keys.sealing.seal(SEALED_FOR, &plain, &app.random)?;
    app.ephemeral.put(Key::SignInElsewhere(SecretHash::of(state).as_str()), sealed, LIFETIME).await?;
    Ok(cookies::make(&app.config.public_url, &cookie_of(state), secret.to_owned(), LIFETIME))
}

/// Takes a sign-in: of many callers with its cookie, one gets it.
pub(super) async fn take(app: &App, state: &str, jar: &CookieJar) -> Result<Found, Error> {
    let hash = SecretHash::of(state);
    let key = Key::SignInElsewhere(hash.as_str());
    let Some(attempt) = opened(app, app.ephemeral.find(key.clone()).await?)? else { return Ok(Found::Gone) };
    let cookie = jar.get(&cookies::name(&app.config.public_url, &cookie_of(state)));
    let expected = SecretHash::stored(attempt.cookie_hash);
    if !cookie.is_some_and(|cookie| expected.matches(cookie.value())) {
        return Ok(Found::Elsewhere);
    }
    let taken = opened(app, app.ephemeral.take(key).await?)?;
    Ok(taken.map_or(Found::Gone, |attempt| Found::Taken(Box::new(attempt))))
}

/// The cookie that removes the one of a sign-in.
pub(super) fn removal(app: &App, state: &str) -> Cookie<'static> {
    cookies::removal(&app.config.public_url, &cookie_of(state))
}

fn opened(app: &App, sealed: Option<String>) -> Result<Option<Attempt>, Error> {
    let Some(sealed) = sealed else { return Ok(None) };
    let plain = app.keys.sealing.open(SEALED_FOR, &sealed)?;
    serde_json::from_slice(&plain)
        .map(Some)
        .map_err(|error| server_error("the server made an error").detail(error))
}

/// Named after the hash: a `state` is a secret until it comes back.
fn cookie_of(state: &str) -> String {
    let short: String = SecretHash::of(state).as_str().chars().take(16).collect();
    format!("elsewhere-{short}")
}
