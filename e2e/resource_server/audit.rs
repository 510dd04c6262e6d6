//! What is recorded: each write and each refusal.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mandate::oauth::GrantId;
use mandate::storage::grants;
use mandate::storage::users::Role;
use serde_json::{Value, json};

use crate::support::mcp::{BOTH, Mcp, mint, post, send, tool_calls};
use crate::support::{START, Server, at_most};

#[tokio::test]
async fn a_write_is_recorded_with_who_what_and_how_it_went() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let minted = mint(&server, &alice, "client_1", BOTH).await;
    let client = Mcp::modern(&server, &minted.token);
    let body = "long ".repeat(1_000);
    let arguments = json!({ "title": "Printer", "body": body, "idempotency_key": "k" });
    let answer = client.call("create_ticket", arguments).await;
    client.call("close_ticket", json!({ "id": "T-9" })).await.problem();
    client.call("search_tickets", json!({ "query": "*" })).await.structured();
    let events = tool_calls(&server).await;
    assert_eq!(events.len(), 2, "reads are not recorded: {events:?}");
    let event = &events[0];
    assert_eq!((event.outcome.as_str(), event.tool.as_deref()), ("done", Some("create_ticket")));
    assert_eq!(event.user_id.as_deref(), Some(alice.as_str()));
    assert_eq!(event.client_id.as_deref(), Some("client_1"));
    assert_eq!(event.grant_id.as_deref(), Some(minted.claims.grant_id.as_str()));
    assert_eq!(event.idempotency_key.as_deref(), Some("k"));
    assert_eq!(event.reference.as_deref(), Some(answer.header("x-reference-id")));
    let arguments: Value = serde_json::from_str(event.arguments.as_deref().unwrap()).unwrap();
    assert_eq!(arguments["title"], "Printer");
    assert!(arguments["body"].as_str().unwrap().ends_with("… (5000 characters)"));
    assert!(event.arguments.as_deref().unwrap().len() < 300);
    assert_eq!((events[1].outcome.as_str(), events[1].tool.as_deref()), ("refused", Some("close_ticket")));
}

#[tokio::test]
async fn refusals_are_recorded_with_their_reason() {
    let server = Server::start_with(|config| config.mcp.read_rate = at_most(1)).await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let reader = mint(&server, &alice, "client_1", "tickets:read").await;
    let client = Mcp::modern(&server, &reader.token);
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await;
    for _ in 0..2 {
        client.call("search_tickets", json!({ "query": "*" })).await;
    }
    let mut tx = server.app.store.write().await.unwrap();
    let grant_id = GrantId::new(reader.claims.grant_id.clone());
    grants::revoke(&mut tx, &grant_id, "test", server.app.now()).await.unwrap();
    server.app.commit_ending(tx, &[reader.grant()]).await.unwrap();
    client.call("search_tickets", json!({ "query": "*" })).await;
    let mut expired = reader.claims.clone();
    expired.exp = expired.iat;
    let expired = server.app.keys.sign(&expired, server.app.now()).unwrap();
    let mut foreign = reader.claims.clone();
    foreign.aud = "https://other.example/mcp".into();
    let foreign = server.app.keys.sign(&foreign, server.app.now()).unwrap();
    for token in [expired.as_str(), foreign.as_str(), "garbage"] {
        send(post(&server).header("authorization", format!("Bearer {token}")).body("{}")).await;
    }
    let events = tool_calls(&server).await;
    // All at the same moment, under several grants: among those no order is promised.
    for event in events.iter().filter(|event| event.grant_id.is_some()) {
        assert_eq!(event.user_id.as_deref(), Some(alice.as_str()));
        assert_eq!(event.client_id.as_deref(), Some("client_1"));
        assert_eq!(event.grant_id.as_deref(), Some(reader.claims.grant_id.as_str()));
        assert_eq!(event.arguments.is_some(), event.tool.is_some(), "what was asked is told: {event:?}");
    }
    let mut told: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.outcome.as_str(),
                event.tool.as_deref(),
                event.detail.as_deref().unwrap(),
                event.grant_id.is_some(),
            )
        })
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("refused", None, "invalid_token: it has expired or is not yet valid", true),
            ("refused", None, "invalid_token: it is not a JWT", false),
            ("refused", None, "invalid_token: it was issued by or for somebody else", true),
            ("refused", Some("create_ticket"), "insufficient_scope", true),
            ("refused", Some("search_tickets"), "invalid_token: its grant has ended", true),
            ("refused", Some("search_tickets"), "rate_limited", true),
        ]
    );
}

#[tokio::test]
async fn floods_do_not_fill_the_log() {
    let server = Server::start().await;
    for _ in 0..80 {
        send(post(&server).body("{}")).await;
    }
    assert_eq!(tool_calls(&server).await.len(), 0, "without a token nothing is recorded");
    let flood = async |token: &str| {
        for number in 0..80 {
            let token = format!("Bearer {token}{number}");
            send(post(&server).header("authorization", token).body("{}")).await;
        }
    };
    flood("garbage").await;
    assert_eq!(tool_calls(&server).await.len(), 60, "as many as on any day");
    // One more comes with every 24 minutes.
    server.advance(Duration::from_mins(20));
    flood("garbage").await;
    assert_eq!(tool_calls(&server).await.len(), 60, "and no more of that day");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"at+jwt","kid":"forged"}"#);
    flood(&format!("{header}.e30.")).await;
    let events = tool_calls(&server).await;
    let forged =
        events.iter().filter(|event| event.detail.as_deref() == Some("invalid_token: its key is unknown"));
    assert_eq!((events.len(), forged.count()), (120, 60), "garbage hides no forgery");
    let recorded = events.len();
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let mut expired = mint(&server, &alice, "client_1", BOTH).await.claims;
    expired.exp = expired.iat;
    let expired = server.app.keys.sign(&expired, server.app.now()).unwrap();
    for _ in 0..80 {
        send(post(&server).header("authorization", format!("Bearer {expired}")).body("{}")).await;
    }
    // Where the limit lives by a clock of its own, another one a second.
    let named = tool_calls(&server).await.len() - recorded;
    assert!((60..75).contains(&named), "whom a token names has a measure of their own: {named}");
}

#[tokio::test]
async fn the_last_use_of_a_grant_is_noted_once_a_minute() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let minted = mint(&server, &alice, "client_1", BOTH).await;
    let client = Mcp::modern(&server, &minted.token);
    let grant_id = GrantId::new(minted.claims.grant_id.clone());
    let mut noted = Vec::new();
    for _ in 0..3 {
        client.ask("tools/list", json!({})).await;
        server.app.tasks.close();
        server.app.tasks.wait().await;
        server.app.tasks.reopen();
        noted.push(server.app.store.find_grant(&grant_id).await.unwrap().unwrap().last_used_at);
        server.advance(Duration::from_secs(31));
    }
    let first = START;
    assert_eq!(noted, [Some(first), Some(first), Some(first.plus(Duration::from_secs(62)))]);
}
