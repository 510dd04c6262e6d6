//! What comes back through the browser: `state`, `iss`, errors.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::{EVERYBODY, check_refusal, depart, server, sign_in, world};
use crate::support::browser::Browser;
use crate::support::upstream::{Upstream, query};

#[tokio::test]
async fn a_state_is_good_once_in_its_own_browser_for_ten_minutes() {
    let (upstream, server) = world().await;
    let (mut own, mut other) = (Browser::new(&server), Browser::new(&server));
    let location = depart(&mut own, "/login", &upstream).await;
    let back = upstream.sign_in(&location);
    let stolen = other.get(&back).await;
    stolen.assert_page(StatusCode::FORBIDDEN, "This sign-in was started in another browser");
    // With the name of the cookie, and another secret in it.
    let name = own.cookies.keys().find(|name| name.contains("elsewhere")).unwrap().clone();
    other.cookies.insert(name, "guessed".into());
    assert_eq!(other.get(&back).await.status, StatusCode::FORBIDDEN);
    assert_eq!(upstream.asked("/token"), 0, "nothing is redeemed");
    assert_eq!(own.get(&back).await.location, "/account", "and the rightful one goes on");
    let again = own.get(&back).await;
    again.assert_page(StatusCode::BAD_REQUEST, "This sign-in is over");
    assert_eq!(upstream.asked("/token"), 1);
    let location = depart(&mut other, "/login", &upstream).await;
    server.advance(Duration::from_secs(601));
    let late = other.get(&upstream.sign_in(&location)).await;
    late.assert_page(StatusCode::BAD_REQUEST, "This sign-in is over");
    for query in ["", "?code=x", "?state=made-up&code=x"] {
        let page = other.get(&format!("/login/acme/callback{query}")).await;
        page.assert_page(StatusCode::BAD_REQUEST, "This sign-in is over");
    }
}

#[tokio::test]
async fn of_many_at_once_one_ends_the_sign_in() {
    let (upstream, server) = world().await;
    let mut browser = Browser::new(&server);
    let location = depart(&mut browser, "/login", &upstream).await;
    let back = upstream.sign_in(&location);
    let mut browsers: Vec<_> = (0..8).map(|_| Browser::new(&server)).collect();
    for copy in &mut browsers {
        copy.cookies = browser.cookies.clone();
    }
    let answers = futures::future::join_all(browsers.iter_mut().map(|copy| copy.get(&back))).await;
    assert_eq!(answers.iter().filter(|answer| answer.location == "/account").count(), 1);
    assert_eq!(upstream.asked("/token"), 1);
}

#[tokio::test]
async fn the_answer_names_its_issuer_before_anything_is_redeemed() {
    let (upstream, server) = world().await;
    for (iss, word) in [
        (None, "no_iss"),
        (Some("https://evil.example"), "iss"),
        (Some(&*format!("{}/", upstream.issuer)), "iss"),
    ] {
        for error in [None, Some("access_denied")] {
            let mut browser = Browser::new(&server);
            let location = depart(&mut browser, "/login", &upstream).await;
            let back = upstream.answer(&location, |params| {
                params.remove("iss");
                params.extend(iss.map(|iss| ("iss".to_owned(), iss.to_owned())));
                let (name, value) = error.map_or(("code", "a-code"), |error| ("error", error));
                params.insert(name.into(), value.into());
            });
            let page = browser.get(&back).await;
            check_refusal(&server, &browser, &page, StatusCode::BAD_GATEWAY, word).await;
        }
    }
    assert_eq!(upstream.asked("/token"), 0);
}

#[tokio::test]
async fn the_issuer_may_be_missing_where_the_provider_does_not_promise_it_unless_it_is_required() {
    for (line, is_good) in [("", true), ("require_iss = true", false)] {
        let upstream = Upstream::start().await;
        upstream.script().metadata = json!({ "authorization_response_iss_parameter_supported": null });
        let server = server(&upstream, line, EVERYBODY).await;
        let mut browser = Browser::new(&server);
        let location = depart(&mut browser, "/login", &upstream).await;
        let back = upstream.answer(&location, |params| {
            params.remove("iss");
            params.insert("code".into(), "a-code".into());
        });
        assert_eq!(browser.get(&back).await.location == "/account", is_good, "{line}");
    }
}

#[tokio::test]
async fn an_answer_to_another_providers_callback_is_not_taken() {
    let (one, other) = (Upstream::start().await, Upstream::named("other").await);
    let server = crate::support::Server::start_with(|config| {
        one.configure(config, "", EVERYBODY);
        other.configure(config, "", EVERYBODY);
    })
    .await;
    let mut browser = Browser::new(&server);
    let location = depart(&mut browser, "/login", &other).await;
    let back = other.sign_in(&location).replace("/login/other/", "/login/acme/");
    let page = browser.get(&back).await;
    check_refusal(&server, &browser, &page, StatusCode::BAD_GATEWAY, "other_provider").await;
    assert_eq!((one.asked("/token"), other.asked("/token")), (0, 0));
}

#[tokio::test]
async fn an_error_gives_a_page_with_the_other_ways_in() {
    let (upstream, server) = world().await;
    for (error, status, word) in [
        ("access_denied", StatusCode::FORBIDDEN, "declined"),
        ("login_required", StatusCode::FORBIDDEN, "declined"),
        ("temporarily_unavailable", StatusCode::SERVICE_UNAVAILABLE, "provider_away"),
        ("invalid_scope", StatusCode::BAD_GATEWAY, "provider_error"),
        ("<script>alert(1)</script>", StatusCode::BAD_GATEWAY, "provider_error"),
    ] {
        let mut browser = Browser::new(&server);
        let location = depart(&mut browser, "/login", &upstream).await;
        let back = upstream.answer(&location, |params| {
            params.insert("error".into(), error.into());
            params.insert("error_description".into(), "a\nb <b>".into());
        });
        let page = browser.get(&back).await;
        check_refusal(&server, &browser, &page, status, word).await;
        let ways = browser.get("/login?stay=1").await;
        assert!(ways.body.contains("type=\"password\"") && ways.body.contains("Acme acme"));
    }
    let mut browser = Browser::new(&server);
    let location = depart(&mut browser, "/login", &upstream).await;
    let page = browser.get(&upstream.answer(&location, |_| {})).await;
    check_refusal(&server, &browser, &page, StatusCode::BAD_GATEWAY, "no_code").await;
}

#[tokio::test]
async fn a_sign_in_begins_a_session_that_replaces_the_one_before() {
    let (upstream, server) = world().await;
    let mut browser = Browser::new(&server);
    sign_in(&mut browser, &upstream).await;
    let first = browser.cookies["mandate-session"].clone();
    let location = depart(&mut browser, "/login?switch=1", &upstream).await;
    assert_ne!(query(&location)["state"], first);
    browser.get(&upstream.sign_in(&location)).await;
    assert_ne!(browser.cookies["mandate-session"], first);
    let mut old = Browser::new(&server);
    old.cookies.insert("mandate-session".into(), first);
    assert_eq!(old.get("/account").await.location, "/login");
}
