//! Access tokens (RFC 9068; A5, G49, G55, G56), verified with what is published.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use super::ask::{Answer, call, code, people_on, redeem, refresh, send};
use crate::support::browser::Browser;
use crate::support::client::{Client, claims};
use crate::support::signer::{Signer, encode};
use crate::support::{START, Server, http};

async fn jwks(server: &Server) -> Answer {
    send(http().get(server.at("/jwks"))).await
}

/// The claims of a token, verified as a stranger would: with the published key that its header names.
async fn verified(server: &Server, access_token: &str) -> Value {
    let header = decode_header(access_token).unwrap();
    let keys: JwkSet = serde_json::from_value(jwks(server).await.body).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).expect("the key is published");
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[server.at("/mcp")]);
    validation.set_issuer(&[&server.url]);
    // The server's clock stands still.
    validation.validate_exp = false;
    decode::<Value>(access_token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

#[tokio::test]
async fn header_and_claims_are_those_of_the_profile() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let tokens = client.obtain_tokens("alice").await;
    let access_token = tokens["access_token"].as_str().unwrap();
    let header = decode_header(access_token).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("at+jwt"), Algorithm::ES256));
    assert!(header.jku.is_none() && header.jwk.is_none() && header.x5u.is_none());
    let claims = verified(&server, access_token).await;
    let user = server.app.store.find_user_by_name("alice").await.unwrap().unwrap();
    let now = START.unix_seconds();
    for (name, value) in [
        ("iss", json!(server.url)),
        // One string, not a list: verifiers differ on lists.
        ("aud", json!(server.at("/mcp"))),
        ("sub", json!(user.user_id.as_str())),
        ("client_id", json!(client.client_id)),
        ("scope", json!("tickets:read tickets:write")),
        ("iat", json!(now)),
        ("exp", json!(now + 3600)),
        ("auth_time", json!(now)),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert!(claims["jti"].as_str().unwrap().len() >= 22);
    assert!(claims["sub"].as_str().unwrap().starts_with("user_"), "no client's id space");
    let (status, second) = client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert!(status.is_success());
    let second = verified(&server, second["access_token"].as_str().unwrap()).await;
    assert_ne!(second["jti"], claims["jti"]);
    assert_eq!((&second["sub"], &second["auth_time"]), (&claims["sub"], &claims["auth_time"]));
}

