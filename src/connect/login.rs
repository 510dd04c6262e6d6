//! The tokens, and how they come to be: kept, refreshed, asked for in the browser. Every way there goes through one
//! turn in this process and one among all processes, so that of many who need a token one gets it for all.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use url::Url;

use super::challenge::Challenge;
use super::client::Identity;
use super::exchanges::Exchanges;
use super::http::{Http, HttpError, shown};
use super::record::{Record, Secret};
use super::store::{Store, StoreError, Wanted};
use super::token_endpoint::TokenError;
use super::turn::Memory;
use crate::clock::Clock;
use crate::oauth::Scopes;
use crate::oauth::secret::SecretHash;
use crate::random::Random;

/// How long a token endpoint that is away is waited for.
pub(super) const AWAY: Duration = Duration::from_secs(30);
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

impl LoginError {
    /// Whether it is nobody's word but a fault: it may be over in a while.
    pub(super) fn is_fault(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Store(_))
    }
}

impl From<HttpError> for LoginError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Insecure(_)
            | HttpError::Local(_)
            | HttpError::Credentials(_)
            | HttpError::Untrusted(_) => Self::Refused(error.to_string()),
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
    /// This program's own file, which opens the browser.
    pub program: Option<PathBuf>,
}

/// The sign-in at one endpoint.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) http: Arc<Http>,
    pub(super) exchanges: Exchanges,
    pub(super) url: Url,
    pub(super) manner: Manner,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<Random>,
    record: Mutex<Option<Arc<Record>>>,
    pub(super) turn: Arc<tokio::sync::Mutex<Memory>>,
    /// How many faults there were.
    pub(super) faults: AtomicU64,
    /// What goes on although nobody may wait for it any more.
    pub(super) work: TaskTracker,
    changed: watch::Sender<()>,
    sign_in: watch::Sender<bool>,
}

/// Somebody may be signing in for as long as this is held. Only whoever has the turn in this process holds one.
#[derive(Debug)]
pub(super) struct SignIn<'a>(&'a watch::Sender<bool>);

