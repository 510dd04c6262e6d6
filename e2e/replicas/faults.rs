//! Redis or PostgreSQL is gone or hangs: everybody is told quickly to come back, nobody is let in who must not be,
//! and everything works again by itself.

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use super::support::caller::{Caller, answer};
use super::support::fleet::{Direct, Fleet};
use super::support::{Backing, eventually, instant};
use crate::support::browser::{Address as _, Browser};
use crate::support::mcp::Answer;

/// How long anybody may wait for the answer that there is none.
const AT_MOST: Duration = Duration::from_secs(2);
/// How soon everything works again.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// How many ask at once.
const CROWD: usize = 50;

/// What breaks, and how it comes back.
struct Fault {
    name: &'static str,
    begin: fn(&Backing),
    end: fn(&Backing),
}

const REDIS: [Fault; 2] = [
    Fault { name: "Redis stopped", begin: |it| it.redis.stop(), end: |it| it.redis.start_again() },
    Fault { name: "Redis frozen", begin: |it| it.redis.freeze(), end: |it| it.redis.thaw() },
];

const POSTGRES: [Fault; 2] = [
    Fault { name: "PostgreSQL stopped", begin: |it| it.postgres.stop(), end: |it| it.postgres.start_again() },
    Fault { name: "PostgreSQL frozen", begin: |it| it.postgres.freeze(), end: |it| it.postgres.thaw() },
];

/// A replica, its servers, and who asks it.
struct Scene {
    backing: Backing,
    fleet: Fleet,
    living: Caller,
    revoked: Caller,
}

impl Scene {
    async fn open(more: &[(&str, &str)]) -> Option<Self> {
        let backing = Backing::start()?;
        let url = backing.postgres.fresh_database().await;
        let fleet = Fleet::start(1, &url, &backing.redis.url(), more);
        fleet.add_user("alice");
        let living = Caller::connect(&fleet, "alice").await;
        let revoked = Caller::connect(&fleet, "alice").await;
        let given_back = revoked.form(&fleet, "/revoke", &[("token", &revoked.refresh_token)]).await;
        assert_eq!(given_back.status, StatusCode::OK);
        assert_eq!(living.status(&fleet.replica(0)).await, StatusCode::OK);
        Some(Self { backing, fleet, living, revoked })
    }

    fn replica(&self) -> Direct {
        self.fleet.replica(0)
    }

    async fn probe(&self, path: &str) -> StatusCode {
        answer(self.fleet.http.get(self.replica().at(path))).await.unwrap().status
    }

    /// Goes through a fault: refusals while it lasts, and the way back.
    async fn survive(&mut self, fault: &Fault) {
        // How fast this machine is today.
        let usual = slowest(&self.reads(CROWD).await);
        (fault.begin)(&self.backing);
        let mut longest = Duration::ZERO;
        // The first crowd finds connections that were good a moment ago, the second one knows better.
        for _ in 0..2 {
            longest = longest.max(self.refuses_a_crowd(fault.name, usual).await);
        }
        assert_eq!(self.probe("/live").await, StatusCode::OK, "{}", fault.name);
        (fault.end)(&self.backing);
        let back =
            eventually("it is ready again", async || self.probe("/ready").await == StatusCode::OK).await;
        self.works().await;
        println!("{}: refused within {longest:.2?}, back after {back:.2?}", fault.name);
        assert!(back < BACK_WITHIN, "{}: {back:?}", fault.name);
    }

    /// So many read at once; each answer, and how long it took.
    async fn reads(&self, many: usize) -> Vec<(Answer, Duration)> {
        let replica = self.replica();
        join_all((0..many).map(async |_| {
            let begun = instant();
            let answer = self.living.call(&replica, "search_tickets", &json!({ "query": "x" })).await;
            (answer, begun.elapsed())
        }))
        .await
    }

    /// Many ask at once; each gets the right refusal in time, which is so much more than `usual` at most. Returns how
    /// long the slowest took.
    async fn refuses_a_crowd(&self, fault: &str, usual: Duration) -> Duration {
        let replica = self.replica();
        let asked = join_all((0..CROWD).map(async |number| {
            let begun = instant();
            let (kind, answer) = match number % 5 {
                0 => {
                    (Kind::Mcp, self.living.call(&replica, "search_tickets", &json!({ "query": "x" })).await)
                }
                1 => {
                    let ticket = json!({ "title": "t", "body": "b", "idempotency_key": format!("{number}") });
                    (Kind::Mcp, self.living.call(&replica, "create_ticket", &ticket).await)
                }
                2 => (Kind::Token, self.living.refresh(&replica).await),
                3 => (
                    Kind::Revoked,
                    self.revoked.call(&replica, "search_tickets", &json!({ "query": "x" })).await,
                ),
                _ => (Kind::Ready, answer(self.fleet.http.get(replica.at("/ready"))).await.unwrap()),
            };
            (kind, answer, begun.elapsed())
        }))
        .await;
        for (kind, answer, took) in &asked {
            kind.check(answer);
            assert!(*took <= usual + AT_MOST, "{fault}: {kind:?} took {took:?}, and usually {usual:?}");
        }
        asked.iter().map(|(_, _, took)| *took).max().unwrap()
    }

