//! A write happens once for an idempotency key (G69).

use std::time::Duration;

use futures::future::join_all;
use mandate::ephemeral::admission::{Claim, ClaimKey, Settled};
use mandate::oauth::UserId;
use mandate::oauth::secret::SecretHash;
use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::Server;
use crate::support::mcp::{BOTH, Mcp, mint, tool_calls};

async fn count(client: &Mcp<'_>) -> usize {
    let found = client.call("search_tickets", json!({ "query": "*", "limit": 50 })).await;
    found.structured()["tickets"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_retried_write_gets_the_first_result_and_does_nothing() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &user, BOTH).await;
    let arguments = json!({ "title": "t", "body": "b", "idempotency_key": "k-1" });
    let first = client.call("create_ticket", arguments.clone()).await;
    assert!(first.body["result"]["_meta"].get("mandate/replayed").is_none());
    server.advance(Duration::from_mins(30));
    // A default that is written out is the same deed.
    let spelled = json!({ "idempotency_key": "k-1", "body": "b", "priority": "medium", "title": "t" });
    for retry in [arguments.clone(), spelled] {
        let second = client.call("create_ticket", retry).await;
        assert_eq!(second.structured(), first.structured());
        assert_eq!(second.text(), first.text());
        assert_eq!(second.body["result"]["_meta"]["mandate/replayed"], true);
    }
    assert_eq!(count(&client).await, 1);
    assert_eq!(tool_calls(&server).await.len(), 1, "one event for one effect");
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    assert_eq!(count(&client).await, 2, "without a key every call is a new one");
}

#[tokio::test]
async fn a_key_used_for_another_deed_is_refused() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &user, BOTH).await;
    client
        .call("create_ticket", json!({ "title": "t", "body": "b", "idempotency_key": "k" }))
        .await
        .structured();
    for (tool, arguments) in [
        ("create_ticket", json!({ "title": "t", "body": "other", "idempotency_key": "k" })),
        ("create_ticket", json!({ "title": "t", "body": "b", "priority": "high", "idempotency_key": "k" })),
        ("close_ticket", json!({ "id": "T-1", "idempotency_key": "k" })),
    ] {
        let answer = client.call(tool, arguments).await;
        assert!(answer.problem().starts_with("idempotency_key: "), "{}", answer.text());
    }
    assert_eq!(count(&client).await, 1);
    let ticket = client.call("get_ticket", json!({ "id": "T-1" })).await;
    assert_eq!(ticket.structured()["status"], "open");
}

#[tokio::test]
async fn a_key_is_the_users_the_clients_and_a_days() {
    let server = Server::start().await;
    let (alice, bob) = (
        server.add_user("alice", Role::Agent).await.user_id,
        server.add_user("bob", Role::Agent).await.user_id,
    );
    let arguments = json!({ "title": "t", "body": "b", "idempotency_key": "k" });
    for (user, client_id) in [(&alice, "client_1"), (&alice, "client_2"), (&bob, "client_1")] {
        let client = Mcp::modern(&server, &mint(&server, user, client_id, BOTH).await.token);
        assert!(
            client.call("create_ticket", arguments.clone()).await.body["result"]["_meta"]
                .get("mandate/replayed")
                .is_none()
        );
    }
    server.advance(Duration::from_hours(24));
    let client = Mcp::of(&server, &alice, BOTH).await;
    let tomorrow = client.call("create_ticket", arguments).await;
    assert_eq!(tomorrow.structured()["id"], "T-4");
}

#[tokio::test]
async fn a_write_that_could_not_be_done_can_be_tried_again_under_its_key() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &user, BOTH).await;
    let close = json!({ "id": "T-1", "idempotency_key": "k" });
    assert!(client.call("close_ticket", close.clone()).await.problem().contains("not found"));
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    assert_eq!(client.call("close_ticket", close).await.structured()["outcome"], "closed");
}

#[tokio::test]
async fn of_many_calls_at_once_under_one_key_one_is_done() {
    let server = Server::start_with(|config| config.mcp.write_rate.burst = 100).await;
    let user = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &user, BOTH).await;
    let arguments = json!({ "title": "t", "body": "b", "idempotency_key": "k" });
    let answers = join_all((0..32).map(|_| client.call("create_ticket", arguments.clone()))).await;
    assert!(answers.iter().all(|answer| answer.structured()["id"] == "T-1"));
    let replayed = answers.iter().filter(|answer| answer.body["result"]["_meta"]["mandate/replayed"] == true);
    assert_eq!(replayed.count(), 31);
    assert_eq!(count(&client).await, 1);
}

