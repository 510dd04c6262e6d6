//! Connected apps and signing out (A3.20).

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::Server;
use crate::support::browser::{Browser, Loaded};
use crate::support::client::Client;

/// The grants that the page lists.
fn grants(page: &Loaded) -> Vec<String> {
    let fields = page.body.split("name=\"grant_id\" value=\"").skip(1);
    fields.map(|rest| rest[..rest.find('"').unwrap()].to_owned()).collect()
}

async fn revoke(browser: &mut Browser<'_>, page: &Loaded, grant_id: &str) -> Loaded {
    let csrf = page.hidden("csrf");
    browser.post("/account/revoke", &[("csrf", &csrf), ("grant_id", grant_id)]).await
}

#[tokio::test]
async fn the_page_lists_client_host_scopes_and_dates_of_ones_own_grants() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    browser.get("/account").await.assert_page(StatusCode::OK, "Connected apps");
    assert!(browser.get("/account").await.body.contains("No app is connected yet"));
    client.obtain_tokens_for("alice", &["tickets:read"]).await;
    client.obtain_tokens_for("bob", &["tickets:read", "tickets:write"]).await;
    let page = browser.get("/account").await;
    page.assert_page(StatusCode::OK, "Connected apps");
    assert_eq!(grants(&page).len(), 1);
    for said in [
        "<bdi>Test client</bdi>",
        "Not verified",
        "127.0.0.1:49152, a program on this computer",
        "See your tickets",
        "datetime=\"2026-11-23T00:00:00Z\"",
        "Never",
    ] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
    assert!(!page.body.contains("Open, comment on"), "{}", page.body);
}

#[tokio::test]
async fn revoking_ends_that_grant_at_once_and_no_other() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let kept = client.obtain_tokens("alice").await;
    server.advance(std::time::Duration::from_secs(1));
    let ended = client.obtain_tokens("alice").await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let page = browser.get("/account").await;
    let newest = grants(&page)[0].clone();
    let answer = revoke(&mut browser, &page, &newest).await;
    assert_eq!(
        (answer.status, answer.location.as_str()),
        (StatusCode::SEE_OTHER, &*format!("/account?revoked={newest}"))
    );
    let page = browser.get(&answer.location).await;
    assert!(page.body.contains("<bdi>“Test client”</bdi> can no longer use your tickets."), "{}", page.body);
    assert_eq!(grants(&page).len(), 1);
    let (status, body) = client.refresh(ended["refresh_token"].as_str().unwrap()).await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    for (tokens, expected) in [(&ended, StatusCode::UNAUTHORIZED), (&kept, StatusCode::OK)] {
        let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
        let request = crate::support::http().post(server.at("/mcp")).header("authorization", bearer);
        let request = request.header("accept", "application/json, text/event-stream").json(&body);
        assert_eq!(request.send().await.unwrap().status(), expected, "the very next call");
    }
    assert_eq!(client.refresh(kept["refresh_token"].as_str().unwrap()).await.0, StatusCode::OK);
    let again = revoke(&mut browser, &page, &newest).await;
    assert!(browser.get(&again.location).await.body.contains("That app has no access any more."));
}

