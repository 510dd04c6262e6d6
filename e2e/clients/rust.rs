//! The official Rust SDK: its OAuth manager and its transport do everything but the person's part.

use std::time::Duration;

use mandate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata, MetadataRules};
use mandate::oauth::{ClientId, Scopes};
use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, CallToolResult, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RunningService, ServiceError};
use rmcp::transport::auth::{AuthClient, AuthorizationCallback, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{AuthorizationRequest, StreamableHttpClientTransport};
use serde_json::{Value, json};
use url::Url;

use crate::support::browser::{Browser, Loaded};
use crate::support::client::REDIRECT_URI;
use crate::support::{Server, http};

type Running = RunningService<RoleClient, ()>;
type Auth = AuthClient<reqwest::Client>;

/// Where the metadata document is that the server knows.
const DOCUMENT: &str = "https://notebook.example/client.json";

fn eras() -> [ClientLifecycleMode; 2] {
    [
        ClientLifecycleMode::Initialize,
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
    ]
}

/// How a client becomes known.
#[derive(Clone, Copy, Debug)]
enum Way {
    Document,
    Dynamic,
    ByHand,
}

/// A server that knows the document.
async fn server() -> Server {
    let metadata = json!({
        "client_id": DOCUMENT,
        "client_name": "Rust notebook",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "none",
    });
    let rules = MetadataRules {
        private_use_schemes: &[],
        default_auth_method: AuthMethod::None,
        further_methods: true,
    };
    let metadata = ClientMetadata::parse(metadata.as_object().unwrap(), rules).unwrap();
    let client_id = ClientId::new(DOCUMENT);
    let known =
        Client { client_id: client_id.clone(), kind: ClientKind::Document, metadata, secret_hash: None };
    let server =
        Server::start_with_app(|_| {}, move |app| drop(app.preloaded.insert(client_id, known))).await;
    server.add_user("alice", mandate::storage::users::Role::Agent).await;
    server
}

/// What the client asks for in this way, after this challenge.
async fn request(server: &Server, way: Way, challenge: &str) -> AuthorizationRequest {
    let request = AuthorizationRequest::new(REDIRECT_URI).with_challenge(challenge);
    match way {
        Way::Dynamic => request.with_client_name("Rust notebook"),
        Way::Document => request.with_client_metadata_url(DOCUMENT),
        Way::ByHand => {
            let metadata = json!({
                "client_name": "Rust notebook",
                "redirect_uris": [REDIRECT_URI],
                "token_endpoint_auth_method": "client_secret_basic",
            });
            let client_id = server.app.random.id();
            let secret = server.add_client(&client_id, &metadata).await.unwrap();
            request.with_preregistered_client(client_id).with_client_secret(secret)
        }
    }
}

/// The person's part: signs in, allows these scopes, comes back.
async fn allow(server: &Server, url: &str, scopes: &[&str]) -> Loaded {
    let url = Url::parse(url).unwrap();
    assert_eq!(url.origin().ascii_serialization(), server.url);
    let mut browser = Browser::new(server);
    let (path, page) =
        browser.open_consent(&format!("{}?{}", url.path(), url.query().unwrap()), "alice").await;
    browser.decide(&path, &page, "allow", scopes).await
}

async fn connect(server: &Server, client: Option<Auth>, era: ClientLifecycleMode) -> Result<Running, String> {
    let config = StreamableHttpClientTransportConfig::with_uri(server.at("/mcp"));
    let connected = if let Some(client) = client {
        let transport = StreamableHttpClientTransport::with_client(client, config);
        ().serve_with_lifecycle(transport, era).await
    } else {
        let transport = StreamableHttpClientTransport::with_client(http(), config);
        ().serve_with_lifecycle(transport, era).await
    };
    connected.map_err(|error| error.auth_challenge().unwrap_or_else(|| panic!("{error:?}")).to_owned())
}

/// The whole first dance, from a bare 401 to a connection.
async fn dance(server: &Server, way: Way, era: ClientLifecycleMode) -> (Running, Auth) {
    let challenge = connect(server, None, era.clone()).await.expect_err("nobody comes in without a token");
    assert!(challenge.contains("resource_metadata=") && !challenge.contains("error="), "{challenge}");
    let mut state = OAuthState::new(server.at("/mcp"), None).await.unwrap();
    state.start_authorization(request(server, way, &challenge).await).await.unwrap();
    let url = state.get_authorization_url().await.unwrap();
    let back = allow(server, &url, &["tickets:read"]).await;
    state.handle_callback_url(&back.location).await.unwrap();
    let client = AuthClient::new(http(), state.into_authorization_manager().unwrap());
    let running = connect(server, Some(client.clone()), era).await.unwrap();
    (running, client)
}

async fn call(
    client: &Running,
    tool: &'static str,
    arguments: Value,
) -> Result<CallToolResult, ServiceError> {
    let arguments = arguments.as_object().unwrap().clone();
    client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await
}

async fn scopes(client: &Auth) -> Scopes {
    let scopes = client.auth_manager.lock().await.get_current_scopes().await;
    Scopes::of(scopes.iter().map(String::as_str))
}

#[tokio::test]
async fn a_client_reads_and_then_writes() {
    let server = server().await;
    let draft = json!({ "title": "The lift plays the wrong song", "body": "It should play none." });
    for era in eras() {
        for way in [Way::Document, Way::Dynamic, Way::ByHand] {
            let (client, auth) = dance(&server, way, era.clone()).await;
            assert_eq!(client.list_all_tools().await.unwrap().len(), 5, "{way:?}");
            let found = call(&client, "search_tickets", json!({ "query": "lift" })).await.unwrap();
            assert_ne!(found.is_error, Some(true), "{found:?}");
            assert!(!scopes(&auth).await.contains("tickets:write"));
            let refused = call(&client, "create_ticket", draft.clone()).await.unwrap_err();
            let challenge = refused.auth_challenge().unwrap_or_else(|| panic!("{refused:?}"));
            assert!(challenge.contains("insufficient_scope"), "{challenge}");
            let manager = auth.auth_manager.lock().await;
            let url = manager.request_scope_upgrade("tickets:write").await.unwrap();
            let back = allow(&server, &url, &["tickets:read", "tickets:write"]).await;
            let back = AuthorizationCallback::from_redirect_url(&back.location).unwrap();
            let issuer = back.issuer.as_deref();
            manager.exchange_code_for_token_with_issuer(&back.code, &back.csrf_token, issuer).await.unwrap();
            drop(manager);
            assert!(Scopes::of(["tickets:read", "tickets:write"]).is_subset(&scopes(&auth).await));
            let created = call(&client, "create_ticket", draft.clone()).await.unwrap();
            assert_ne!(created.is_error, Some(true), "{created:?}");
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_refreshed_without_the_person_until_access_is_taken_back() {
    for era in eras() {
        let server = server().await;
        let (client, auth) = dance(&server, Way::Dynamic, era).await;
        let first = auth.get_access_token().await.unwrap();
        server.advance(Duration::from_hours(2));
        let query = json!({ "query": "lift" });
        let found = call(&client, "search_tickets", query.clone()).await.unwrap();
        assert_ne!(found.is_error, Some(true), "{found:?}");
        assert_ne!(auth.get_access_token().await.unwrap(), first);
        let mut browser = Browser::signed_in(&server, "alice").await;
        let account = browser.get("/account").await;
        let (csrf, grant_id) = (account.hidden("csrf"), account.hidden("grant_id"));
        browser.post("/account/revoke", &[("csrf", &csrf), ("grant_id", &grant_id)]).await;
        let refused = call(&client, "search_tickets", query).await.unwrap_err();
        assert!(refused.is_authorization_required(), "the client knows whom to ask: {refused:?}");
    }
}
