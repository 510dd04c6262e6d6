//! What the tools take and give (B4.5, B4.6, B4.14).

use std::collections::BTreeSet;
use std::time::Duration;

use mandate::storage::users::Role;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::mcp::{BOTH, Mcp};

async fn with_agent() -> (Server, mandate::oauth::UserId) {
    let server = Server::start_with(|config| {
        config.mcp.write_rate.burst = 10_000;
        config.mcp.read_rate.burst = 10_000;
    })
    .await;
    let user_id = server.add_user("alice", Role::Agent).await.user_id;
    (server, user_id)
}

/// Arguments that break one rule each, and how the rule is said.
fn bad_arguments() -> Vec<(&'static str, Value, &'static str)> {
    let long = |length: usize| "ü".repeat(length);
    vec![
        ("search_tickets", json!({}), "query: is required"),
        ("search_tickets", json!({ "query": "" }), "query: must not be blank"),
        ("search_tickets", json!({ "query": long(501) }), "query: must have at most 500 characters"),
        ("search_tickets", json!({ "query": 5 }), "query: must be a string"),
        ("search_tickets", json!({ "query": "?!" }), "query: must contain a letter or a digit"),
        (
            "search_tickets",
            json!({ "query": "a", "status": "done" }),
            "status: must be one of open, pending, closed",
        ),
        ("search_tickets", json!({ "query": "a", "limit": 0 }), "limit: must be a whole number from 1 to 50"),
        (
            "search_tickets",
            json!({ "query": "a", "limit": 51 }),
            "limit: must be a whole number from 1 to 50",
        ),
        ("search_tickets", json!({ "query": "a", "cursor": "zzz" }), "cursor: must be next_cursor"),
        (
            "search_tickets",
            json!({ "query": "a", "idempotency_key": "k" }),
            "idempotency_key: is no argument",
        ),
        ("get_ticket", json!({ "id": "42" }), "id: must be a ticket id: T- and a number, such as T-42"),
        ("get_ticket", json!({ "id": "T-42\n" }), "id: must be a ticket id"),
        ("create_ticket", json!({ "body": "b" }), "title: is required"),
        (
            "create_ticket",
            json!({ "title": long(201), "body": "b" }),
            "title: must have at most 200 characters",
        ),
        (
            "create_ticket",
            json!({ "title": "t", "body": long(10_001) }),
            "body: must have at most 10000 characters",
        ),
        (
            "create_ticket",
            json!({ "title": "t", "body": "a\u{0}" }),
            "body: must not contain control characters",
        ),
        (
            "create_ticket",
            json!({ "title": "t", "body": "b", "priority": "urgent" }),
            "priority: must be one of low, medium, high",
        ),
        (
            "create_ticket",
            json!({ "title": "t", "body": "b", "idempotency_key": "" }),
            "idempotency_key: must be 1 to 255",
        ),
        (
            "create_ticket",
            json!({ "title": "t", "body": "b", "status": "open" }),
            "status: is no argument of this tool",
        ),
        ("comment_ticket", json!({ "id": "T-1", "body": " " }), "body: must not be blank"),
        (
            "close_ticket",
            json!({ "id": "T-1", "resolution": long(1_001) }),
            "resolution: must have at most 1000 characters",
        ),
    ]
}

#[tokio::test]
async fn every_limit_of_an_argument_is_named_with_its_field_and_rule() {
    let (server, alice) = with_agent().await;
    let client = Mcp::of(&server, &alice, BOTH).await;
    for (tool, arguments, problem) in bad_arguments() {
        let answer = client.call(tool, arguments.clone()).await;
        assert!(answer.problem().contains(problem), "{tool} {problem}: {}", answer.text());
        assert!(answer.body["result"].get("structuredContent").is_none());
    }
    let both = client.call("create_ticket", json!({ "priority": 1 })).await;
    for field in ["title", "body", "priority"] {
        assert!(both.problem().contains(&format!("- {field}: ")), "all problems at once: {}", both.text());
    }
    assert_eq!(
        client.call("search_tickets", json!({ "query": "*" })).await.structured()["tickets"],
        json!([])
    );
}

