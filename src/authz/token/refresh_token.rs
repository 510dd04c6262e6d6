//! The grant type `refresh_token` (OAuth 2.1 §4.3): rotation that forgives races and punishes theft.
//!
//! Each use rotates the token by one conditional update. Its successor is kept sealed with a key derived from the
//! token itself: only whoever presents the token can read it, the database cannot. So a client that sent one token
//! several times at once, or lost an answer, gets the *same* successor for a short while, from any replica, and
//! nobody is signed out. After that, or from another client, a rotated token is a stolen one: the grant ends,
//! committed before the refusal is sent.

use std::time::Duration;

use super::{Issued, Presented, issue};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::authz::lasting;
use crate::clock::Timestamp;
use crate::ephemeral::Key;
use crate::keys::{derive, open_with, seal_with};
use crate::oauth::Scopes;
use crate::oauth::error::{Error, invalid_client, invalid_grant, invalid_request, server_error};
use crate::oauth::secret::RefreshToken;
use crate::storage::grants::Grant;
use crate::storage::refresh_tokens::RefreshTokenRow;
use crate::storage::{audit, clients, commit, grants, refresh_tokens, undo};

/// How many rotations a late racer may be behind: more than any burst of retries within the grace makes.
const LONGEST_CHAIN: usize = 1000;

/// What presenting a token leads to.
enum Rotation {
    /// It was the head; this is the new one.
    Rotated(RefreshToken),
    /// It was rotated a moment ago; this is the head now.
    SameSuccessor(RefreshToken),
}

/// One attempt to rotate a refresh token.
pub struct RefreshRotation<'a> {
    app: &'a App,
    presented: &'a Presented<'a>,
    found: Option<(RefreshToken, RefreshTokenRow, Grant)>,
}

impl<'a> RefreshRotation<'a> {
    /// Begins an attempt.
    pub fn new(app: &'a App, presented: &'a Presented<'a>) -> Result<Self, Error> {
        if presented.refresh_token.is_none() {
            return Err(invalid_request("refresh_token is missing"));
        }
        Ok(Self { app, presented, found: None })
    }

    /// Finds what the token stands for.
    pub async fn find(&mut self, token: &str) -> Result<&Grant, Error> {
        let dead = || invalid_grant("the refresh token is unknown, expired or revoked");
        let now = self.app.now();
        let token = RefreshToken::presented(token).ok_or_else(dead)?;
        let row = self.app.store.find_refresh_token(&token.hash()).await?.ok_or_else(dead)?;
        let grant = self.app.store.find_grant(&row.grant_id).await?.ok_or_else(dead)?;
        if !grant.is_live(now) {
            return Err(dead().detail("the grant has ended"));
        }
        let own = grant.client.client_id == *self.presented.client_id;
        if let Some((rotated_at, _)) = &row.rotated
            && !(own && self.is_forgiven(&token, *rotated_at).await?)
        {
            return Err(self.punish(&grant, *rotated_at, now).await?);
        }
        if !own {
            return Err(invalid_grant("the refresh token was issued to another client"));
        }
        if !grant.client.may_use(self.presented.method) {
            return Err(invalid_client("the client must authenticate with its registered method"));
        }
        if row.rotated.is_none() && row.expires_at <= now {
            return Err(dead().detail("unused for too long"));
        }
        let user = self.app.store.find_user(&grant.user_id).await?;
        if user.is_none_or(|user| user.disabled_at.is_some()) {
            return Err(dead().detail("the user is disabled"));
        }
        self.presented.audience(self.app, &grant)?;
        let (_, _, grant) = self.found.insert((token, row, grant));
        Ok(grant)
    }

    /// Whether the grace after a rotation lasts, its last millisecond included.
    async fn is_forgiven(&self, token: &RefreshToken, rotated_at: Timestamp) -> Result<bool, Error> {
        let until = rotated_at.plus(self.app.config.tokens.refresh_grace).plus(Duration::from_millis(1));
        lasting::lasts(self.app, Key::Rotated(token.hash().as_str()), until).await
    }

