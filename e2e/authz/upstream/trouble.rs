//! A provider that is down, slow or misconfigured, and limits.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::{EVERYBODY, check_refusal, choose, depart, refused, server, sign_in, world};
use crate::support::browser::{Browser, Loaded};
use crate::support::upstream::{Upstream, query};
use crate::support::{Server, at_most};

/// The page names a reference and leads to the other ways in; nothing of the inside is on it.
fn check_page(page: &Loaded, status: StatusCode) {
    page.assert_page(status, page.title().trim_end_matches(" · Mandate"));
    let reference = page.headers["x-reference-id"].to_str().unwrap();
    assert!(page.body.contains(&format!("<code>{reference}</code>")), "{}", page.body);
    assert!(page.body.contains("You did nothing wrong"), "{}", page.body);
    assert!(page.body.contains("href=\"/login?stay=1\""), "{}", page.body);
    assert!(!page.body.contains("localhost") && !page.body.contains("issuer"), "{}", page.body);
}

#[tokio::test]
async fn a_provider_that_is_away_gives_a_page_and_the_sign_in_page_does_not_need_it() {
    let upstream = Upstream::start().await;
    upstream.go_away();
    let server = server(&upstream, "", EVERYBODY).await;
    let mut browser = Browser::new(&server);
    let page = choose(&mut browser, "/login", &upstream).await;
    check_page(&page, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(page.headers["retry-after"], "60");
    let ways = browser.get("/login?stay=1").await;
    ways.assert_page(StatusCode::OK, "Sign in");
    server.add_user("bob", mandate::storage::users::Role::Requester).await;
    let loaded = browser.sign_in(&ways, "bob", crate::support::PASSWORD).await;
    assert_eq!(loaded.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn metadata_of_another_issuer_or_none_gives_a_page() {
    for (metadata, broken, status) in [
        (json!({ "issuer": "https://evil.example" }), None, StatusCode::BAD_GATEWAY),
        (json!({ "jwks_uri": null }), None, StatusCode::BAD_GATEWAY),
        (json!({ "authorization_endpoint": "javascript:alert(1)" }), None, StatusCode::BAD_GATEWAY),
        (json!({}), Some(500), StatusCode::SERVICE_UNAVAILABLE),
        (json!({}), Some(404), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let upstream = Upstream::start().await;
        upstream.script().metadata = metadata.clone();
        upstream.script().broken.extend(broken.map(|status| ("/.well-known/openid-configuration", status)));
        let server = server(&upstream, "", EVERYBODY).await;
        let page = choose(&mut Browser::new(&server), "/login", &upstream).await;
        check_page(&page, status);
        assert!(!page.body.contains("evil.example"), "{metadata}");
        // Once it is put right, it works.
        upstream.script().metadata = json!({});
        upstream.script().broken.clear();
        let mut browser = Browser::new(&server);
        assert_eq!(sign_in(&mut browser, &upstream).await.location, "/account", "{metadata}");
    }
}

#[tokio::test]
async fn a_token_endpoint_or_key_set_in_trouble_gives_a_page() {
    let (upstream, server) = world().await;
    for (path, status, word, page) in [
        ("/token", 500, "provider_away", StatusCode::SERVICE_UNAVAILABLE),
        ("/token", 429, "provider_away", StatusCode::SERVICE_UNAVAILABLE),
        ("/token", 400, "token_answer", StatusCode::BAD_GATEWAY),
        ("/jwks", 500, "provider_away", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        upstream.script().broken = [(path, status)].into();
        refused(&server, &upstream, page, word).await;
    }
    let mut browser = Browser::new(&server);
    upstream.script().broken.clear();
    let location = depart(&mut browser, "/login", &upstream).await;
    upstream.go_away();
    let page = browser.get(&upstream.sign_in(&location)).await;
    check_refusal(&server, &browser, &page, StatusCode::SERVICE_UNAVAILABLE, "provider_away").await;
}

#[tokio::test]
async fn what_is_known_of_a_provider_is_kept_and_stands_in_while_it_is_away() {
    let (upstream, server) = world().await;
    for _ in 0..3 {
        sign_in(&mut Browser::new(&server), &upstream).await;
    }
    let asked = |path: &str| upstream.asked(path);
    assert_eq!((asked("/.well-known/openid-configuration"), asked("/jwks")), (1, 1));
    server.restart().await;
    sign_in(&mut Browser::new(&server), &upstream).await;
    assert_eq!((asked("/.well-known/openid-configuration"), asked("/jwks")), (1, 1), "also after a restart");
    server.advance(Duration::from_hours(25));
    upstream.script().now = server.app.now();
    upstream.script().broken.extend([("/.well-known/openid-configuration", 503), ("/jwks", 503)]);
    let mut browser = Browser::new(&server);
    assert_eq!(sign_in(&mut browser, &upstream).await.location, "/account");
}

#[tokio::test]
async fn a_provider_that_may_not_be_reached_is_not() {
    let upstream = Upstream::start().await;
    let server = Server::start_with(|config| {
        upstream.configure(config, "", EVERYBODY);
        config.outbound.allowed_hosts.clear();
    })
    .await;
    let page = choose(&mut Browser::new(&server), "/login", &upstream).await;
    check_page(&page, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(upstream.asked("/.well-known/openid-configuration"), 0);
}

#[tokio::test]
async fn one_address_begins_so_many_sign_ins() {
    let upstream = Upstream::start().await;
    let server = Server::start_with(|config| {
        upstream.configure(config, "", EVERYBODY);
        config.limits.authorize = at_most(3);
    })
    .await;
    let mut browser = Browser::new(&server);
    for _ in 0..3 {
        assert!(query(&depart(&mut browser, "/login", &upstream).await).contains_key("state"));
    }
    let page = choose(&mut browser, "/login", &upstream).await;
    page.assert_page(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
}
