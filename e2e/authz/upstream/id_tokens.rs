//! Which ID tokens hold.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{EVERYBODY, refused, server, sign_in, world};
use crate::support::browser::Browser;
use crate::support::signer::{Signer, encode, jwks};
use crate::support::upstream::{CLIENT_ID, SECRET, Upstream};

#[tokio::test]
async fn a_token_whose_claims_are_wrong_signs_nobody_in() {
    let (upstream, server) = world().await;
    let now = server.app.now().unix_seconds();
    for (claims, word) in [
        (json!({ "nonce": "another" }), "nonce"),
        (json!({ "nonce": null }), "nonce"),
        (json!({ "aud": "another client" }), "audience"),
        (json!({ "aud": null }), "audience"),
        (json!({ "aud": [CLIENT_ID, "another client"] }), "azp"),
        (json!({ "aud": [CLIENT_ID, "another client"], "azp": "another client" }), "azp"),
        (json!({ "azp": "another client" }), "azp"),
        (json!({ "iss": "https://evil.example" }), "issuer"),
        (json!({ "iss": format!("{}/", upstream.issuer) }), "issuer"),
        (json!({ "exp": now - 60 }), "expired"),
        (json!({ "iat": now + 61, "exp": now + 300 }), "expired"),
        (json!({ "at_hash": encode([0; 16]) }), "at_hash"),
        (json!({ "sub": null }), "token_answer"),
        (json!({ "sub": "", "preferred_username": "x" }), "unusable_subject"),
    ] {
        upstream.script().claims = claims.clone();
        let status = if word == "unusable_subject" { StatusCode::FORBIDDEN } else { StatusCode::BAD_GATEWAY };
        let page = refused(&server, &upstream, status, word).await;
        assert!(!page.body.contains("another client"), "{claims}");
    }
}

#[tokio::test]
async fn a_token_within_the_tolerance_of_clocks_holds() {
    let (upstream, server) = world().await;
    let now = server.app.now().unix_seconds();
    for claims in [
        json!({ "exp": now - 59, "iat": now - 300 }),
        json!({ "iat": now + 60, "auth_time": now + 60 }),
        json!({ "aud": [CLIENT_ID, "another client"], "azp": CLIENT_ID }),
        json!({ "aud": [CLIENT_ID] }),
        json!({ "at_hash": null, "auth_time": null, "sid": null }),
        json!({ "email_verified": "true", "updated_at": "2026-11-01T00:00:00Z" }),
    ] {
        upstream.script().claims = claims.clone();
        let mut browser = Browser::new(&server);
        let back = sign_in(&mut browser, &upstream).await;
        assert_eq!(back.location, "/account", "{claims}: {}", back.body);
    }
}

#[tokio::test]
async fn nothing_but_the_providers_own_signature_counts() {
    let (upstream, server) = world().await;
    let wrong = |signer: Signer| upstream.script().signer = signer;
    // The name of the right key, and another key.
    wrong(Signer::new("ES256", "first"));
    refused(&server, &upstream, StatusCode::BAD_GATEWAY, "signature").await;
    wrong(Signer::new("ES256", "unknown"));
    refused(&server, &upstream, StatusCode::BAD_GATEWAY, "signature").await;
    let spoils: [fn(String) -> String; 2] = [
        |token| format!("{}.", token.rsplit_once('.').unwrap().0),
        |token| {
            let parts: Vec<_> = token.split('.').collect();
            format!("{}.{}.{}", parts[0], parts[1], encode([0; 64]))
        },
    ];
    upstream.script().rotate("ES256", "third");
    for spoil in spoils {
        upstream.script().spoil = Some(spoil);
        refused(&server, &upstream, StatusCode::BAD_GATEWAY, "signature").await;
    }
}