    /// Rotates and issues. `scopes` are those of the new access token; the grant keeps its own.
    pub async fn rotate(&self, scopes: &Scopes) -> Result<Issued, Error> {
        let missing = || server_error("the server made an error").detail("the token was not looked up first");
        let (token, row, grant) = self.found.as_ref().ok_or_else(missing)?;
        let audience = self.presented.audience(self.app, grant)?;
        let rotation = match &row.rotated {
            None => self.turn(token, grant).await?,
            Some((_, sealed)) => Rotation::SameSuccessor(self.head_after(token, sealed.clone()).await?),
        };
        let head = match rotation {
            Rotation::Rotated(head) => head,
            Rotation::SameSuccessor(head) => {
                self.app.metrics.refresh_forgiven();
                tracing::info!(grant.id = %grant.grant_id, "a refresh token came again and got its successor");
                head
            }
        };
        let asked = scopes.intersection(&grant.scopes);
        // `offline_access` alone asks for no less than everything: it reaches nothing itself.
        let reaches = !asked.intersection(&audience.scopes()).is_empty();
        let scopes = if reaches { &asked } else { &grant.scopes };
        issue(self.app, (grant, audience), scopes, head.reveal(), self.app.now())
    }

    /// Rotates the head, or finds out who did.
    async fn turn(&self, token: &RefreshToken, grant: &Grant) -> Result<Rotation, Error> {
        let (app, now) = (self.app, self.app.now());
        let successor = RefreshToken::issue(&app.random);
        let sealed = seal_with(&key_from(token)?, successor.reveal().as_bytes(), &app.random)?;
        lasting::begin(app, Key::Rotated(token.hash().as_str()), app.config.tokens.refresh_grace).await?;
        let mut tx = app.store.write().await?;
        if refresh_tokens::rotate(&mut tx, &token.hash(), &sealed, now).await? {
            let expires_at = now.plus(app.config.tokens.refresh_token_lifetime);
            refresh_tokens::record(&mut tx, &successor.hash(), &grant.grant_id, now, expires_at).await?;
            clients::touch(&mut tx, &grant.client.client_id, now).await?;
            commit(tx).await?;
            return Ok(Rotation::Rotated(successor));
        }
        undo(tx).await?;
        let row = app.store.find_refresh_token(&token.hash()).await?;
        match row.and_then(|row| row.rotated) {
            Some((_, sealed)) => Ok(Rotation::SameSuccessor(self.head_after(token, sealed).await?)),
            None => Err(invalid_grant("the refresh token is unknown, expired or revoked")),
        }
    }

    /// Follows the chain from a rotated token to the present head, opening each successor with the one before.
    async fn head_after(&self, token: &RefreshToken, sealed: String) -> Result<RefreshToken, Error> {
        let broken = |why: &str| server_error("the server made an error").detail(format!("chain: {why}"));
        let mut current = open(token, &sealed)?;
        for _ in 0..LONGEST_CHAIN {
            let row = self.app.store.find_refresh_token(&current.hash()).await?;
            match row.ok_or_else(|| broken("a successor is missing"))?.rotated {
                None => return Ok(current),
                Some((_, sealed)) => current = open(&current, &sealed)?,
            }
        }
        Err(broken("too long"))
    }

    /// Ends the grant of a reused token, and says so only after that is committed.
    async fn punish(&self, grant: &Grant, rotated_at: Timestamp, now: Timestamp) -> Result<Error, Error> {
        let late = now.since(rotated_at).as_secs();
        let detail = format!("{late} s after its rotation, by {}", self.presented.client_id);
        let event = Event::new(Kind::RefreshReused, Outcome::Refused)
            .user(&grant.user_id)
            .client(&grant.client.client_id)
            .grant(&grant.grant_id)
            .detail(detail.clone());
        let mut tx = self.app.store.write().await?;
        grants::revoke(&mut tx, &grant.grant_id, "a rotated refresh token was used again", now).await?;
        audit::record(&mut tx, now, &event);
        self.app.commit_ending(tx, &[grant.key()]).await?;
        self.app.metrics.refresh_reused();
        Ok(invalid_grant("the refresh token was used before; the grant is revoked").detail(detail))
    }
}

fn key_from(token: &RefreshToken) -> Result<[u8; 32], Error> {
    Ok(derive(token.reveal().as_bytes(), "refresh token successor")?)
}

fn open(token: &RefreshToken, sealed: &str) -> Result<RefreshToken, Error> {
    let broken = || server_error("the server made an error").detail("a sealed successor does not open");
    let plain = open_with(&key_from(token)?, sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|_| broken())?;
    RefreshToken::presented(text).ok_or_else(broken)
}
