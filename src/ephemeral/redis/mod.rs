//! Perishable state in Redis: shared by any number of replicas.
//!
//! Each operation is one command or one script, loaded once and then called by its hash. Times are Redis' own, so
//! that replicas whose clocks differ agree. On a cluster every operation keeps to one slot: what belongs to a
//! call carries its user as hash tag, everything else is one key.
//!
//! Nothing waits long: an operation that has no answer within [`ANSWER_WITHIN`] fails, and so does every caller
//! that is refused for it. Connections come back by themselves.

mod connection;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use ::redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Script, ScriptInvocation, cmd};
use async_trait::async_trait;

use super::admission::{
    Admission, Admitted, CLAIM_HELD, Claim, ClaimKey, END_MARKED, GRANT_REMEMBERED, GrantKey, Limit,
    RESULT_REMEMBERED, Settled, Standing,
};
use super::{Ephemeral, EphemeralError, Key, Meter, Quota, Rate, Result};
use connection::Connection;
pub use url::RedisUrl;

/// How long an operation may take, connecting included.
const ANSWER_WITHIN: Duration = Duration::from_millis(900);
/// The mark of an ended grant. What is remembered of a living one is JSON and never this.
const ENDED: &str = "ended";

static ADMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("admit.lua")));
static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));
static STANDINGS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("standings.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("settle.lua")));
static QUOTA: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("quota.lua")));

/// The shared store.
pub struct Redis {
    url: RedisUrl,
    connection: Connection,
}

impl Redis {
    /// Connects.
    pub async fn open(url: &RedisUrl) -> Result<Self> {
        let connecting = tokio::time::timeout(Duration::from_secs(5), Connection::open(url));
        let connection = connecting.await.map_err(|_| too_long())?.map_err(failed)?;
        let redis = Self { url: url.clone(), connection };
        redis.ping().await?;
        Ok(redis)
    }

    fn key(&self, key: &Key<'_>) -> String {
        format!("{}:{key}", self.url.prefix())
    }

    fn meter(&self, meter: &Meter<'_>) -> String {
        format!("{}:rate:{meter}", self.url.prefix())
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
        self.of_user(key.user_id, format_args!("once:{}:{}", key.key, key.client_id))
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.connection.clone();
        let asking = command.query_async(&mut connection);
        tokio::time::timeout(ANSWER_WITHIN, asking).await.map_err(|_| too_long())?.map_err(failed)
    }

    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        let mut connection = self.connection.clone();
        let running = script.invoke_async(&mut connection);
        tokio::time::timeout(ANSWER_WITHIN, running).await.map_err(|_| too_long())?.map_err(failed)
    }

    async fn judge(&self, meter: &Meter<'_>, rate: Rate, use_as: &str) -> Result<Quota> {
        let mut script = QUOTA.key(self.meter(meter));
        script.arg(rate.burst.max(1)).arg(rate.interval()).arg(use_as);
        let (remaining, wait): (u32, u64) = self.run(&script).await?;
        Ok(match wait {
            0 => Quota::Within { remaining },
            micros => Quota::Exceeded { retry_after: Duration::from_micros(micros) },
        })
    }
}

fn too_long() -> EphemeralError {
    EphemeralError("Redis took too long to answer".to_owned())
}

// The error's kind and code, never its detail: that can repeat a command with its arguments.
#[expect(clippy::needless_pass_by_value, reason = "it maps errors")]
fn failed(error: RedisError) -> EphemeralError {
    let kind = match error.kind() {
        ErrorKind::Server(_) => error.code().unwrap_or("an error").to_owned(),
        _ => error.category().to_owned(),
    };
    EphemeralError(format!("Redis: {kind}"))
}

fn unexpected() -> EphemeralError {
    EphemeralError("Redis gave an answer of another form".to_owned())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
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
        ["unknown", ..] => Ok(Admitted::UnknownGrant),
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
        self.ask(cmd("SET").arg(self.key(&key)).arg(value).arg("PX").arg(millis(lifetime))).await
    }

    async fn find(&self, key: Key<'_>) -> Result<Option<String>> {
        self.ask(cmd("GET").arg(self.key(&key))).await
    }

    async fn take(&self, key: Key<'_>) -> Result<Option<String>> {
        self.ask(cmd("GETDEL").arg(self.key(&key))).await
    }

    async fn once(&self, key: Key<'_>, lifetime: Duration) -> Result<bool> {
        let mut set = cmd("SET");
        set.arg(self.key(&key)).arg("").arg("NX").arg("PX").arg(millis(lifetime));
        let done: Option<String> = self.ask(&set).await?;
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
        self.ask(cmd("DEL").arg(self.meter(&meter))).await
    }

    async fn admit(&self, admission: Admission<'_>) -> Result<Admitted> {
        let Admission { grant, client_id, known, limits, claim } = admission;
        let mut script = ADMIT.key(self.grant(grant));
        script.arg(known.unwrap_or_default()).arg(millis(GRANT_REMEMBERED)).arg(limits.len());
        for limit in limits {
            script.key(self.calls(&grant.user_id, client_id, limit));
            script.arg(limit.rate.burst.max(1)).arg(limit.rate.interval()).arg(i32::from(limit.counts));
        }
        if let Some(claim) = &claim {
            script.key(self.claimed(claim));
            script.arg(claim.digest).arg(claim.attempt).arg(millis(CLAIM_HELD));
        }
        admitted(&self.run::<Vec<String>>(&script).await?)
    }

    async fn standings(&self, user_id: &str, client_id: &str, limits: &[Limit<'_>]) -> Result<Vec<Standing>> {
        let mut script = STANDINGS.prepare_invoke();
        for limit in limits {
            script.key(self.calls(user_id, client_id, limit));
            script.arg(limit.rate.burst.max(1)).arg(limit.rate.interval());
        }
        standings(&self.run::<Vec<String>>(&script).await?)
    }

    async fn claim(&self, key: ClaimKey<'_>) -> Result<Claim> {
        let mut script = CLAIM.key(self.claimed(&key));
        script.arg(key.digest).arg(key.attempt).arg(millis(CLAIM_HELD));
        let (said, result): (String, String) = self.run(&script).await?;
        claim(&said, &result)?.ok_or_else(unexpected)
    }

    async fn settle(&self, key: ClaimKey<'_>, settled: Settled) -> Result<()> {
        let mut script = SETTLE.key(self.claimed(&key));
        script.arg(key.digest).arg(key.attempt);
        match settled {
            Settled::Done(result) => script.arg("done").arg(result).arg(millis(RESULT_REMEMBERED)),
            Settled::Released => script.arg("released"),
        };
        self.run::<i64>(&script).await.map(|_| ())
    }

    async fn end_grants(&self, grants: &[GrantKey]) -> Result<()> {
        let marks = grants.iter().map(async |grant| {
            let mut set = cmd("SET");
            set.arg(self.grant(grant)).arg(ENDED).arg("PX").arg(millis(END_MARKED));
            self.ask::<()>(&set).await
        });
        futures::future::try_join_all(marks).await.map(|_| ())
    }

    async fn ping(&self) -> Result<()> {
        self.ask::<()>(&cmd("PING")).await
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
