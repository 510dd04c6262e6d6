//! Signing keys that rotate, seen from outside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, decode_header};
use mandate::app::App;
use mandate::authz::rotation;
use mandate::clock::ManualClock;
use mandate::keys::ring::{LEAD, LEAD_OF_A_STRANGER};
use mandate::keys::rotation::{Revocation, Rotated, Rotation};
use mandate::random::Random;
use serde_json::json;

use super::ask::{audited, call, people_on, send};
use crate::support::client::{Client, claims};
use crate::support::signer::Signer;
use crate::support::{Server, http};

const HOUR: Duration = Duration::from_hours(1);

async fn published(server: &Server) -> BTreeSet<String> {
    let answer = send(http().get(server.at("/jwks"))).await;
    let keys = answer.body["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(access_token: &str) -> String {
    decode_header(access_token).unwrap().kid.unwrap()
}

async fn rotate(server: &Server) -> Rotated {
    match rotation::rotate(&server.app).await.unwrap() {
        Rotation::Done(rotated) => rotated,
        other => panic!("{other:?}"),
    }
}

/// A client with a chain of refresh tokens.
struct Holder<'a> {
    client: Client<'a>,
    access_token: String,
    refresh_token: String,
}

impl<'a> Holder<'a> {
    async fn connect(server: &'a Server) -> Self {
        let client = Client::register(server).await;
        let tokens = client.obtain_tokens("alice").await;
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Self { access_token: text("access_token"), refresh_token: text("refresh_token"), client }
    }

    async fn refresh(&mut self) {
        let (status, tokens) = self.client.refresh(&self.refresh_token).await;
        assert_eq!(status, 200, "{tokens}");
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        (self.access_token, self.refresh_token) = (text("access_token"), text("refresh_token"));
    }
}

#[tokio::test]
async fn the_next_key_is_published_before_it_signs_and_the_old_one_goes_after_its_last_token() {
    let server = Server::with_people().await;
    let mut holder = Holder::connect(&server).await;
    rotation::once(&server.app).await.unwrap();
    let first = kid(&holder.access_token);
    server.advance(HOUR / 4);
    let before = published(&server).await;
    let rotated = rotate(&server).await;
    assert_eq!(rotated.former.as_ref(), Some(&first));
    assert!(before.contains(&rotated.kid), "published first");
    assert!(published(&server).await.contains(&rotated.next), "at once");
    assert!(matches!(rotation::rotate(&server.app).await.unwrap(), Rotation::Pending(_)));
    server.advance(LEAD.saturating_sub(Duration::from_secs(1)));
    holder.refresh().await;
    let last = holder.access_token.clone();
    assert_eq!(kid(&last), first);
    server.advance(Duration::from_secs(1));
    holder.refresh().await;
    assert_eq!(kid(&holder.access_token), rotated.kid);
    for token in [&last, &holder.access_token] {
        assert_eq!(call(&server, token).await, 200);
    }
    server.advance(HOUR.saturating_sub(Duration::from_secs(2)));
    rotation::keep_house(&server.app).await.unwrap();
    assert_eq!(call(&server, &last).await, 200, "until its last second");
    assert!(published(&server).await.contains(&first));
    server.advance(rotated.former_until.since(server.app.now()));
    rotation::once(&server.app).await.unwrap();
    rotation::keep_house(&server.app).await.unwrap();
    assert_eq!(published(&server).await, BTreeSet::from([rotated.kid.clone(), rotated.next]));
    holder.refresh().await;
    assert_eq!(call(&server, &holder.access_token).await, 200);
    let [decided] = &audited(&server, "keys_rotated").await[..] else { panic!() };
    assert!(decided.detail.starts_with("by hand") && decided.detail.contains(&rotated.kid), "{decided:?}");
    let [retired] = &audited(&server, "key_retired").await[..] else { panic!() };
    assert_eq!(retired.detail, first);
}

