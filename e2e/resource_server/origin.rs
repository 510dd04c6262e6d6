//! Host, Origin and CORS (B2.12, B2.13, B3.1, G12–G14, G66).

use mandate::storage::users::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::mcp::{BOTH, Mcp, post, send};
use crate::support::{Server, http};

const APP: &str = "https://app.example";

async fn with_allowed_origin() -> Server {
    Server::start_with(|config| config.mcp.allowed_origins = vec![APP.to_owned()]).await
}

#[tokio::test]
async fn b3_1_an_origin_that_is_not_listed_is_403_before_anything_else() {
    let server = with_allowed_origin().await;
    for origin in ["null", "https://evil.example", "https://app.example.evil.example", "http://app.example"] {
        for method in [Method::POST, Method::GET, Method::OPTIONS] {
            let request = http().request(method.clone(), server.at("/mcp")).header("origin", origin);
            let answer = send(request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{method} {origin}");
            assert_eq!(answer.header("www-authenticate"), "", "{method} {origin}");
        }
    }
    let own = server.url.clone();
    let by_address = format!("http://127.0.0.1:{}", server.address.port());
    for origin in [APP, &own, &by_address] {
        let answer = send(post(&server).header("origin", origin).body("{}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{origin}");
    }
}

#[tokio::test]
async fn b3_1_g66_a_foreign_host_is_403_and_every_name_of_this_machine_is_ours() {
    let server = Server::start().await;
    let port = server.address.port();
    let ask = |host: String| {
        let url = format!("http://{}/mcp", server.address);
        send(http().post(url).header("host", host).body("{}"))
    };
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "localhost:1".to_owned()] {
        assert_eq!(ask(host.clone()).await.status, StatusCode::FORBIDDEN, "{host}");
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        assert_eq!(ask(host.clone()).await.status, StatusCode::UNAUTHORIZED, "{host}");
    }
}

#[tokio::test]
async fn g12_g13_b2_13_a_preflight_is_answered_without_a_token_and_allows_what_clients_send() {
    let server = with_allowed_origin().await;
    let preflight = http()
        .request(Method::OPTIONS, server.at("/mcp"))
        .header("origin", APP)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, mcp-param-region, x-other");
    let answer = send(preflight).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-origin"), APP);
    assert_eq!(answer.header("access-control-allow-methods"), "POST, GET, DELETE, OPTIONS");
    assert_eq!(answer.header("access-control-max-age"), "7200");
    assert_eq!(answer.header("access-control-allow-credentials"), "", "never with credentials");
    let allowed = answer.header("access-control-allow-headers").to_ascii_lowercase();
    let allowed: Vec<&str> = allowed.split(", ").collect();
    for name in [
        "authorization",
        "content-type",
        "accept",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-session-id",
        "last-event-id",
        "dpop",
        "mcp-param-region",
    ] {
        assert!(allowed.contains(&name), "{name}");
    }
    assert!(!allowed.contains(&"x-other"));
}

#[tokio::test]
async fn g14_b2_12_an_allowed_page_can_read_challenges_and_results() {
    let server = with_allowed_origin().await;
    let user = server.add_user("alice", Role::Agent).await;
    let client = Mcp::of(&server, &user.user_id, BOTH).await;
    let list = client.message("tools/list", json!({}));
    let list = client
        .post()
        .header("origin", APP)
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list")
        .json(&list);
    let refused = post(&server).header("origin", APP).body("{}");
    for (request, status) in [(list, StatusCode::OK), (refused, StatusCode::UNAUTHORIZED)] {
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.header("access-control-allow-origin"), APP);
        assert!(answer.header("vary").contains("Origin"));
        let exposed = answer.header("access-control-expose-headers");
        for name in
            ["WWW-Authenticate", "Mcp-Session-Id", "MCP-Protocol-Version", "Retry-After", "DPoP-Nonce"]
        {
            assert!(exposed.contains(name), "{name}");
        }
    }
}
