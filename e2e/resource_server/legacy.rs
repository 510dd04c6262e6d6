//! MCP 2025-11-25 and 2025-06-18 on the same endpoint (B5); sessions are in `sessions.rs`.

use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::mcp::{BOTH, Mcp, mint, send};

async fn with_token() -> (Server, String) {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
    (server, token)
}

fn initialize(version: &str) -> Value {
    let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params })
}

#[tokio::test]
async fn b5_2_initialize_answers_with_a_legacy_version_that_is_served() {
    let (server, token) = with_token().await;
    for (asked, answered) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
    ] {
        let answer = send(Mcp::legacy(&server, &token).post().json(&initialize(asked))).await;
        assert_eq!(answer.status, StatusCode::OK, "{asked}: {}", answer.body);
        let result = &answer.body["result"];
        assert_eq!(result["protocolVersion"], answered, "{asked}");
        assert_eq!(result["serverInfo"]["name"], "mandate");
        assert_eq!(
            result["capabilities"],
            json!({ "tools": { "listChanged": true }, "resources": { "subscribe": true }, "prompts": {}, "completions": {} }),
            "nothing promised in vain"
        );
    }
}

#[tokio::test]
async fn b5_7_legacy_results_have_the_legacy_shape() {
    let (server, token) = with_token().await;
    let client = Mcp::legacy(&server, &token);
    assert_eq!(client.ask("ping", json!({})).await.body["result"], json!({}));
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    for (method, params) in [
        ("tools/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({ "uri": "ticket://T-1" })),
        ("tools/call", json!({ "name": "get_ticket", "arguments": { "id": "T-1" } })),
    ] {
        let answer = client.ask(method, params).await;
        let result = answer.body["result"].as_object().unwrap_or_else(|| panic!("{method}: {}", answer.body));
        for modern in ["resultType", "ttlMs", "cacheScope", "_meta"] {
            assert!(!result.contains_key(modern), "{method} {modern}");
        }
    }
}

#[tokio::test]
async fn the_order_of_calls_does_not_matter_without_sessions() {
    let (server, token) = with_token().await;
    let client = Mcp::legacy(&server, &token);
    assert_eq!(
        client.call("search_tickets", json!({ "query": "*" })).await.structured()["tickets"],
        json!([])
    );
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(send(client.post().json(&initialized)).await.status, StatusCode::ACCEPTED);
    assert_eq!(send(client.post().json(&initialize("2025-11-25"))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn unknown_methods_are_method_not_found_with_the_id() {
    let (server, token) = with_token().await;
    for method in ["nonsense", "logging/setLevel", "subscriptions/listen"] {
        let answer =
            Mcp::legacy(&server, &token).ask(method, json!({ "level": "info", "uri": "ticket://T-1" })).await;
        assert_eq!((answer.code(), &answer.body["id"]), (-32601, &json!(7)), "{method}");
    }
}