#[tokio::test]
async fn keys_rotate_by_schedule_unless_it_says_never() {
    for every in [Some(6 * HOUR), None] {
        let server = people_on(|config| config.tokens.signing_key_rotation = every).await;
        for hours in 1..=12 {
            server.advance(HOUR);
            rotation::once(&server.app).await.unwrap();
            rotation::keep_house(&server.app).await.unwrap();
            let rotations = audited(&server, "keys_rotated").await;
            // The second key signs a moment after the sixth hour, so its own time is up a moment after the twelfth.
            let expected = usize::from(every.is_some() && hours >= 6);
            assert_eq!(rotations.len(), expected, "after {hours} hours");
            assert!(rotations.iter().all(|event| event.detail.starts_with("by schedule")));
        }
        server.advance(LEAD);
        rotation::keep_house(&server.app).await.unwrap();
        assert_eq!(audited(&server, "keys_rotated").await.len(), if every.is_some() { 2 } else { 0 });
    }
}

#[tokio::test]
async fn a_key_that_is_taken_back_lets_nobody_in_not_even_whoever_was_just_let_in() {
    let server = Server::with_people().await;
    let mut holder = Holder::connect(&server).await;
    assert_eq!(call(&server, &holder.access_token).await, 200);
    let taken = kid(&holder.access_token);
    let revoked = rotation::revoke(&server.app, &taken).await.unwrap();
    assert!(matches!(revoked, Revocation::Done { successor: Some(_) }), "{revoked:?}");
    assert_eq!(call(&server, &holder.access_token).await, 401);
    assert!(!published(&server).await.contains(&taken));
    holder.refresh().await;
    assert_eq!(call(&server, &holder.access_token).await, 200);
    let [event] = &audited(&server, "key_revoked").await[..] else { panic!() };
    assert!(event.detail.starts_with(&taken), "{event:?}");
}

