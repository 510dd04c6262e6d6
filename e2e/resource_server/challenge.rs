//! Who is let in and what the others are told (B2, G55, G59–G64).

use std::time::Duration;

use mandate::config::ChallengeScopes;
use mandate::oauth::GrantId;
use mandate::storage::users::Role;
use mandate::storage::{grants, users};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::Server;
use crate::support::mcp::{Answer, BOTH, Mcp, mint, post, post_to, send};

fn initialize() -> serde_json::Value {
    let params = json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" },
    });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params })
}

/// Checks what every refusal with a challenge has (B2.12).
fn check_manners(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(answer.body["error"].is_string() && answer.body["error_description"].is_string());
}

#[tokio::test]
async fn b2_1_b2_2_g59_g63_without_a_token_every_method_of_either_era_is_401_without_error() {
    let server = Server::start().await;
    let metadata = server.at("/.well-known/oauth-protected-resource/mcp");
    let bare = format!("Bearer scope=\"tickets:read\", resource_metadata=\"{metadata}\"");
    for path in ["/mcp", "/mcp/"] {
        for method in
            ["initialize", "server/discover", "tools/list", "ping", "notifications/initialized", "nonsense"]
        {
            let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": {} });
            let answer = send(post_to(&server, path).json(&message)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {method}");
            assert_eq!(answer.header("www-authenticate"), bare, "{path} {method}");
            check_manners(&answer);
        }
    }
    let basic = send(post(&server).header("authorization", "Basic YTpi").json(&initialize())).await;
    assert_eq!(basic.header("www-authenticate"), bare);
}

#[tokio::test]
async fn b2_11_the_token_is_judged_before_the_body() {
    let server = Server::start().await;
    for body in ["", "not json", "[]"] {
        let answer = send(post(&server).body(body)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{body:?}");
    }
}

#[tokio::test]
async fn the_first_challenge_can_name_every_scope() {
    let server = Server::start_with(|config| config.mcp.challenge_scopes = ChallengeScopes::All).await;
    let answer = send(post(&server).json(&initialize())).await;
    assert!(answer.header("www-authenticate").contains("scope=\"tickets:read tickets:write\""));
}

#[tokio::test]
async fn b2_2_b2_9_d14_g55_a_token_that_is_not_for_us_or_not_good_is_401_invalid_token() {
    let server = Server::with_people().await;
    let alice = server.app.store.find_user_by_name("alice").await.unwrap().unwrap().user_id;
    let other = Server::start().await;
    let minted = mint(&server, &alice, "client_1", BOTH).await;
    let now = server.app.now();
    let signed = |change: &dyn Fn(&mut mandate::oauth::claims::AccessTokenClaims)| {
        let mut claims = minted.claims.clone();
        change(&mut claims);
        server.app.keys.sign(&claims, now).unwrap()
    };
    let resource = server.at("/mcp");
    let parts: Vec<&str> = minted.token.split('.').collect();
    let cases = [
        ("garbage", "garbage".to_owned()),
        ("an empty signature", format!("{}.{}.", parts[0], parts[1])),
        ("a changed signature", format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86))),
        ("another server's key", other.app.keys.sign(&minted.claims, now).unwrap()),
        ("the origin as audience", signed(&|c| c.aud = c.aud.trim_end_matches("/mcp").into())),
        ("a slash more", signed(&|c| c.aud.push('/'))),
        ("another audience", signed(&|c| c.aud = "https://other.example/mcp".into())),
        ("another issuer", signed(&|c| c.iss.push('/'))),
        ("an expired one", signed(&|c| c.exp = c.iat)),
        ("an unknown grant", signed(&|c| c.grant_id = "grant_none".into())),
        ("another client's grant", signed(&|c| c.client_id = "client_2".into())),
        ("another user's grant", signed(&|c| c.sub = "user_other".into())),
    ];
    assert_eq!(resource, minted.claims.aud);
    for (name, token) in cases {
        let answer =
            send(post(&server).header("authorization", format!("Bearer {token}")).json(&initialize())).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.starts_with("Bearer error=\"invalid_token\", error_description=\""),
            "{name}: {challenge}"
        );
        assert!(
            challenge.contains("resource_metadata=\"http") && challenge.contains("scope=\""),
            "{name}: {challenge}"
        );
        assert_eq!(answer.body["error"], "invalid_token", "{name}");
        check_manners(&answer);
    }
    let good =
        send(post(&server).header("authorization", format!("bearer {}", minted.token)).json(&initialize()))
            .await;
    assert_eq!(good.status, StatusCode::OK);
}

