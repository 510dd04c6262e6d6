//! What one call of a user's client takes to come in, asked and answered at once.
//!
//! A store that is shared by replicas remembers grants for a short while, so that most calls need not ask the
//! database. That must never keep an ended grant alive, hence two rules. Whoever ends a grant marks it as ended
//! here before and after the database knows; and what a reader found in the database is only remembered where
//! no such mark stands. A reader can then only be late with what it found before the mark, and the mark
//! outlives any reader. A store of one process remembers none: another process, such as a command, may change
//! the same database behind its back.

use std::time::Duration;

use super::Rate;

/// How long a grant is remembered. Bounds what a database changed by hand, or a crash and a loss of this store
/// at the same moment, can leave standing.
pub const GRANT_REMEMBERED: Duration = Duration::from_secs(10);
/// How long the mark of an ended grant stays: longer than any reader takes from the database to here.
pub const END_MARKED: Duration = Duration::from_mins(10);
/// How late what the database said may come and still be remembered.
pub const READ_WITHIN: Duration = Duration::from_secs(3);
/// How long a call has a claimed key to itself. Longer than a call can take; after a crash the next attempt waits
/// for as long, and then finds in the database whether the deed was done.
pub const CLAIM_HELD: Duration = Duration::from_secs(10);
/// How long what a key stands for is remembered.
pub const RESULT_REMEMBERED: Duration = Duration::from_hours(24);

/// The name of the limit on what looks at tickets.
pub const READS: &str = "read";
/// The name of the limit on what changes them.
pub const WRITES: &str = "write";

/// Names a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantKey {
    /// Whose.
    pub user_id: String,
    /// Which.
    pub grant_id: String,
}

/// One call that wants to come in.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// Under which grant.
    pub grant: &'a GrantKey,
    /// By which client.
    pub client_id: &'a str,
    /// What the database just said of the grant, to be remembered.
    pub known: Option<Known<'a>>,
    /// What limits the user's client.
    pub limits: &'a [Limit<'a>],
    /// The idempotency key, for what is done once.
    pub claim: Option<ClaimKey<'a>>,
}

/// What the database said of a grant.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// It; never empty.
    pub facts: &'a str,
    /// When the store said that it did not know.
    pub asked_at: i64,
}

/// A limit of one (client, user).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<'a> {
    /// Its name: a class, or a tool.
    pub name: &'a str,
    /// The rate.
    pub rate: Rate,
    /// Whether this call counts against it; else it is only looked at.
    pub counts: bool,
}

/// An idempotency key and what is asked under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimKey<'a> {
    /// Whose.
    pub user_id: &'a str,
    /// By which client.
    pub client_id: &'a str,
    /// The caller's key.
    pub key: &'a str,
    /// Digest of the tool and its arguments.
    pub digest: &'a str,
    /// Names this attempt, so that it never gives back the claim of another.
    pub attempt: &'a str,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// The store does not know the grant: ask the database, and then again with what it says.
    UnknownGrant {
        /// The store's own time in microseconds, to be said again.
        asked_at: i64,
    },
    /// The grant has ended.
    EndedGrant,
    /// Not now.
    Limited {
        /// Which of the limits, by its place.
        limit: usize,
        /// How long to wait.
        retry_after: Duration,
        /// How each limit stands.
        standings: Vec<Standing>,
    },
    /// Come in.
    In {
        /// What is known of the grant.
        grant: String,
        /// How each limit stands.
        standings: Vec<Standing>,
        /// What there is to do about the key.
        claim: Option<Claim>,
    },
}

/// How a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many more may come at once.
    pub remaining: u32,
    /// How long until the whole burst may.
    pub full_after: Duration,
}

/// What an idempotency key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is free and now this attempt's.
    Run,
    /// It was done, with this result.
    Done(String),
    /// Another attempt is at it.
    InFlight,
    /// It stands for something else.
    Mismatch,
}

/// What became of a claimed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was done, with this result.
    Done(String),
    /// Nothing was done: the key is free.
    Released,
}

/// What stands under a claimed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// This attempt is at it.
    Held(String),
    /// What this is the digest of has this result.
    Done(String, String),
}

impl Record {
    /// What it says to an attempt. Whether a key stands for something else is only known when that is done: until
    /// then the key may still become free.
    pub(super) fn judge(&self, key: &ClaimKey<'_>) -> Claim {
        match self {
            Self::Held(attempt) if attempt == key.attempt => Claim::Run,
            Self::Held(_) => Claim::InFlight,
            Self::Done(digest, result) if digest == key.digest => Claim::Done(result.clone()),
            Self::Done(..) => Claim::Mismatch,
        }
    }
}
