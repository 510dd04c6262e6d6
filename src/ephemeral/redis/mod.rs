//! Perishable state in Redis: shared by any number of replicas.
//!
//! Each operation is one command or one script, loaded once and then called by its hash. Times are Redis' own, so
//! that replicas whose clocks differ agree. On a cluster every operation keeps to one slot: what belongs to a
//! call carries its user as hash tag, everything else is one key.
//!
//! Nothing waits long for it, and its connections come back by themselves: see `line.rs`.

mod connection;
mod line;
pub mod survey;
#[cfg(test)]
mod tests;
mod url;
mod wire;

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use ::redis::{Script, cmd};
use async_trait::async_trait;

use super::admission::{
    Admission, Admitted, CLAIM_HELD, Claim, ClaimKey, END_MARKED, GRANT_REMEMBERED, GrantKey, Limit,
    READ_WITHIN, RESULT_REMEMBERED, Settled, Standing,
};
use super::bus::{Listener, Notice};
use super::{Ephemeral, EphemeralError, Key, Meter, Place, Quota, Rate, Result};
use crate::oauth::secret::SecretHash;
use crate::telemetry::{Metrics, StoreWatch};
use line::Line;
pub use url::RedisUrl;
use wire::Wire;

/// What the mark of an ended grant begins with. What is remembered of a living one is JSON and never this.
const ENDED: &str = "ended:";
/// How many grants are marked at once.
const MARKED_AT_ONCE: usize = 100;

static ADMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("admit.lua")));
static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));
static STANDINGS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("standings.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("settle.lua")));
static UNMARK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("unmark.lua")));
static HOLD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("hold.lua")));
static HOLDERS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("holders.lua")));
static QUOTA: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("quota.lua")));

/// The shared store.
pub struct Redis {
    url: RedisUrl,
    line: Line,
    wire: Wire,
}

impl Redis {
    /// Connects. At most `room` operations are under way at once; the next one fails.
    pub async fn open(url: &RedisUrl, room: usize) -> Result<Self> {
        let line = Line::open(url, room).await?;
        let redis = Self { url: url.clone(), wire: Wire::open(url, line.clone()), line };
        redis.ping().await?;
        Ok(redis)
    }

    /// The same store, watched from now on.
    #[must_use]
    pub fn watched(self, metrics: &Metrics) -> Self {
        let watch = StoreWatch::new(metrics, "redis", "redis");
        Self { line: self.line.watched(watch), ..self }
    }

    fn key(&self, key: &Key<'_>) -> String {
        format!("{}:{key}", self.url.prefix())
    }

    fn meter(&self, meter: &Meter<'_>) -> String {
        format!("{}:rate:{meter}", self.url.prefix())
    }

    fn place(&self, place: Place<'_>) -> String {
        format!("{}:{place}", self.url.prefix())
    }

    /// A key of a call: the user is its hash tag. Ids of users hold no braces.
    fn of_user(&self, user_id: &str, rest: fmt::Arguments<'_>) -> String {
        format!("{}:{{{user_id}}}:{rest}", self.url.prefix())
    }

    fn grant(&self, grant: &GrantKey) -> String {
        self.of_user(&grant.user_id, format_args!("grant:{}", grant.grant_id))
    }

    fn calls(&self, user_id: &str, client_id: &str, limit: &Limit<'_>) -> String {
        self.of_user(user_id, format_args!("calls:{}:{client_id}", limit.name))
    }

    fn claimed(&self, key: &ClaimKey<'_>) -> String {
        // A digest, because both may hold colons: two pairs must never have one name.
        let client = SecretHash::of(key.client_id);
        self.of_user(key.user_id, format_args!("once:{}:{}", client.as_str(), key.key))
    }

    async fn judge(&self, meter: &Meter<'_>, rate: Rate, use_as: &str) -> Result<Quota> {
        let mut script = QUOTA.key(self.meter(meter));
        script.arg(rate.burst.max(1)).arg(rate.interval()).arg(use_as);
        let (remaining, wait): (u32, u64) = self.line.run(&script).await?;
        Ok(match wait {
            0 => Quota::Within { remaining },
            micros => Quota::Exceeded { retry_after: Duration::from_micros(micros) },
        })
    }
}

