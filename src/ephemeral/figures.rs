//! What it costs to let a call in. Run on a quiet machine with
//! `cargo test --release --lib admitting -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admission::{Admission, Admitted, ClaimKey, GrantKey, Known, Limit};
use super::memory::Memory;
use super::redis::{Redis, RedisUrl};
use super::{Ephemeral, Rate};
use crate::clock::SystemClock;
use crate::services::redis::Redis as Server;

const CALLS: usize = 10_000;

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn watch() -> Instant {
    Instant::now()
}

/// Lets calls in one after another; prints how long one takes in the middle, at the 99th of 100, and at worst.
async fn admit(name: &str, store: &dyn Ephemeral, with_key: bool) {
    let grant = GrantKey { user_id: "user_1".into(), grant_id: format!("{name} {with_key}") };
    let rate = Rate { count: u32::MAX, per: Duration::from_mins(1), burst: u32::MAX };
    let limits = [Limit { name: "read", rate, counts: true }, Limit { name: "write", rate, counts: false }];
    let mut took = Vec::with_capacity(CALLS);
    for number in 0..CALLS {
        let key = format!("{name} {number}");
        let claim =
            ClaimKey { user_id: "user_1", client_id: "c", key: &key, digest: "digest", attempt: "one" };
        let admission = Admission {
            grant: &grant,
            client_id: "c",
            known: Some(Known { facts: "{}", asked_at: i64::MAX / 1024 }),
            limits: &limits,
            claim: with_key.then_some(claim),
        };
        let begun = watch();
        let admitted = store.admit(admission).await.unwrap();
        took.push(begun.elapsed());
        assert!(matches!(admitted, Admitted::In { .. }), "{admitted:?}");
    }
    took.sort();
    let [middle, late, worst] = [CALLS / 2, CALLS * 99 / 100, CALLS - 1].map(|place| took[place]);
    let what = if with_key { "a write with a key" } else { "a read" };
    println!("{name:<7} {what:<20} p50 {middle:>9.1?}  p99 {late:>9.1?}  worst {worst:>9.1?}");
}

/// How many scripts the server was asked to run.
fn scripts(url: &str) -> u64 {
    let mut connection = ::redis::Client::open(url).unwrap().get_connection().unwrap();
    let stats: String = ::redis::cmd("INFO").arg("commandstats").query(&mut connection).unwrap();
    let calls = stats.split("cmdstat_evalsha:calls=").nth(1).and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
#[ignore = "prints figures"]
async fn admitting_a_call_is_one_round_trip() {
    let memory = Memory::new(Arc::new(SystemClock));
    for with_key in [false, true] {
        admit("memory", &memory, with_key).await;
    }
    if !Server::installed() {
        return;
    }
    let server = Server::start();
    let redis = Redis::open(&RedisUrl::parse(&server.url(), "figures").unwrap(), 1024).await.unwrap();
    for with_key in [false, true] {
        let before = scripts(&server.url());
        admit("Redis", &redis, with_key).await;
        // The very first call finds that the script is not loaded, loads it and asks again.
        let asked = scripts(&server.url()) - before;
        let calls = u64::try_from(CALLS).unwrap();
        assert!((calls..=calls + 1).contains(&asked), "{asked} scripts for {calls} calls");
    }
}
