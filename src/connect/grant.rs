//! Where tokens come from: the refresh token, or the person. Called by whoever has the turn.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use super::challenge::Challenge;
use super::dance::{self, Asking};
use super::device;
use super::discovery::{Site, discover};
use super::login::{AWAY, Login, LoginError};
use super::patience::Patience;
use super::record::{Client, Record, Secret};
use super::stdio::tell;
use super::token_endpoint::{self, TokenError, Tokens};
use super::turn::{Memory, Turn};
use crate::oauth::Scopes;
use crate::oauth::scope::OFFLINE_ACCESS;

/// How long before its end a token is replaced; of short-lived ones a tenth of their life.
const AHEAD: Duration = Duration::from_mins(1);
/// How long a replaced token may take to be given back.
const GIVE_BACK: Duration = Duration::from_secs(5);

impl Login {
    /// Replaces a token that has ended before a request meets its end.
    pub(super) async fn refresh(self: &Arc<Self>, stale: &Secret) -> Result<(), LoginError> {
        let is_newer = |record: &Record| record.access_token != *stale;
        match self.take_turn(Some(stale), is_newer).await? {
            Some(turn) => self.to_the_end(self.clone().replace(turn, stale.clone(), AWAY)).await,
            None => Ok(()),
        }
    }

    /// Replaces a token that is about to end, beside those that use it.
    pub(super) fn refresh_ahead(self: &Arc<Self>, stale: &Secret) {
        match self.try_turn() {
            Ok(Some(turn)) => drop(self.aside(self.clone().replace(turn, stale.clone(), Duration::ZERO))),
            Ok(None) => {}
            Err(error) => tell(&error.to_string()),
        }
    }

    /// The turn, if nobody has it and there is no reason to wait.
    fn try_turn(&self) -> Result<Option<Turn>, LoginError> {
        let Ok(memory) = self.turn.clone().try_lock_owned() else { return Ok(None) };
        if memory.respite.check(self.clock.now()).is_err() {
            return Ok(None);
        }
        Ok(self.store.try_turn()?.map(|among_processes| Turn { among_processes, memory }))
    }

    async fn replace(
        self: Arc<Self>,
        mut turn: Turn,
        stale: Secret,
        patience: Duration,
    ) -> Result<(), LoginError> {
        let done = match self.adopt(Some(&stale)).await {
            Ok(true) => Ok(()),
            Ok(false) => match self.current() {
                Some(record) => self.use_refresh_token(&record, &mut turn.memory, patience).await,
                None => Ok(()),
            },
            Err(error) => Err(error),
        };
        self.end_turn(turn, done)
    }

    /// Uses the refresh token, unless that failed a moment ago. Goes on asking for as long as the `patience` lasts.
    pub(super) async fn use_refresh_token(
        &self,
        record: &Record,
        memory: &mut Memory,
        patience: Duration,
    ) -> Result<(), LoginError> {
        memory.respite.check(self.clock.now())?;
        let done = self.exchange(record, memory.respite.limit(patience)).await;
        memory.respite.note(self.clock.now(), &done);
        if let Some(why) = done.as_ref().err().filter(|why| why.is_fault()) {
            tell(&format!("the token was not refreshed: {why}"));
        }
        done
    }

