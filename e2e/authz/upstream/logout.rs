//! Signing out here and there.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{EVERYBODY, server, sign_in, world};
use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::signer::{Signer, encode};
use crate::support::upstream::{CLIENT_ID, Upstream, query};
use crate::support::{Server, at_most, http};

async fn tell(server: &Server, token: &str) -> (StatusCode, Value) {
    let response =
        http().post(server.at("/login/acme/logout")).form(&[("logout_token", token)]).send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let status = response.status();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

async fn is_signed_in(browser: &mut Browser<'_>) -> bool {
    browser.get("/account").await.status == StatusCode::OK
}

#[tokio::test]
async fn signing_out_here_signs_out_there() {
    let (upstream, server) = world().await;
    let mut browser = Browser::new(&server);
    sign_in(&mut browser, &upstream).await;
    let csrf = browser.get("/account").await.hidden("csrf");
    let out = browser.post("/logout", &[("csrf", &csrf)]).await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert!(out.location.starts_with(&format!("{}/logout?tenant=1&", upstream.issuer)), "{}", out.location);
    let sent = query(&out.location);
    assert_eq!(sent["client_id"], CLIENT_ID);
    assert_eq!(sent["post_logout_redirect_uri"], server.at("/signed-out"));
    assert!(!sent["state"].is_empty() && !sent.contains_key("id_token_hint"));
    assert!(!is_signed_in(&mut browser).await);
    browser.get("/signed-out?state=x").await.assert_page(StatusCode::OK, "Signed out");
    assert!(browser.cookies.keys().all(|name| !name.contains("session")));
}

#[tokio::test]
async fn who_signed_in_with_a_password_or_where_there_is_no_such_place_signs_out_here_alone() {
    let upstream = Upstream::start().await;
    upstream.script().metadata = json!({ "end_session_endpoint": null });
    let server = server(&upstream, "", EVERYBODY).await;
    server.add_user("bob", mandate::storage::users::Role::Requester).await;
    let mut bob = Browser::signed_in(&server, "bob").await;
    let mut alice = Browser::new(&server);
    sign_in(&mut alice, &upstream).await;
    for browser in [&mut bob, &mut alice] {
        let csrf = browser.get("/account").await.hidden("csrf");
        assert_eq!(browser.post("/logout", &[("csrf", &csrf)]).await.location, "/signed-out");
    }
}

#[tokio::test]
async fn signing_out_there_ends_the_sessions_that_are_named_and_no_grant() {
    let (upstream, server) = world().await;
    let client = Client::register(&server).await;
    server.add_user("bob", mandate::storage::users::Role::Requester).await;
    let mut bob = Browser::signed_in(&server, "bob").await;
    for (changes, second_ends) in
        [(json!({ "sid": "session-1", "jti": "a" }), false), (json!({ "jti": "b" }), true)]
    {
        upstream.script().claims["sid"] = json!("session-1");
        let mut first = Browser::new(&server);
        sign_in(&mut first, &upstream).await;
        upstream.script().claims["sid"] = json!("session-2");
        let mut second = Browser::new(&server);
        sign_in(&mut second, &upstream).await;
        let path = first.get(&client.authorize(&[])).await.location;
        let page = first.get(&path).await;
        let code = first.decide(&path, &page, "allow", &["tickets:read"]).await.answer()["code"].clone();
        let (_, tokens) = client.redeem(&code).await;
        assert_eq!(tell(&server, &upstream.logout_token(&changes)).await.0, StatusCode::OK);
        assert!(!is_signed_in(&mut first).await, "{changes}");
        assert_eq!(!is_signed_in(&mut second).await, second_ends, "{changes}");
        let (status, _) = client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
        assert_eq!(status, StatusCode::OK, "apps stay connected");
    }
    assert!(is_signed_in(&mut bob).await);
    let other = json!({ "sub": "somebody else", "jti": "c" });
    assert_eq!(
        tell(&server, &upstream.logout_token(&other)).await.0,
        StatusCode::OK,
        "nobody's sessions end"
    );
}

#[tokio::test]
async fn a_logout_token_that_breaks_a_rule_ends_nothing() {
    let (upstream, server) = world().await;
    let mut browser = Browser::new(&server);
    sign_in(&mut browser, &upstream).await;
    let now = server.app.now().unix_seconds();
    let mut tokens: Vec<String> = [
        json!({ "iss": "https://evil.example" }),
        json!({ "aud": "another client" }),
        json!({ "iat": now + 61 }),
        json!({ "iat": null }),
        json!({ "exp": now - 60 }),
        json!({ "exp": null }),
        json!({ "events": null }),
        json!({ "events": { "http://schemas.openid.net/event/other": {} } }),
        json!({ "nonce": "n" }),
        json!({ "jti": null }),
        json!({ "sub": null }),
    ]
    .iter()
    .map(|changes| upstream.logout_token(changes))
    .collect();
    let good = upstream.logout_token(&json!({}));
    let parts: Vec<_> = good.split('.').collect();
    tokens.push(format!("{}.{}.", encode(json!({ "alg": "none" }).to_string()), parts[1]));
    tokens.push(format!("{}.{}.{}", parts[0], parts[1], encode([0; 64])));
    tokens.push(format!("{good}x"));
    tokens.push("x".repeat(9000));
    tokens.push(String::new());
    {
        let mut script = upstream.script();
        let own = std::mem::replace(&mut script.signer, Signer::new("ES256", "first"));
        drop(script);
        tokens.push(upstream.logout_token(&json!({})));
        upstream.script().signer = own;
    }
    let typed = json!({ "alg": "ES256", "kid": "first", "typ": "at+jwt" });
    let claims = crate::support::client::claims(&json!(good));
    tokens.push(upstream.script().signer.sign_as(&typed, &claims));
    for token in tokens {
        let (status, body) = tell(&server, &token).await;
        assert_eq!(
            (status, body["error"].as_str()),
            (StatusCode::BAD_REQUEST, Some("invalid_request")),
            "{token}"
        );
    }
    assert!(is_signed_in(&mut browser).await);
    assert_eq!(tell(&server, &good).await.0, StatusCode::OK);
    assert!(!is_signed_in(&mut browser).await);
    sign_in(&mut browser, &upstream).await;
    assert_eq!(tell(&server, &good).await.0, StatusCode::BAD_REQUEST, "a jti is good once");
    assert!(is_signed_in(&mut browser).await);
}

#[tokio::test]
async fn a_logout_token_with_a_new_key_is_taken_and_a_provider_that_is_away_is_no_fault_of_the_token() {
    let (upstream, server) = world().await;
    let mut browser = Browser::new(&server);
    sign_in(&mut browser, &upstream).await;
    upstream.script().rotate("ES256", "second");
    let claims = crate::support::client::claims(&json!(upstream.logout_token(&json!({}))));
    let token = upstream.script().signer.sign(&claims);
    upstream.script().broken.insert("/jwks", 503);
    let (status, _) = tell(&server, &token).await;
    assert!(status == StatusCode::BAD_REQUEST || status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
    assert!(is_signed_in(&mut browser).await);
    upstream.script().broken.clear();
    server.advance(Duration::from_secs(61));
    assert_eq!(tell(&server, &token).await.0, StatusCode::OK);
    assert!(!is_signed_in(&mut browser).await);
}

#[tokio::test]
async fn only_who_may_tells_of_sign_outs_and_not_without_end() {
    let upstream = Upstream::start().await;
    let off = server(&upstream, "backchannel_logout = false", EVERYBODY).await;
    assert_eq!(tell(&off, &upstream.logout_token(&json!({}))).await.0, StatusCode::NOT_FOUND);
    let few = Server::start_with(|config| {
        upstream.configure(config, "", EVERYBODY);
        config.limits.token = at_most(2);
    })
    .await;
    for expected in [StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(tell(&few, "x").await.0, expected);
    }
    let nobody = http().post(few.at("/login/nobody/logout")).send().await.unwrap();
    assert_eq!(nobody.status(), StatusCode::NOT_FOUND);
    assert_eq!(http().get(few.at("/login/acme/logout")).send().await.unwrap().status(), 405);
}
