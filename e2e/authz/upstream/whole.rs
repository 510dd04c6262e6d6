//! The whole way, with what a client asks of it.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::{EVERYBODY, choose, depart, server, sign_in, sign_ins, world};
use crate::support::Server;
use crate::support::browser::Browser;
use crate::support::client::{Client, challenge, claims};
use crate::support::upstream::{CLIENT_ID, SECRET, Upstream, query};

#[tokio::test]
async fn a_client_gets_tokens_for_who_signed_in_at_the_provider() {
    let (upstream, server) = world().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    upstream.script().claims["acr"] = json!("urn:acme:strong");
    upstream.script().claims["amr"] = json!(["pwd", "otp"]);
    upstream.script().now = server.app.now().minus(Duration::from_secs(30));
    let path = browser.get(&client.authorize(&[])).await.location;
    let location = depart(&mut browser, &path, &upstream).await;
    let sent = query(&location);
    assert_eq!(sent["response_type"], "code");
    assert_eq!(sent["client_id"], CLIENT_ID);
    assert_eq!(sent["scope"], "openid profile email");
    assert_eq!(sent["code_challenge_method"], "S256");
    assert_eq!(sent["redirect_uri"], server.at("/login/acme/callback"));
    assert!(sent["state"].len() == 43 && sent["nonce"].len() == 43 && sent["state"] != sent["nonce"]);
    let back = upstream.sign_in(&location);
    let consent = browser.get(&back).await;
    assert_eq!((consent.status, consent.location.starts_with("/consent/")), (StatusCode::SEE_OTHER, true));
    let page = browser.get(&consent.location).await;
    assert!(page.body.contains("Test client") && page.body.contains("alice"), "{}", page.body);
    let scopes = ["tickets:read", "tickets:write"];
    let answer = browser.decide(&consent.location, &page, "allow", &scopes).await.answer();
    let (status, tokens) = client.redeem(&answer["code"]).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let claims = claims(&tokens["access_token"]);
    assert_eq!(claims["acr"], "urn:acme:strong");
    assert_eq!(claims["amr"], json!(["pwd", "otp"]));
    assert_eq!(claims["auth_time"], upstream.script().now.unix_seconds());
    let (authorization, form) = upstream.script().token_request.clone();
    assert!(authorization.starts_with("Basic "), "{authorization}");
    assert_eq!(challenge(&form["code_verifier"]), sent["code_challenge"]);
    assert_eq!(form["redirect_uri"], sent["redirect_uri"]);
    assert!(!form.contains_key("client_secret"));
    let events = sign_ins(&server).await;
    assert_eq!((events[0].outcome.as_str(), events[0].detail.as_deref()), ("done", Some("at acme")));
    let stored = server.profile.everything_stored().await;
    for secret in [&sent["state"], &sent["nonce"], &form["code_verifier"], SECRET] {
        assert!(!stored.contains(secret), "{secret} is stored as it is");
    }
}

#[tokio::test]
async fn a_secret_goes_into_the_body_where_only_that_is_taken() {
    let (upstream, server) = world().await;
    upstream.script().metadata = json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] });
    let mut browser = Browser::new(&server);
    assert_eq!(sign_in(&mut browser, &upstream).await.location, "/account");
    let (authorization, form) = upstream.script().token_request.clone();
    assert_eq!(authorization, "");
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), (CLIENT_ID, SECRET));
}