    /// Uses the refresh token (OAuth 2.1 §4.3). `Needed` when there is none, or it has ended: only the server's own
    /// word ends it, never a fault.
    async fn exchange(&self, record: &Record, patience: Duration) -> Result<(), LoginError> {
        let refresh_token = record.refresh_token.as_ref().ok_or(LoginError::Needed)?;
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.reveal()),
            ("resource", record.resource.as_str()),
        ];
        let mut patience = Patience::of(patience);
        let tokens = loop {
            let endpoint = &record.token_endpoint;
            match token_endpoint::ask(&self.http, &self.exchanges, endpoint, &record.client, &form).await {
                Ok(tokens) => break tokens,
                Err(TokenError::Away(why, asked)) => {
                    if !patience.wait(asked, &self.random).await {
                        return Err(LoginError::Away(why));
                    }
                }
                Err(TokenError::Refused { code, .. }) => {
                    self.forget_refresh_token(record, &code).await?;
                    return Err(LoginError::Needed);
                }
            }
        };
        let mut next = record.clone();
        next.scope = tokens.scope.clone().or(next.scope);
        // A server that rotates sends a new one; one that does not lets the old one stand.
        next.refresh_token = tokens.refresh_token.clone().or(next.refresh_token);
        self.keep(next, tokens).await
    }

    /// The refresh token has ended. The registration goes with it when it is the client that is not known any more.
    async fn forget_refresh_token(&self, record: &Record, code: &str) -> Result<(), LoginError> {
        let mut ended = record.clone();
        ended.refresh_token = None;
        if matches!(code, "invalid_client" | "unauthorized_client") {
            ended.client.registered = None;
        }
        self.store.save(&ended, &self.random).await?;
        self.set(ended);
        Ok(())
    }

    async fn keep(&self, mut record: Record, tokens: Tokens) -> Result<(), LoginError> {
        let now = self.clock.now();
        record.access_token = tokens.access_token;
        record.expires_at = tokens.lifetime.map(|lifetime| now.plus(lifetime));
        record.refresh_at =
            tokens.lifetime.map(|lifetime| now.plus(lifetime.saturating_sub(AHEAD.min(lifetime / 10))));
        self.store.save(&record, &self.random).await?;
        drop(tokens.exchange);
        self.set(record);
        Ok(())
    }

    /// Asks the person.
    pub(super) async fn sign_in(
        &self,
        challenge: &Challenge,
        wanted: Option<Scopes>,
    ) -> Result<(), LoginError> {
        let _under_way = self.begin_sign_in();
        let site = discover(&self.http, &self.url, challenge).await?;
        let before = self.current();
        let same = before.as_ref().filter(|record| record.issuer == site.server.issuer);
        let scopes = self.scopes(&site, challenge, wanted);
        let asking = Asking {
            http: &self.http,
            exchanges: &self.exchanges,
            random: &self.random,
            identity: &self.manner.identity,
            site: &site,
            scopes: scopes.as_ref(),
            remembered: same.map(|record| &record.client),
        };
        let (client, tokens) = if self.manner.device {
            device::elsewhere(&asking).await?
        } else {
            dance::in_browser(&asking, &self.manner).await?
        };
        let mut begun = self.begun(&site, client, scopes.as_ref(), &tokens);
        let apart = before.as_ref().filter(|before| before.is_apart_from(&begun)).cloned();
        if let Some(before) = before.as_ref().filter(|_| apart.is_none()) {
            begun.supersede(before);
        }
        self.keep(begun, tokens).await?;
        tell(&format!(
            "Signed in at {}. The tokens are kept in {}.",
            site.server.issuer,
            self.store.describe()
        ));
        if let Some(replaced) = apart {
            self.give_back(&replaced).await;
        }
        Ok(())
    }

    fn begun(&self, site: &Site, client: Client, scopes: Option<&Scopes>, tokens: &Tokens) -> Record {
        Record {
            url: self.url.to_string(),
            issuer: site.server.issuer.clone(),
            resource: site.resource.clone(),
            client,
            token_endpoint: site.server.token_endpoint.clone(),
            revocation_endpoint: site.server.revocation_endpoint.clone(),
            access_token: tokens.access_token.clone(),
            refresh_token: tokens.refresh_token.clone(),
            // OAuth 2.1 §3.2.3: left out when it is what was asked for.
            scope: tokens.scope.clone().or_else(|| scopes.map(ToString::to_string)),
            expires_at: None,
            refresh_at: None,
            superseded: Vec::new(),
        }
    }

    /// What to ask for (MCP authorization, "Scope Selection Strategy").
    fn scopes(&self, site: &Site, challenge: &Challenge, wanted: Option<Scopes>) -> Option<Scopes> {
        let named =
            || self.manner.scope.clone().or_else(|| challenge.scope.clone()).or_else(|| site.scopes.clone());
        let scopes = wanted.or_else(named)?;
        let offline = site.server.scopes.as_ref().is_some_and(|known| known.contains(OFFLINE_ACCESS));
        Some(if offline { scopes.union(&Scopes::of([OFFLINE_ACCESS])) } else { scopes })
    }

    /// Gives back the tokens of a sign-in, and of those before it: a grant that nobody uses any more should not stay. Whether the server hears of it changes nothing here.
    pub(super) async fn give_back(&self, record: &Record) {
        let Some(endpoint) = &record.revocation_endpoint else { return };
        let newest = match &record.refresh_token {
            Some(token) => (token, "refresh_token"),
            None => (&record.access_token, "access_token"),
        };
        let earlier = record.superseded.iter().map(|token| (token, "refresh_token"));
        let revoking = earlier
            .chain([newest])
            .map(|(token, hint)| token_endpoint::revoke(&self.http, endpoint, &record.client, token, hint));
        let revoked = tokio::time::timeout(GIVE_BACK, join_all(revoking)).await.unwrap_or_default();
        if let Some(error) = revoked.into_iter().find_map(Result::err) {
            tell(&format!("The old tokens could not be given back: {error}"));
        }
    }
}
