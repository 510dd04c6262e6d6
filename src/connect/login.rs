//! The tokens, and how they come to be: kept, refreshed, asked for in the browser. Every way there goes through one
//! turn in this process and one among all processes, so that of many who need a token one gets it for all.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use url::Url;

use super::challenge::Challenge;
use super::client::Identity;
use super::dance::{self, Asking};
use super::device;
use super::discovery::{Site, discover};
use super::http::{Http, HttpError};
use super::patience::Patience;
use super::record::{Client, Record, Secret};
use super::stdio::tell;
use super::store::{Store, StoreError, Wanted};
use super::token_endpoint::{self, TokenError, Tokens};
use crate::clock::{Clock, Timestamp};
use crate::oauth::Scopes;
use crate::oauth::scope::OFFLINE_ACCESS;
use crate::random::Random;

/// How long before its end a token is replaced; of short-lived ones a tenth of their life.
const AHEAD: Duration = Duration::from_mins(1);
/// How long a token endpoint that is away is waited for.
const AWAY: Duration = Duration::from_secs(30);
/// After a try to refresh ahead of time that failed: how long the token in hand is used without another.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a sign-in that came to nothing is not asked for again: a model tries a refused call several times.
const NOT_AGAIN: Duration = Duration::from_mins(1);
/// How long a replaced token may take to be given back.
const GIVE_BACK: Duration = Duration::from_secs(5);

/// Why there is no token that would do.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum LoginError {
    /// The person said no, or allowed less than is needed.
    #[error("access was denied: {0}")]
    Denied(String),
    /// Nobody finished signing in.
    #[error("nobody finished signing in in time")]
    Unfinished,
    /// It cannot work like this: one sentence says why.
    #[error("signing in is not possible: {0}")]
    Refused(String),
    /// Somebody is away or at fault; what is kept is kept.
    #[error("signing in is not possible right now: {0}")]
    Away(String),
    /// A person is needed, and this is no moment to ask one.
    #[error("a sign-in is needed")]
    Needed,
    /// The tokens cannot be read or kept.
    #[error("{0}")]
    Store(String),
}

impl From<HttpError> for LoginError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Insecure(_) | HttpError::Local(_) | HttpError::Untrusted(_) => {
                Self::Refused(error.to_string())
            }
            other => Self::Away(other.to_string()),
        }
    }
}

impl From<TokenError> for LoginError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Refused { .. } => Self::Refused(error.to_string()),
            TokenError::Away(why, _) => Self::Away(why),
        }
    }
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// How the person wants to sign in.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// As whom the bridge presents itself.
    pub identity: Identity,
    /// What to ask for instead of what the server names.
    pub scope: Option<Scopes>,
    /// On another device instead of in a browser here.
    pub device: bool,
    /// The port of 127.0.0.1 to come back to.
    pub callback_port: Option<u16>,
}

/// What became of the last tries; seen only by whoever has the turn.
#[derive(Debug, Default)]
struct Memory {
    /// A sign-in that came to nothing: for which scopes, when, and why.
    failed: Option<(Scopes, Timestamp, LoginError)>,
    /// Until when not to refresh ahead of time.
    paused_until: Option<Timestamp>,
}

/// The sign-in at one endpoint.
#[derive(Debug)]
pub(super) struct Login {
    http: Arc<Http>,
    url: Url,
    manner: Manner,
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<Random>,
    record: Mutex<Option<Arc<Record>>>,
    turn: tokio::sync::Mutex<Memory>,
    changed: watch::Sender<()>,
}

impl Login {
    /// Opens what is kept for this endpoint and this identity.
    pub(super) async fn open(
        http: Arc<Http>,
        url: Url,
        manner: Manner,
        (data, wanted): (&Path, Wanted),
        (clock, random): (Arc<dyn Clock>, Arc<Random>),
    ) -> Result<Self, LoginError> {
        let store = Store::open(data, wanted, format!("{url} {}", manner.identity.name())).await?;
        let record = store.load().await?.map(Arc::new);
        let (changed, _) = watch::channel(());
        let (record, turn) = (Mutex::new(record), tokio::sync::Mutex::default());
        Ok(Self { http, url, manner, store, clock, random, record, turn, changed })
    }