#[tokio::test]
async fn an_algorithm_that_is_not_allowed_is_never_taken() {
    let (upstream, server) = world().await;
    let none = |token: String| {
        let payload = token.split('.').nth(1).unwrap().to_owned();
        format!("{}.{payload}.", encode(json!({ "alg": "none" }).to_string()))
    };
    upstream.script().spoil = Some(none);
    refused(&server, &upstream, StatusCode::BAD_GATEWAY, "algorithm").await;
    // Signed with our own secret, as whoever knows it could.
    let hmac = |token: String| {
        use aws_lc_rs::hmac;
        let payload = token.split('.').nth(1).unwrap().to_owned();
        let message = format!("{}.{payload}", encode(json!({ "alg": "HS256" }).to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        format!("{message}.{}", encode(hmac::sign(&key, message.as_bytes())))
    };
    upstream.script().spoil = Some(hmac);
    refused(&server, &upstream, StatusCode::BAD_GATEWAY, "algorithm").await;
    let only = Upstream::start().await;
    let server = super::server(&only, "algorithms = [\"RS256\"]", EVERYBODY).await;
    refused(&server, &only, StatusCode::BAD_GATEWAY, "algorithm").await;
}

#[tokio::test]
async fn a_token_of_another_kind_is_no_id_token() {
    let (upstream, server) = world().await;
    for header in [
        json!({ "alg": "ES256", "kid": "first", "typ": "at+jwt" }),
        json!({ "alg": "ES256", "kid": "first", "crit": ["exp"] }),
        json!({ "alg": "ES256", "kid": "first", "cty": "JWT" }),
    ] {
        upstream.script().header = Some(header);
        refused(&server, &upstream, StatusCode::BAD_GATEWAY, "malformed").await;
    }
}

#[tokio::test]
async fn a_new_key_is_found_at_its_first_use_and_the_old_one_is_worth_nothing() {
    let (upstream, server) = world().await;
    let mut browser = Browser::new(&server);
    sign_in(&mut browser, &upstream).await;
    assert_eq!((upstream.asked("/jwks"), upstream.asked("/.well-known/openid-configuration")), (1, 1));
    // With EdDSA it would be of another hash.
    upstream.script().claims["at_hash"] = json!(null);
    for (alg, kid) in [("RS256", "second"), ("EdDSA", "third"), ("PS256", "fourth"), ("ES256", "fifth")] {
        upstream.script().rotate(alg, kid);
        let mut browser = Browser::new(&server);
        assert_eq!(sign_in(&mut browser, &upstream).await.location, "/account", "{alg}");
        server.advance(Duration::from_secs(60));
        upstream.script().now = server.app.now();
    }
    // The same name for another key.
    upstream.script().rotate("ES256", "fifth");
    let mut browser = Browser::new(&server);
    assert_eq!(sign_in(&mut browser, &upstream).await.location, "/account");
    let old = Signer::new("ES256", "fifth");
    upstream.script().signer = old;
    refused(&server, &upstream, StatusCode::BAD_GATEWAY, "signature").await;
}

#[tokio::test]
async fn a_token_need_not_say_which_of_several_keys_is_its() {
    let (upstream, server) = world().await;
    let others = [Signer::new("ES256", "x"), Signer::new("ES256", "y")];
    {
        let mut script = upstream.script();
        let mut set: Value = jwks(&[&others[0], &script.signer, &others[1]]);
        for key in set["keys"].as_array_mut().unwrap() {
            key.as_object_mut().unwrap().remove("kid");
        }
        script.published = set;
        script.header = Some(json!({ "alg": "ES256" }));
    }
    let mut browser = Browser::new(&server);
    let back = sign_in(&mut browser, &upstream).await;
    assert_eq!(back.location, "/account", "{}", back.body);
    upstream.script().published = jwks(&[&others[0], &others[1]]);
    server.advance(Duration::from_hours(48));
    upstream.script().now = server.app.now();
    refused(&server, &upstream, StatusCode::BAD_GATEWAY, "signature").await;
}

#[tokio::test]
async fn claims_that_the_id_token_lacks_are_read_from_userinfo_of_the_same_person() {
    let upstream = Upstream::start().await;
    let mapped = "create = true\nrole_claim = \"groups\"\nagents = [\"support\"]";
    let server = server(&upstream, "", mapped).await;
    upstream.script().claims = json!({ "preferred_username": "alice" });
    upstream.script().userinfo = json!({ "sub": "somebody else", "groups": ["support"] });
    refused(&server, &upstream, StatusCode::BAD_GATEWAY, "userinfo").await;
    upstream.script().broken.insert("/userinfo", 500);
    refused(&server, &upstream, StatusCode::SERVICE_UNAVAILABLE, "provider_away").await;
    upstream.script().broken.clear();
    upstream.script().userinfo = json!({ "sub": "subject of alice", "groups": ["support"] });
    let mut browser = Browser::new(&server);
    assert_eq!(sign_in(&mut browser, &upstream).await.location, "/account");
    assert!(browser.get("/account").await.body.contains("Agent: sees every ticket"));
}
