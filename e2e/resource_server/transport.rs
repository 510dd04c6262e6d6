//! Streamable HTTP (B3, B5.9, G4, G15).

use mandate::storage::users::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::mcp::{BOTH, MODERN, Mcp, mint, post, send};
use crate::support::{Server, header, http};

struct Scene {
    server: Server,
    token: String,
}

impl Scene {
    async fn set() -> Self {
        let server = Server::start().await;
        let user = server.add_user("alice", Role::Agent).await;
        let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
        Self { server, token }
    }

    fn modern(&self) -> Mcp<'_> {
        Mcp::modern(&self.server, &self.token)
    }

    fn legacy(&self) -> Mcp<'_> {
        Mcp::legacy(&self.server, &self.token)
    }
}

#[tokio::test]
async fn g15_b3_2_get_head_delete_and_others_are_405_without_a_challenge() {
    let scene = Scene::set().await;
    for path in ["/mcp", "/mcp/"] {
        for method in [Method::GET, Method::HEAD, Method::DELETE, Method::PUT, Method::PATCH] {
            let request = http().request(method.clone(), scene.server.at(path));
            let response = request.header("accept", "text/event-stream").send().await.unwrap();
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(header(&response, "allow"), "POST", "{method} {path}");
            assert_eq!(header(&response, "www-authenticate"), "", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn g4_both_spellings_are_served_and_neither_redirects() {
    let scene = Scene::set().await;
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    for path in ["/mcp", "/mcp/"] {
        let request = http()
            .post(scene.server.at(path))
            .header("accept", "application/json, text/event-stream")
            .header("authorization", format!("Bearer {}", scene.token))
            .json(&message);
        let answer = send(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.body, json!({ "jsonrpc": "2.0", "id": 1, "result": {} }), "{path}");
    }
}

#[tokio::test]
async fn b3_2_since_2026_07_28_no_session_begins_and_ids_of_sessions_and_events_are_ignored() {
    let scene = Scene::set().await;
    let client = scene.modern();
    for method in ["server/discover", "tools/list"] {
        let message = client.message(method, json!({}));
        let request = client.post().header("mcp-protocol-version", MODERN).header("mcp-method", method);
        let request = request.header("mcp-session-id", "gone").header("last-event-id", "9").json(&message);
        let answer = send(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(answer.header("mcp-session-id"), "");
    }
}

#[tokio::test]
async fn b3_3_b5_9_what_is_no_single_message_is_400_with_a_json_rpc_error() {
    let scene = Scene::set().await;
    let cases = [
        ("not json", -32700),
        ("", -32700),
        ("{\"jsonrpc\":\"2.0\",", -32700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"id":1,"method":"ping"}"#, -32600),
        ("7", -32600),
    ];
    for (body, code) in cases {
        let answer = send(scene.legacy().post().body(body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.code(), code, "{body}");
        assert_eq!(answer.body["jsonrpc"], "2.0", "{body}");
    }
}

#[tokio::test]
async fn b3_4_a_notification_is_202_without_a_body() {
    let scene = Scene::set().await;
    for method in ["notifications/initialized", "notifications/cancelled", "notifications/unknown"] {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": { "requestId": 1 } });
        let answer = send(scene.legacy().post().json(&message)).await;
        assert_eq!((answer.status, answer.body), (StatusCode::ACCEPTED, Value::Null), "{method}");
    }
}

#[tokio::test]
async fn b3_5_b5_9_wrong_media_types_are_406_and_415_with_a_json_rpc_error() {
    let scene = Scene::set().await;
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let bearer = format!("Bearer {}", scene.token);
    let request = |accept: &str, content: &str| {
        http()
            .post(scene.server.at("/mcp"))
            .header("authorization", &bearer)
            .header("accept", accept)
            .header("content-type", content)
            .body(message.to_string())
    };
    for accept in ["application/json", "text/event-stream", "*/*", "text/html"] {
        let answer = send(request(accept, "application/json")).await;
        assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE, "{accept}");
        assert_eq!((answer.code(), &answer.body["id"]), (-32600, &json!(1)), "{accept}");
    }
    for content in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let answer = send(request("application/json, text/event-stream", content)).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content}");
        assert_eq!(answer.code(), -32600, "{content}");
    }
    let good = send(request("text/event-stream, application/json", "application/json; charset=utf-8")).await;
    assert_eq!(good.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_above_1_mib_is_413_whether_declared_or_not() {
    let scene = Scene::set().await;
    let large = "x".repeat((1 << 20) + 1);
    let declared = send(post(&scene.server).body(large.clone())).await;
    assert_eq!(declared.status, StatusCode::PAYLOAD_TOO_LARGE, "before the token is looked at");
    let undeclared = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        scene.server.address,
        scene.token,
        large.len()
    );
    let mut stream = TcpStream::connect(scene.server.address).await.unwrap();
    stream.write_all(undeclared.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    let message =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "ping", "params": { "pad": "x".repeat(1_000_000) } });
    assert_eq!(send(scene.legacy().post().json(&message)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn b3_6_b3_7_b3_8_the_version_stands_in_meta_and_header_alike_and_must_be_served() {
    let scene = Scene::set().await;
    let modern = scene.modern();
    let message = modern.message("tools/list", json!({}));
    let ask = |message: Value, version: Option<&'static str>| {
        let mut request = modern.post().header("mcp-method", "tools/list");
        if let Some(version) = version {
            request = request.header("mcp-protocol-version", version);
        }
        send(request.json(&message))
    };
    let mut without_capabilities = message.clone();
    without_capabilities["params"]["_meta"]
        .as_object_mut()
        .unwrap()
        .remove("io.modelcontextprotocol/clientCapabilities");
    let mut without_meta = message.clone();
    without_meta["params"] = json!({});
    let mut future = message.clone();
    future["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    for (name, message, header, code) in [
        ("no capabilities", without_capabilities, Some("2026-07-28"), -32602),
        ("no _meta", without_meta, Some("2026-07-28"), -32602),
        ("no header", message.clone(), None, -32020),
        ("another header", message.clone(), Some("2025-11-25"), -32020),
        ("a future version", future, Some("2099-01-01"), -32022),
    ] {
        let answer = ask(message, header).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {}", answer.body);
        assert_eq!(answer.code(), code, "{name}: {}", answer.body);
        assert_eq!(answer.body["id"], 7, "{name}");
        if code == -32022 {
            let supported = json!(["2026-07-28", "2025-11-25", "2025-06-18"]);
            assert_eq!(
                answer.body["error"]["data"],
                json!({ "supported": supported, "requested": "2099-01-01" })
            );
        }
    }
    assert_eq!(ask(message, Some("2026-07-28")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn b5_5_a_version_that_only_the_header_names_must_be_served() {
    let scene = Scene::set().await;
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    for version in ["2024-11-05", "2025-03-26", "1999-01-01", "nonsense"] {
        let request = scene.legacy().post().header("mcp-protocol-version", version).json(&message);
        let answer = send(request).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, -32022), "{version}");
        assert_eq!(answer.body["error"]["data"]["requested"], version);
    }
    for version in ["2025-06-18", "2025-11-25"] {
        let request = scene.legacy().post().header("mcp-protocol-version", version).json(&message);
        assert_eq!(send(request).await.status, StatusCode::OK, "{version}");
    }
    assert_eq!(send(scene.legacy().post().json(&message)).await.status, StatusCode::OK, "absent is fine");
}

#[tokio::test]
async fn b3_9_b3_10_headers_that_differ_from_the_body_are_400_header_mismatch() {
    let scene = Scene::set().await;
    let modern = scene.modern();
    let params = json!({ "name": "search_tickets", "arguments": { "query": "*" } });
    let message = modern.message("tools/call", params);
    let ask = |method: Option<&'static str>, name: Option<&'static str>| {
        let mut request = modern.post().header("mcp-protocol-version", "2026-07-28");
        for (header, value) in [("mcp-method", method), ("mcp-name", name)] {
            if let Some(value) = value {
                request = request.header(header, value);
            }
        }
        send(request.json(&message))
    };
    for (method, name) in [
        (None, Some("search_tickets")),
        (Some("tools/call"), None),
        (Some("tools/list"), Some("search_tickets")),
        (Some("tools/call"), Some("get_ticket")),
        (Some("TOOLS/CALL"), Some("search_tickets")),
        (Some("tools/call"), Some("=?base64?####?=")),
    ] {
        let answer = ask(method, name).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, -32020), "{method:?} {name:?}");
        assert_eq!(answer.body["id"], 7);
    }
    // "search_tickets"
    let encoded = "=?base64?c2VhcmNoX3RpY2tldHM=?=";
    assert_eq!(ask(Some("tools/call"), Some(encoded)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn b3_13_unknown_and_removed_methods_are_404_in_the_modern_era() {
    let scene = Scene::set().await;
    for (method, params) in [
        ("nonsense", json!({})),
        ("ping", json!({})),
        ("initialize", json!({})),
        (
            "initialize",
            json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": { "name": "t", "version": "1" },
            }),
        ),
        ("logging/setLevel", json!({ "level": "info" })),
        ("resources/subscribe", json!({ "uri": "ticket://T-1" })),
        ("resources/unsubscribe", json!({ "uri": "ticket://T-1" })),
        ("resources/subscribe", json!({})),
        ("resources/unsubscribe", json!({})),
        ("tasks/get", json!({ "taskId": "t" })),
        ("skills/list", json!({})),
    ] {
        let answer = scene.modern().ask(method, params).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method}: {}", answer.body);
        assert_eq!((answer.code(), &answer.body["id"]), (-32601, &json!(7)), "{method}");
    }
}