#[tokio::test]
async fn nobody_revokes_or_names_anothers_grant() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let tokens = client.obtain_tokens("alice").await;
    let mut alice = Browser::signed_in(&server, "alice").await;
    let grant_id = grants(&alice.get("/account").await)[0].clone();
    let mut bob = Browser::signed_in(&server, "bob").await;
    let page = bob.get("/account").await;
    for wanted in [grant_id.as_str(), "unknown", ""] {
        let answer = revoke(&mut bob, &page, wanted).await;
        assert_eq!(answer.location, "/account?revoked=", "{wanted}");
        assert!(bob.get(&answer.location).await.body.contains("That app has no access any more."));
    }
    let spied = bob.get(&format!("/account?revoked={grant_id}")).await;
    assert!(!spied.body.contains("Test client"));
    assert_eq!(client.refresh(tokens["refresh_token"].as_str().unwrap()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_form_that_is_not_ours_is_refused_with_a_page() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    client.obtain_tokens("alice").await;
    let mut alice = Browser::signed_in(&server, "alice").await;
    let page = alice.get("/account").await;
    let grant_id = grants(&page)[0].clone();
    let own = page.hidden("csrf");
    let foreign = Browser::signed_in(&server, "alice").await.get("/account").await.hidden("csrf");
    for path in ["/account/revoke", "/logout"] {
        for csrf in [foreign.as_str(), "", "x"] {
            let loaded = alice.post(path, &[("csrf", csrf), ("grant_id", &grant_id)]).await;
            loaded.assert_page(StatusCode::FORBIDDEN, "This form can no longer be used");
        }
        let form = [("csrf", own.as_str()), ("grant_id", grant_id.as_str())];
        let headers = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
        let loaded = alice.send(Method::POST, path, Some(&form), &headers).await;
        loaded.assert_page(StatusCode::FORBIDDEN, "This form can no longer be used");
    }
    assert_eq!(grants(&alice.get("/account").await), [grant_id]);
}

#[tokio::test]
async fn signing_out_ends_the_session_in_the_store_and_keeps_the_grants() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let tokens = client.obtain_tokens("alice").await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let csrf = browser.get("/account").await.hidden("csrf");
    let before = browser.cookies.clone();
    let loaded = browser.post("/logout", &[("csrf", &csrf)]).await;
    assert_eq!((loaded.status, loaded.location.as_str()), (StatusCode::SEE_OTHER, "/signed-out"));
    assert!(!browser.cookies.contains_key("mandate-session"));
    browser.get("/signed-out").await.assert_page(StatusCode::OK, "Signed out");
    browser.cookies = before;
    assert_eq!(browser.get("/account").await.location, "/login", "a kept cookie is worth nothing");
    assert_eq!(
        browser.post("/logout", &[("csrf", &csrf)]).await.location,
        "/signed-out",
        "twice is harmless"
    );
    assert_eq!(client.refresh(tokens["refresh_token"].as_str().unwrap()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn signing_out_in_one_browser_leaves_the_other_signed_in() {
    let server = Server::with_people().await;
    let mut one = Browser::signed_in(&server, "alice").await;
    let mut two = Browser::signed_in(&server, "alice").await;
    let csrf = one.get("/account").await.hidden("csrf");
    one.post("/logout", &[("csrf", &csrf)]).await;
    two.get("/account").await.assert_page(StatusCode::OK, "Connected apps");
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_sent_to_sign_in() {
    let server = Server::with_people().await;
    let mut browser = Browser::new(&server);
    assert_eq!(browser.get("/account").await.location, "/login");
    assert_eq!(browser.post("/account/revoke", &[("csrf", "x"), ("grant_id", "x")]).await.location, "/login");
    assert_eq!(browser.post("/logout", &[("csrf", "x")]).await.location, "/signed-out");
}

#[tokio::test]
async fn every_page_has_its_headers_and_a_title_of_its_own() {
    let server = Server::with_people().await;
    let mut browser = Browser::new(&server);
    for (path, status, title) in [
        ("/", StatusCode::OK, "Home"),
        ("/login", StatusCode::OK, "Sign in"),
        ("/signed-out", StatusCode::OK, "Signed out"),
        ("/authorize", StatusCode::BAD_REQUEST, "This request names no app"),
        ("/consent/unknown", StatusCode::BAD_REQUEST, "This request has expired"),
        ("/setup", StatusCode::GONE, "This link does not work any more"),
        ("/nowhere", StatusCode::NOT_FOUND, "There is no page here"),
        ("/assets/nothing.css", StatusCode::NOT_FOUND, "There is no page here"),
    ] {
        browser.get(path).await.assert_page(status, title);
    }
    let mut alice = Browser::signed_in(&server, "alice").await;
    alice.get("/account").await.assert_page(StatusCode::OK, "Connected apps");
}
