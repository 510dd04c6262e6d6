//! Clients that cannot be installed for a test, as they introduce themselves (A6, G16, G19, G20, G23-G26): a server
//! with the shipped configuration lets each of them through the whole dance, at every address it comes back to.

use std::path::Path;

use mandate::authz::client_document;
use mandate::config::Config;
use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::browser::Browser;
use crate::support::client::{Client, VERIFIER, register, token};

/// What a client sends to the registration endpoint, apart from what all of them send alike.
fn registrations() -> Vec<Value> {
    let device = "urn:ietf:params:oauth:grant-type:device_code";
    vec![
        json!({
            "client_name": "Cursor",
            "redirect_uris": [
                "cursor://anysphere.cursor-mcp/oauth/callback",
                "https://www.cursor.com/agents/mcp/oauth/callback",
                "http://localhost:8787/callback",
            ],
            "token_endpoint_auth_method": "none",
        }),
        json!({
            "client_name": "Visual Studio Code",
            "client_uri": "https://code.visualstudio.com",
            "grant_types": ["authorization_code", "refresh_token", device],
            "redirect_uris": [
                "https://insiders.vscode.dev/redirect",
                "https://vscode.dev/redirect",
                "http://127.0.0.1/",
                "http://127.0.0.1:33418/",
            ],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
        }),
        json!({
            "client_name": "Claude",
            "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
            "token_endpoint_auth_method": "none",
        }),
        json!({
            "client_name": "Claude",
            "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
            "token_endpoint_auth_method": "client_secret_post",
        }),
        json!({
            "client_name": "ChatGPT",
            "redirect_uris": ["https://chatgpt.com/connector/oauth/a1B2c3D4e5F6"],
            "token_endpoint_auth_method": "none",
        }),
        json!({
            "client_name": "ChatGPT",
            "redirect_uris": ["https://chatgpt.com/connector_platform_oauth_redirect"],
            "token_endpoint_auth_method": "client_secret_basic",
        }),
    ]
}

/// Each published document that the program brings, and where its client comes back to. A port stands where
/// the client listens at one that was free.
const DOCUMENTS: [(&str, &str, &str, &[&str]); 5] = [
    ("claude.json", "Claude", "claude.ai", &["https://claude.ai/api/mcp/auth_callback"]),
    (
        "claude-code.json",
        "Claude Code",
        "claude.ai",
        &["http://localhost:55575/callback", "http://127.0.0.1:55575/callback", "http://localhost/callback"],
    ),
    ("chatgpt.json", "ChatGPT", "chatgpt.com", &["https://chatgpt.com/connector_platform_oauth_redirect"]),
    (
        "codex.json",
        "Codex",
        "chatgpt.com",
        &["http://127.0.0.1:32769/callback", "http://localhost:32769/callback"],
    ),
    (
        "vs-code.json",
        "Visual Studio Code",
        "vscode.dev",
        &["http://127.0.0.1:33418/", "http://127.0.0.1:50123/", "https://vscode.dev/redirect"],
    ),
];

/// The dance of one client, which comes back to this address; its secret, if it got one.
async fn dance(
    server: &Server,
    client_id: &str,
    name: &str,
    redirect_uri: &str,
    secret: Option<&str>,
) -> String {
    let client = Client::known(server, client_id);
    let resource = server.at("/mcp");
    let asked = client.authorize(&[
        ("redirect_uri", redirect_uri),
        ("scope", "tickets:read tickets:write offline_access"),
        ("resource", &resource),
        ("prompt", "consent"),
    ]);
    let mut browser = Browser::new(server);
    let (path, page) = browser.open_consent(&asked, "alice").await;
    assert!(page.body.contains(name), "{redirect_uri}: {}", page.body);
    let decided = browser.decide(&path, &page, "allow", &["tickets:read"]).await;
    assert!(decided.location.starts_with(redirect_uri), "{redirect_uri}: {}", decided.location);
    let answer = decided.answer();
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", &answer["code"]),
        ("code_verifier", VERIFIER),
        ("redirect_uri", redirect_uri),
        ("client_id", client_id),
        ("resource", &resource),
    ];
    form.extend(secret.map(|secret| ("client_secret", secret)));
    let (status, tokens) = token(server, &form).await;
    assert_eq!(status, StatusCode::OK, "{name} at {redirect_uri}: {tokens}");
    assert!(tokens["refresh_token"].is_string(), "{name}: {tokens}");
    page.body
}

#[tokio::test]
async fn clients_that_register_keep_every_address_and_are_let_through() {
    let server = Server::start().await;
    server.add_user("alice", Role::Agent).await;
    for mut metadata in registrations() {
        metadata["response_types"] = json!(["code"]);
        if metadata.get("grant_types").is_none() {
            metadata["grant_types"] = json!(["authorization_code", "refresh_token"]);
        }
        let (status, registered) = register(&server, &metadata).await;
        assert_eq!(status, StatusCode::CREATED, "{metadata}: {registered}");
        assert_eq!(registered["redirect_uris"], metadata["redirect_uris"]);
        let (client_id, name) =
            (registered["client_id"].as_str().unwrap(), metadata["client_name"].as_str().unwrap());
        for redirect_uri in metadata["redirect_uris"].as_array().unwrap() {
            let redirect_uri = redirect_uri.as_str().unwrap();
            let page =
                dance(&server, client_id, name, redirect_uri, registered["client_secret"].as_str()).await;
            assert!(page.contains("Not verified"), "anybody can register this name");
        }
    }
}

#[tokio::test]
async fn published_clients_are_let_through_with_the_documents_that_come_along() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/authz/known_documents");
    let mut config = Config::defaults().unwrap();
    config.clients.preloaded_documents = Some(folder.clone());
    let preloaded = client_document::preload(&config).unwrap();
    assert_eq!(preloaded.len(), DOCUMENTS.len(), "each has its row");
    let server = Server::start_with_app(|_| {}, |app| app.preloaded = preloaded).await;
    server.add_user("alice", Role::Agent).await;
    for (file, name, host, redirect_uris) in DOCUMENTS {
        let document: Value = serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
        for redirect_uri in redirect_uris {
            let page =
                dance(&server, document["client_id"].as_str().unwrap(), name, redirect_uri, None).await;
            assert!(page.contains(&format!("<strong>{host}</strong>")), "{name} is vouched for by its host");
        }
    }
}

#[tokio::test]
async fn nobody_else_comes_in_under_a_published_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/authz/known_documents");
    let mut config = Config::defaults().unwrap();
    config.clients.preloaded_documents = Some(folder);
    let preloaded = client_document::preload(&config).unwrap();
    let ids: Vec<String> = preloaded.keys().map(|id| id.as_str().to_owned()).collect();
    let server = Server::start_with_app(|_| {}, |app| app.preloaded = preloaded).await;
    for client_id in &ids {
        for redirect_uri in [
            "https://claude.ai.evil.example/api/mcp/auth_callback",
            "https://evil.example/",
            "http://127.0.0.1:1/evil",
        ] {
            let asked = Client::known(&server, client_id).authorize(&[("redirect_uri", redirect_uri)]);
            let page = Browser::new(&server).get(&asked).await;
            assert_eq!(page.status, StatusCode::BAD_REQUEST, "{client_id} at {redirect_uri}");
            assert!(page.location.is_empty(), "{}", page.location);
        }
    }
}