#[tokio::test]
async fn texts_of_full_length_in_any_script_come_back_as_they_were() {
    let (server, alice) = with_agent().await;
    let client = Mcp::of(&server, &alice, BOTH).await;
    let (title, body) = ("題".repeat(200), "🖨é\n\"\\".repeat(2_000));
    let opened =
        client.call("create_ticket", json!({ "title": title, "body": body, "priority": "high" })).await;
    assert_eq!(opened.structured()["priority"], "high");
    let ticket = client.call("get_ticket", json!({ "id": opened.structured()["id"] })).await;
    let ticket = ticket.structured();
    assert_eq!((&ticket["title"], &ticket["body"]), (&json!(title), &json!(body)));
    assert_eq!((&ticket["body_truncated"], &ticket["reporter"]), (&json!(false), &json!("alice")));
    let found = client.call("search_tickets", json!({ "query": "題題" })).await;
    let found = &found.structured()["tickets"][0];
    assert_eq!(found["body"].as_str().unwrap().chars().count(), 300, "lists are cut");
    assert_eq!(found["body_truncated"], true);
}

#[tokio::test]
async fn pages_follow_each_other_while_tickets_are_added() {
    let (server, alice) = with_agent().await;
    let client = Mcp::of(&server, &alice, BOTH).await;
    let open = async |title: String| {
        client.call("create_ticket", json!({ "title": title, "body": "about the vpn" })).await;
    };
    for number in 0..12 {
        open(format!("{} {number}", if number % 2 == 0 { "vpn" } else { "other" })).await;
    }
    let mut seen = Vec::new();
    let mut arguments = json!({ "query": "vpn", "status": "open", "limit": 5 });
    loop {
        let page = client.call("search_tickets", arguments.clone()).await;
        let page = page.structured().clone();
        seen.extend(
            page["tickets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|ticket| ticket["id"].as_str().unwrap().to_owned()),
        );
        open("vpn again".to_owned()).await;
        if page["next_cursor"].is_null() {
            break;
        }
        arguments["cursor"] = page["next_cursor"].clone();
    }
    let expected = ["T-11", "T-9", "T-7", "T-5", "T-3", "T-1", "T-12", "T-10", "T-8", "T-6", "T-4", "T-2"];
    assert_eq!(seen, expected, "titles first, newest first, none twice, none skipped");
    arguments["status"] = json!("closed");
    assert!(client.call("search_tickets", arguments).await.problem().contains("cursor: must be next_cursor"));
}

#[tokio::test]
async fn writes_that_are_switched_off_are_neither_listed_nor_run() {
    let server = Server::start_with(|config| {
        config.mcp.writes.set(false);
    })
    .await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    for scope in [BOTH, "tickets:read"] {
        let client = Mcp::of(&server, &alice, scope).await;
        let listed = client.ask("tools/list", json!({})).await;
        let names: Vec<&Value> =
            listed.body["result"]["tools"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
        assert_eq!(names, ["search_tickets", "get_ticket"]);
        for tool in ["create_ticket", "comment_ticket", "close_ticket"] {
            let answer = client.call(tool, json!({ "title": "t", "body": "b", "id": "T-1" })).await;
            assert_eq!(answer.code(), -32602, "{tool}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn comments_are_counted_and_the_last_fifty_come_with_a_ticket() {
    let (server, alice) = with_agent().await;
    let client = Mcp::of(&server, &alice, BOTH).await;
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await;
    for number in 1..=52 {
        server.advance(Duration::from_secs(1));
        let body = if number == 52 { "z".repeat(2_001) } else { format!("comment {number}") };
        client.call("comment_ticket", json!({ "id": "T-1", "body": body })).await.structured();
    }
    let ticket = client.call("get_ticket", json!({ "id": "T-1" })).await;
    let comments = ticket.structured()["comments"].as_array().unwrap();
    assert_eq!((&ticket.structured()["comment_count"], comments.len()), (&json!(52), 50));
    assert_eq!(comments[0]["body"], "comment 3");
    assert_eq!(
        (comments[49]["body"].as_str().unwrap().len(), &comments[49]["body_truncated"]),
        (2_000, &json!(true))
    );
    let ids: BTreeSet<&str> = comments.iter().map(|comment| comment["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 50);
    assert!(ticket.text().contains("Comments: 50 of 52."));
    assert!(ticket.text().contains("repeat the call with comments_before C-3"));
    let found = client.call("search_tickets", json!({ "query": "\"comment 7\"" })).await;
    assert_eq!(found.structured()["tickets"][0]["id"], "T-1", "comments are searched");
}