    /// Everything works, and what has ended has ended.
    async fn works(&mut self) {
        let replica = self.replica();
        let ticket = json!({ "title": "t", "body": "b" });
        let done = self.living.call(&replica, "create_ticket", &ticket).await;
        assert_eq!(done.structured()["title"], "t");
        assert_eq!(self.revoked.status(&replica).await, StatusCode::UNAUTHORIZED);
        let refreshed = self.living.refresh(&replica).await;
        assert_eq!(refreshed.status, StatusCode::OK, "{refreshed:?}");
        self.living = Caller::with(&self.fleet, &self.living.client_id, &refreshed.body);
        assert_eq!(self.living.status(&replica).await, StatusCode::OK);
        Browser::signed_in(&replica, "alice").await;
    }
}

#[derive(Debug)]
enum Kind {
    Mcp,
    Revoked,
    Token,
    Ready,
}

impl Kind {
    #[track_caller]
    fn check(&self, answer: &Answer) {
        if matches!(self, Self::Revoked) && answer.status == StatusCode::UNAUTHORIZED {
            return;
        }
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{self:?}: {answer:?}");
        if matches!(self, Self::Ready) {
            return assert_eq!(answer.body["serving"], true, "{answer:?}");
        }
        let seconds: u64 = answer.header("retry-after").parse().expect("Retry-After");
        assert!((1..=60).contains(&seconds), "{answer:?}");
        let reference = answer.header("x-reference-id");
        match self {
            Self::Mcp | Self::Revoked => {
                assert_eq!((&answer.body["jsonrpc"], &answer.body["id"]), (&json!("2.0"), &json!(1)));
                assert_eq!(answer.code(), -32603);
                assert_eq!(answer.body["error"]["data"]["reference"], reference, "{answer:?}");
            }
            Self::Token => {
                assert_eq!(answer.body["error"], "temporarily_unavailable", "{answer:?}");
                assert!(answer.body["error_description"].is_string(), "{answer:?}");
                assert!(!reference.is_empty(), "{answer:?}");
            }
            Self::Ready => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_everybody_is_refused_within_two_seconds_until_it_is_back() {
    let Some(mut scene) = Scene::open(&[]).await else { return };
    for fault in &REDIS {
        scene.survive(fault).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgresql_everybody_is_refused_within_two_seconds_until_it_is_back() {
    let Some(mut scene) = Scene::open(&[]).await else { return };
    for fault in &POSTGRES {
        scene.survive(fault).await;
    }
}

/// How many requests may be under way in the test of a crowd.
const ROOM: usize = 60;
/// How many come.
const FLOOD: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_frozen_database_requests_do_not_pile_up() {
    let room = ROOM.to_string();
    let Some(mut scene) = Scene::open(&[("MANDATE_LIMITS__REQUESTS_AT_ONCE", &room)]).await else { return };
    let told = |log: &str| log.lines().filter(|line| line.contains("too many requests wait for")).count();
    // How fast this machine is today. Also of these some may find no room.
    let usual = slowest(&scene.reads(FLOOD).await);
    let (before, told_before) = (memory(scene.fleet.pid(0)), told(&scene.fleet.log(0)));
    scene.backing.postgres.freeze();
    let asked = scene.reads(FLOOD).await;
    let grown = memory(scene.fleet.pid(0)).saturating_sub(before);
    scene.backing.postgres.thaw();
    for (answer, _) in &asked {
        Kind::Mcp.check(answer);
    }
    let turned_away = told(&scene.fleet.log(0)) - told_before;
    let longest = slowest(&asked);
    println!("{turned_away} of {FLOOD} turned away, slowest {longest:.2?}, {} KiB more", grown / 1024);
    // The room empties each time that the database's bound has passed.
    let waves = 1 + longest.as_millis() / 900;
    assert!(turned_away + ROOM * usize::try_from(waves).unwrap() >= FLOOD, "{turned_away} in {longest:?}");
    assert!(longest <= usual + AT_MOST, "{longest:?}, and usually {usual:?}");
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes");
    eventually("it is ready again", async || scene.probe("/ready").await == StatusCode::OK).await;
    scene.works().await;
}

fn slowest(answers: &[(Answer, Duration)]) -> Duration {
    answers.iter().map(|(_, took)| *took).max().unwrap()
}

/// How much memory a process uses, in bytes.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