    /// The token to use now. One that is about to end is replaced first; when that fails, it is used to its end.
    pub(super) async fn token(&self) -> Option<Secret> {
        let record = self.current()?;
        let now = self.clock.now();
        if record.is_due(now) {
            let is_live = record.is_live(now);
            let refreshed = self.refresh(&record.access_token, is_live).await;
            if let (Err(error), false) = (refreshed, is_live) {
                tell(&error.to_string());
            }
        }
        self.current().map(|record| record.access_token.clone())
    }

    /// Wakes when there is another token.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// After a 401: gets another token than the `stale` one. Refreshes unless that was tried already; asks the person
    /// when nothing else is left, and `may_ask`.
    pub(super) async fn renew(
        &self,
        stale: Option<&Secret>,
        challenge: &Challenge,
        may_refresh: bool,
        may_ask: bool,
    ) -> Result<(), LoginError> {
        let mut memory = self.turn.lock().await;
        if self.is_newer_than(stale) {
            return Ok(());
        }
        let _turn = self.store.turn().await?;
        if self.adopt(stale).await? {
            return Ok(());
        }
        if may_refresh && let Some(record) = self.current() {
            match self.exchange(&record, Some(AWAY)).await {
                Ok(()) => return Ok(()),
                Err(LoginError::Needed) => {}
                Err(error) => return Err(error),
            }
        }
        if !may_ask {
            return Err(LoginError::Needed);
        }
        let first = Scopes::default();
        self.recall(&memory, &first)?;
        let done = self.sign_in(challenge, None).await;
        self.remember(&mut memory, first, done)
    }

    /// After a 403 for want of scope: asks the person for what was granted and what is needed besides (MCP
    /// authorization, "Step-Up Authorization Flow").
    pub(super) async fn step_up(
        &self,
        used: Option<&Secret>,
        challenge: &Challenge,
    ) -> Result<(), LoginError> {
        let needed = challenge.scope.clone().unwrap_or_default();
        let suffices =
            |record: &Record| Some(&record.access_token) != used && needed.is_subset(&record.scopes());
        let mut memory = self.turn.lock().await;
        if self.current().is_some_and(|record| suffices(&record)) {
            return Ok(());
        }
        self.recall(&memory, &needed)?;
        let _turn = self.store.turn().await?;
        if self.adopt(used).await? && self.current().is_some_and(|record| suffices(&record)) {
            return Ok(());
        }
        let granted = self.current().map(|record| record.scopes()).unwrap_or_default();
        let mut done = self.sign_in(challenge, Some(granted.union(&needed))).await;
        if done.is_ok() && !self.current().is_some_and(|record| needed.is_subset(&record.scopes())) {
            done = Err(LoginError::Denied(format!("{needed} was not allowed")));
        }
        self.remember(&mut memory, needed, done)
    }

    /// Notes that even the new token did not reach far enough, so that the person is not asked over and over.
    pub(super) async fn note_fruitless(&self, challenge: &Challenge) {
        let needed = challenge.scope.clone().unwrap_or_default();
        let why = LoginError::Denied(format!("the server wants {needed}, though it was allowed"));
        self.turn.lock().await.failed = Some((needed, self.clock.now(), why));
    }

    /// Gives the tokens back (RFC 7009) and forgets them. Whether there were any.
    pub(super) async fn sign_out(&self) -> Result<bool, LoginError> {
        let _turn = self.store.turn().await?;
        let Some(record) = self.store.load().await? else { return Ok(false) };
        self.give_back(&record).await;
        self.store.delete().await?;
        Ok(true)
    }

    /// Where the tokens are kept, in words.
    pub(super) fn describe_store(&self) -> String {
        self.store.describe()
    }

