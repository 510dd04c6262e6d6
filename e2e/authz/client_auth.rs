//! Client authentication by secret and by name (OAuth 2.1 §2.4; A4.3–A4.6).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use reqwest::StatusCode;
use serde_json::json;

use super::ask::{Answer, code, post, send, token};
use crate::support::browser::Browser;
use crate::support::client::{Client, VERIFIER, register};
use crate::support::{Server, http};
use mandate::oauth::ClientId;
use mandate::storage::{clients, commit};

/// A client with a secret.
struct Confidential<'a> {
    client: Client<'a>,
    secret: String,
}

impl<'a> Confidential<'a> {
    async fn register(server: &'a Server, method: &str) -> Self {
        let metadata = json!({
            "client_name": "Reports",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "token_endpoint_auth_method": method,
        });
        let (status, body) = register(server, &metadata).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let client = Client::known(server, body["client_id"].as_str().unwrap());
        Self { client, secret: body["client_secret"].as_str().unwrap().to_owned() }
    }

    fn id(&self) -> &str {
        &self.client.client_id
    }

    fn basic(&self) -> String {
        basic(self.id(), &self.secret)
    }
}

fn basic(client_id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client_id}:{secret}")))
}

/// What shows that a client was authenticated: the next thing that is wrong is the token.
const AUTHENTICATED: (u16, &str) = (400, "invalid_grant");
const UNKNOWN_TOKEN: [(&str, &str); 2] = [("grant_type", "refresh_token"), ("refresh_token", "unknown")];

async fn with_header(server: &Server, authorization: &str, form: &[(&str, &str)]) -> Answer {
    let form = [&UNKNOWN_TOKEN, form].concat();
    send(http().post(server.at("/token")).header("authorization", authorization).form(&form)).await
}

async fn without_header(server: &Server, form: &[(&str, &str)]) -> Answer {
    token(server, &[&UNKNOWN_TOKEN, form].concat()).await
}

#[tokio::test]
async fn a_secret_may_come_in_the_header_or_in_the_form_whichever_was_registered() {
    let server = Server::start().await;
    for method in ["client_secret_basic", "client_secret_post"] {
        let one = Confidential::register(&server, method).await;
        let (status, code) = AUTHENTICATED;
        for form in [&[][..], &[("client_id", one.id())], &[("client_secret", ""), ("client_id", "")]] {
            with_header(&server, &one.basic(), form).await.refused(status, code);
        }
        let lower = one.basic().replace("Basic", "basic");
        with_header(&server, &lower, &[]).await.refused(status, code);
        let posted = [("client_id", one.id()), ("client_secret", one.secret.as_str())];
        without_header(&server, &posted).await.refused(status, code);
    }
}

