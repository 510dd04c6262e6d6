//! The tokens, and how they come to be: kept, refreshed, asked for in the browser. Every way there goes through one
//! turn in this process and one among all processes, so that of many who need a token one gets it for all.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, watch};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use url::Url;

use super::challenge::Challenge;
use super::client::Identity;
use super::exchanges::Exchanges;
use super::http::{Http, HttpError, shown};
use super::record::{Record, Secret};
use super::respite::Respite;
use super::store::{self, Store, StoreError, Wanted};
use super::token_endpoint::TokenError;
use crate::clock::{Clock, Timestamp};
use crate::oauth::Scopes;
use crate::oauth::secret::SecretHash;
use crate::random::Random;

/// How long a token endpoint that is away is waited for.
pub(super) const AWAY: Duration = Duration::from_secs(30);
/// How long a sign-in that came to nothing is not asked for again: a model tries a refused call several times.
const NOT_AGAIN: Duration = Duration::from_mins(1);

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

/// What became of the last tries; seen only by whoever has the turn.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// A sign-in that came to nothing: for which scopes, when, and why.
    failed: Option<(Scopes, Timestamp, LoginError)>,
    /// The last fault, for all who waited for the turn meanwhile.
    fault: Option<LoginError>,
    /// When to refresh again.
    pub(super) respite: Respite,
}

/// Held by whoever gets the next token, for all requests of all processes.
#[derive(Debug)]
pub(super) struct Turn {
    #[expect(dead_code, reason = "it is held")]
    pub(super) among_processes: store::Turn,
    pub(super) memory: OwnedMutexGuard<Memory>,
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
    faults: AtomicU64,
    /// What goes on although nobody may wait for it any more.
    work: TaskTracker,
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
        let store = Store::open(data, wanted, name(&url, &manner.identity)).await?;
        let record = store.load().await?.map(Arc::new);
        let (changed, _) = watch::channel(());
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

    /// Waits for the turn. Nothing when by then there is a token that `serves`. A fault that was met meanwhile is met
    /// by all who waited, or they would meet it one after the other. Nothing has begun before the turn is there, so
    /// whoever waits may stop waiting.
    pub(super) async fn take_turn(
        &self,
        stale: Option<&Secret>,
        serves: impl Fn(&Record) -> bool,
    ) -> Result<Option<Turn>, LoginError> {
        let is_served = || self.current().is_some_and(|record| serves(&record));
        let faults = self.faults.load(Ordering::Acquire);
        let memory = self.turn.clone().lock_owned().await;
        if is_served() {
            return Ok(None);
        }
        if let Some(fault) = &memory.fault
            && self.faults.load(Ordering::Acquire) != faults
        {
            return Err(fault.clone());
        }
        let turn = Turn { among_processes: self.store.turn().await?, memory };
        if self.adopt(stale).await? && is_served() {
            return Ok(None);
        }
        Ok(Some(turn))
    }

    /// Does work to its end, though whoever began it may not wait for it: what an authorization server has given must
    /// be kept, and a person who signs in does so for all.
    pub(super) async fn to_the_end(
        &self,
        work: impl Future<Output = Result<(), LoginError>> + Send + 'static,
    ) -> Result<(), LoginError> {
        let done = self.aside(work).await;
        done.unwrap_or_else(|broken| Err(LoginError::Away(broken.to_string())))
    }

    /// Does work that nobody need wait for.
    pub(super) fn aside(
        &self,
        work: impl Future<Output = Result<(), LoginError>> + Send + 'static,
    ) -> JoinHandle<Result<(), LoginError>> {
        self.work.spawn(work)
    }

    /// Lets the next one have the turn, and everybody who waited for it know of a fault.
    pub(super) fn end_turn(&self, mut turn: Turn, done: Result<(), LoginError>) -> Result<(), LoginError> {
        turn.memory.fault = done.as_ref().err().filter(|error| error.is_fault()).cloned();
        if turn.memory.fault.is_some() {
            self.faults.fetch_add(1, Ordering::AcqRel);
        }
        done
    }

    /// Notes that even the new token did not reach far enough, so that the person is not asked over and over.
    pub(super) async fn note_fruitless(&self, challenge: &Challenge) {
        let needed = challenge.scope.clone().unwrap_or_default();
        let why = LoginError::Denied(format!("the server wants {needed}, though it was allowed"));
        self.turn.lock().await.failed = Some((needed, self.clock.now(), why));
    }

    /// Notes that the server refuses even a new token, so that the person is not asked over and over.
    pub(super) async fn note_refused(&self) {
        let why = LoginError::Denied("the server refuses the tokens that it asked for".to_owned());
        self.turn.lock().await.failed = Some((Scopes::default(), self.clock.now(), why));
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
            Ok(()) => None,
            Err(why) if why.is_fault() => None,
            Err(why) => Some((needed, self.clock.now(), why.clone())),
        };
        done
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
