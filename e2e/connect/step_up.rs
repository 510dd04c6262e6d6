//! More access than was granted: the browser once more.

use std::collections::BTreeSet;

use serde_json::json;

use super::support::stub::{Stub, result, visit};
use super::support::{Bridge, Machine, allow, decide, parameter, signed_in};
use crate::support::Server;

const BOTH: &[&str] = &["tickets:read", "tickets:write"];

async fn may_read(server: &Server) -> (Machine, Bridge) {
    let machine = Machine::new();
    let mut bridge = machine.connect(&server.at("/mcp"));
    bridge.send(&super::support::initialize(0));
    allow(server, &machine.sent_to(1).await, "alice", &["tickets:read"]).await;
    bridge.answer(&json!(0)).await;
    (machine, bridge)
}

fn create(bridge: &mut Bridge, id: u64) {
    let arguments = json!({ "title": "Broken", "body": "It is broken." });
    let params = super::support::modern(&json!({ "name": "create_ticket", "arguments": arguments }));
    bridge.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }));
}

#[tokio::test]
async fn calls_that_need_more_share_one_dance_and_are_done_after_it() {
    let server = Server::with_people().await;
    let (machine, mut bridge) = may_read(&server).await;
    for id in 1..=3 {
        create(&mut bridge, id);
    }
    let url = machine.sent_to(2).await;
    let asked: BTreeSet<String> = parameter(&url, "scope").split(' ').map(str::to_owned).collect();
    assert!(BOTH.iter().all(|scope| asked.contains(*scope)), "{asked:?}");
    allow(&server, &url, "alice", BOTH).await;
    for _ in 1..=3 {
        let answer = bridge.next().await;
        assert_eq!(answer["result"]["isError"], false, "{answer}");
    }
    assert_eq!(machine.visited().len(), 2);
}

#[tokio::test]
async fn whoever_denies_is_not_asked_again_and_keeps_what_was_granted() {
    let server = Server::with_people().await;
    let (machine, mut bridge) = may_read(&server).await;
    for id in 1..=2 {
        create(&mut bridge, id);
    }
    decide(&server, &machine.sent_to(2).await, "alice", "deny", &[]).await;
    create(&mut bridge, 3);
    for _ in 1..=3 {
        let answer = bridge.next().await;
        assert_eq!(answer["error"]["data"]["reason"], "access_denied", "{answer}");
    }
    assert_eq!(machine.visited().len(), 2);
    let answer = bridge.call(4, "search_tickets", &json!({ "query": "printer" })).await;
    assert_eq!(answer["result"]["isError"], false, "{answer}");
}

#[tokio::test]
async fn less_than_is_needed_counts_as_a_refusal() {
    let server = Server::with_people().await;
    let (machine, mut bridge) = may_read(&server).await;
    create(&mut bridge, 1);
    allow(&server, &machine.sent_to(2).await, "alice", &["tickets:read"]).await;
    let answer = bridge.next().await;
    assert_eq!(answer["error"]["data"]["reason"], "access_denied", "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("tickets:write"), "{answer}");
}

#[tokio::test]
async fn a_server_that_is_never_satisfied_is_asked_for_once() {
    let stub = Stub::start().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.send(&super::support::initialize(0));
    visit(&machine.sent_to(1).await).await;
    bridge.answer(&json!(0)).await;
    let more = r#"Bearer error="insufficient_scope", scope="b""#;
    for _ in 0..3 {
        let said = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32003,"message":"more"}}"#;
        stub.next("POST /mcp", 403, &[("www-authenticate", more)], said);
    }
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }));
    let url = machine.sent_to(2).await;
    assert_eq!(parameter(&url, "scope"), "a b");
    visit(&url).await;
    let answer = bridge.answer(&json!(1)).await;
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32003), &json!(1)), "{answer}");
    let answer = bridge.ask(2, "ping", &json!({})).await;
    assert_eq!(answer["error"]["data"]["reason"], "access_denied", "{answer}");
    stub.next_by("POST /mcp", |seen| result(seen, &json!({})));
    assert!(bridge.ask(3, "ping", &json!({})).await["result"].is_object());
    assert_eq!(machine.visited().len(), 2);
    assert_eq!(stub.seen("POST /revoke").len(), 0, "the new tokens may end with the old ones");
}

#[tokio::test]
async fn of_another_client_the_tokens_that_were_replaced_are_given_back() {
    let stub = Stub::start().await;
    let (machine, bridge) = signed_in(&stub).await;
    drop(bridge);
    let mut kept = machine.kept();
    kept["client"] =
        json!({ "client_id": "former", "secret": null, "auth_method": "none", "registered": null });
    std::fs::write(machine.token_file(), kept.to_string()).unwrap();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    let more = r#"Bearer error="insufficient_scope", scope="b""#;
    stub.next("POST /mcp", 403, &[("www-authenticate", more)], "{}");
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }));
    visit(&machine.sent_to(2).await).await;
    let revoked = stub.wait_for("POST /revoke", 1).await.body;
    assert_eq!((&revoked["token"], &revoked["client_id"]), (&json!("refresh-1"), &json!("former")));
    assert!(bridge.answer(&json!(1)).await["result"].is_object());
}