impl Drop for SignIn<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
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
        let store = Store::open(data, wanted, name(&url, &manner.identity)).await?;
        let record = store.load().await?.map(Arc::new);
        let (changed, _) = watch::channel(());
        let (sign_in, _) = watch::channel(false);
        Ok(Self {
            http,
            exchanges: Exchanges::default(),
            url,
            manner,
            store,
            clock,
            random,
            record: Mutex::new(record),
            turn: Arc::default(),
            faults: AtomicU64::default(),
            work: TaskTracker::new(),
            changed,
            sign_in,
        })
    }

    /// The token to use now. One that has ended is replaced first; one that is about to end is used while the next one
    /// is fetched beside.
    pub(super) async fn token(self: &Arc<Self>) -> Option<Secret> {
        let record = self.current()?;
        let now = self.clock.now();
        if record.is_due(now) {
            if record.is_live(now) {
                self.refresh_ahead(&record.access_token);
            } else {
                // Whoever fails says so. The server may know this token still: its clock counts.
                let _ = self.refresh(&record.access_token).await;
            }
        }
        self.current().map(|record| record.access_token.clone())
    }

    /// Wakes when there is another token.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether somebody may be signing in, here or at another process that has the turn. It ends by itself, unless that
    /// process hangs.
    pub(super) fn sign_in_under_way(&self) -> watch::Receiver<bool> {
        self.sign_in.subscribe()
    }

    /// Somebody may be signing in from now on.
    pub(super) fn begin_sign_in(&self) -> SignIn<'_> {
        self.sign_in.send_replace(true);
        SignIn(&self.sign_in)
    }

    /// After a 401: gets another token than the `stale` one. Refreshes unless that was tried already; asks the person
    /// when nothing else is left, and `may_ask`.
    pub(super) async fn renew(
        self: &Arc<Self>,
        stale: Option<&Secret>,
        challenge: &Challenge,
        may_refresh: bool,
        may_ask: bool,
    ) -> Result<(), LoginError> {
        let is_newer = |record: &Record| Some(&record.access_token) != stale;
        let Some(turn) = self.take_turn(stale, is_newer).await? else { return Ok(()) };
        let (login, challenge) = (self.clone(), challenge.clone());
        self.to_the_end(async move {
            let mut turn = turn;
            let done = login.find_another(&mut turn.memory, &challenge, may_refresh, may_ask).await;
            login.end_turn(turn, done)
        })
        .await
    }

    async fn find_another(
        &self,
        memory: &mut Memory,
        challenge: &Challenge,
        may_refresh: bool,
        may_ask: bool,
    ) -> Result<(), LoginError> {
        if may_refresh && let Some(record) = self.current() {
            match self.use_refresh_token(&record, memory, AWAY).await {
                Err(LoginError::Needed) => {}
                done => return done,
            }
        }
        if !may_ask {
            return Err(LoginError::Needed);
        }
        let first = Scopes::default();
        self.recall(memory, &first)?;
        let done = self.sign_in(challenge, None).await;
        self.remember(memory, first, done)
    }

    /// After a 403 for want of scope: asks the person for what was granted and what is needed besides (MCP
    /// authorization, "Step-Up Authorization Flow").
    pub(super) async fn step_up(
        self: &Arc<Self>,
        used: Option<&Secret>,
        challenge: &Challenge,
    ) -> Result<(), LoginError> {
        let needed = challenge.scope.clone().unwrap_or_default();
        let suffices =
            |record: &Record| Some(&record.access_token) != used && needed.is_subset(&record.scopes());
        let Some(turn) = self.take_turn(used, suffices).await? else { return Ok(()) };
        let (login, challenge) = (self.clone(), challenge.clone());
        self.to_the_end(async move {
            let mut turn = turn;
            let done = login.widen(&mut turn.memory, &challenge, needed).await;
            login.end_turn(turn, done)
        })
        .await
    }

    async fn widen(
        &self,
        memory: &mut Memory,
        challenge: &Challenge,
        needed: Scopes,
    ) -> Result<(), LoginError> {
        self.recall(memory, &needed)?;
        let granted = self.current().map(|record| record.scopes()).unwrap_or_default();
        let mut done = self.sign_in(challenge, Some(granted.union(&needed))).await;
        if done.is_ok() && !self.current().is_some_and(|record| needed.is_subset(&record.scopes())) {
            done = Err(LoginError::Denied(format!("{needed} was not allowed")));
        }
        self.remember(memory, needed, done)
    }

    /// Gives the tokens back (RFC 7009) and forgets them. Whether there were any.
    pub(super) async fn sign_out(&self) -> Result<bool, LoginError> {
        let _turn = self.store.turn().await?;
        let Some(record) = self.store.load().await? else { return Ok(false) };
        self.give_back(&record).await;
        self.store.delete().await?;
        Ok(true)
    }

    /// Waits a moment for the tokens that are on their way.
    pub(super) async fn end(&self) {
        self.exchanges.end().await;
    }

    /// Where the tokens are kept, in words.
    pub(super) fn describe_store(&self) -> String {
        self.store.describe()
    }

    pub(super) fn current(&self) -> Option<Arc<Record>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, record: Record) {
        *self.record.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(record));
        self.changed.send_replace(());
    }

    /// Takes over what another process has kept meanwhile, if it is another token and still good.
    pub(super) async fn adopt(&self, stale: Option<&Secret>) -> Result<bool, LoginError> {
        let Some(kept) = self.store.load().await? else { return Ok(false) };
        let is_new = Some(&kept.access_token) != stale && kept.is_live(self.clock.now());
        // A token that has ended comes with the refresh token that counts now.
        self.set(kept);
        Ok(is_new)
    }
}

/// What a sign-in is called where it is kept, for people who look into their keyring. A query may hold what is not to
/// be shown, and still tells one endpoint from another.
fn name(url: &Url, identity: &Identity) -> String {
    let mark = url.query().map(|query| format!("?{}", SecretHash::of(query).as_str()));
    format!("{}{} {}", shown(url), mark.unwrap_or_default(), identity.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_is_named_without_what_must_not_be_shown() {
        let named = |text: &str| name(&Url::parse(text).unwrap(), &Identity::default());
        assert_eq!(named("https://a.example/mcp"), "https://a.example/mcp registered by itself");
        let (one, two) = (named("https://a.example/mcp?key=one"), named("https://a.example/mcp?key=two"));
        assert!(one != two && !one.contains("one"), "{one}");
    }
}
