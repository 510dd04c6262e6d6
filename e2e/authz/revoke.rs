//! `POST /revoke` (RFC 7009; A8, G58).

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::ask::{Answer, audited, call, post, refresh, send};
use crate::support::client::{Client, register};
use crate::support::{Server, at_most, http};

/// Tokens of a public client.
async fn tokens(client: &Client<'_>, username: &str) -> (String, String) {
    let tokens = client.obtain_tokens(username).await;
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

async fn revoke(server: &Server, client: &Client<'_>, form: &[(&str, &str)]) -> Answer {
    post(server, "/revoke", &[&[("client_id", client.client_id.as_str())], form].concat()).await
}

/// 200, nothing said, never stored.
#[track_caller]
fn done(answer: &Answer) {
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn either_token_ends_the_whole_grant_at_once_whatever_the_hint() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let (other_access, other_refresh) = tokens(&client, "alice").await;
    for (which, hint) in [
        ("refresh", ""),
        ("refresh", "refresh_token"),
        ("refresh", "access_token"),
        ("refresh", "unheard_of"),
        ("access", ""),
        ("access", "access_token"),
        ("access", "refresh_token"),
    ] {
        let (access_token, refresh_token) = tokens(&client, "alice").await;
        assert_eq!(call(&server, &access_token).await, 200);
        let token = if which == "access" { &access_token } else { &refresh_token };
        done(&revoke(&server, &client, &[("token", token), ("token_type_hint", hint)]).await);
        assert_eq!(call(&server, &access_token).await, 401, "{which} {hint}");
        refresh(&client, &server, &refresh_token, &[]).await.refused(400, "invalid_grant");
        // Again: it is dead, so that is a success.
        done(&revoke(&server, &client, &[("token", token)]).await);
    }
    assert_eq!(audited(&server, "grant_revoked").await.len(), 7, "one event for each grant");
    assert_eq!(call(&server, &other_access).await, 200, "the same client's other grant lives on");
    refresh(&client, &server, &other_refresh, &[]).await.granted();
}

#[tokio::test]
async fn a_rotated_token_ends_its_grant_too() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let (_, first) = tokens(&client, "alice").await;
    let second = refresh(&client, &server, &first, &[]).await;
    done(&revoke(&server, &client, &[("token", &first)]).await);
    assert_eq!(call(&server, second.text_of("access_token")).await, 401);
    refresh(&client, &server, second.text_of("refresh_token"), &[]).await.refused(400, "invalid_grant");
    assert_eq!(audited(&server, "refresh_reused").await, []);
}

#[tokio::test]
async fn an_unknown_token_is_a_success() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let code = client.obtain_code("alice", &["tickets:read"]).await;
    let forged = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.";
    let unknown = format!("mdt_refresh_{}", "a".repeat(43));
    for token in ["x", &unknown, forged, &code, "\u{1}", "é", &client.client_id, &"x".repeat(8000)] {
        done(&revoke(&server, &client, &[("token", token)]).await);
    }
    let (status, body) = client.redeem(&code).await;
    assert_eq!(status, StatusCode::OK, "a code is no token, it is still good: {body}");
}

#[tokio::test]
async fn another_clients_token_is_left_alone_and_nothing_is_told() {
    let server = Server::with_people().await;
    let (client, stranger) = (Client::register(&server).await, Client::register(&server).await);
    let (access_token, refresh_token) = tokens(&client, "alice").await;
    for token in [&access_token, &refresh_token] {
        done(&revoke(&server, &stranger, &[("token", token)]).await);
    }
    assert_eq!(call(&server, &access_token).await, 200);
    refresh(&client, &server, &refresh_token, &[]).await.granted();
    assert_eq!(audited(&server, "grant_revoked").await, []);
}

#[tokio::test]
async fn another_users_grant_of_the_same_client_lives_on() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let (alices, _) = tokens(&client, "alice").await;
    let (bobs, _) = tokens(&client, "bob").await;
    done(&revoke(&server, &client, &[("token", &alices)]).await);
    assert_eq!((call(&server, &alices).await, call(&server, &bobs).await), (401, 200));
}

#[tokio::test]
async fn the_client_authenticates_as_at_the_token_endpoint() {
    let server = Server::with_people().await;
    let metadata = json!({ "redirect_uris": ["http://127.0.0.1/callback"] });
    let (_, registered) = register(&server, &metadata).await;
    let client = Client::known(&server, registered["client_id"].as_str().unwrap());
    let secret = registered["client_secret"].as_str().unwrap();
    let code = client.obtain_code("alice", &["tickets:read"]).await;
    let authenticated = [("client_id", client.client_id.as_str()), ("client_secret", secret)];
    let redeem = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("code_verifier", crate::support::client::VERIFIER),
    ];
    let tokens = post(&server, "/token", &[&redeem[..], &authenticated].concat()).await;
    let token = ("token", tokens.granted().text_of("refresh_token"));
    post(&server, "/revoke", &[token]).await.refused(401, "invalid_client");
    revoke(&server, &client, &[token]).await.refused(401, "invalid_client");
    revoke(&server, &client, &[token, ("client_secret", "wrong")]).await.refused(401, "invalid_client");
    let wrong = http().post(server.at("/revoke")).basic_auth(&client.client_id, Some("wrong")).form(&[token]);
    let answer = send(wrong).await;
    assert!(answer.refused(401, "invalid_client").header("www-authenticate").starts_with("Basic realm="));
    assert_eq!(call(&server, tokens.text_of("access_token")).await, 200);
    let right = http().post(server.at("/revoke")).basic_auth(&client.client_id, Some(secret)).form(&[token]);
    done(&send(right).await);
    assert_eq!(call(&server, tokens.text_of("access_token")).await, 401);
}

#[tokio::test]
async fn too_many_revocations_from_one_address_wait_and_are_told_how_long() {
    let server = Server::start_with(|config| config.limits.token = at_most(3)).await;
    let client = Client::register(&server).await;
    for _ in 0..3 {
        done(&revoke(&server, &client, &[("token", "unheard-of")]).await);
    }
    let answer = revoke(&server, &client, &[("token", "unheard-of")]).await;
    answer.refused(429, "temporarily_unavailable");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=1200).contains(&wait), "{wait}");
    refresh(&client, &server, "unheard-of", &[]).await.refused(400, "invalid_grant");
    server.advance(Duration::from_secs(wait));
    done(&revoke(&server, &client, &[("token", "unheard-of")]).await);
}

#[tokio::test]
async fn what_is_missing_or_repeated_is_invalid_request() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    for form in [
        vec![],
        vec![("token", "")],
        vec![("token", "x"), ("token", "x")],
        vec![("token", "x"), ("token_type_hint", "a"), ("token_type_hint", "a")],
        vec![("token", "x"), ("client_id", "y")],
    ] {
        revoke(&server, &client, &form).await.refused(400, "invalid_request");
    }
    let json = http().post(server.at("/revoke")).json(&json!({ "token": "x" }));
    send(json).await.refused(400, "invalid_request");
}