#[tokio::test]
async fn consent_is_asked_for_each_client_although_the_provider_says_nothing() {
    let (upstream, server) = world().await;
    let mut browser = Browser::new(&server);
    sign_in(&mut browser, &upstream).await;
    for name in ["First", "Second"] {
        let client = Client::register(&server).await;
        let next = browser.get(&client.authorize(&[])).await;
        assert!(next.location.starts_with("/consent/"), "{name}: {next:?}");
        let page = browser.get(&next.location).await;
        page.assert_page(StatusCode::OK, "Allow “Test client” to use your tickets?");
        assert!(page.boxes().iter().all(|(_, ticked)| *ticked));
        let answer = browser.decide(&next.location, &page, "allow", &["tickets:read"]).await.answer();
        assert!(answer.contains_key("code"), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn several_flows_and_providers_go_on_side_by_side() {
    let (one, other) = (Upstream::start().await, Upstream::named("other").await);
    let server = Server::start_with(|config| {
        one.configure(config, "", EVERYBODY);
        other.configure(config, "", EVERYBODY);
    })
    .await;
    other.script().claims = json!({ "preferred_username": "carol", "sub": "carol there" });
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (first, second) = (
        browser.get(&client.authorize(&[("state", "1")])).await.location,
        browser.get(&client.authorize(&[("state", "2")])).await.location,
    );
    let at_one = depart(&mut browser, &first, &one).await;
    let at_other = depart(&mut browser, &second, &other).await;
    let again = depart(&mut browser, &first, &one).await;
    let back = browser.get(&other.sign_in(&at_other)).await;
    assert_eq!(back.location, second.replace("/login?flow=", "/consent/"));
    assert!(browser.get(&back.location).await.body.contains("carol"));
    for location in [at_one, again] {
        let back = browser.get(&one.sign_in(&location)).await;
        assert_eq!(back.location, first.replace("/login?flow=", "/consent/"));
    }
    assert!(browser.get(&first.replace("/login?flow=", "/consent/")).await.body.contains("alice"));
}

#[tokio::test]
async fn what_a_client_asks_of_the_sign_in_is_passed_on() {
    let (upstream, server) = world().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let asked = client.authorize(&[("login_hint", "alice@acme.example"), ("max_age", "600")]);
    let path = browser.get(&asked).await.location;
    let sent = query(&depart(&mut browser, &path, &upstream).await);
    assert_eq!((sent["login_hint"].as_str(), sent["max_age"].as_str()), ("alice@acme.example", "600"));
    assert!(!sent.contains_key("prompt"));
    let path = browser.get(&client.authorize(&[("prompt", "login")])).await.location;
    let sent = query(&depart(&mut browser, &path, &upstream).await);
    assert_eq!((sent["prompt"].as_str(), sent["max_age"].as_str()), ("login", "0"));
    let own = query(&depart(&mut browser, "/login?switch=1", &upstream).await);
    assert_eq!(own["prompt"], "login", "whoever wants to be somebody else is asked");
}

#[tokio::test]
async fn a_fresh_sign_in_is_one_that_the_provider_vouches_for() {
    let (upstream, server) = world().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    sign_in(&mut browser, &upstream).await;
    server.advance(Duration::from_mins(10));
    upstream.script().now = server.app.now();
    let path = browser.get(&client.authorize(&[("prompt", "login")])).await.location;
    for (auth_time, is_fresh) in [
        (json!(server.app.now().unix_seconds() - 600), false),
        (json!(null), false),
        (json!(server.app.now().unix_seconds() - 20), true),
    ] {
        upstream.script().claims["auth_time"] = auth_time.clone();
        let location = depart(&mut browser, &path, &upstream).await;
        let back = browser.get(&upstream.sign_in(&location)).await;
        if is_fresh {
            let page = browser.get(&back.location).await;
            page.assert_page(StatusCode::OK, "Allow “Test client” to use your tickets?");
        } else {
            back.assert_page(StatusCode::BAD_GATEWAY, "Acme acme did not ask you to sign in again");
            assert!(back.body.contains("stay=1"), "it does not go round and round: {auth_time}");
        }
    }
}

#[tokio::test]
async fn a_sign_in_that_is_too_old_is_not_taken() {
    let upstream = Upstream::start().await;
    let server = server(&upstream, "max_age = \"1h\"", EVERYBODY).await;
    let mut browser = Browser::new(&server);
    let now = server.app.now().unix_seconds();
    for (auth_time, is_good) in [(json!(now - 3700), false), (json!(null), false), (json!(now - 3650), true)]
    {
        upstream.script().claims["auth_time"] = auth_time.clone();
        let back = sign_in(&mut browser, &upstream).await;
        assert_eq!(back.location == "/account", is_good, "{auth_time} {}", back.body);
    }
}

#[tokio::test]
async fn the_only_way_is_gone_without_a_word_but_never_in_circles() {
    let upstream = Upstream::start().await;
    let server = Server::start_with(|config| {
        upstream.configure(config, "", EVERYBODY);
        config.sign_in.local_accounts = false;
    })
    .await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let login = browser.get(&client.authorize(&[])).await.location;
    let on = browser.get(&login).await;
    assert_eq!(on.location, login.replace("/login?", "/login/acme?"));
    let sent = browser.get(&on.location).await;
    let declined = upstream.answer(&sent.location, |params| {
        params.insert("error".into(), "access_denied".into());
    });
    let page = browser.get(&declined).await;
    page.assert_page(StatusCode::FORBIDDEN, "You were not signed in at Acme acme");
    let stay = format!("{login}&#38;stay=1");
    assert!(page.body.contains(&stay) || page.body.contains(&stay.replace("#38", "amp")), "{}", page.body);
    let page = browser.get(&format!("{login}&stay=1")).await;
    page.assert_page(StatusCode::OK, "Sign in");
    assert!(!page.body.contains("type=\"password\""), "{}", page.body);
    let sent = choose(&mut browser, &format!("{login}&stay=1"), &upstream).await;
    let back = browser.get(&upstream.sign_in(&sent.location)).await;
    assert!(back.location.starts_with("/consent/"));
    let csrf = browser.get("/account").await.hidden("csrf");
    let out = browser.post("/logout", &[("csrf", &csrf)]).await;
    assert!(out.location.starts_with(&upstream.issuer), "{out:?}");
    browser.get("/signed-out").await.assert_page(StatusCode::OK, "Signed out");
    browser.get("/login?switch=1").await.assert_page(StatusCode::OK, "Sign in");
    let form = [("csrf", "x"), ("username", "alice"), ("password", "x")];
    assert_eq!(browser.post("/login", &form).await.status, StatusCode::BAD_REQUEST, "no passwords");
}

#[tokio::test]
async fn with_another_way_in_nobody_is_sent_on_without_a_choice() {
    let (_upstream, server) = world().await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/login").await;
    page.assert_page(StatusCode::OK, "Sign in");
    assert!(page.body.contains("type=\"password\"") && page.body.contains("action=\"/login/acme\""));
    assert_eq!(browser.get("/login/acme").await.location, "/login?stay=1");
    assert_eq!(browser.get("/login/nobody").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.post("/login/acme", &[]).await.status, StatusCode::FORBIDDEN, "a form of ours alone");
    assert_eq!(browser.get("/login/nobody/callback").await.status, StatusCode::NOT_FOUND);
}
