//! Our own faults are 503 or 500 with a reference, never "invalid".

use std::time::Duration;

use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::Server;
use crate::support::mcp::{Answer, BOTH, Mcp, mint};

fn check_fault(answer: &Answer, status: StatusCode) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.code(), -32603);
    assert_eq!(answer.header("www-authenticate"), "");
    let reference = answer.body["error"]["data"]["reference"].as_str().unwrap();
    assert_eq!(reference, answer.header("x-reference-id"));
    assert!(answer.body["error"]["message"].as_str().unwrap().contains(reference));
}

#[tokio::test]
async fn a_database_that_is_away_is_503_and_never_401() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let token = mint(&server, &alice, "client_1", BOTH).await.token;
    server.app.store.close().await;
    for client in [Mcp::modern(&server, &token), Mcp::legacy(&server, &token)] {
        for method in ["tools/list", "server/discover"] {
            let answer = client.ask(method, json!({})).await;
            check_fault(&answer, StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
    }
}

#[tokio::test]
async fn a_writer_that_stays_busy_is_503_for_writes_while_reads_go_on() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &alice, BOTH).await;
    client.ask("tools/list", json!({})).await;
    let busy = server.hold_writes().await;
    let write = client.call("create_ticket", json!({ "title": "t", "body": "b" })).await;
    check_fault(&write, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(write.body["id"], 7);
    client.call("search_tickets", json!({ "query": "*" })).await.structured();
    drop(busy);
    server.advance(Duration::from_secs(1));
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
}
