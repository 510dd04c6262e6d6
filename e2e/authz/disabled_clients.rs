//! Clients that an operator lets in no more.

use mandate::oauth::ClientId;
use mandate::storage::{commit, disabled_clients, grants};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::Server;
use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::mcp::Mcp;
use crate::support::origin::Origin;

async fn disable(server: &Server, client_id: &str) {
    let (client_id, now) = (ClientId::new(client_id), server.app.now());
    let mut tx = server.app.store.write().await.unwrap();
    disabled_clients::record(&mut tx, &client_id, now).await.unwrap();
    let ended =
        grants::revoke_some_of(&mut tx, &client_id, "the client was disabled", now, 500).await.unwrap();
    server.app.commit_ending(tx, &ended).await.unwrap();
}

#[tokio::test]
async fn a_disabled_client_gets_a_page_and_no_tokens_and_what_it_had_has_ended() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let tokens = client.obtain_tokens("alice").await;
    let access_token = tokens["access_token"].as_str().unwrap();
    let code = client.obtain_code("bob", &["tickets:read"]).await;
    disable(&server, &client.client_id).await;
    let mut browser = Browser::new(&server);
    browser
        .get(&client.authorize(&[]))
        .await
        .assert_page(StatusCode::FORBIDDEN, "This app is not let in here");
    for (status, body) in
        [client.redeem(&code).await, client.refresh(tokens["refresh_token"].as_str().unwrap()).await]
    {
        assert_eq!((status, &body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_client")));
    }
    let call = Mcp::modern(&server, access_token).ask("tools/list", json!({})).await;
    assert_eq!(call.status, StatusCode::UNAUTHORIZED);
    let mut tx = server.app.store.write().await.unwrap();
    disabled_clients::remove(&mut tx, &ClientId::new(&client.client_id)).await.unwrap();
    commit(tx).await.unwrap();
    let again = client.obtain_tokens("alice").await;
    assert!(again["access_token"].is_string(), "let in again, it is connected anew");
}

#[tokio::test]
async fn whoever_is_on_the_consent_page_of_a_client_that_is_disabled_meanwhile_grants_nothing() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    disable(&server, &client.client_id).await;
    let answer = browser.decide(&path, &page, "allow", &["tickets:read"]).await;
    assert!(!answer.location.contains("code="), "{answer:?}");
    let alice = server.app.store.find_user_by_name("alice").await.unwrap().unwrap().user_id;
    assert!(server.app.store.list_live_grants(&alice, server.app.now()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_client_with_a_document_of_its_own_is_disabled_like_any_other() {
    let origin = Origin::start().await;
    origin.publish("/client.json", "", &origin.document("/client.json"));
    let server = Server::start_with(|config| origin.trust(config)).await;
    let client = Client::known(&server, origin.at("/client.json"));
    disable(&server, &client.client_id).await;
    let mut browser = Browser::new(&server);
    browser
        .get(&client.authorize(&[]))
        .await
        .assert_page(StatusCode::FORBIDDEN, "This app is not let in here");
    let (status, body) = client.refresh("x").await;
    assert_eq!((status, &body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_client")));
    assert!(origin.requests().is_empty(), "nothing is fetched for it");
}
