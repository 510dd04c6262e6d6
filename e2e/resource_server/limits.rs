//! Rate limits (G68).

use std::time::Duration;

use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::Server;
use crate::support::mcp::{Answer, BOTH, Mcp, mint};

fn check_limited(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.body);
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!(wait >= 1);
    assert_eq!((answer.code(), &answer.body["id"]), (429, &json!(7)));
    assert_eq!(answer.body["error"]["data"]["retry_after_seconds"], wait);
    assert_eq!(answer.header("www-authenticate"), "");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn g68_too_many_calls_are_429_with_the_wait_and_a_json_rpc_error() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &alice, BOTH).await;
    for _ in 0..20 {
        client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    }
    let limited = client.call("create_ticket", json!({ "title": "t", "body": "b" })).await;
    check_limited(&limited);
    assert!(limited.body["error"]["message"].as_str().unwrap().contains("20 write calls in 60 seconds"));
    assert_eq!(
        client.call("search_tickets", json!({ "query": "*" })).await.status,
        StatusCode::OK,
        "reads are counted apart"
    );
    let wait = limited.header("retry-after").parse().unwrap();
    server.advance(Duration::from_secs(wait));
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
}

#[tokio::test]
async fn reads_are_limited_for_each_user_and_client_and_the_protocol_is_not() {
    let server = Server::start_with(|config| config.mcp.read_rate.burst = 3).await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let bob = server.add_user("bob", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &alice, BOTH).await;
    client.call("search_tickets", json!({ "query": "*" })).await.structured();
    client.ask("resources/list", json!({})).await;
    client.ask("resources/read", json!({ "uri": "ticket://T-1" })).await;
    check_limited(&client.call("get_ticket", json!({ "id": "T-1" })).await);
    check_limited(&client.ask("resources/list", json!({})).await);
    for _ in 0..10 {
        assert_eq!(client.ask("tools/list", json!({})).await.status, StatusCode::OK);
    }
    // Another grant of the same user to the same client does not help; another user or client is another count.
    let again = Mcp::of(&server, &alice, BOTH).await;
    check_limited(&again.call("search_tickets", json!({ "query": "*" })).await);
    for (user, client_id) in [(&alice, "client_2"), (&bob, "client_1")] {
        let other = Mcp::modern(&server, &mint(&server, user, client_id, BOTH).await.token);
        assert_eq!(other.call("search_tickets", json!({ "query": "*" })).await.status, StatusCode::OK);
    }
}
