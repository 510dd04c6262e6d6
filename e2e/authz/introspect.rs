//! `POST /introspect` (RFC 7662; A9).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::ask::{Answer, people_on, post, refresh, send};
use super::refresh::disable;
use super::resources::{
    BILLING, BILLING_SCOPES, BILLING_SECRET, WIKI, WIKI_SECRET, beside_ours, both, other, tokens_for,
};
use crate::support::browser::Browser;
use crate::support::client::{Client, claims};
use crate::support::{Server, at_most, http};
use mandate::oauth::claims::AccessTokenClaims;

fn basic(name: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
}

/// The billing server's credentials in a form.
const BILLING_SERVER: [(&str, &str); 2] = [("client_id", "billing"), ("client_secret", BILLING_SECRET)];
/// The wiki's.
const WIKI_SERVER: [(&str, &str); 2] = [("client_id", "wiki"), ("client_secret", WIKI_SECRET)];

async fn introspect(server: &Server, caller: &[(&str, &str)], form: &[(&str, &str)]) -> Answer {
    post(server, "/introspect", &[caller, form].concat()).await
}

/// What the billing server is told of a token.
async fn told(server: &Server, token: &str) -> Answer {
    introspect(server, &BILLING_SERVER, &[("token", token)]).await
}

#[track_caller]
fn is_inactive(answer: &Answer) {
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, r#"{"active":false}"#), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[track_caller]
fn is_active(answer: &Answer) {
    assert_eq!((answer.status, &answer.body["active"]), (StatusCode::OK, &json!(true)), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
}

/// A server beside ours, a client of it, and its tokens for the billing server.
async fn prepared(server: &Server) -> (Client<'_>, Answer) {
    let client = Client::register(server).await;
    let tokens = tokens_for(server, &client, BILLING, &BILLING_SCOPES).await;
    (client, tokens)
}

async fn started() -> Server {
    people_on(|config| beside_ours(config, both())).await
}

/// The same token with other claims, signed by us.
fn signed(server: &Server, token: &str, change: impl FnOnce(&mut AccessTokenClaims)) -> String {
    let mut claims: AccessTokenClaims = serde_json::from_value(claims(&json!(token))).unwrap();
    change(&mut claims);
    server.app.keys.sign(&claims, server.app.now()).unwrap()
}

#[tokio::test]
async fn a_good_token_is_told_of_in_full_to_the_server_that_it_is_for() {
    let server = started().await;
    let (client, tokens) = prepared(&server).await;
    let token = tokens.text_of("access_token");
    let said = claims(&tokens.body["access_token"]);
    let expected = json!({
        "active": true,
        "scope": "billing:pay billing:read",
        "client_id": client.client_id,
        "username": "alice",
        "token_type": "Bearer",
        "sub": said["sub"],
        "aud": BILLING,
        "iss": server.url,
        "exp": said["exp"],
        "iat": said["iat"],
        "jti": said["jti"],
        "auth_time": said["auth_time"],
    });
    for hint in ["", "access_token", "refresh_token", "unheard_of"] {
        let answer =
            introspect(&server, &BILLING_SERVER, &[("token", token), ("token_type_hint", hint)]).await;
        is_active(&answer);
        assert_eq!(answer.body, expected, "{hint}");
    }
    let header =
        http().post(server.at("/introspect")).header("authorization", basic("billing", BILLING_SECRET));
    let answer = send(header.form(&[("token", token)])).await;
    is_active(&answer);
    assert_eq!(answer.header("access-control-allow-origin"), "", "servers call it, no browser does");
}

#[tokio::test]
async fn whatever_else_is_inactive_and_nothing_more_is_said() {
    let server = started().await;
    let (client, tokens) = prepared(&server).await;
    let token = tokens.text_of("access_token");
    let ours = client.obtain_tokens("alice").await;
    let wiki = tokens_for(&server, &client, WIKI, &["wiki:read"]).await;
    let (head, tail) = token.rsplit_once('.').unwrap();
    let unsigned = format!("{head}.");
    let forged = format!("{head}.{}", tail.chars().rev().collect::<String>());
    let long = format!("{token}{}", "A".repeat(9000));
    let foreign = signed(&server, token, |claims| claims.iss = "https://other.example".into());
    let of_nobody = signed(&server, token, |claims| claims.grant_id = "grant_unknown".into());
    let of_another = signed(&server, token, |claims| claims.sub = "user_other".into());
    let by_another = signed(&server, token, |claims| claims.client_id = "client_other".into());
    for (what, token) in [
        ("a refresh token", tokens.text_of("refresh_token")),
        ("a token for us", ours["access_token"].as_str().unwrap()),
        ("a token for another resource", wiki.text_of("access_token")),
        ("a refresh token of another resource", wiki.text_of("refresh_token")),
        ("unsigned", &unsigned),
        ("badly signed", &forged),
        ("over-long", &long),
        ("of another issuer", &foreign),
        ("of no grant", &of_nobody),
        ("of another user", &of_another),
        ("of another client", &by_another),
        ("garbage", "x"),
        ("controls", "\u{1}"),
        ("not ASCII", "é"),
        ("a secret", BILLING_SECRET),
    ] {
        let answer = told(&server, token).await;
        assert_eq!(answer.text, r#"{"active":false}"#, "{what}");
        is_inactive(&answer);
    }
    is_active(&told(&server, token).await);
}

#[tokio::test]
async fn a_token_for_one_resource_is_inactive_to_the_server_of_another() {
    let server = started().await;
    let (client, tokens) = prepared(&server).await;
    let wiki = tokens_for(&server, &client, WIKI, &["wiki:read"]).await;
    for (caller, token, active) in [
        (&BILLING_SERVER, &tokens, true),
        (&WIKI_SERVER, &tokens, false),
        (&BILLING_SERVER, &wiki, false),
        (&WIKI_SERVER, &wiki, true),
    ] {
        let answer = introspect(&server, caller, &[("token", token.text_of("access_token"))]).await;
        assert_eq!(answer.body["active"], active, "{caller:?}");
        assert_eq!(answer.body.as_object().unwrap().len() > 1, active, "{answer:?}");
    }
}

#[tokio::test]
async fn what_ended_is_inactive_at_once() {
    let server = started().await;
    let client = Client::register(&server).await;
    let fresh = async || {
        let tokens = tokens_for(&server, &client, BILLING, &["billing:read"]).await;
        is_active(&told(&server, tokens.text_of("access_token")).await);
        tokens
    };
    // The client gives it back.
    let tokens = fresh().await;
    let form = [("client_id", client.client_id.as_str()), ("token", tokens.text_of("refresh_token"))];
    post(&server, "/revoke", &form).await;
    is_inactive(&told(&server, tokens.text_of("access_token")).await);
    // The user takes it back.
    let tokens = fresh().await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let account = browser.get("/account").await;
    let form = [("csrf", account.hidden("csrf")), ("grant_id", account.hidden("grant_id"))];
    browser.post("/account/revoke", &form.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    is_inactive(&told(&server, tokens.text_of("access_token")).await);
    // A rotated refresh token comes again.
    let tokens = fresh().await;
    refresh(&client, &server, tokens.text_of("refresh_token"), &[]).await.granted();
    server.advance(Duration::from_secs(31));
    refresh(&client, &server, tokens.text_of("refresh_token"), &[]).await.refused(400, "invalid_grant");
    is_inactive(&told(&server, tokens.text_of("access_token")).await);
    // It expires.
    let tokens = fresh().await;
    server.advance(Duration::from_secs(3599));
    is_active(&told(&server, tokens.text_of("access_token")).await);
    server.advance(Duration::from_secs(1));
    is_inactive(&told(&server, tokens.text_of("access_token")).await);
    // Its user is disabled.
    let tokens = fresh().await;
    disable(&server, "alice").await;
    is_inactive(&told(&server, tokens.text_of("access_token")).await);
}

#[tokio::test]
async fn the_scope_is_never_more_than_what_is_granted() {
    let server = started().await;
    let client = Client::register(&server).await;
    let tokens = tokens_for(&server, &client, BILLING, &["billing:read"]).await;
    let wide =
        signed(&server, tokens.text_of("access_token"), |claims| claims.scope = BILLING_SCOPES.join(" "));
    assert_eq!(told(&server, &wide).await.body["scope"], "billing:read");
    // Allowing more later gives a grant of its own, and leaves this one as it is.
    let more = tokens_for(&server, &client, BILLING, &BILLING_SCOPES).await;
    assert_eq!(told(&server, more.text_of("access_token")).await.body["scope"], "billing:pay billing:read");
    assert_eq!(told(&server, tokens.text_of("access_token")).await.body["scope"], "billing:read");
    // Less was asked for at the refresh.
    let form = [("scope", "billing:pay")];
    let less = refresh(&client, &server, more.text_of("refresh_token"), &form).await;
    assert_eq!(told(&server, less.text_of("access_token")).await.body["scope"], "billing:pay");
}

#[tokio::test]
async fn only_a_resource_server_with_its_secret_is_answered() {
    let server = people_on(|config| {
        beside_ours(
            config,
            both().into_iter().chain([other("mute", "https://mute.example", &["mute"], None)]),
        );
    })
    .await;
    let (client, tokens) = prepared(&server).await;
    let token = [("token", tokens.text_of("access_token"))];
    let metadata = json!({"redirect_uris": ["https://app.example/cb"], "token_endpoint_auth_method": "client_secret_post"});
    let secret = server.add_client("client_portal", &metadata).await.unwrap();
    for caller in [
        &[][..],
        &[("client_id", "billing")],
        &[("client_id", "billing"), ("client_secret", "")],
        &[("client_id", "billing"), ("client_secret", "wrong")],
        &[("client_id", "billing"), ("client_secret", WIKI_SECRET)],
        &[("client_id", "wiki"), ("client_secret", BILLING_SECRET)],
        &[("client_id", BILLING), ("client_secret", BILLING_SECRET)],
        &[("client_id", "mute"), ("client_secret", BILLING_SECRET)],
        &[("client_id", "nobody"), ("client_secret", BILLING_SECRET)],
        &[("client_id", "client_portal"), ("client_secret", &secret)],
        &[("client_id", &client.client_id)],
    ] {
        let answer = introspect(&server, caller, &token).await;
        answer.refused(401, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), "", "{caller:?}");
    }
    for header in [
        basic("billing", "wrong"),
        basic("billing", ""),
        basic("", BILLING_SECRET),
        format!("Bearer {}", tokens.text_of("access_token")),
    ] {
        let request = http().post(server.at("/introspect")).header("authorization", &header).form(&token);
        let answer = send(request).await;
        assert!(
            answer.refused(401, "invalid_client").header("www-authenticate").starts_with("Basic realm=\"")
        );
    }
    let twice =
        http().post(server.at("/introspect")).header("authorization", basic("billing", BILLING_SECRET));
    send(twice.form(&[&BILLING_SERVER[..], &token].concat())).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let server = started().await;
    let (_, tokens) = prepared(&server).await;
    let token = ("token", tokens.text_of("access_token"));
    for form in [
        &[][..],
        &[("token", "")],
        &[token, token],
        &[token, ("token_type_hint", "a"), ("token_type_hint", "b")],
    ] {
        introspect(&server, &BILLING_SERVER, form).await.refused(400, "invalid_request");
    }
    let json = http().post(server.at("/introspect")).json(&json!({ "token": token.1 }));
    send(json).await.refused(400, "invalid_request");
    let query = format!("/introspect?token={}", token.1);
    post(&server, &query, &BILLING_SERVER).await.refused(400, "invalid_request");
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS] {
        let answer = send(http().request(method.clone(), server.at("/introspect"))).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.header("allow"), "POST", "{method}");
    }
}

#[tokio::test]
async fn guessing_a_secret_is_slowed_down_and_never_stops_the_right_one() {
    let server = started().await;
    let (_, tokens) = prepared(&server).await;
    let token = [("token", tokens.text_of("access_token"))];
    for name in ["billing", "nobody"] {
        let wrong = [("client_id", name), ("client_secret", "guess")];
        for _ in 0..20 {
            introspect(&server, &wrong, &token).await.refused(401, "invalid_client");
        }
        let answer = introspect(&server, &wrong, &token).await;
        answer.refused(429, "temporarily_unavailable");
        assert!((1..=300).contains(&answer.header("retry-after").parse::<u64>().unwrap()));
    }
    is_active(&told(&server, token[0].1).await);
    let other = [("client_id", "wiki"), ("client_secret", "guess")];
    introspect(&server, &other, &token).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn one_server_that_asks_too_often_waits_and_the_others_do_not() {
    let server = people_on(|config| {
        beside_ours(config, both());
        config.limits.introspect = at_most(2);
    })
    .await;
    for _ in 0..2 {
        is_inactive(&told(&server, "x").await);
    }
    let answer = told(&server, "x").await;
    answer.refused(429, "temporarily_unavailable");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    is_inactive(&introspect(&server, &WIKI_SERVER, &[("token", "x")]).await);
}

#[tokio::test]
async fn a_use_is_seen_under_connected_apps_and_noted_once_a_minute() {
    let server = started().await;
    let (_, tokens) = prepared(&server).await;
    let token = tokens.text_of("access_token");
    let grant_id = claims(&tokens.body["access_token"])["grant_id"].as_str().unwrap().to_owned();
    let last_used = async || {
        server.idle_holders().await;
        let grant =
            server.app.store.find_grant(&mandate::oauth::GrantId::new(grant_id.as_str())).await.unwrap();
        grant.unwrap().last_used_at
    };
    introspect(&server, &WIKI_SERVER, &[("token", token)]).await;
    assert_eq!(last_used().await, None, "the wrong server asked");
    told(&server, token).await;
    let first = last_used().await.unwrap();
    server.advance(Duration::from_secs(30));
    told(&server, token).await;
    assert_eq!(last_used().await, Some(first));
    server.advance(Duration::from_secs(31));
    told(&server, token).await;
    assert_eq!(last_used().await, Some(first.plus(Duration::from_secs(61))));
    let account = Browser::signed_in(&server, "alice").await.get("/account").await;
    assert!(!account.body.contains("Never"), "{}", account.body);
}

#[tokio::test]
async fn a_store_that_is_away_is_503_and_never_an_inactive_token() {
    let server = started().await;
    let (_, tokens) = prepared(&server).await;
    server.app.store.close().await;
    for token in [tokens.text_of("access_token"), "x"] {
        let answer = told(&server, token).await;
        answer.refused(503, "temporarily_unavailable");
        assert!(answer.header("retry-after").parse::<u64>().is_ok());
        assert_eq!(answer.body.get("active"), None::<&Value>);
    }
}
