//! Browser sessions: an opaque cookie, of which the database holds the hash.

use std::time::Duration;

use axum_extra::extract::cookie::{Cookie, CookieJar};

use crate::app::App;
use crate::clock::Timestamp;
use crate::oauth::Authentication;
use crate::oauth::error::Error;
use crate::oauth::secret::{SecretHash, SessionToken};
use crate::storage::sessions::{SessionRow, Vouched};
use crate::storage::users::User;
use crate::storage::{Tx, sessions};
use crate::web::cookies;

/// How long a sign-in lasts.
pub const LIFETIME: Duration = Duration::from_secs(12 * 3600);
const COOKIE: &str = "session";

/// A signed-in person.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who.
    pub user: User,
    /// How they signed in.
    pub authentication: Authentication,
    /// Who vouched for them, unless it was we ourselves.
    pub vouched: Option<Vouched>,
    token: SessionToken,
}

impl Session {
    /// What forms of this session are anchored to.
    pub fn csrf_anchor(&self) -> &str {
        self.token.reveal()
    }

    /// What the database knows it by.
    pub fn hash(&self) -> SecretHash {
        self.token.hash()
    }
}

/// The session of this browser, if somebody is signed in whose account is not disabled.
pub async fn find(app: &App, jar: &CookieJar) -> Result<Option<Session>, Error> {
    let Some(token) = presented(app, jar) else { return Ok(None) };
    let Some(row) = app.store.find_session(&token.hash(), app.now()).await? else { return Ok(None) };
    let user = app.store.find_user(&row.user_id).await?.filter(|user| user.disabled_at.is_none());
    Ok(user.map(|user| Session { user, authentication: row.authentication, vouched: row.vouched, token }))
}

/// Signs `user` in: a new session replaces the one that this browser had, so that a planted one is worth
/// nothing. The cookie goes out once the transaction is committed.
pub async fn begin(
    app: &App,
    tx: &mut Tx,
    jar: &CookieJar,
    user: &User,
    authentication: Authentication,
    vouched: Option<Vouched>,
) -> Result<Cookie<'static>, Error> {
    end(app, tx, jar).await?;
    let now = app.now();
    let token = SessionToken::issue(&app.random);
    let row =
        SessionRow { user_id: user.user_id.clone(), authentication, vouched, expires_at: now.plus(LIFETIME) };
    sessions::record(tx, &token.hash(), &row, now).await?;
    Ok(cookies::make(&app.config.public_url, COOKIE, token.reveal().to_owned(), LIFETIME))
}

/// A sign-in of this moment. `since` is what it came after, on whichever replica that began: it is never seen as
/// older.
pub fn just_now(app: &App, since: Option<Timestamp>) -> Authentication {
    let now = app.now();
    Authentication::at(since.map_or(now, |since| now.max(since)))
}

/// Signs out: ends the session in the database and removes the cookie.
pub async fn end(app: &App, tx: &mut Tx, jar: &CookieJar) -> Result<Cookie<'static>, Error> {
    if let Some(token) = presented(app, jar) {
        sessions::revoke(tx, &token.hash()).await?;
    }
    Ok(cookies::removal(&app.config.public_url, COOKIE))
}

fn presented(app: &App, jar: &CookieJar) -> Option<SessionToken> {
    SessionToken::presented(jar.get(&cookies::name(&app.config.public_url, COOKIE))?.value())
}
