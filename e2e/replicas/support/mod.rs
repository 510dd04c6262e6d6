//! Several replicas of the real binary on one PostgreSQL and one Redis, behind a balancer, and those who call them.

pub(crate) mod caller;
pub(crate) mod fleet;
pub(crate) mod proxy;
pub(crate) mod record;
pub(crate) mod turns;

use std::time::{Duration, Instant};

use crate::support::services::postgres::Postgres;
use crate::support::services::redis::Redis;

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A PostgreSQL and a Redis of one test's own, to be broken.
pub(crate) struct Backing {
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
}

impl Backing {
    /// Starts both; `None` when one is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::of(Postgres::start)
    }

    /// As [`Self::start`], with a PostgreSQL that flushes every commit to the disk.
    pub(crate) fn start_durable() -> Option<Self> {
        Self::of(Postgres::start_durable)
    }

    fn of(postgres: impl FnOnce() -> Postgres) -> Option<Self> {
        (Postgres::installed() && Redis::installed())
            .then(|| Self { postgres: postgres(), redis: Redis::start() })
    }
}

/// The time of the machine, for what is measured.
#[expect(clippy::disallowed_methods, reason = "other processes do not live by the clock of a test")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Asks until the answer is yes; panics with `what` when it never is.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = instant();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As [`wait_until`], for what is asked over the network. Returns how long it took.
pub(crate) async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) -> Duration {
    let begun = instant();
    while !done().await {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}
