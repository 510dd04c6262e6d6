//! Of several faults at once the first in the gate's order is told (B2.11), so that each answer names the next
//! thing to mend and a caller without a token learns nothing about messages.

use mandate::storage::users::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::mcp::{Answer, Mcp, mint, post, send};
use crate::support::{Server, at_most, http};

/// Status and JSON-RPC code; a challenge of 401 and 403 has no code.
fn told(answer: &Answer) -> (u16, Option<i64>) {
    (answer.status.as_u16(), answer.body["error"]["code"].as_i64())
}

#[tokio::test]
async fn b2_11_before_the_token_come_origin_method_and_size() {
    let server = Server::start().await;
    let put = || http().request(Method::PUT, server.at("/mcp")).body("not json");
    assert_eq!(told(&send(put().header("origin", "https://evil.example")).await), (403, Some(-32600)));
    assert_eq!(told(&send(put()).await), (405, Some(-32600)));
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(told(&send(post(&server).body(large)).await), (413, Some(-32600)));
    let unsupported = post(&server).header("mcp-protocol-version", "1999-01-01").body("[not json");
    assert_eq!(told(&send(unsupported).await), (401, None), "G64: versions are a matter for who is let in");
}

#[tokio::test]
async fn b2_11_behind_the_token_come_form_version_scope_quota_and_headers() {
    let server = Server::start_with(|config| config.mcp.read_rate = at_most(1)).await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let writer = Mcp::of(&server, &alice, "tickets:write").await;
    let typed = |kind: &str| {
        let request = http().post(server.at("/mcp")).header("accept", "text/event-stream, application/json");
        request.header("authorization", writer.bearer()).header("content-type", kind).body("[not json")
    };
    assert_eq!(told(&send(typed("text/plain")).await), (415, Some(-32600)));
    assert_eq!(told(&send(typed("application/json")).await), (400, Some(-32700)));
    let message = json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": "search_tickets", "arguments": { "query": "*" } },
    });
    let old = writer.post().header("mcp-protocol-version", "1999-01-01").json(&message);
    assert_eq!(told(&send(old).await), (400, Some(-32022)));
    let reader = Mcp::modern(&server, &mint(&server, &alice, "client_1", "tickets:read").await.token);
    let lying = |client: &Mcp<'_>| {
        let message = client.message("tools/call", message["params"].clone());
        let request = client.post().header("mcp-protocol-version", "2026-07-28");
        request.header("mcp-method", "tools/call").header("mcp-name", "get_ticket").json(&message)
    };
    assert_eq!(
        told(&send(lying(&writer)).await),
        (403, None),
        "what the body asks for decides, not the header"
    );
    assert_eq!(told(&send(lying(&reader)).await), (400, Some(-32020)));
    assert_eq!(told(&send(lying(&reader)).await), (429, Some(429)), "a refused message counts as well");
    assert_eq!(send(lying(&writer)).await.status, StatusCode::FORBIDDEN, "scopes come before the quota");
}