#[tokio::test]
async fn every_algorithm_that_can_be_chosen_is_published_and_works() {
    for (algorithm, kty) in [(Algorithm::ES256, "EC"), (Algorithm::RS256, "RSA"), (Algorithm::EdDSA, "OKP")] {
        let server = people_on(|config| config.tokens.signing_algorithm = algorithm).await;
        let tokens = Client::register(&server).await.obtain_tokens("alice").await;
        let access_token = tokens["access_token"].as_str().unwrap();
        assert_eq!(decode_header(access_token).unwrap().alg, algorithm);
        verified(&server, access_token).await;
        assert_eq!(call(&server, access_token).await, 200);
        let answer = jwks(&server).await;
        let keys = answer.body["keys"].as_array().unwrap();
        assert!(keys.len() >= 2, "the next key is known before it signs: {keys:?}");
        for key in keys {
            assert_eq!((&key["kty"], &key["use"]), (&json!(kty), &json!("sig")));
            assert_eq!(key["alg"], format!("{algorithm:?}"));
            assert!(!key["kid"].as_str().unwrap().is_empty());
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(key.get(private).is_none(), "{private}");
            }
        }
        assert_ne!(keys[0]["kid"], keys[1]["kid"]);
        assert!(answer.header("content-type").starts_with("application/"), "{answer:?}");
        assert!(answer.header("cache-control").contains("max-age="), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
}

#[tokio::test]
async fn a_changed_algorithm_leaves_the_old_keys_published() {
    let server = Server::with_people().await;
    let tokens = Client::register(&server).await.obtain_tokens("alice").await;
    let (database, keys) = (server.app.config.database.clone(), server.app.config.secret_key_file.clone());
    let other = Server::start_with(|config| {
        config.database = database;
        config.secret_key_file = keys;
        config.tokens.signing_algorithm = Algorithm::EdDSA;
    })
    .await;
    let header = decode_header(tokens["access_token"].as_str().unwrap()).unwrap();
    let published: JwkSet = serde_json::from_value(jwks(&other).await.body).unwrap();
    assert!(published.find(&header.kid.unwrap()).is_some(), "the old key stays published");
    assert_eq!(published.keys.len(), 4);
}

#[tokio::test]
async fn the_lifetime_is_configured_and_never_reaches_beyond_the_grant() {
    let server = people_on(|config| {
        config.tokens.access_token_lifetime = Duration::from_secs(600);
        config.tokens.grant_lifetime = Duration::from_secs(900);
    })
    .await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let code = code(&mut browser, &client, &[]).await;
    let end = START.unix_seconds() + 900;
    let mut tokens = redeem(&client, &server, &code, &[]).await;
    for (seconds, lifetime) in [(0, 600), (200, 600), (200, 500), (400, 100)] {
        server.advance(Duration::from_secs(seconds));
        if seconds > 0 {
            tokens = refresh(&client, &server, tokens.text_of("refresh_token"), &[]).await;
        }
        tokens.granted();
        assert_eq!(tokens.body["expires_in"].as_u64(), Some(lifetime));
        let exp = claims(&tokens.body["access_token"])["exp"].as_i64().unwrap();
        assert!(exp <= end, "{exp} > {end}");
        assert_eq!(call(&server, tokens.text_of("access_token")).await, 200);
    }
    server.advance(Duration::from_secs(100));
    assert_eq!(call(&server, tokens.text_of("access_token")).await, 401);
}

#[tokio::test]
async fn a_token_is_dead_the_second_it_expires() {
    let server = Server::with_people().await;
    let tokens = Client::register(&server).await.obtain_tokens("alice").await;
    let access_token = tokens["access_token"].as_str().unwrap();
    server.advance(Duration::from_secs(3599));
    assert_eq!(call(&server, access_token).await, 200);
    server.advance(Duration::from_secs(1));
    assert_eq!(call(&server, access_token).await, 401);
}

#[tokio::test]
async fn two_servers_do_not_take_each_others_tokens() {
    let (one, other) = (Server::with_people().await, Server::with_people().await);
    let tokens = Client::register(&one).await.obtain_tokens("alice").await;
    let access_token = tokens["access_token"].as_str().unwrap();
    assert_eq!((call(&one, access_token).await, call(&other, access_token).await), (200, 401));
}

#[tokio::test]
async fn a_forged_or_altered_token_is_refused() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let tokens = client.obtain_tokens("alice").await;
    let access_token = tokens["access_token"].as_str().unwrap();
    let bobs = client.obtain_tokens("bob").await;
    let bobs = claims(&bobs["access_token"]);
    let own = claims(&tokens["access_token"]);
    let header = json!(decode_header(access_token).unwrap());
    let (head, rest) = access_token.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let mut forger = Signer::new("ES256", "forged");
    let known_kid = header["kid"].as_str().unwrap().to_owned();
    let with = |name: &str, value: Value| {
        let mut claims = own.clone();
        claims[name] = value;
        format!("{head}.{}.{signature}", encode(claims.to_string()))
    };
    forger.kid.clone_from(&known_kid);
    let mut typed = forger.header();
    typed["typ"] = json!("at+jwt");
    let mut bringing_its_key = typed.clone();
    bringing_its_key["jwk"] = forger.jwk();
    let none = encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    for forged in [
        with("sub", bobs["sub"].clone()),
        with("grant_id", bobs["grant_id"].clone()),
        with("scope", json!("tickets:read tickets:write admin")),
        with("exp", json!(i64::MAX)),
        format!("{head}.{}.{signature}", encode(bobs.to_string())),
        forger.sign_as(&typed, &own),
        forger.sign_as(&bringing_its_key, &own),
        format!("{none}.{payload}."),
        format!("{head}.{payload}."),
        format!("{head}.{payload}"),
        payload.to_owned(),
    ] {
        assert_eq!(call(&server, &forged).await, 401, "{forged}");
    }
    assert_eq!(call(&server, access_token).await, 200);
}

#[tokio::test]
async fn nothing_that_opens_a_door_is_stored_as_it_is() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let unused = code(&mut browser, &client, &[]).await;
    let tokens = client.obtain_tokens("alice").await;
    let (_, second) = client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    let stored = server.profile.everything_stored().await;
    let session = browser.cookies.values().next().unwrap();
    let text = |token: &Value| token.as_str().unwrap().to_owned();
    for secret in [
        unused,
        session.clone(),
        text(&tokens["access_token"]),
        text(&tokens["refresh_token"]),
        text(&second["refresh_token"]),
        crate::support::PASSWORD.to_owned(),
        "PRIVATE KEY".to_owned(),
    ] {
        assert!(!stored.contains(&secret), "{secret}");
    }
    assert!(stored.contains(&client.client_id), "these are the stores");
}