    fn current(&self) -> Option<Arc<Record>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, record: Record) {
        *self.record.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(record));
        self.changed.send_replace(());
    }

    fn is_newer_than(&self, stale: Option<&Secret>) -> bool {
        self.current().is_some_and(|record| Some(&record.access_token) != stale)
    }

    /// Takes over what another process has kept meanwhile, if it is another token and still good.
    async fn adopt(&self, stale: Option<&Secret>) -> Result<bool, LoginError> {
        let Some(kept) = self.store.load().await? else { return Ok(false) };
        let is_new = Some(&kept.access_token) != stale && kept.is_live(self.clock.now());
        // A token that has ended comes with the refresh token that counts now.
        self.set(kept);
        Ok(is_new)
    }

    /// Replaces the token before a request meets its end. `is_live` tokens wait for nobody.
    async fn refresh(&self, stale: &Secret, is_live: bool) -> Result<(), LoginError> {
        let mut memory = if is_live {
            let Ok(memory) = self.turn.try_lock() else { return Ok(()) };
            memory
        } else {
            self.turn.lock().await
        };
        let is_paused = memory.paused_until.is_some_and(|until| self.clock.now() < until);
        if self.is_newer_than(Some(stale)) || is_live && is_paused {
            return Ok(());
        }
        let _turn = if is_live {
            let Some(turn) = self.store.try_turn()? else { return Ok(()) };
            turn
        } else {
            self.store.turn().await?
        };
        if self.adopt(Some(stale)).await? {
            return Ok(());
        }
        let Some(record) = self.current() else { return Ok(()) };
        let done = self.exchange(&record, (!is_live).then_some(AWAY)).await;
        if done.is_err() {
            memory.paused_until = Some(self.clock.now().plus(PAUSE));
        }
        done
    }

    /// Uses the refresh token (OAuth 2.1 §4.3). `Needed` when there is none, or it has ended: only the server's own
    /// word ends it, never a fault.
    async fn exchange(&self, record: &Record, patience: Option<Duration>) -> Result<(), LoginError> {
        let refresh_token = record.refresh_token.as_ref().ok_or(LoginError::Needed)?;
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.reveal()),
            ("resource", record.resource.as_str()),
        ];
        let mut patience = Patience::of(patience.unwrap_or_default());
        let tokens = loop {
            match token_endpoint::ask(&self.http, &record.token_endpoint, &record.client, &form).await {
                Ok(tokens) => break tokens,
                Err(TokenError::Away(why, asked)) => {
                    if !patience.wait(asked, &self.random).await {
                        return Err(LoginError::Away(why));
                    }
                }
                Err(TokenError::Refused { code, .. }) => {
                    self.end(record, &code).await?;
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
    async fn end(&self, record: &Record, code: &str) -> Result<(), LoginError> {
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
        self.set(record);
        Ok(())
    }

    /// Asks the person.
    async fn sign_in(&self, challenge: &Challenge, wanted: Option<Scopes>) -> Result<(), LoginError> {
        let site = discover(&self.http, &self.url, challenge).await?;
        let before = self.current();
        let same = before.as_ref().filter(|record| record.issuer == site.server.issuer);
        let scopes = self.scopes(&site, challenge, wanted);
        let asking = Asking {
            http: &self.http,
            random: &self.random,
            identity: &self.manner.identity,
            site: &site,
            scopes: scopes.as_ref(),
            remembered: same.map(|record| &record.client),
        };
        let (client, tokens) = if self.manner.device {
            device::elsewhere(&asking).await?
        } else {
            dance::in_browser(&asking, self.manner.callback_port).await?
        };
        self.keep(self.begun(&site, client, scopes.as_ref(), &tokens), tokens).await?;
        tell(&format!(
            "Signed in at {}. The tokens are kept in {}.",
            site.server.issuer,
            self.store.describe()
        ));
        if let Some(replaced) = before {
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

    /// A grant that nobody uses any more should not stay. Whether the server hears of it changes nothing here.
    async fn give_back(&self, record: &Record) {
        let Some(endpoint) = &record.revocation_endpoint else { return };
        let (token, hint) = match &record.refresh_token {
            Some(token) => (token, "refresh_token"),
            None => (&record.access_token, "access_token"),
        };
        let revoking = token_endpoint::revoke(&self.http, endpoint, &record.client, token, hint);
        if let Ok(Err(error)) = tokio::time::timeout(GIVE_BACK, revoking).await {
            tell(&format!("The old tokens could not be given back: {error}"));
        }
    }

    /// Whether the same, or less, came to nothing a moment ago.
    fn recall(&self, memory: &Memory, needed: &Scopes) -> Result<(), LoginError> {
        match &memory.failed {
            Some((scopes, at, why))
                if scopes.is_subset(needed) && self.clock.now().since(*at) < NOT_AGAIN =>
            {
                Err(why.clone())
            }
            _ => Ok(()),
        }
    }

    fn remember(
        &self,
        memory: &mut Memory,
        needed: Scopes,
        done: Result<(), LoginError>,
    ) -> Result<(), LoginError> {
        memory.failed = match &done {
            // A fault is not the person's word: it may be over with the next request.
            Ok(()) | Err(LoginError::Away(_) | LoginError::Store(_)) => None,
            Err(why) => Some((needed, self.clock.now(), why.clone())),
        };
        done
    }
}