#[tokio::test]
async fn expiry_is_looked_at_on_every_call() {
    let server = Server::with_people().await;
    let alice = server.app.store.find_user_by_name("alice").await.unwrap().unwrap().user_id;
    let client = Mcp::of(&server, &alice, BOTH).await;
    assert_eq!(client.ask("tools/list", json!({})).await.status, StatusCode::OK);
    server.advance(Duration::from_secs(3599));
    assert_eq!(client.ask("tools/list", json!({})).await.status, StatusCode::OK);
    server.advance(Duration::from_secs(1));
    assert_eq!(client.ask("tools/list", json!({})).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_revoked_grant_and_a_disabled_user_end_with_the_next_call() {
    let server = Server::start().await;
    for ending in ["revoke", "disable"] {
        let user = server.add_user(&format!("{ending}d"), Role::Agent).await;
        let minted = mint(&server, &user.user_id, "client_1", BOTH).await;
        let client = Mcp::modern(&server, &minted.token);
        assert_eq!(client.ask("tools/list", json!({})).await.status, StatusCode::OK);
        let now = server.app.now();
        let mut tx = server.app.store.write().await.unwrap();
        match ending {
            "revoke" => {
                let grant_id = GrantId::new(minted.claims.grant_id.clone());
                assert!(grants::revoke(&mut tx, &grant_id, "test", now).await.unwrap());
            }
            _ => users::disable(&mut tx, &user.user_id, now).await.unwrap(),
        }
        server.app.commit_ending(tx, &[minted.grant()]).await.unwrap();
        let answer = client.ask("tools/list", json!({})).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{ending}");
        assert_eq!(answer.body["error"], "invalid_token", "{ending}");
    }
}

#[tokio::test]
async fn b2_4_b2_8_credentials_that_are_unclear_are_400_invalid_request() {
    let server = Server::with_people().await;
    let alice = server.app.store.find_user_by_name("alice").await.unwrap().unwrap().user_id;
    let token = mint(&server, &alice, "client_1", BOTH).await.token;
    let bearer = format!("Bearer {token}");
    let in_query = crate::support::http()
        .post(server.at(&format!("/mcp?access_token={token}")))
        .header("content-type", "application/json")
        .json(&initialize());
    let cases = [
        ("two headers", post(&server).header("authorization", &bearer).header("authorization", &bearer)),
        ("two in one header", post(&server).header("authorization", format!("{bearer}, {bearer}"))),
        ("in the query", in_query.try_clone().unwrap()),
        ("in the query too", in_query.header("authorization", &bearer)),
    ];
    for (name, request) in cases {
        let answer = send(request.json(&initialize())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer error=\"invalid_request\""), "{name}: {challenge}");
        assert_eq!(answer.code(), -32600, "{name}: a JSON-RPC error, as every 400 is (B5.9)");
        assert_eq!(answer.body["error"]["data"]["error"], "invalid_request", "{name}");
        assert!(
            !challenge.contains(&token[..20]) && !answer.body.to_string().contains(&token[..20]),
            "{name}"
        );
    }
    let form = crate::support::http().post(server.at("/mcp")).form(&[("access_token", token.as_str())]);
    assert_eq!(send(form).await.status, StatusCode::UNAUTHORIZED, "a token in a form is not looked at");
}

#[tokio::test]
async fn b2_5_b2_7_g60_g61_a_scope_too_few_is_403_in_either_era_and_names_all_that_is_needed() {
    let server = Server::with_people().await;
    let alice = server.app.store.find_user_by_name("alice").await.unwrap().unwrap().user_id;
    let reader = mint(&server, &alice, "client_1", "tickets:read").await.token;
    let arguments = json!({ "title": "t", "body": "b" });
    for client in [Mcp::modern(&server, &reader), Mcp::legacy(&server, &reader)] {
        assert_eq!(client.call("search_tickets", json!({ "query": "*" })).await.status, StatusCode::OK);
        let answer = client.call("create_ticket", arguments.clone()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer error=\"insufficient_scope\", "), "{challenge}");
        assert!(
            challenge.contains("scope=\"tickets:read tickets:write\""),
            "granted and needed: {challenge}"
        );
        assert!(challenge.contains("resource_metadata=\""), "{challenge}");
        assert_eq!(answer.body["error"], "insufficient_scope");
        assert_eq!(answer.body["scope"], "tickets:read tickets:write");
        assert!(answer.body["error_description"].as_str().unwrap().contains("tickets:write"));
        assert!(answer.body["error_description"].as_str().unwrap().contains("/account"));
        check_manners(&answer);
    }
    let writer = Mcp::of(&server, &alice, "tickets:write").await;
    for answer in [
        writer.call("get_ticket", json!({ "id": "T-1" })).await,
        writer.ask("resources/list", json!({})).await,
        writer.ask("resources/read", json!({ "uri": "ticket://T-1" })).await,
    ] {
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    }
    assert_eq!(writer.call("create_ticket", arguments).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_step_up_challenge_can_name_the_needed_scopes_alone() {
    let server = Server::start_with(|config| config.mcp.challenge_includes_granted = false).await;
    let user = server.add_user("alice", Role::Agent).await;
    let reader = Mcp::of(&server, &user.user_id, "tickets:read").await;
    let answer = reader.call("close_ticket", json!({ "id": "T-1" })).await;
    assert!(answer.header("www-authenticate").contains("scope=\"tickets:write\""));
}

#[tokio::test]
async fn tools_beyond_a_tokens_scopes_stay_listed_so_that_it_can_step_up() {
    let server = Server::with_people().await;
    let alice = server.app.store.find_user_by_name("alice").await.unwrap().unwrap().user_id;
    let reader = Mcp::of(&server, &alice, "tickets:read").await;
    let listed = reader.ask("tools/list", json!({})).await;
    assert_eq!(listed.body["result"]["tools"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_header_that_lies_about_the_tool_does_not_widen_a_token() {
    let server = Server::with_people().await;
    let alice = server.app.store.find_user_by_name("alice").await.unwrap().unwrap().user_id;
    let reader = mint(&server, &alice, "client_1", "tickets:read").await.token;
    let legacy = Mcp::legacy(&server, &reader);
    let params = json!({ "name": "create_ticket", "arguments": { "title": "t", "body": "b" } });
    let message = legacy.message("tools/call", params);
    let lying = legacy.post().header("mcp-method", "tools/call").header("mcp-name", "search_tickets");
    assert_eq!(send(lying.json(&message)).await.status, StatusCode::FORBIDDEN);
    // A body that two parsers might read differently runs nothing.
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_ticket","arguments":{"title":"t","body":"b"},"name":"search_tickets"}}"#;
    let answer = send(legacy.post().body(twice)).await;
    assert!(answer.body["error"].is_object(), "{}", answer.body);
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping","params":{"name":"create_ticket","arguments":{"title":"t","body":"b"}}}"#;
    let answer = send(legacy.post().body(twice)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
    let all = Mcp::legacy(&server, &reader).call("search_tickets", json!({ "query": "*" })).await;
    assert_eq!(all.structured()["tickets"], json!([]));
}
