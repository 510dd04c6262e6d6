//! A cluster is upgraded while it serves: the version before the newest migration and this one run together on one
//! database, and this one runs on a schema that a newer version made. `e2e/run upgrade` builds the other binary and
//! names it in `MANDATE_PREVIOUS_BINARY`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::StatusCode;
use serde_json::json;
use sqlx::Executor as _;
use tokio::task::JoinSet;

use crate::binary::{Place, Running, ended};
use crate::replicas::support::caller::Caller;
use crate::replicas::support::fleet::Fleet;
use crate::replicas::support::record::{Record, title};
use crate::support::PASSWORD;
use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::mcp::Mcp;
use crate::support::services::postgres::shared_postgres;
use crate::support::services::redis::shared_redis;

/// How many call all the time.
const CALLERS: usize = 4;
const THIS: &str = env!("CARGO_BIN_EXE_mandate");

fn previous() -> PathBuf {
    let named = std::env::var_os("MANDATE_PREVIOUS_BINARY");
    PathBuf::from(named.expect("e2e/run upgrade names the binary in MANDATE_PREVIOUS_BINARY"))
}

async fn schema(url: &str) -> i64 {
    let pool = pool(url).await;
    let (schema,) =
        sqlx::query_as("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&pool).await.unwrap();
    pool.close().await;
    schema
}

async fn pool(url: &str) -> sqlx::AnyPool {
    sqlx::any::install_default_drivers();
    sqlx::AnyPool::connect(url).await.unwrap()
}

async fn change(url: &str, statements: &'static str) {
    let pool = pool(url).await;
    pool.execute(statements).await.unwrap();
    pool.close().await;
}

/// Those who call through the balancer all the time, and what was acknowledged to them.
struct Crowd {
    calling: JoinSet<BTreeMap<String, String>>,
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
}

impl Crowd {
    async fn gather(fleet: &Arc<Fleet>) -> Self {
        let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut calling = JoinSet::new();
        for number in 0..CALLERS {
            let caller = Caller::connect(fleet, "alice").await;
            let (fleet, is_over, answered) = (fleet.clone(), is_over.clone(), answered.clone());
            calling.spawn(async move {
                let mut acknowledged = BTreeMap::new();
                while !is_over.load(Ordering::SeqCst) {
                    let key = format!("crowd-{number}-{}", acknowledged.len());
                    let made = make(&caller, &*fleet, &key).await;
                    acknowledged.insert(key, made);
                    assert_eq!(caller.status(&*fleet).await, StatusCode::OK);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                acknowledged
            });
        }
        Self { calling, is_over, answered }
    }

    /// Waits until calls have come in since.
    async fn goes_on(&self) {
        let before = self.answered.load(Ordering::SeqCst);
        while self.answered.load(Ordering::SeqCst) < before + CALLERS {
            tokio::task::yield_now().await;
        }
    }

    async fn disperse(mut self) -> BTreeMap<String, String> {
        self.is_over.store(true, Ordering::SeqCst);
        let mut all = BTreeMap::new();
        while let Some(acknowledged) = self.calling.join_next().await {
            all.extend(acknowledged.unwrap());
        }
        all
    }
}

/// Makes a ticket under a key; returns its id.
async fn make(caller: &Caller, at: &dyn crate::support::browser::Address, key: &str) -> String {
    let ticket = json!({ "title": title(key), "body": "Upgrading.", "idempotency_key": key });
    let answer = caller.call(at, "create_ticket", &ticket).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.structured()["id"].as_str().unwrap().to_owned()
}

/// Replaces a replica's binary while the others serve.
async fn replace(fleet: &Arc<Fleet>, number: usize, program: &Path) {
    let (fleet, program) = (fleet.clone(), program.to_owned());
    let replaced = tokio::task::spawn_blocking(move || {
        assert_eq!(fleet.stop(number), Some(0));
        fleet.change_program(number, &program);
        fleet.begin(number);
    });
    replaced.await.unwrap();
}

/// Whatever one of two replicas gives, the other takes.
async fn each_takes_what_the_other_gives(fleet: &Fleet, round: &str) -> BTreeMap<String, String> {
    let mut acknowledged = BTreeMap::new();
    for giver in 0..2 {
        let (here, there) = (fleet.replica(giver), fleet.replica(giver + 1));
        // Signed in here, allowed there; the code of one is redeemed at the other.
        let turns = fleet.turns(giver);
        let client = Client::register(&here).await;
        let mut caller = Caller::of(fleet, "alice", &Client::known(&turns, client.client_id.as_str())).await;
        assert_eq!(caller.status(&here).await, StatusCode::OK);
        assert_eq!(caller.status(&there).await, StatusCode::OK);
        // Renewed there, again here: each rotates what the other gave.
        for at in [&there, &here, &there] {
            let renewed = caller.refresh(at).await;
            assert_eq!(renewed.status, StatusCode::OK, "{renewed:?}");
            caller.access_token = renewed.body["access_token"].as_str().unwrap().to_owned();
            caller.refresh_token = renewed.body["refresh_token"].as_str().unwrap().to_owned();
        }
        // Under one key it is done once, whoever is asked.
        let key = format!("{round}-{giver}");
        let made = make(&caller, &here, &key).await;
        assert_eq!(make(&caller, &there, &key).await, made);
        acknowledged.insert(key, made);
        // Taken back here, refused there from the very next call.
        let given_back = caller.form(&here, "/revoke", &[("token", &caller.refresh_token)]).await;
        assert_eq!(given_back.status, StatusCode::OK);
        assert_eq!(caller.status(&there).await, StatusCode::UNAUTHORIZED);
        assert_eq!(caller.refresh(&there).await.body["error"], "invalid_grant");
        // Somebody signed in here is signed in there, and signed out on both.
        let browser = Browser::signed_in(&here, "alice").await;
        let mut other = Browser::new(&there);
        other.cookies.clone_from(&browser.cookies);
        let page = other.get("/account").await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "e2e/run upgrade builds the binary to upgrade from"]
async fn a_cluster_is_upgraded_and_taken_back_while_it_serves() {
    let (Some(postgres), Some(redis)) = (shared_postgres(), shared_redis()) else { return };
    let url = postgres.fresh_database().await;
    let (previous, this) = (previous(), Path::new(THIS));
    let settings = [("MANDATE_REDIS_PREFIX", url.rsplit_once('/').unwrap().1)];
    let fleet = Arc::new(Fleet::start_of(&previous, 2, (&url, &redis.url()), &settings));
    fleet.add_user("alice");
    let before = schema(&url).await;
    let crowd = Crowd::gather(&fleet).await;
    crowd.goes_on().await;

    // The first new one brings the schema up to date, and the old one goes on.
    replace(&fleet, 1, this).await;
    let own = schema(&url).await;
    assert!(own >= before, "{own} after {before}");
    crowd.goes_on().await;
    let mut acknowledged = each_takes_what_the_other_gives(&fleet, "mixed").await;

    replace(&fleet, 0, this).await;
    crowd.goes_on().await;
    acknowledged.extend(each_takes_what_the_other_gives(&fleet, "new").await);

    // Back to the former version, where that knows that it may.
    if before >= 12 {
        replace(&fleet, 1, &previous).await;
        acknowledged.extend(each_takes_what_the_other_gives(&fleet, "back").await);
        replace(&fleet, 1, this).await;
    } else {
        fleet.change_program(1, &previous);
        let said = fleet.refused(1);
        assert!(said.contains("newer version"), "{said}");
        fleet.change_program(1, this);
    }

    // The next release brings the schema further; this version goes on, and starts anew.
    change(
        &url,
        "ALTER TABLE users ADD COLUMN of_the_next_release TEXT; \
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9000, 'next', TRUE, '\\x00', 0)",
    )
    .await;
    crowd.goes_on().await;
    replace(&fleet, 0, this).await;
    assert!(fleet.log(0).contains("a newer version brought the database to its schema"), "{}", fleet.log(0));
    crowd.goes_on().await;
    acknowledged.extend(each_takes_what_the_other_gives(&fleet, "back-by-one").await);

    // The release after that takes something away, and says so.
    change(&url, "UPDATE compatibility SET oldest_schema = 9000").await;
    let said = fleet.refused(0);
    assert!(said.contains("newer version") && said.contains("schema 9000 is the oldest"), "{said}");
    change(&url, "UPDATE compatibility SET oldest_schema = 11").await;

    acknowledged.extend(crowd.disperse().await);
    let verified = fleet.run(&["audit", "verify"], "");
    assert!(verified.contains("as it was written"), "{verified}");
    println!("{} deeds, each done once, over schemas {before}, {own}, 9000", acknowledged.len());
    Record::read(&url).await.assert_each_done_once(&acknowledged);
}

/// A file serves one process: the new version takes over from the former one.
#[tokio::test]
#[ignore = "e2e/run upgrade builds the binary to upgrade from"]
async fn a_file_of_the_former_version_is_taken_over_and_backed_up_before() {
    let place = Place::on_a_file();
    let start = |program: &Path| {
        let mut command = place.command_of(program, &["serve"]);
        Running::wait_for(command.env("MANDATE_DRAIN_DELAY", "0s").stderr(Stdio::null()))
    };
    let mut adding = place.command_of(&previous(), &["user", "add", "alice"]);
    assert!(ended(&mut adding, &format!("{PASSWORD}\n")).status.success());
    let running = start(&previous());
    let client = Client::register(&place).await;
    let tokens = client.obtain_tokens("alice").await;
    // The new binary backs the former one's database up, and changes nothing in it.
    let before = schema(&format!("sqlite://{}", place.path("data/mandate.db").display())).await;
    let said = place.done(&["backup", "before.backup"], "");
    assert!(said.contains(&format!("schema {before}, ")), "{said}");
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
    let running = start(Path::new(THIS));
    let token = tokens["access_token"].as_str().unwrap();
    let answer = Mcp::modern(&place, token).call("search_tickets", json!({ "query": "x" })).await;
    assert_eq!(answer.status, StatusCode::OK);
    let (status, _) = client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(place.done(&["audit", "verify"], "").contains("as it was written"));
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
    // Should it not please: the backup of before, brought up to date again.
    place.done(&["restore", "before.backup"], "");
    assert!(place.done(&["user", "list"], "").contains("alice"));
}