/// Another server on the same stores and the same key file, with another configuration.
async fn beside(server: &Server, change: impl FnOnce(&mut mandate::config::Config)) -> Result<App, String> {
    let mut config = server.app.config.clone();
    change(&mut config);
    let opened = App::open(config, server.clock.clone() as Arc<ManualClock>, Random::system()).await;
    opened.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_token_of_a_key_that_was_made_elsewhere_a_moment_ago_is_accepted_and_forged_ones_are_not() {
    let server = Server::with_people().await;
    let holder = Holder::connect(&server).await;
    let other = beside(&server, |config| config.tokens.signing_algorithm = Algorithm::EdDSA).await.unwrap();
    server.advance(LEAD_OF_A_STRANGER);
    let known = published(&server).await;
    let mut said = claims(&json!(holder.access_token));
    said["exp"] = json!(server.app.now().unix_seconds() + 60);
    let token = other.keys.sign(&serde_json::from_value(said.clone()).unwrap(), other.now()).unwrap();
    assert!(!known.contains(&kid(&token)), "the server has not heard of its key");
    assert_eq!(call(&server, &token).await, 200);
    assert_eq!(published(&server).await.len(), 4);
    let forger = Signer::new("ES256", "forged");
    let mut header = forger.header();
    header["typ"] = json!("at+jwt");
    for number in 0..50 {
        header["kid"] = json!(format!("forged-{number}"));
        assert_eq!(call(&server, &forger.sign_as(&header, &said)).await, 401);
    }
    assert_eq!(call(&server, &token).await, 200);
}

#[tokio::test]
async fn a_client_may_give_back_a_token_of_a_key_that_was_made_elsewhere_a_moment_ago() {
    let server = Server::with_people().await;
    let holder = Holder::connect(&server).await;
    let other = beside(&server, |config| config.tokens.signing_algorithm = Algorithm::EdDSA).await.unwrap();
    server.advance(LEAD_OF_A_STRANGER);
    let said = serde_json::from_value(claims(&json!(holder.access_token))).unwrap();
    let token = other.keys.sign(&said, other.now()).unwrap();
    let form = [("token", token.as_str()), ("client_id", &holder.client.client_id)];
    assert_eq!(super::ask::post(&server, "/revoke", &form).await.status, 200);
    assert_eq!(call(&server, &holder.access_token).await, 401);
}

/// Writes the private key of a JWK set's stranger: PKCS#8 in PEM.
fn key_file(folder: &Path, name: &str, der: &[u8]) -> PathBuf {
    let path = folder.join(name);
    let body = STANDARD.encode(der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    std::fs::write(&path, pem).unwrap();
    path
}

fn p256() -> Vec<u8> {
    let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = aws_lc_rs::signature::EcdsaKeyPair::generate(algorithm).unwrap();
    pair.to_pkcs8v1().unwrap().as_ref().to_vec()
}

#[tokio::test]
async fn a_given_key_signs_its_private_half_is_stored_nowhere_and_files_that_are_swapped_rotate() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (p256(), p256());
    let one = key_file(folder.path(), "one.pem", &first);
    let two = key_file(folder.path(), "two.pem", &second);
    let server = people_on(|config| {
        config.tokens.signing_key_file = Some(one.clone());
        config.tokens.next_signing_key_file = Some(two.clone());
    })
    .await;
    let mut holder = Holder::connect(&server).await;
    let before = published(&server).await;
    let signing = kid(&holder.access_token);
    assert!(before.len() == 2 && before.contains(&signing));
    assert_eq!(call(&server, &holder.access_token).await, 200);
    let stored = server.profile.everything_stored().await;
    for der in [&first, &second] {
        // The last bytes of a PKCS#8 key are its public half; those before are the secret.
        let secret = &STANDARD.encode(der)[48..88];
        assert!(!stored.contains(secret));
    }
    assert_eq!(rotation::rotate(&server.app).await.unwrap(), Rotation::Given);
    assert_eq!(rotation::revoke(&server.app, &signing).await.unwrap(), Revocation::Given);
    rotation::once(&server.app).await.unwrap();

    server.advance(HOUR / 4);
    let swapped = beside(&server, |config| {
        config.tokens.signing_key_file = Some(two);
        config.tokens.next_signing_key_file = None;
    });
    let swapped = swapped.await.unwrap();
    let said = serde_json::from_value(claims(&json!(holder.access_token))).unwrap();
    let token = swapped.keys.sign(&said, swapped.now()).unwrap();
    assert!(kid(&token) != signing && before.contains(&kid(&token)), "it was published as the next one");
    assert_eq!(call(&server, &token).await, 200);
    let still: Vec<String> = swapped.keys.lives().into_iter().map(|life| life.kid).collect();
    assert!(still.contains(&signing), "the former key stays published");
    holder.refresh().await;
    assert_eq!(kid(&holder.access_token), signing);
}

#[tokio::test]
async fn a_key_file_that_cannot_be_used_ends_the_start_with_its_key_and_the_cure() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let der = p256();
    let good = key_file(folder.path(), "good.pem", &der);
    let same = key_file(folder.path(), "same.pem", &der);
    let text = std::fs::read_to_string(&good).unwrap();
    let encrypted = folder.path().join("encrypted.pem");
    std::fs::write(&encrypted, text.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")).unwrap();
    let missing = folder.path().join("missing.pem");
    let body = STANDARD.encode(&der);
    for (signing, next, algorithm, key, said) in [
        (&missing, None, Algorithm::ES256, "tokens.signing_key_file", "missing.pem"),
        (&encrypted, None, Algorithm::ES256, "tokens.signing_key_file", "openssl pkcs8"),
        (&good, None, Algorithm::RS256, "tokens.signing_key_file", "tokens.signing_algorithm is RS256"),
        (&good, Some(&same), Algorithm::ES256, "tokens.next_signing_key_file", "the same key"),
        (&good, Some(&encrypted), Algorithm::ES256, "tokens.next_signing_key_file", "openssl pkcs8"),
    ] {
        let opened = beside(&server, |config| {
            config.tokens.signing_algorithm = algorithm;
            config.tokens.signing_key_file = Some(signing.clone());
            config.tokens.next_signing_key_file = next.cloned();
        });
        let sentence = opened.await.unwrap_err();
        assert!(sentence.starts_with(&format!("{key}: ")) && sentence.contains(said), "{sentence}");
        assert!(!sentence.contains(&body) && !sentence.contains('\n'), "{sentence}");
    }
}
