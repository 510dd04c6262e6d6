//! Tokens that end: one refresh for everybody, and no login lost over a fault.

use serde_json::{Value, json};

use super::support::stub::{Stub, visit};
use super::support::{Bridge, Machine, allow, parameter, signed_in, until};
use crate::support::Server;

/// Changes what is kept behind the bridges' backs.
fn change_kept(machine: &Machine, member: &str, value: Value) {
    let mut kept = machine.kept();
    kept[member] = value;
    std::fs::write(machine.token_file(), kept.to_string()).unwrap();
}

#[tokio::test]
async fn of_many_requests_in_several_processes_one_refreshes() {
    let stub = Stub::start().await;
    let (machine, first) = signed_in(&stub).await;
    let mut bridges = vec![first];
    for _ in 0..3 {
        let mut bridge = machine.connect(&stub.at("/mcp"));
        bridge.ask(0, "ping", &json!({})).await;
        bridges.push(bridge);
    }
    stub.end_access();
    for bridge in &mut bridges {
        for id in 1..=32 {
            bridge.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }));
        }
    }
    for bridge in &mut bridges {
        for _ in 1..=32 {
            let answer = bridge.next().await;
            assert!(answer["result"].is_object(), "{answer}");
        }
    }
    assert_eq!(stub.grants("refresh_token"), 1);
    assert_eq!(machine.visited().len(), 1);
}

#[tokio::test]
async fn a_token_is_replaced_before_it_ends_and_no_request_waits_for_that() {
    let stub = Stub::start().await;
    let (machine, bridge) = signed_in(&stub).await;
    drop(bridge);
    change_kept(&machine, "refresh_at", json!(0));
    let held = stub.hold_next("POST /token");
    let mut bridge = machine.connect(&stub.at("/mcp"));
    let before = stub.seen("POST /mcp").len();
    bridge.ask(1, "ping", &json!({})).await;
    // The answer to the refresh comes only now.
    stub.wait_for("POST /token", 2).await;
    drop(held);
    until(|| (machine.kept()["refresh_token"] == "refresh-2").then_some(())).await;
    // It is kept first and used a moment later.
    let mut last = String::new();
    for id in 2..100 {
        bridge.ask(id, "ping", &json!({})).await;
        last = stub.seen("POST /mcp").last().unwrap().header("authorization").to_owned();
        if last == "Bearer access-2" {
            break;
        }
    }
    assert_eq!(last, "Bearer access-2");
    assert_eq!(stub.seen("POST /mcp")[before].header("authorization"), "Bearer access-1");
    assert_eq!(stub.grants("refresh_token"), 1);
    assert_eq!(stub.seen("POST /token")[1].body["resource"], stub.at("/mcp"));
}

#[tokio::test]
async fn a_token_that_is_good_is_used_while_the_token_endpoint_is_away() {
    let stub = Stub::start().await;
    let (machine, bridge) = signed_in(&stub).await;
    drop(bridge);
    change_kept(&machine, "refresh_at", json!(0));
    stub.next("POST /token", 503, &[], "");
    let mut bridge = machine.connect(&stub.at("/mcp"));
    assert!(bridge.ask(1, "ping", &json!({})).await["result"].is_object());
    stub.wait_for("POST /token", 2).await;
    assert!(bridge.ask(2, "ping", &json!({})).await["result"].is_object());
    assert_eq!(stub.grants("refresh_token"), 1);
}

#[tokio::test]
async fn a_fault_of_the_server_never_loses_a_login() {
    let stub = Stub::start().await;
    let (machine, mut bridge) = signed_in(&stub).await;
    stub.end_access();
    stub.next("POST /token", 503, &[("retry-after", "1")], r#"{"error":"temporarily_unavailable"}"#);
    stub.next("POST /token", 500, &[], r#"{"error":"invalid_grant"}"#);
    stub.next("POST /token", 429, &[], "<html>slow down</html>");
    stub.next("POST /token", 400, &[], "<html>not OAuth</html>");
    stub.next("POST /token", 200, &[], "<html>a portal</html>");
    assert!(bridge.ask(1, "ping", &json!({})).await["result"].is_object());
    assert_eq!(stub.grants("refresh_token"), 6);
    assert_eq!(machine.visited().len(), 1);
}

#[tokio::test]
async fn when_the_grant_has_ended_the_person_is_asked_again_by_the_same_client() {
    let stub = Stub::start().await;
    let (machine, mut bridge) = signed_in(&stub).await;
    stub.end_access();
    stub.next("POST /token", 400, &[], r#"{"error":"invalid_grant"}"#);
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }));
    let again = machine.sent_to(2).await;
    assert_eq!(parameter(&again, "redirect_uri"), parameter(&machine.visited()[0], "redirect_uri"));
    visit(&again).await;
    assert!(bridge.answer(&json!(1)).await["result"].is_object());
    assert_eq!(stub.seen("POST /register").len(), 1);
}

#[tokio::test]
async fn a_client_that_the_server_has_forgotten_registers_again() {
    let stub = Stub::start().await;
    let (machine, mut bridge) = signed_in(&stub).await;
    stub.end_access();
    stub.next("POST /token", 401, &[], r#"{"error":"invalid_client"}"#);
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }));
    visit(&machine.sent_to(2).await).await;
    assert!(bridge.answer(&json!(1)).await["result"].is_object());
    assert_eq!(stub.seen("POST /register").len(), 2);
}

#[tokio::test]
async fn a_server_that_does_not_rotate_lets_the_refresh_token_stand() {
    let stub = Stub::start().await;
    let (machine, mut bridge) = signed_in(&stub).await;
    stub.end_access();
    let tokens = json!({ "access_token": "none", "token_type": "bearer", "expires_in": "3600" });
    stub.next("POST /token", 200, &[], tokens.to_string());
    assert!(bridge.ask(1, "ping", &json!({})).await["result"].is_object());
    assert_eq!(machine.kept()["access_token"], "none");
    assert_eq!(machine.kept()["refresh_token"], "refresh-1");
}

#[tokio::test]
async fn processes_that_need_a_sign_in_at_once_share_one_dance() {
    let stub = Stub::start().await;
    let machine = Machine::new();
    let mut bridges: Vec<Bridge> = (0..3).map(|_| machine.connect(&stub.at("/mcp"))).collect();
    for bridge in &mut bridges {
        for id in 1..=4 {
            bridge.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }));
        }
    }
    stub.wait_for("POST /mcp", 12).await;
    visit(&machine.sent_to(1).await).await;
    for bridge in &mut bridges {
        for _ in 1..=4 {
            let answer = bridge.next().await;
            assert!(answer["result"].is_object(), "{answer}");
        }
    }
    assert_eq!(machine.visited().len(), 1);
    assert_eq!(stub.grants("authorization_code"), 1);
}

#[tokio::test]
async fn our_own_server_rotates_and_the_bridge_follows() {
    let server = Server::with_people().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&server.at("/mcp"));
    bridge.send(&super::support::initialize(0));
    allow(&server, &machine.sent_to(1).await, "alice", &["tickets:read"]).await;
    bridge.answer(&json!(0)).await;
    let first = machine.kept();
    for id in 1..=2 {
        server.advance(std::time::Duration::from_hours(2));
        let answer = bridge.call(id, "search_tickets", &json!({ "query": "printer" })).await;
        assert_eq!(answer["result"]["isError"], false, "{answer}");
    }
    assert_ne!(machine.kept()["refresh_token"], first["refresh_token"]);
    assert_eq!(machine.visited().len(), 1);
}
