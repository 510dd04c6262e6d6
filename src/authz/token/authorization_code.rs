//! The grant type `authorization_code` (OAuth 2.1 §4.1.3). Everything is checked before the one atomic claim.

use super::{Issued, Presented, issue};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::authz::lasting;
use crate::ephemeral::Key;
use crate::oauth::error::{Error, invalid_client, invalid_grant, invalid_request, server_error};
use crate::oauth::secret::{AuthorizationCode, RefreshToken, SecretHash};
use crate::storage::codes::{CodeRow, Redemption};
use crate::storage::grants::Grant;
use crate::storage::{audit, clients, codes, commit, grants, refresh_tokens, undo};

/// One attempt to redeem a code.
pub struct CodeRedemption<'a> {
    app: &'a App,
    presented: &'a Presented<'a>,
    found: Option<(SecretHash, CodeRow, Grant)>,
}

impl<'a> CodeRedemption<'a> {
    /// Begins an attempt.
    pub fn new(app: &'a App, presented: &'a Presented<'a>) -> Result<Self, Error> {
        if presented.code.is_none() {
            return Err(invalid_request("code is missing"));
        }
        Ok(Self { app, presented, found: None })
    }

    /// Finds what the code stands for. A used code is found too: whether its second use is a theft is only known
    /// once client, redirect URI and verifier have been checked.
    pub async fn find(&mut self, code: &str) -> Result<&Grant, Error> {
        let unknown = || invalid_grant("the code is unknown or has expired");
        let hash = AuthorizationCode::presented(code).ok_or_else(unknown)?.hash();
        let row = self.app.store.find_code(&hash).await?.ok_or_else(unknown)?;
        if row.consumed_at.is_none()
            && !lasting::lasts(self.app, Key::Code(hash.as_str()), row.expires_at).await?
        {
            return Err(unknown().detail("expired"));
        }
        let grant = self.app.store.find_grant(&row.grant_id).await?.ok_or_else(unknown)?;
        let user = self.app.store.find_user(&grant.user_id).await?;
        if user.is_none_or(|user| user.disabled_at.is_some()) {
            return Err(unknown().detail("the user is disabled"));
        }
        if grant.client.client_id != *self.presented.client_id {
            return Err(invalid_grant("the code was issued to another client"));
        }
        // What the client was when the user allowed it decides how it must prove itself.
        if !grant.client.may_use(self.presented.method) {
            return Err(invalid_client("the client must authenticate with its registered method"));
        }
        if self.presented.redirect_uri.is_some_and(|sent| sent != grant.redirect_uri.as_str()) {
            return Err(invalid_grant("redirect_uri is not the one of the authorization request"));
        }
        let user = self.app.store.find_user(&grant.user_id).await?;
        if user.is_none_or(|user| user.disabled_at.is_some()) {
            return Err(unknown().detail("the user is disabled"));
        }
        self.presented.audience(self.app, &grant)?;
        let (_, _, grant) = self.found.insert((hash, row, grant));
        Ok(grant)
    }

    /// Checks PKCE.
    pub fn check_verifier(&self) -> Result<(), Error> {
        let (_, row, _) = self.found()?;
        row.code_challenge.check(self.presented.code_verifier)
    }

    /// Claims the code and issues tokens, in one transaction. A second claim that passed every check above is a
    /// replay: the grant ends, and with it whatever was issued (OAuth 2.1 §7.5.2).
    pub async fn redeem(&self) -> Result<Issued, Error> {
        let (app, now) = (self.app, self.app.now());
        let (hash, _, grant) = self.found()?;
        let audience = self.presented.audience(app, grant)?;
        let refresh_token = RefreshToken::issue(&app.random);
        let issued = issue(app, (grant, audience), &grant.scopes, refresh_token.reveal(), now)?;
        let event = |kind, outcome| {
            Event::new(kind, outcome)
                .user(&grant.user_id)
                .client(&grant.client.client_id)
                .grant(&grant.grant_id)
        };
        let mut tx = app.store.write().await?;
        let redemption = codes::redeem(&mut tx, hash, now).await?;
        if redemption == Redemption::Gone {
            undo(tx).await?;
            return Err(invalid_grant("the code is unknown or has expired"));
        }
        if redemption == Redemption::Used {
            grants::revoke(&mut tx, &grant.grant_id, "its code was presented twice", now).await?;
            audit::record(&mut tx, now, &event(Kind::CodeReplayed, Outcome::Refused));
            app.commit_ending(tx, &[grant.key()]).await?;
            return Err(invalid_grant("the code was used before; what it gave is revoked"));
        }
        if !grants::activate(&mut tx, &grant.grant_id, now).await? {
            undo(tx).await?;
            return Err(invalid_grant("the grant of this code was revoked"));
        }
        let expires_at = now.plus(app.config.tokens.refresh_token_lifetime);
        refresh_tokens::record(&mut tx, &refresh_token.hash(), &grant.grant_id, now, expires_at).await?;
        clients::touch(&mut tx, &grant.client.client_id, now).await?;
        audit::record(&mut tx, now, &event(Kind::TokensIssued, Outcome::Done));
        commit(tx).await?;
        Ok(issued)
    }

    fn found(&self) -> Result<&(SecretHash, CodeRow, Grant), Error> {
        let missing = || server_error("the server made an error").detail("the code was not looked up first");
        self.found.as_ref().ok_or_else(missing)
    }
}