fn unexpected() -> EphemeralError {
    EphemeralError("Redis gave an answer of another form".to_owned())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn standings(numbers: &[String]) -> Result<Vec<Standing>> {
    let parse = |pair: &[String]| match pair {
        [remaining, ahead] => Ok(Standing {
            remaining: remaining.parse().map_err(|_| unexpected())?,
            full_after: Duration::from_micros(ahead.parse().map_err(|_| unexpected())?),
        }),
        _ => Err(unexpected()),
    };
    numbers.chunks(2).map(parse).collect()
}

fn claim(said: &str, result: &str) -> Result<Option<Claim>> {
    match said {
        "none" => Ok(None),
        "run" => Ok(Some(Claim::Run)),
        "done" => Ok(Some(Claim::Done(result.to_owned()))),
        "busy" => Ok(Some(Claim::InFlight)),
        "mismatch" => Ok(Some(Claim::Mismatch)),
        _ => Err(unexpected()),
    }
}

fn admitted(answer: &[String]) -> Result<Admitted> {
    let words: Vec<&str> = answer.iter().take(4).map(String::as_str).collect();
    match words.as_slice() {
        ["unknown", asked_at, ..] => {
            Ok(Admitted::UnknownGrant { asked_at: asked_at.parse().map_err(|_| unexpected())? })
        }
        ["ended", ..] => Ok(Admitted::EndedGrant),
        ["limited", which, wait, ..] => {
            let which: usize = which.parse().map_err(|_| unexpected())?;
            Ok(Admitted::Limited {
                limit: which.checked_sub(1).ok_or_else(unexpected)?,
                retry_after: Duration::from_micros(wait.parse().map_err(|_| unexpected())?),
                standings: standings(answer.get(3..).unwrap_or_default())?,
            })
        }
        ["in", grant, said, result, ..] => Ok(Admitted::In {
            grant: (*grant).to_owned(),
            standings: standings(answer.get(4..).unwrap_or_default())?,
            claim: claim(said, result)?,
        }),
        _ => Err(unexpected()),
    }
}

#[async_trait]
impl Ephemeral for Redis {
    async fn put(&self, key: Key<'_>, value: String, lifetime: Duration) -> Result<()> {
        self.line.ask(cmd("SET").arg(self.key(&key)).arg(value).arg("PX").arg(millis(lifetime))).await
    }

    async fn find(&self, key: Key<'_>) -> Result<Option<String>> {
        self.line.ask(cmd("GET").arg(self.key(&key))).await
    }

    async fn take(&self, key: Key<'_>) -> Result<Option<String>> {
        self.line.ask(cmd("GETDEL").arg(self.key(&key))).await
    }

    async fn once(&self, key: Key<'_>, lifetime: Duration) -> Result<bool> {
        let mut set = cmd("SET");
        set.arg(self.key(&key)).arg("").arg("NX").arg("PX").arg(millis(lifetime));
        let done: Option<String> = self.line.ask(&set).await?;
        Ok(done.is_some())
    }

    async fn quota(&self, meter: Meter<'_>, rate: Rate) -> Result<Quota> {
        self.judge(&meter, rate, "count").await
    }

    async fn peek(&self, meter: Meter<'_>, rate: Rate) -> Result<Quota> {
        self.judge(&meter, rate, "peek").await
    }

    async fn refund(&self, meter: Meter<'_>, rate: Rate) -> Result<()> {
        self.judge(&meter, rate, "refund").await.map(|_| ())
    }

    async fn forget(&self, meter: Meter<'_>) -> Result<()> {
        self.line.ask(cmd("DEL").arg(self.meter(&meter))).await
    }

    async fn admit(&self, admission: Admission<'_>) -> Result<Admitted> {
        let Admission { grant, client_id, known, limits, claim } = admission;
        let mut script = ADMIT.key(self.grant(grant));
        match known {
            Some(known) => script.arg(known.facts).arg(known.asked_at),
            None => script.arg("").arg(0),
        };
        script.arg(millis(GRANT_REMEMBERED)).arg(micros(READ_WITHIN)).arg(limits.len());
        for limit in limits {
            script.key(self.calls(&grant.user_id, client_id, limit));
            script.arg(limit.rate.burst.max(1)).arg(limit.rate.interval()).arg(i32::from(limit.counts));
        }
        if let Some(claim) = &claim {
            script.key(self.claimed(claim));
            script.arg(claim.digest).arg(claim.attempt).arg(millis(CLAIM_HELD));
        }
        admitted(&self.line.run::<Vec<String>>(&script).await?)
    }

    async fn standings(&self, user_id: &str, client_id: &str, limits: &[Limit<'_>]) -> Result<Vec<Standing>> {
        let mut script = STANDINGS.prepare_invoke();
        for limit in limits {
            script.key(self.calls(user_id, client_id, limit));
            script.arg(limit.rate.burst.max(1)).arg(limit.rate.interval());
        }
        standings(&self.line.run::<Vec<String>>(&script).await?)
    }

    async fn claim(&self, key: ClaimKey<'_>) -> Result<Claim> {
        let mut script = CLAIM.key(self.claimed(&key));
        script.arg(key.digest).arg(key.attempt).arg(millis(CLAIM_HELD));
        let (said, result): (String, String) = self.line.run(&script).await?;
        claim(&said, &result)?.ok_or_else(unexpected)
    }

    async fn settle(&self, key: ClaimKey<'_>, settled: Settled) -> Result<()> {
        let mut script = SETTLE.key(self.claimed(&key));
        script.arg(key.digest).arg(key.attempt);
        match settled {
            Settled::Done(result) => script.arg("done").arg(result).arg(millis(RESULT_REMEMBERED)),
            Settled::Released => script.arg("released"),
        };
        self.line.run::<i64>(&script).await.map(|_| ())
    }

    async fn end_grants(&self, grants: &[GrantKey], mark: &str) -> Result<()> {
        for batch in grants.chunks(MARKED_AT_ONCE) {
            let marks = batch.iter().map(async |grant| {
                let mut set = cmd("SET");
                set.arg(self.grant(grant)).arg(format!("{ENDED}{mark}")).arg("PX").arg(millis(END_MARKED));
                self.line.ask::<()>(&set).await
            });
            futures::future::try_join_all(marks).await?;
        }
        Ok(())
    }

    async fn unmark_grant(&self, grant: &GrantKey, mark: &str) -> Result<()> {
        let mut script = UNMARK.key(self.grant(grant));
        script.arg(format!("{ENDED}{mark}"));
        self.line.run::<i64>(&script).await.map(|_| ())
    }

    async fn hold(&self, place: Place<'_>, holder: &str, most: usize, lifetime: Duration) -> Result<bool> {
        let mut script = HOLD.key(self.place(place));
        script.arg(holder).arg(most).arg(millis(lifetime));
        self.line.run::<bool>(&script).await
    }

    async fn leave(&self, place: Place<'_>, holder: &str) -> Result<()> {
        self.line.ask(cmd("ZREM").arg(self.place(place)).arg(holder)).await
    }

    async fn holders(&self, place: Place<'_>) -> Result<Vec<String>> {
        self.line.run(&HOLDERS.key(self.place(place))).await
    }

    async fn publish(&self, notice: &Notice) -> Result<()> {
        self.wire.publish(notice).await
    }

    fn listen(&self) -> Listener {
        self.wire.listen()
    }

    async fn ping(&self) -> Result<()> {
        // A server that only reads answers PING as well.
        let mut set = cmd("SET");
        set.arg(format!("{}:ready", self.url.prefix())).arg("").arg("PX").arg(10_000);
        self.line.ask::<()>(&set).await
    }

    fn describe(&self) -> String {
        self.url.to_string()
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({})", self.url)
    }
}
