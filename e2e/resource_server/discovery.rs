//! Protected resource metadata (RFC 9728; B1, G3, G5, G6, G10–G12, G62).

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::mcp::{post, send};
use crate::support::{Server, header, http};

const ROOT: &str = "/.well-known/oauth-protected-resource";

#[tokio::test]
async fn b1_1_b1_2_b1_3_the_document_stands_at_the_root_and_below_the_path_and_names_the_endpoint() {
    let server = Server::start().await;
    let mut documents = Vec::new();
    for path in ["", "/mcp", "/mcp/"] {
        let answer = send(http().get(server.at(&format!("{ROOT}{path}")))).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(answer.header("cache-control").contains("max-age="));
        documents.push(answer.body);
    }
    assert_eq!(
        documents[0],
        json!({
            "resource": server.at("/mcp"),
            "authorization_servers": [server.url],
            "scopes_supported": ["tickets:read", "tickets:write"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Tickets",
        })
    );
    assert!(documents.iter().all(|document| *document == documents[0]));
}

#[tokio::test]
async fn b1_5_scopes_are_those_there_is_a_use_for() {
    let server = Server::start_with(|config| {
        config.mcp.writes.set(false);
    })
    .await;
    let answer = send(http().get(server.at(ROOT))).await;
    assert_eq!(answer.body["scopes_supported"], json!(["tickets:read"]));
}

#[tokio::test]
async fn g5_resources_that_are_not_protected_here_are_404_in_json() {
    let server = Server::start().await;
    for path in ["/mcp2", "/mcp/x", "/", "/other"] {
        let answer = send(http().get(server.at(&format!("{ROOT}{path}")))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.body["error"], "not_found", "{path}");
    }
}

#[tokio::test]
async fn g6_discovery_answers_get_head_and_options_without_a_token() {
    let server = Server::start().await;
    let head = http().head(server.at(ROOT)).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    let preflight = http()
        .request(Method::OPTIONS, server.at(ROOT))
        .header("origin", "https://inspector.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "mcp-protocol-version")
        .send()
        .await
        .unwrap();
    assert!(preflight.status().is_success());
    assert_eq!(header(&preflight, "access-control-allow-origin"), "*");
    let allowed = header(&preflight, "access-control-allow-headers").to_ascii_lowercase();
    assert!(allowed.contains("mcp-protocol-version"), "{allowed}");
}

#[tokio::test]
async fn g3_what_clients_are_told_comes_from_configuration_whatever_proxies_say() {
    let server = Server::start().await;
    let forwarded =
        [("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "gopher"), ("forwarded", "host=evil")];
    let with = |request: reqwest::RequestBuilder| {
        forwarded.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    let document = send(with(http().get(server.at(ROOT)))).await;
    assert_eq!(document.body["resource"], server.at("/mcp"));
    assert_eq!(document.body["authorization_servers"], json!([server.url]));
    let refused = send(with(post(&server)).body("{}")).await;
    let metadata = format!("resource_metadata=\"{}/mcp\"", server.at(ROOT));
    assert!(refused.header("www-authenticate").contains(&metadata));
}

#[tokio::test]
async fn g10_g11_the_document_is_plain_kept_briefly_and_outlasts_the_database() {
    let server = Server::start().await;
    server.app.store.close().await;
    let answer = send(http().get(server.at(ROOT)).header("accept-encoding", "gzip, br, zstd, deflate")).await;
    assert_eq!((answer.status, answer.header("content-encoding")), (StatusCode::OK, ""));
    let seconds: u32 =
        answer.header("cache-control").strip_prefix("public, max-age=").unwrap().parse().unwrap();
    assert!(seconds <= 3600, "{seconds}");
}

#[tokio::test]
async fn g62_scopes_are_the_same_short_list_on_both_sides_and_never_empty() {
    for writes in [true, false] {
        let server = Server::start_with(|config| {
            config.mcp.writes.set(writes);
        })
        .await;
        let protected = send(http().get(server.at(ROOT))).await.body["scopes_supported"].clone();
        let issuer = send(http().get(server.at("/.well-known/oauth-authorization-server"))).await;
        let mut offered = issuer.body["scopes_supported"].as_array().unwrap().clone();
        assert!(!protected.as_array().unwrap().is_empty());
        offered.retain(|scope| scope != "offline_access");
        assert_eq!(json!(offered), protected, "writes: {writes}");
    }
}