/// Another attempt at `{ "title": "t", "body": "b" }` under the key `k`, as another replica would make it.
struct OtherAttempt<'a> {
    server: &'a Server,
    user_id: &'a UserId,
    digest: SecretHash,
}

impl<'a> OtherAttempt<'a> {
    /// Takes the key.
    async fn begin(server: &'a Server, user_id: &'a UserId) -> Self {
        let deed = json!({ "title": "t", "body": "b", "priority": "medium" });
        let other = Self { server, user_id, digest: SecretHash::of(&format!("create_ticket\n{deed}")) };
        assert_eq!(server.app.ephemeral.claim(other.key()).await.unwrap(), Claim::Run);
        other
    }

    /// Says what became of it.
    async fn end(&self, settled: Settled) {
        self.server.app.ephemeral.settle(self.key(), settled).await.unwrap();
    }

    fn key(&self) -> ClaimKey<'_> {
        let (user_id, digest) = (self.user_id.as_str(), self.digest.as_str());
        ClaimKey { user_id, client_id: "client_1", key: "k", digest, attempt: "another" }
    }
}

#[tokio::test]
async fn a_call_in_progress_is_waited_for_and_then_said_to_be() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &user, BOTH).await;
    let arguments = json!({ "title": "t", "body": "b", "idempotency_key": "k" });
    let other = OtherAttempt::begin(&server, &user).await;
    let answer = client.call("create_ticket", arguments.clone()).await;
    assert!(answer.problem().contains("in progress") && answer.problem().contains("2 seconds"), "{answer:?}");
    assert_eq!(answer.body["result"]["_meta"]["mandate/retryAfterSeconds"], 2);
    assert_eq!(count(&client).await, 0, "nobody does it twice");
    // Another deed under the same key is not waited for.
    let mismatch = json!({ "title": "t", "body": "other", "idempotency_key": "k" });
    assert!(client.call("create_ticket", mismatch).await.problem().starts_with("idempotency_key: "));
    other.end(Settled::Released).await;
    assert_eq!(client.call("create_ticket", arguments).await.structured()["id"], "T-1");
}

#[tokio::test]
async fn a_call_that_waited_gets_the_result_of_the_first() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &user, BOTH).await;
    client.ask("tools/list", json!({})).await;
    let idle = server.idle_holders().await;
    let other = OtherAttempt::begin(&server, &user).await;
    let result = json!({ "structured": { "id": "T-77" }, "text": "Opened T-77: t" });
    let arguments = json!({ "title": "t", "body": "b", "idempotency_key": "k" });
    let (answer, ()) = tokio::join!(client.call("create_ticket", arguments), async {
        // The request and its call: the gate has asked, and found the other attempt.
        server.holders(|count| count > idle + 1).await;
        other.end(Settled::Done(result.to_string())).await;
    });
    assert_eq!(answer.structured()["id"], "T-77");
    assert_eq!(answer.body["result"]["_meta"]["mandate/replayed"], true);
    assert_eq!(count(&client).await, 0);
}

#[tokio::test]
async fn a_call_that_failed_by_our_fault_leaves_its_key_free() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &user, BOTH).await;
    let arguments = json!({ "title": "t", "body": "b", "idempotency_key": "k" });
    let busy = server.hold_writes().await;
    let failed = client.call("create_ticket", arguments.clone()).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(busy);
    let done = client.call("create_ticket", arguments.clone()).await;
    assert_eq!(done.structured()["id"].as_str().map(|id| &id[..2]), Some("T-"));
    assert!(done.body["result"]["_meta"].get("mandate/replayed").is_none());
    let replayed = client.call("create_ticket", arguments).await;
    assert_eq!(replayed.structured(), done.structured());
    assert_eq!(count(&client).await, 1);
}

#[tokio::test]
async fn the_database_knows_what_was_done_when_nothing_else_does() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &user, BOTH).await;
    let arguments = json!({ "title": "t", "body": "b", "idempotency_key": "k" });
    let first = client.call("create_ticket", arguments.clone()).await;
    server.restart_with_nothing_remembered().await;
    let other = json!({ "title": "t", "body": "other", "idempotency_key": "k" });
    assert!(client.call("create_ticket", other).await.problem().starts_with("idempotency_key: "));
    let second = client.call("create_ticket", arguments).await;
    assert_eq!((second.structured(), second.text()), (first.structured(), first.text()));
    assert_eq!(second.body["result"]["_meta"]["mandate/replayed"], true);
    assert_eq!(count(&client).await, 1);
}