#[tokio::test]
async fn both_halves_of_basic_are_decoded_as_forms() {
    let server = Server::start().await;
    let one = Confidential::register(&server, "client_secret_basic").await;
    let encode = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
    let header = basic(&encode(one.id()), &encode(&one.secret));
    with_header(&server, &header, &[("client_id", one.id())]).await.refused(400, "invalid_grant");
    assert!(encode(&one.secret).contains('%'), "or this says nothing");
    let twice = basic(one.id(), &encode(&encode(&one.secret)));
    with_header(&server, &twice, &[]).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn one_method_of_authentication_and_not_two() {
    let server = Server::start().await;
    let one = Confidential::register(&server, "client_secret_basic").await;
    let (basic, secret) = (one.basic(), one.secret.as_str());
    let assertion = [
        ("client_assertion", "a.b.c"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    ];
    let in_body = [("client_id", one.id()), ("client_secret", secret)];
    for form in [&in_body[..], &in_body[1..], &assertion, &[("client_id", "client_other")]] {
        with_header(&server, &basic, form).await.refused(400, "invalid_request");
    }
    without_header(&server, &[&in_body[..], &assertion].concat()).await.refused(400, "invalid_request");
    without_header(&server, &in_body[1..]).await.refused(400, "invalid_request");
    let twice =
        http().post(server.at("/token")).header("authorization", &basic).header("authorization", &basic);
    send(twice.form(&UNKNOWN_TOKEN)).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_failed_header_is_answered_with_a_basic_challenge_and_nothing_else_is() {
    let server = Server::start().await;
    let one = Confidential::register(&server, "client_secret_basic").await;
    let public = Client::register(&server).await;
    let wrong = basic(one.id(), "wrong");
    let no_colon = format!("Basic {}", STANDARD.encode(one.id()));
    let not_utf8 = format!("Basic {}", STANDARD.encode([0xff, b':', 0xff]));
    let cases = [
        wrong.as_str(),
        &basic("client_unknown", "x"),
        &basic(&public.client_id, &one.secret),
        &basic("", &one.secret),
        &no_colon,
        &not_utf8,
        "Basic",
        "Basic !!!",
        "Bearer abc",
        "Negotiate abc",
    ];
    for header in cases {
        let answer = with_header(&server, header, &[]).await;
        let challenge = answer.refused(401, "invalid_client").header("www-authenticate").to_owned();
        assert!(challenge.starts_with("Basic realm=\""), "{header}: {challenge}");
    }
    for form in [
        vec![("client_id", one.id()), ("client_secret", "wrong")],
        vec![("client_id", one.id())],
        vec![("client_id", "client_unknown")],
        vec![],
    ] {
        let answer = without_header(&server, &form).await;
        assert_eq!(answer.refused(401, "invalid_client").header("www-authenticate"), "");
    }
    // Authenticated, but wrong in another way: 400 without a challenge.
    let answer = with_header(&server, &one.basic(), &[]).await;
    assert_eq!(answer.refused(400, "invalid_grant").header("www-authenticate"), "");
}

#[tokio::test]
async fn a_public_client_names_itself_in_the_form_or_in_the_header_with_an_empty_secret() {
    let server = Server::start().await;
    let public = Client::register(&server).await;
    let id = public.client_id.as_str();
    let (status, code) = AUTHENTICATED;
    without_header(&server, &[("client_id", id)]).await.refused(status, code);
    without_header(&server, &[("client_id", id), ("client_secret", "")]).await.refused(status, code);
    with_header(&server, &basic(id, ""), &[]).await.refused(status, code);
    with_header(&server, &basic(id, ""), &[("client_id", id)]).await.refused(status, code);
    without_header(&server, &[("client_id", id), ("client_secret", "x")])
        .await
        .refused(401, "invalid_client");
}

#[tokio::test]
async fn a_client_with_a_secret_must_show_it_for_codes_and_for_refreshing() {
    let server = Server::with_people().await;
    let one = Confidential::register(&server, "client_secret_post").await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let code = code(&mut browser, &one.client, &[]).await;
    let named = [("client_id", one.id())];
    let authenticated = [("client_id", one.id()), ("client_secret", one.secret.as_str())];
    let redeem = [("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
    let pkce_is_no_replacement = [&redeem[..], &named].concat();
    token(&server, &pkce_is_no_replacement).await.refused(401, "invalid_client");
    let tokens = token(&server, &[&redeem[..], &authenticated].concat()).await;
    tokens.granted();
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", tokens.text_of("refresh_token"))];
    token(&server, &[&refresh[..], &named].concat()).await.refused(401, "invalid_client");
    token(&server, &refresh).await.refused(401, "invalid_client");
    token(&server, &[&refresh[..], &authenticated].concat()).await.granted();
}

#[tokio::test]
async fn another_clients_secret_is_no_key_to_a_grant() {
    let server = Server::with_people().await;
    let one = Confidential::register(&server, "client_secret_basic").await;
    let other = Confidential::register(&server, "client_secret_basic").await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let code = code(&mut browser, &one.client, &[]).await;
    let redeem = [("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
    let by = |header: String, form: &[(&str, &str)]| {
        send(http().post(server.at("/token")).header("authorization", header).form(form))
    };
    by(other.basic(), &redeem).await.refused(400, "invalid_grant");
    by(basic(one.id(), &other.secret), &redeem).await.refused(401, "invalid_client");
    by(one.basic(), &redeem).await.granted();
}

#[tokio::test]
async fn guessing_a_secret_is_slowed_down_for_that_client_and_never_stops_the_right_one() {
    let server = Server::start().await;
    let one = Confidential::register(&server, "client_secret_basic").await;
    let other = Confidential::register(&server, "client_secret_basic").await;
    let wrong = basic(one.id(), "guess");
    for _ in 0..20 {
        with_header(&server, &wrong, &[]).await.refused(401, "invalid_client");
    }
    let answer = with_header(&server, &wrong, &[]).await;
    answer.refused(429, "temporarily_unavailable");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=300).contains(&wait), "{wait}");
    // Anybody knows the id, so anybody could lock the client out.
    with_header(&server, &one.basic(), &[]).await.refused(400, "invalid_grant");
    with_header(&server, &basic(other.id(), "guess"), &[]).await.refused(401, "invalid_client");
    server.advance(Duration::from_secs(wait));
    with_header(&server, &wrong, &[]).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn a_removed_client_is_told_to_register_again() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let tokens = client.obtain_tokens("alice").await;
    let mut tx = server.app.store.write().await.unwrap();
    assert!(clients::remove(&mut tx, &ClientId::new(&client.client_id)).await.unwrap());
    commit(tx).await.unwrap();
    let form = [("client_id", client.client_id.as_str())];
    let refresh =
        [("grant_type", "refresh_token"), ("refresh_token", tokens["refresh_token"].as_str().unwrap())];
    token(&server, &[&refresh[..], &form].concat()).await.refused(401, "invalid_client");
    post(&server, "/revoke", &[&form[..], &[("token", "x")]].concat()).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn a_secret_in_the_query_is_not_seen() {
    let server = Server::start().await;
    let one = Confidential::register(&server, "client_secret_post").await;
    let path = format!("/token?client_id={}&client_secret={}", one.id(), one.secret);
    post(&server, &path, &UNKNOWN_TOKEN).await.refused(401, "invalid_client");
    let form = [&UNKNOWN_TOKEN[..], &[("client_id", one.id())]].concat();
    post(&server, &path, &form).await.refused(401, "invalid_client");
}
