//! What may be lost: keys with a lifetime, tokens seen once, quotas, claims.
//!
//! Everything here can vanish with a restart and nobody loses more than a half-finished sign-in: what must
//! outlast that stands in the database as well. The kind is chosen at start and never switched while running;
//! when it is away, what asks it is refused.

pub mod admission;
pub mod bus;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod figures;
pub mod memory;
pub mod redis;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::oauth::error::{Error, temporarily_unavailable, too_many_requests};
use admission::{Admission, Admitted, Claim, ClaimKey, GrantKey, Limit, Settled, Standing};
use bus::{Listener, Notice};

/// Every key there is, with what it holds and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A parked authorization request (JSON), by its id; 30 minutes.
    Flow(&'a str),
    /// The right to answer a consent page, so that of two clicks one does it; 1 minute.
    Answering(&'a str),
    /// The answer that a consent page led to (JSON, sealed), so that a second click repeats it; 30 minutes.
    Answered(&'a str),
    /// That a code can be redeemed, by its hash; for as long as codes live.
    Code(&'a str),
    /// That a refresh token was rotated a moment ago, by its hash; for the grace.
    Rotated(&'a str),
    /// Who is to answer a question of a running call, by call and question; for as long as it can be answered.
    Asked(&'a str, u64),
    /// What a client answered to a question of a running call (JSON), by call and question; 1 minute.
    Answer(&'a str, u64),
    /// That the use of a grant at another resource was noted, by its id; 1 minute.
    Noted(&'a str),
    /// The `jti` of a client assertion, by client and `jti` digest; until the assertion's `exp` and leeway.
    AssertionJti(&'a str, &'a str),
    /// A sign-in under way at a provider (JSON, sealed), by the hash of its `state`; 10 minutes.
    SignInElsewhere(&'a str),
    /// The `jti` of a provider's logout token, by provider and `jti` digest; until the token's `exp` and leeway.
    LogoutJti(&'a str, &'a str),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(id) => write!(f, "flow:{id}"),
            Self::Answering(id) => write!(f, "answering:{id}"),
            Self::Answered(id) => write!(f, "answered:{id}"),
            Self::Code(hash) => write!(f, "code:{hash}"),
            Self::Rotated(hash) => write!(f, "rotated:{hash}"),
            Self::Asked(call, question) => write!(f, "asked:{call}:{question}"),
            Self::Answer(call, question) => write!(f, "answer:{call}:{question}"),
            Self::Noted(grant_id) => write!(f, "noted:{grant_id}"),
            Self::AssertionJti(client_id, digest) => write!(f, "jti:{client_id}:{digest}"),
            Self::SignInElsewhere(hash) => write!(f, "sign-in-elsewhere:{hash}"),
            Self::LogoutJti(provider, digest) => write!(f, "logout-jti:{provider}:{digest}"),
        }
    }
}

/// Of what there are only so many places at once, each held for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// Open streams of one grant; held by streams.
    Streams(&'a str),
    /// What a session is subscribed to; held by URIs.
    Subscriptions(&'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streams(grant_id) => write!(f, "streams:{grant_id}"),
            Self::Subscriptions(session) => write!(f, "subscriptions:{session}"),
        }
    }
}

/// What a quota counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meter<'a> {
    /// Tries to sign in to one account from one address, by tier of growing waits.
    SignInPair(usize, &'a str, &'a str),
    /// Tries to sign in from one address, whichever the account.
    SignInAddress(&'a str),
    /// Tries to sign in to one account from browsers that it was never signed in from.
    SignInAccount(&'a str),
    /// Failed client authentications, by client id and address.
    ClientSecret(&'a str, &'a str),
    /// Failed authentications of resource servers, by name and address.
    ResourceSecret(&'a str, &'a str),
    /// Introspections by one resource server.
    Introspection(&'a str),
    /// Authorization requests parked for one address.
    Park(&'a str),
    /// Sign-ins begun at providers from one address.
    SignInElsewhere(&'a str),
    /// Logout tokens from one address.
    LogoutToken(&'a str),
    /// Key sets fetched anew for an unknown `kid`, by URL and address (empty: whichever the address).
    KeyRefetch(&'a str, &'a str),
    /// Registrations from one address.
    Register(&'a str),
    /// Token requests from one address.
    Token(&'a str),
    /// Revocations from one address.
    Revoke(&'a str),
    /// Fetches of metadata documents on behalf of one address.
    DocumentFetch(&'a str),
    /// Refusals recorded about one grant, or of one kind that names none.
    Refusals(&'a str),
}

impl fmt::Display for Meter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignInPair(tier, account, address) => {
                write!(f, "sign-in-pair:{tier}:{address}:{account}")
            }
            Self::SignInAccount(account) => write!(f, "sign-in-account:{account}"),
            Self::SignInElsewhere(address) => write!(f, "sign-in-elsewhere:{address}"),
            Self::LogoutToken(address) => write!(f, "logout-token:{address}"),
            Self::SignInAddress(address) => write!(f, "sign-in-address:{address}"),
            Self::ClientSecret(client_id, address) => write!(f, "client-secret:{address}:{client_id}"),
            Self::ResourceSecret(name, address) => write!(f, "resource-secret:{address}:{name}"),
            Self::Introspection(name) => write!(f, "introspection:{name}"),
            Self::Park(address) => write!(f, "park:{address}"),
            Self::KeyRefetch(url, address) => write!(f, "key-refetch:{address}:{url}"),
            Self::Register(address) => write!(f, "register:{address}"),
            Self::DocumentFetch(address) => write!(f, "document-fetch:{address}"),
            Self::Token(address) => write!(f, "token:{address}"),
            Self::Revoke(address) => write!(f, "revoke:{address}"),
            Self::Refusals(whose) => write!(f, "refusals:{whose}"),
        }
    }
}

/// A steady rate, and a burst that may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many are allowed in `per`, in the long run; at least 1.
    pub count: u32,
    /// In what time.
    pub per: Duration,
    /// How many may come at once; at least 1.
    pub burst: u32,
}

impl Rate {
    /// So many in this time, all of which may come at once.
    pub const fn of(count: u32, per: Duration) -> Self {
        Self { count, per, burst: count }
    }

    /// The time in which one more is allowed, in microseconds; at least 1.
    fn interval(self) -> i64 {
        let per = i64::try_from(self.per.as_micros()).unwrap_or(i64::MAX);
        (per / i64::from(self.count.max(1))).max(1)
    }

    /// The time in which a whole burst grows back.
    pub fn window(self) -> Duration {
        let micros = self.interval().saturating_mul(i64::from(self.burst.max(1)));
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

/// What a quota says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Go on; so many more may come at once.
    Within {
        /// How many more may come at once.
        remaining: u32,
    },
    /// Not now.
    Exceeded {
        /// How long until one more is allowed.
        retry_after: Duration,
    },
}

impl Quota {
    /// Refuses with `description` and the wait when it is exceeded.
    pub fn or_refuse(self, description: &'static str) -> std::result::Result<(), Error> {
        match self {
            Self::Within { .. } => Ok(()),
            Self::Exceeded { retry_after } => {
                Err(too_many_requests(description).retry_after(whole_seconds(retry_after)))
            }
        }
    }
}

/// Seconds, rounded up: whoever waits as long has waited enough.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// The store of perishable state cannot do what was asked: away, or full. Fails closed.
#[derive(Debug, thiserror::Error)]
#[error("the ephemeral store is unavailable: {0}")]
pub struct EphemeralError(pub String);

impl From<EphemeralError> for Error {
    fn from(error: EphemeralError) -> Self {
        temporarily_unavailable("the server is busy, try again shortly").detail(error).retry_after(2)
    }
}

/// The result of an ephemeral function.
pub type Result<T> = std::result::Result<T, EphemeralError>;

/// Perishable state. Every function is atomic.
#[async_trait]
pub trait Ephemeral: Send + Sync + fmt::Debug {
    /// Keeps `value` under `key` for `lifetime`, replacing what was there.
    async fn put(&self, key: Key<'_>, value: String, lifetime: Duration) -> Result<()>;

    /// What is kept under `key`.
    async fn find(&self, key: Key<'_>) -> Result<Option<String>>;

    /// Takes what is kept under `key`: of many callers, one gets it. Ends a claim of [`Self::once`], too.
    async fn take(&self, key: Key<'_>) -> Result<Option<String>>;

    /// Claims `key` for `lifetime`: `true` for the first caller, `false` for every later one.
    async fn once(&self, key: Key<'_>, lifetime: Duration) -> Result<bool>;

    /// Counts one event against `meter` and says whether it is within `rate` (GCRA).
    async fn quota(&self, meter: Meter<'_>, rate: Rate) -> Result<Quota>;

    /// What `quota` would say, without counting.
    async fn peek(&self, meter: Meter<'_>, rate: Rate) -> Result<Quota>;

    /// Takes one counted event back.
    async fn refund(&self, meter: Meter<'_>, rate: Rate) -> Result<()>;

    /// Forgets what was counted against `meter`.
    async fn forget(&self, meter: Meter<'_>) -> Result<()>;

    /// Judges one call of a user's client: whether its grant lives, whether it is within its limits, and whether
    /// what its idempotency key names was done. Nothing is counted or claimed unless the call comes in.
    async fn admit(&self, admission: Admission<'_>) -> Result<Admitted>;

    /// How limits of a user's client stand, without counting anything; for whom to tell.
    async fn standings(&self, user_id: &str, client_id: &str, limits: &[Limit<'_>]) -> Result<Vec<Standing>>;

    /// What `admit` says of a key, and claims it when it is free.
    async fn claim(&self, key: ClaimKey<'_>) -> Result<Claim>;

    /// Says what became of a claimed key: its result, or that it is free again.
    async fn settle(&self, key: ClaimKey<'_>, settled: Settled) -> Result<()>;

    /// Marks grants as ended: from now on no call under them comes in, on any replica. `mark` names this attempt.
    async fn end_grants(&self, grants: &[GrantKey], mark: &str) -> Result<()>;

    /// Takes the mark of this attempt back: the grant lives after all. The mark of another attempt stays.
    async fn unmark_grant(&self, grant: &GrantKey, mark: &str) -> Result<()>;

    /// Takes one of `most` places for `lifetime`, or keeps it for as long from now: `false` when all are held by
    /// others.
    async fn hold(&self, place: Place<'_>, holder: &str, most: usize, lifetime: Duration) -> Result<bool>;

    /// Gives a place back.
    async fn leave(&self, place: Place<'_>, holder: &str) -> Result<()>;

    /// Who holds a place now.
    async fn holders(&self, place: Place<'_>) -> Result<Vec<String>>;

    /// Tells every replica, this one included.
    async fn publish(&self, notice: &Notice) -> Result<()>;

    /// Hears what is told from now on.
    fn listen(&self) -> Listener;

    /// Whether the store answers; for `/ready`.
    async fn ping(&self) -> Result<()>;

    /// What the start says is in use.
    fn describe(&self) -> String;
}
