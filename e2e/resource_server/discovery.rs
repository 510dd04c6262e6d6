//! Protected resource metadata (RFC 9728; B1, G5, G6, G12).

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::mcp::send;
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
    let server = Server::start_with(|config| config.mcp.writes = false).await;
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
