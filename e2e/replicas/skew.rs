//! Replicas whose clocks differ by a minute: what one issues is good at the other, and nobody is taken for a thief.

use std::sync::Arc;
use std::time::Duration;

use mandate::app::App;
use mandate::clock::ManualClock;
use mandate::config::{Config, PublicUrl};
use mandate::ephemeral::Rate;
use mandate::ephemeral::redis::RedisUrl;
use mandate::identity::account::{self, Username};
use mandate::identity::password::Password;
use mandate::random::Random;
use mandate::storage::postgres::PostgresUrl;
use mandate::storage::users::Role;
use mandate::storage::{Database, commit};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::browser::{Address, Browser};
use crate::support::client::{Client, VERIFIER};
use crate::support::mcp::Mcp;
use crate::support::services::postgres::shared_postgres;
use crate::support::services::redis::{age, shared_redis};
use crate::support::{PASSWORD, START};

/// How far apart the clocks are.
const SKEW: Duration = Duration::from_secs(60);
/// Writes that one client may do at once.
const WRITES: u32 = 4;

/// Who of two does the first thing, and who the second.
const WAYS: [(usize, usize); 2] = [(0, 1), (1, 0)];

/// Two replicas in this process on an empty database. The clock of one is ahead, and that one may be the first to
/// start or the second.
struct Pair {
    replicas: Vec<Replica>,
    redis: (String, String),
    _serving: JoinSet<()>,
    _folder: tempfile::TempDir,
}

struct Replica {
    app: Arc<App>,
    clock: Arc<ManualClock>,
    url: String,
}

impl Address for Replica {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

impl Pair {
    /// Starts them, the one whose clock is ahead first or second.
    async fn start(ahead: usize) -> Option<Self> {
        let (postgres, redis) = (shared_postgres()?, shared_redis()?);
        let url = postgres.fresh_database().await;
        let prefix = format!("skew-{}", url.rsplit_once('/').unwrap().1);
        let folder = tempfile::tempdir().unwrap();
        let (mut replicas, mut serving) = (Vec::new(), JoinSet::new());
        for number in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut config = Config::defaults().unwrap();
            let address = listener.local_addr().unwrap();
            config.listen = address.into();
            config.public_url = PublicUrl::parse("http://localhost:8080").unwrap();
            config.database = Database::Postgres { url: PostgresUrl::parse(&url).unwrap(), connections: 5 };
            config.redis = RedisUrl::parse(&redis.url(), &prefix);
            config.secret_key_file = folder.path().join("mandate.key");
            config.mcp.write_rate = Rate::of(WRITES, Duration::from_mins(1));
            let url = format!("http://{address}");
            let clock = Arc::new(ManualClock::new(START));
            if number == ahead {
                clock.advance(SKEW);
            }
            let app = Arc::new(App::open(config, clock.clone(), Random::system()).await.unwrap());
            serving.spawn(mandate::server::serve(app.clone(), listener));
            replicas.push(Replica { app, clock, url });
        }
        let pair = Self { replicas, redis: (redis.url(), prefix), _serving: serving, _folder: folder };
        pair.add_user("alice").await;
        Some(pair)
    }

    /// Both pairs: the one ahead starts first, or second.
    async fn both() -> Vec<Self> {
        let mut pairs = Vec::new();
        for ahead in [0, 1] {
            pairs.extend(Self::start(ahead).await);
        }
        pairs
    }

    /// Lets time go by everywhere.
    fn pass(&self, duration: Duration) {
        for replica in &self.replicas {
            replica.clock.advance(duration);
        }
        age(&self.redis.0, &self.redis.1, duration);
    }

    /// Redis loses everything; no time goes by.
    fn forget(&self) {
        age(&self.redis.0, &self.redis.1, Duration::from_hours(1000));
    }

    async fn add_user(&self, username: &str) {
        let app = &self.replicas[0].app;
        let (name, password) = (Username::parse(username).unwrap(), Password::chosen(PASSWORD).unwrap());
        let user = account::prepare(app, &name, password, Role::Agent).await.unwrap();
        let mut tx = app.store.write().await.unwrap();
        account::record(app, &mut tx, &user).await.unwrap();
        commit(tx).await.unwrap();
    }

    /// A client as both see it, and a browser in which alice is signed in at the first of the two.
    async fn clients(&self, (here, there): (usize, usize)) -> (Client<'_>, Client<'_>, Browser<'_>) {
        let (here, there) = (&self.replicas[here], &self.replicas[there]);
        let client = Client::register(here).await;
        let other = Client::known(there, client.client_id.clone());
        (client, other, Browser::signed_in(here, "alice").await)
    }

    async fn status(&self, number: usize, tokens: &Value) -> StatusCode {
        let mcp = Mcp::modern(&self.replicas[number], tokens["access_token"].as_str().unwrap());
        mcp.call("search_tickets", json!({ "query": "x" })).await.status
    }
}

