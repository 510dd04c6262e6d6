//! The whole way, once.

use reqwest::StatusCode;

use crate::support::Server;
use crate::support::client::{Client, claims};

#[tokio::test]
async fn a_client_registers_is_allowed_and_gets_tokens_that_say_so() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let tokens = client.obtain_tokens("alice").await;
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 3600);
    assert_eq!(tokens["scope"], "tickets:read tickets:write");
    let claims = claims(&tokens["access_token"]);
    assert_eq!(claims["aud"], server.at("/mcp"));
    assert_eq!(claims["iss"], server.url);
    assert_eq!(claims["client_id"], client.client_id);
    let (status, refreshed) = client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(refreshed["refresh_token"], tokens["refresh_token"]);
}
