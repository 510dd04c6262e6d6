//! Writes under crashes: replicas are killed, Redis forgets, PostgreSQL crashes, and every write that somebody goes
//! on retrying is done exactly once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mandate::random::Random;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::support::caller::Caller;
use super::support::fleet::Fleet;
use super::support::record::{Record, title};
use super::support::{Backing, PATIENCE, instant, wait_until};

/// What is done and what happens meanwhile.
struct Plan {
    people: &'static [&'static str],
    writes: usize,
    in_flight: usize,
    kills: usize,
    flushes: usize,
    restarts: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_retried_write_is_done_exactly_once_whatever_crashes() {
    let plan =
        Plan { people: &["alice", "bob"], writes: 250, in_flight: 48, kills: 4, flushes: 1, restarts: 1 };
    crash(plan).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; README.md beside e2e/main.rs has the command"]
async fn every_one_of_2000_retried_writes_is_done_exactly_once_whatever_crashes() {
    let people = &["alice", "bob", "carol", "dave"];
    let plan = Plan { people, writes: 2000, in_flight: 64, kills: 40, flushes: 12, restarts: 8 };
    crash(plan).await;
}

#[derive(Default)]
struct Counts {
    acknowledged: AtomicUsize,
    attempts: AtomicUsize,
    replays: AtomicUsize,
    in_progress: AtomicUsize,
    unanswered: AtomicUsize,
    bad_gateway: AtomicUsize,
    unavailable: AtomicUsize,
    other_5xx: AtomicUsize,
    kills: AtomicUsize,
    flushes: AtomicUsize,
    restarts: AtomicUsize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        write!(
            f,
            "writes {}, attempts {}, retries {}, replays {}, in progress {}, unanswered {}, 502 {}, 503 {}, other 5xx \
             {}, kills {}, flushes {}, restarts {}",
            of(&self.acknowledged),
            of(&self.attempts),
            of(&self.attempts) - of(&self.acknowledged),
            of(&self.replays),
            of(&self.in_progress),
            of(&self.unanswered),
            of(&self.bad_gateway),
            of(&self.unavailable),
            of(&self.other_5xx),
            of(&self.kills),
            of(&self.flushes),
            of(&self.restarts)
        )
    }
}