/// A code through the browser.
async fn code(client: &Client<'_>, browser: &mut Browser<'_>) -> String {
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let both = ["tickets:read", "tickets:write"];
    browser.decide(&path, &page, "allow", &both).await.answer()["code"].clone()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_code_lives_a_minute_on_replicas_a_minute_apart() {
    for pair in Pair::both().await {
        for way in WAYS {
            let (here, there, mut browser) = pair.clients(way).await;
            for wait in [0, 50] {
                let code = code(&here, &mut browser).await;
                pair.pass(seconds(wait));
                let (status, tokens) = there.redeem(&code).await;
                assert_eq!(status, StatusCode::OK, "{way:?} after {wait} s: {tokens}");
                for number in [0, 1] {
                    assert_eq!(pair.status(number, &tokens).await, StatusCode::OK, "{way:?}");
                }
                assert_eq!(
                    here.redeem(&code).await.1["error"],
                    "invalid_grant",
                    "a replay is one everywhere"
                );
                assert_eq!(pair.status(way.1, &tokens).await, StatusCode::UNAUTHORIZED);
            }
            let late = code(&here, &mut browser).await;
            pair.pass(seconds(60) + SKEW);
            for client in [&here, &there] {
                assert_eq!(client.redeem(&late).await.1["error"], "invalid_grant", "{way:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_race_of_refreshes_is_forgiven_and_a_theft_is_not_on_replicas_a_minute_apart() {
    let Some(pair) = Pair::start(0).await else { return };
    for way in WAYS {
        let (here, there, mut browser) = pair.clients(way).await;
        let (_, first) = here.redeem(&code(&here, &mut browser).await).await;
        let presented = first["refresh_token"].as_str().unwrap();
        let (_, rotated) = here.refresh(presented).await;
        pair.pass(seconds(25));
        let (status, again) = there.refresh(presented).await;
        assert_eq!(status, StatusCode::OK, "{way:?}: {again}");
        assert_eq!(again["refresh_token"], rotated["refresh_token"]);
        assert_eq!(pair.status(way.0, &again).await, StatusCode::OK);
        pair.pass(seconds(6) + SKEW);
        assert_eq!(there.refresh(presented).await.1["error"], "invalid_grant", "{way:?}");
        let successor = rotated["refresh_token"].as_str().unwrap();
        assert_eq!(here.refresh(successor).await.1["error"], "invalid_grant", "the grant has ended");
    }
}

#[tokio::test]
async fn sign_in_and_decision_are_taken_on_replicas_a_minute_apart() {
    let Some(pair) = Pair::start(0).await else { return };
    for way in WAYS {
        let (here, there) = (&pair.replicas[way.0], &pair.replicas[way.1]);
        let client = Client::register(here).await;
        let (mut browser, mut other_browser) = (Browser::new(here), Browser::new(there));
        // Signing in is asked for once, wherever the request began.
        let begun = browser.get(&client.authorize(&[("prompt", "login")])).await;
        other_browser.cookies.clone_from(&browser.cookies);
        let page = other_browser.get(&begun.location).await;
        let path = other_browser.sign_in(&page, "alice", PASSWORD).await.location;
        browser.cookies.clone_from(&other_browser.cookies);
        let page = browser.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{way:?}: {page:?}");
        let first = browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer();
        other_browser.cookies.clone_from(&browser.cookies);
        let second = other_browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer();
        assert_eq!(first, second, "a second click gets the same answer");
        for browser in [&mut browser, &mut other_browser] {
            assert_eq!(browser.get("/account").await.status, StatusCode::OK);
        }
        let form =
            [("grant_type", "authorization_code"), ("code", &first["code"]), ("code_verifier", VERIFIER)];
        let (status, tokens) = client.token(&form).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
    }
}

#[tokio::test]
async fn limits_and_idempotency_keys_hold_on_replicas_a_minute_apart() {
    let Some(pair) = Pair::start(0).await else { return };
    for way in WAYS {
        let (here, _, mut browser) = pair.clients(way).await;
        let (_, tokens) = here.redeem(&code(&here, &mut browser).await).await;
        let token = tokens["access_token"].as_str().unwrap();
        let callers = [way.0, way.1].map(|number| Mcp::modern(&pair.replicas[number], token));
        let ticket = json!({ "title": "Once", "body": "b", "idempotency_key": "k" });
        let done = callers[0].call("create_ticket", ticket.clone()).await;
        let again = callers[1].call("create_ticket", ticket.clone()).await;
        assert_eq!(again.structured(), done.structured());
        pair.forget();
        let after_a_loss = callers[1].call("create_ticket", ticket.clone()).await;
        assert_eq!(after_a_loss.structured(), done.structured());
        for turn in 1..2 * WRITES {
            let mut ticket = ticket.clone();
            ticket["idempotency_key"] = json!(format!("k{turn}"));
            let answer = callers[turn as usize % 2].call("create_ticket", ticket).await;
            let expected = if turn < WRITES { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS };
            assert_eq!(answer.status, expected, "{way:?} {turn}");
            if turn >= WRITES {
                let wait: u32 = answer.header("retry-after").parse().unwrap();
                assert!((1..=60 / WRITES).contains(&wait), "{wait}");
            }
        }
        pair.pass(seconds(u64::from(60 / WRITES)));
        let one_more = json!({ "title": "More", "body": "b" });
        assert_eq!(callers[0].call("create_ticket", one_more.clone()).await.status, StatusCode::OK);
        let limited = callers[1].call("create_ticket", one_more).await.status;
        assert_eq!(limited, StatusCode::TOO_MANY_REQUESTS);
    }
}
