//! Headers that repeat the body, and members that every message of 2026-07-28 carries (B3.4, B3.6, B3.9–B3.12).

use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::mcp::{Answer, BOTH, Mcp, mint, send};

async fn with_token() -> (Server, String) {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
    (server, token)
}

/// Sends a message of 2026-07-28 with these headers besides the version's.
async fn ask(client: &Mcp<'_>, message: &Value, headers: &[(&'static str, &str)]) -> Answer {
    let request = client.post().header("mcp-protocol-version", "2026-07-28");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    send(request.json(message)).await
}

#[tokio::test]
async fn b3_4_a_notification_of_2026_07_28_is_202_and_one_that_is_not_let_in_is_401() {
    let (server, token) = with_token().await;
    let client = Mcp::modern(&server, &token);
    let mut message = client.message("notifications/cancelled", json!({ "requestId": 1 }));
    message.as_object_mut().unwrap().remove("id");
    let answer = ask(&client, &message, &[("mcp-method", "notifications/cancelled")]).await;
    assert_eq!((answer.status, answer.body), (StatusCode::ACCEPTED, Value::Null));
    let stranger = Mcp::modern(&server, "garbage");
    let answer = ask(&stranger, &message, &[("mcp-method", "notifications/cancelled")]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn b3_6_a_member_of_meta_with_the_wrong_type_is_a_parameter_error() {
    let (server, token) = with_token().await;
    let client = Mcp::modern(&server, &token);
    for (member, wrong) in [
        ("clientCapabilities", json!("none")),
        ("clientCapabilities", json!(null)),
        ("clientCapabilities", json!([])),
        ("protocolVersion", json!(20_260_728)),
        ("protocolVersion", json!(null)),
    ] {
        let mut message = client.message("tools/list", json!({}));
        message["params"]["_meta"][format!("io.modelcontextprotocol/{member}")] = wrong.clone();
        let answer = ask(&client, &message, &[("mcp-method", "tools/list")]).await;
        assert_eq!(
            (answer.status, answer.code(), &answer.body["id"]),
            (StatusCode::BAD_REQUEST, -32602, &json!(7)),
            "{member} {wrong}: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn b3_9_the_uri_of_a_resource_stands_in_mcp_name() {
    let (server, token) = with_token().await;
    let client = Mcp::modern(&server, &token);
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    let message = client.message("resources/read", json!({ "uri": "ticket://T-1" }));
    let method = ("mcp-method", "resources/read");
    for headers in
        [&[method][..], &[method, ("mcp-name", "ticket://T-2")], &[method, ("mcp-name", "TICKET://T-1")]]
    {
        let answer = ask(&client, &message, headers).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, -32020), "{headers:?}");
    }
    let spaced = [("MCP-METHOD", " resources/read "), ("Mcp-Name", "\tticket://T-1 ")];
    for headers in [&[method, ("mcp-name", "ticket://T-1")][..], &spaced] {
        let answer = ask(&client, &message, headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{headers:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn b3_10_only_a_whole_and_sound_base64_word_is_decoded() {
    let (server, token) = with_token().await;
    let client = Mcp::modern(&server, &token);
    let message = client.message("tools/call", json!({ "name": "get_ticket", "arguments": { "id": "T-1" } }));
    // "get_ticket" in Base64 is Z2V0X3RpY2tldA==.
    for (name, status) in [
        ("=?base64?Z2V0X3RpY2tldA==?=", StatusCode::OK),
        ("=?BASE64?Z2V0X3RpY2tldA==?=", StatusCode::BAD_REQUEST),
        ("=?base64?Z2V0X3RpY2tldA==", StatusCode::BAD_REQUEST),
        ("Z2V0X3RpY2tldA==?=", StatusCode::BAD_REQUEST),
        ("=?base64?Z2V0X3RpY2tldA?=", StatusCode::BAD_REQUEST),
        ("=?base64?Z2V0X3RpY2tldA=?=", StatusCode::BAD_REQUEST),
        ("=?base64?Z2V0X3Rp Y2tldA==?=", StatusCode::BAD_REQUEST),
        ("=?base64?Z2V0X3RpY2t-dA==?=", StatusCode::BAD_REQUEST),
        ("=?base64??=", StatusCode::BAD_REQUEST),
    ] {
        let answer = ask(&client, &message, &[("mcp-method", "tools/call"), ("mcp-name", name)]).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        if status != StatusCode::OK {
            assert_eq!(answer.code(), -32020, "{name}");
        }
    }
}

#[tokio::test]
async fn b3_11_b3_12_no_argument_is_marked_for_a_header_so_the_body_alone_counts() {
    let (server, token) = with_token().await;
    let client = Mcp::modern(&server, &token);
    let listed = client.ask("tools/list", json!({})).await.body;
    assert!(!listed.to_string().to_ascii_lowercase().contains("x-mcp-header"), "{listed}");
    let arguments = json!({ "title": "of the body", "body": "b" });
    let message = client.message("tools/call", json!({ "name": "create_ticket", "arguments": arguments }));
    let headers =
        [("mcp-method", "tools/call"), ("mcp-name", "create_ticket"), ("mcp-param-title", "of the header")];
    let answer = ask(&client, &message, &headers).await;
    assert_eq!(answer.structured()["title"], "of the body");
}
