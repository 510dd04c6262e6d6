//! Progress of long calls (MCP basic/utilities/progress; B4.10), and their end when nobody waits for them (B3.17).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mandate::clock::{Clock, Timestamp};
use mandate::storage::users::Role;
use serde_json::{Value, json};

use crate::support::mcp::{BOTH, Mcp, eras, mint};
use crate::support::profile::Profile;
use crate::support::{START, Server};

/// A clock on which a second goes by whenever somebody looks, so that everything takes long.
#[derive(Debug)]
struct Slow(AtomicI64);

impl Clock for Slow {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1_000, Ordering::SeqCst))
    }
}

async fn slow_server() -> (Server, String) {
    let clock = Arc::new(Slow(AtomicI64::new(START.0)));
    let server = Server::start_with_app(|_| {}, |app| app.clock = clock).await;
    let user = server.add_user("alice", Role::Agent).await;
    let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
    (server, token)
}

fn search(token: Option<Value>) -> Value {
    let mut params = json!({ "name": "search_tickets", "arguments": { "query": "nothing of the kind" } });
    if let Some(token) = token {
        params["_meta"] = json!({ "progressToken": token });
    }
    params
}

#[tokio::test]
async fn b4_10_a_long_search_tells_its_progress_to_those_who_gave_a_token() {
    let (server, token) = slow_server().await;
    for client in eras(&server, &token) {
        for given in [json!("a token"), json!(42)] {
            let answer = client.ask("tools/call", search(Some(given.clone()))).await;
            assert_eq!(answer.header("content-type"), "text/event-stream");
            assert_eq!(answer.header("x-accel-buffering"), "no");
            assert_eq!(answer.structured()["tickets"], json!([]), "the answer ends the stream");
            assert_eq!(answer.body["id"], 7);
            let mut last = 0.0;
            for notice in &answer.before {
                assert_eq!(notice["method"], "notifications/progress");
                assert_eq!(
                    (&notice["params"]["progressToken"], &notice["params"]["total"]),
                    (&given, &json!(100.0))
                );
                let progress = notice["params"]["progress"].as_f64().unwrap();
                assert!(progress > last && progress < 100.0, "{notice}");
                last = progress;
            }
            assert!(last > 0.0, "at least one");
        }
    }
}

#[tokio::test]
async fn b4_10_without_a_token_and_from_what_is_done_at_once_there_is_no_progress() {
    let (server, token) = slow_server().await;
    for client in eras(&server, &token) {
        let answer = client.ask("tools/call", search(None)).await;
        assert_eq!((answer.header("content-type"), answer.before.len()), ("application/json", 0));
        let mut get = json!({ "name": "get_ticket", "arguments": { "id": "T-1" } });
        get["_meta"] = json!({ "progressToken": "p" });
        assert_eq!(client.ask("tools/call", get).await.header("content-type"), "application/json");
    }
    let quick = Server::start().await;
    let user = quick.add_user("alice", Role::Agent).await;
    let client = Mcp::of(&quick, &user.user_id, BOTH).await;
    let answer = client.ask("tools/call", search(Some(json!("p")))).await;
    assert_eq!((answer.header("content-type"), answer.before.len()), ("application/json", 0));
}

#[tokio::test]
async fn b3_17_a_search_whose_client_went_away_looks_no_further() {
    // Readers of SQLite wait for nobody, so there no search can be met half way.
    if !Profile::is_services() {
        return;
    }
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
    let (modern, legacy) = (Mcp::modern(&server, &token), Mcp::legacy(&server, &token));
    modern.ask("tools/list", json!({})).await;
    let idle = server.idle_holders().await;
    let database = server.profile.database().await;
    let waiting = async |expected: i64| loop {
        let count = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = \
            (SELECT oid FROM pg_database WHERE datname = current_database())";
        let (count,): (i64,) = sqlx::query_as(count).fetch_one(&database).await.unwrap();
        if count == expected {
            return;
        }
    };
    let mut tx = server.app.store.write().await.unwrap();
    sqlx::query("LOCK TABLE tickets IN ACCESS EXCLUSIVE MODE").execute(&mut *tx).await.unwrap();
    // Waits before the other does, so it would be given up first.
    let mut patience = pin!(legacy.ask("tools/call", search(None)));
    let going = async {
        waiting(1).await;
        let patient = server.holders(|count| count > idle).await;
        let mut asking = Box::pin(modern.ask("tools/call", search(None)));
        tokio::select! {
            answer = &mut asking => panic!("{}", answer.body),
            () = waiting(2) => {}
        }
        assert!(server.holders(|_| true).await > patient);
        drop(asking);
        server.holders(|count| count == patient).await;
    };
    tokio::select! {
        biased;
        answer = &mut patience => panic!("the cancelled search went on as long as it could: {}", answer.body),
        () = going => {}
    }
    drop(tx);
    assert_eq!(patience.await.structured()["tickets"], json!([]));
}
