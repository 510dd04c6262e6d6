//! What may be lost: keys with a lifetime, tokens seen once, quotas.
//!
//! Everything here can vanish with a restart and nobody loses more than a half-finished sign-in. The kind is
//! chosen at start and never switched while running.

#[cfg(test)]
mod contract;
pub mod memory;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::oauth::error::{Error, temporarily_unavailable, too_many_requests};

/// Every key there is, with what it holds and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A parked authorization request (JSON), by its id; 30 minutes.
    Flow(&'a str),
    /// The right to answer a consent page, so that of two clicks one does it; 1 minute.
    Answering(&'a str),
    /// The answer that a consent page led to (JSON, sealed), so that a second click repeats it; 30 minutes.
    Answered(&'a str),
    /// The `jti` of a client assertion, by client and `jti` digest; until the assertion's `exp` and leeway.
    AssertionJti(&'a str, &'a str),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(id) => write!(f, "flow:{id}"),
            Self::Answering(id) => write!(f, "answering:{id}"),
            Self::Answered(id) => write!(f, "answered:{id}"),
            Self::AssertionJti(client_id, digest) => write!(f, "jti:{client_id}:{digest}"),
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
    /// Authorization requests parked for one address.
    Park(&'a str),
    /// Key sets fetched anew for an unknown `kid`, by URL and address (empty: whichever the address).
    KeyRefetch(&'a str, &'a str),
    /// Registrations from one address.
    Register(&'a str),
    /// Fetches of metadata documents on behalf of one address.
    DocumentFetch(&'a str),
    /// Calls of one (client, user) in one class, `read` or `write`.
    Calls(&'static str, &'a str, &'a str),
    /// Refusals recorded about one grant, or about callers that proved nothing.
    Refusals(&'a str),
}

impl fmt::Display for Meter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignInPair(tier, account, address) => {
                write!(f, "sign-in-pair:{tier}:{address}:{account}")
            }
            Self::SignInAccount(account) => write!(f, "sign-in-account:{account}"),
            Self::SignInAddress(address) => write!(f, "sign-in-address:{address}"),
            Self::ClientSecret(client_id, address) => write!(f, "client-secret:{address}:{client_id}"),
            Self::Park(address) => write!(f, "park:{address}"),
            Self::KeyRefetch(url, address) => write!(f, "key-refetch:{address}:{url}"),
            Self::Register(address) => write!(f, "register:{address}"),
            Self::DocumentFetch(address) => write!(f, "document-fetch:{address}"),
            Self::Calls(class, client_id, user_id) => write!(f, "calls:{class}:{user_id}:{client_id}"),
            Self::Refusals(whose) => write!(f, "refusals:{whose}"),
        }
    }
}

/// A rate: a burst that may come at once, and the time in which a whole burst grows back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may come at once; at least 1.
    pub burst: u32,
    /// In what time that many are allowed again.
    pub per: Duration,
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
    /// Refuses with `description` and the wait, in whole seconds of at least one, when it is exceeded.
    pub fn or_refuse(self, description: &'static str) -> std::result::Result<(), Error> {
        match self {
            Self::Within { .. } => Ok(()),
            Self::Exceeded { retry_after } => {
                Err(too_many_requests(description).retry_after(retry_after.as_secs().max(1)))
            }
        }
    }
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

    /// Whether the store answers; for `/ready`.
    async fn ping(&self) -> Result<()>;

    /// What the start says is in use.
    fn describe(&self) -> String;
}
