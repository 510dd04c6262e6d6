//! A resource server alone: somebody else issues the tokens (B1, RFC 9728).

use mandate::config::issuers::Issuers;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::acme::Acme;
use crate::support::mcp::{Mcp, mint, post, send};
use crate::support::{Server, http};

async fn alone(acme: &Acme, change: &Value) -> Server {
    Server::start_with(|config| {
        acme.trust(config, change);
        config.authorization_server = false;
    })
    .await
}

#[tokio::test]
async fn the_metadata_and_the_first_challenge_lead_to_the_issuer_with_its_own_names() {
    let acme = Acme::start().await;
    let scopes = json!({ "Tickets.Read": "tickets:read", "Tickets.Write": "tickets:write" });
    let server = alone(&acme, &json!({ "scopes": scopes, "scope_prefix": "api://1/" })).await;
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let metadata: Value = http().get(server.at(path)).send().await.unwrap().json().await.unwrap();
        assert_eq!(metadata["authorization_servers"], json!([acme.issuer()]));
        assert_eq!(metadata["scopes_supported"], json!(["api://1/Tickets.Read", "api://1/Tickets.Write"]));
        assert_eq!(metadata["resource"], server.at("/mcp"));
    }
    let answer = send(post(&server).json(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }))).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.header("www-authenticate").contains("scope=\"api://1/Tickets.Read\""));
    let reader = acme.client(&server, &json!({ "scope": "Tickets.Read" }));
    assert_eq!(reader.call("search_tickets", json!({ "query": "*" })).await.status, StatusCode::OK);
    let refused = reader.call("close_ticket", json!({ "id": "T-1" })).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.body["scope"], "api://1/Tickets.Read api://1/Tickets.Write");
    assert!(!refused.body.to_string().contains("/account"), "there is no such page: {}", refused.body);
}

#[tokio::test]
async fn of_the_authorization_server_no_route_is_left_and_every_answer_is_json() {
    let acme = Acme::start().await;
    let server = alone(&acme, &json!({})).await;
    for path in [
        "/",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/jwks",
        "/authorize",
        "/token",
        "/register",
        "/revoke",
        "/login",
        "/consent/x",
        "/account",
        "/account/revoke",
        "/account/allow",
        "/account/apps/x/activity",
        "/logout",
        "/signed-out",
        "/setup",
        "/nothing",
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = http().request(method.clone(), server.at(path)).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{method} {path}");
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["error"], "not_found", "{method} {path}");
        }
    }
    let probe = http().get(server.at("/.well-known/oauth-authorization-server"));
    let answer = probe.header("origin", "https://app.example").send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "*", "browser clients can tell");
    for path in ["/live", "/ready"] {
        assert_eq!(http().get(server.at(path)).send().await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn tokens_of_ours_are_good_no_more() {
    let acme = Acme::start().await;
    let server = alone(&acme, &json!({})).await;
    let user = server.add_user("alice", mandate::storage::users::Role::Agent).await;
    let own = mint(&server, &user.user_id, "client_1", "tickets:read").await;
    let answer = Mcp::modern(&server, &own.token).ask("tools/list", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn of_several_issuers_the_first_says_how_scopes_are_called() {
    let (acme, other) = (Acme::start().await, Acme::start_at("/other").await);
    let server = Server::start_with(|config| {
        let named = json!({ "scopes": { "Read": "tickets:read", "Write": "tickets:write" } });
        let silent = json!({ "advertise": false });
        let tables =
            json!({ "a": other.table(&silent), "b": acme.table(&named), "c": acme.table(&json!({})) });
        assert!(Issuers::from_json(tables).is_err(), "two tables of one issuer");
        let tables = json!({ "a": other.table(&silent), "b": acme.table(&named) });
        config.issuers = Issuers::from_json(tables).unwrap();
        config.authorization_server = false;
        acme.host.allow_both(&other.host, config);
    })
    .await;
    let metadata = http().get(server.at("/.well-known/oauth-protected-resource")).send().await.unwrap();
    let metadata: Value = metadata.json().await.unwrap();
    assert_eq!(metadata["authorization_servers"], json!([acme.issuer()]));
    assert_eq!(metadata["scopes_supported"], json!(["Read", "Write"]));
    let quiet = other.client(&server, &json!({})).call("search_tickets", json!({ "query": "*" })).await;
    assert_eq!(quiet.status, StatusCode::OK, "what is not told is trusted all the same");
}