fn one_more(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

/// Repeats itself for a seed, which `MANDATE_TEST_SEED` sets.
struct Dice(Random);

impl Dice {
    fn new(seed: u64, whose: u64) -> Self {
        Self(Random::seeded(seed.wrapping_mul(1_000_003).wrapping_add(whose)))
    }

    fn below(&self, end: usize) -> usize {
        usize::try_from(u64::from_be_bytes(self.0.bytes()) % u64::try_from(end).unwrap()).unwrap()
    }

    /// When the next of `count` events happens: by how many writes are acknowledged, in order, and none so late that
    /// the writes are over before.
    fn moments(&self, count: usize, writes: usize) -> Vec<usize> {
        let mut moments: Vec<usize> = (0..count).map(|_| writes / 20 + self.below(writes * 3 / 4)).collect();
        moments.sort_unstable();
        moments
    }
}

fn seed() -> u64 {
    let set = std::env::var_os("MANDATE_TEST_SEED");
    set.map_or_else(|| u64::from(std::process::id()), |seed| seed.to_str().unwrap().parse().unwrap())
}

impl Counts {
    /// Waits until so many writes are acknowledged, and a little longer.
    fn wait_for(&self, moment: usize, dice: &Dice) {
        let done = || self.acknowledged.load(Ordering::SeqCst);
        let mut seen = done();
        while seen < moment {
            wait_until("writes go on", || done() > seen);
            seen = done();
        }
        std::thread::sleep(Duration::from_millis(u64::try_from(dice.below(20)).unwrap()));
    }
}

async fn crash(plan: Plan) {
    let Some(backing) = Backing::start_durable() else { return };
    let seed = seed();
    println!("MANDATE_TEST_SEED={seed}");
    let database_url = backing.postgres.fresh_database().await;
    let fleet = Fleet::start(3, &database_url, &backing.redis.url(), &[]);
    let scene = Arc::new(Scene { plan, seed, backing, fleet, counts: Counts::default() });
    let callers = callers(&scene).await;
    let begun = instant();
    let mut events = JoinSet::new();
    for event in [kills, flushes, restarts] {
        let scene = scene.clone();
        events.spawn_blocking(move || event(&scene));
    }
    let acknowledged = write_all(&scene, &callers).await;
    while let Some(ended) = events.join_next().await {
        ended.unwrap();
    }
    println!("{}, seconds {:.1}", scene.counts, begun.elapsed().as_secs_f64());
    let record = Record::read(&database_url).await;
    record.assert_each_done_once(&acknowledged);
    let verified = scene.fleet.run(&["audit", "verify"], "");
    assert!(verified.contains("is as it was written"), "{verified}");
    replay_some(&scene, &callers, &acknowledged).await;
}

struct Scene {
    plan: Plan,
    seed: u64,
    backing: Backing,
    fleet: Fleet,
    counts: Counts,
}

fn kills(scene: &Scene) {
    let (plan, dice) = (&scene.plan, Dice::new(scene.seed, 1));
    for moment in dice.moments(plan.kills, plan.writes) {
        scene.counts.wait_for(moment, &dice);
        let number = dice.below(scene.fleet.len());
        scene.fleet.kill(number);
        one_more(&scene.counts.kills);
        scene.fleet.begin(number);
    }
}

fn flushes(scene: &Scene) {
    let (plan, dice) = (&scene.plan, Dice::new(scene.seed, 2));
    for moment in dice.moments(plan.flushes, plan.writes) {
        scene.counts.wait_for(moment, &dice);
        scene.backing.redis.flush();
        one_more(&scene.counts.flushes);
    }
}

fn restarts(scene: &Scene) {
    let (plan, dice) = (&scene.plan, Dice::new(scene.seed, 3));
    for moment in dice.moments(plan.restarts, plan.writes) {
        scene.counts.wait_for(moment, &dice);
        scene.backing.postgres.restart();
        one_more(&scene.counts.restarts);
    }
}

/// Two clients of each person, one of either era.
async fn callers(Scene { plan, fleet, .. }: &Scene) -> Vec<Caller> {
    let mut callers = Vec::new();
    for username in plan.people {
        fleet.add_user(username);
        callers.push(Caller::connect(fleet, username).await);
        callers.push(Caller::connect(fleet, username).await.legacy());
    }
    callers
}

/// What is asked under a key: its arguments are the same at every attempt.
fn asked(number: usize) -> (String, Value) {
    let key = format!("key-{number}");
    let arguments = json!({ "title": title(&key), "body": "It crashed again.", "idempotency_key": key });
    (key, arguments)
}

/// Does every write, some at a time; returns the ticket that each key was acknowledged with.
async fn write_all(scene: &Arc<Scene>, callers: &[Caller]) -> BTreeMap<String, String> {
    let mut acknowledged = BTreeMap::new();
    let mut writing = JoinSet::new();
    let mut next = 0;
    while acknowledged.len() < scene.plan.writes {
        while writing.len() < scene.plan.in_flight && next < scene.plan.writes {
            let (scene, caller) = (scene.clone(), callers[next % callers.len()].clone());
            writing.spawn(async move { write_until_acknowledged(&scene, &caller, next).await });
            next += 1;
        }
        let (key, ticket) = writing.join_next().await.expect("writes are under way").unwrap();
        acknowledged.insert(key, ticket);
    }
    acknowledged
}

/// Sends a write again, always under the same key, until somebody says that it is done.
async fn write_until_acknowledged(scene: &Scene, caller: &Caller, number: usize) -> (String, String) {
    let (counts, dice) = (&scene.counts, Dice::new(scene.seed, 1_000 + u64::try_from(number).unwrap()));
    let (key, arguments) = asked(number);
    let begun = instant();
    loop {
        assert!(begun.elapsed() < 2 * PATIENCE, "{key} is never done");
        one_more(&counts.attempts);
        let wait = match caller.try_call(&scene.fleet, "create_ticket", &arguments).await {
            Err(_) => {
                one_more(&counts.unanswered);
                20
            }
            Ok(answer) if answer.status == StatusCode::OK => {
                let result = &answer.body["result"];
                if result["isError"] == false {
                    if result["_meta"]["mandate/replayed"] == true {
                        one_more(&counts.replays);
                    }
                    one_more(&counts.acknowledged);
                    return (key, ticket(result));
                }
                assert!(result["_meta"]["mandate/retryAfterSeconds"].is_number(), "{}", answer.body);
                one_more(&counts.in_progress);
                400
            }
            Ok(answer) => {
                assert!(answer.status.is_server_error(), "{key}: {} {}", answer.status, answer.body);
                one_more(match answer.status {
                    StatusCode::BAD_GATEWAY => &counts.bad_gateway,
                    StatusCode::SERVICE_UNAVAILABLE => &counts.unavailable,
                    _ => &counts.other_5xx,
                });
                30
            }
        };
        tokio::time::sleep(Duration::from_millis(u64::try_from(wait + dice.below(wait)).unwrap())).await;
    }
}

fn ticket(result: &Value) -> String {
    result["structuredContent"]["id"].as_str().unwrap_or_else(|| panic!("no ticket in {result}")).to_owned()
}

/// Retries of what is done long since get the first answer, whoever is asked.
async fn replay_some(scene: &Scene, callers: &[Caller], acknowledged: &BTreeMap<String, String>) {
    for number in (0..scene.plan.writes).step_by(scene.plan.writes / 10) {
        let (key, arguments) = asked(number);
        let (caller, replica) = (&callers[number % callers.len()], scene.fleet.replica(number));
        let again = caller.call(&replica, "create_ticket", &arguments).await;
        assert_eq!(again.body["result"]["_meta"]["mandate/replayed"], true, "{}", again.body);
        assert_eq!(ticket(&again.body["result"]), acknowledged[&key]);
    }
}
