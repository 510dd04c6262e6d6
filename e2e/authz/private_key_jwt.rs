//! Client authentication by a signed assertion (RFC 7523 §3, rfc7523bis; A4.13, G24).

use std::time::Duration;

use aws_lc_rs::hmac;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::ask::{Answer, call, code, people_on, post, token};
use crate::support::browser::Browser;
use crate::support::client::{Client, VERIFIER, register};
use crate::support::key_host::KeyHost;
use crate::support::signer::{Signer, encode, jwks};
use crate::support::{START, Server};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const UNKNOWN_TOKEN: [(&str, &str); 2] = [("grant_type", "refresh_token"), ("refresh_token", "unknown")];

/// A client that signs.
struct Signing<'a> {
    server: &'a Server,
    client: Client<'a>,
}

impl<'a> Signing<'a> {
    /// Registers with these members beside the usual ones.
    async fn register(server: &'a Server, name: &str, value: &Value) -> Self {
        let mut metadata = json!({
            "client_name": "Signing client",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "token_endpoint_auth_method": "private_key_jwt",
        });
        metadata[name] = value.clone();
        let (status, body) = register(server, &metadata).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        assert!(body.get("client_secret").is_none(), "{body}");
        Self { server, client: Client::known(server, body["client_id"].as_str().unwrap()) }
    }

    fn id(&self) -> &str {
        &self.client.client_id
    }

    /// The claims of a good assertion with this `jti`.
    fn claims(&self, jti: &str) -> Value {
        claims(self.id(), self.server, jti)
    }

    async fn present(&self, assertion: &str) -> Answer {
        present(self.server, assertion, &UNKNOWN_TOKEN).await
    }
}

fn claims(client_id: &str, server: &Server, jti: &str) -> Value {
    let now = server.app.now().unix_seconds();
    json!({ "iss": client_id, "sub": client_id, "aud": server.url, "iat": now, "exp": now + 300, "jti": jti })
}

/// Presents an assertion, without `client_id`, beside `form`.
async fn present(server: &Server, assertion: &str, form: &[(&str, &str)]) -> Answer {
    let credentials = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)];
    token(server, &[form, &credentials].concat()).await
}

#[track_caller]
fn authenticated(answer: &Answer) {
    answer.refused(400, "invalid_grant");
}

#[track_caller]
fn not_authenticated(answer: &Answer) {
    answer.refused(401, "invalid_client");
}

#[tokio::test]
async fn four_algorithms_are_taken() {
    let server = Server::start().await;
    let signers = ["ES256", "RS256", "PS256", "EdDSA"].map(|alg| Signer::new(alg, alg));
    let keys = jwks(&signers.each_ref());
    let signing = Signing::register(&server, "jwks", &keys).await;
    for signer in &signers {
        authenticated(&signing.present(&signer.sign(&signing.claims(signer.alg))).await);
    }
    let metadata = get_json(&server, "/.well-known/oauth-authorization-server").await;
    let listed = &metadata["token_endpoint_auth_signing_alg_values_supported"];
    assert_eq!(*listed, json!(["ES256", "RS256", "PS256", "EdDSA"]));
}

async fn get_json(server: &Server, path: &str) -> Value {
    crate::support::http().get(server.at(path)).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn the_whole_dance_needs_a_fresh_assertion_each_time() {
    let server = Server::with_people().await;
    let signer = Signer::new("ES256", "1");
    let signing = Signing::register(&server, "jwks", &jwks(&[&signer])).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let code = code(&mut browser, &signing.client, &[]).await;
    let redeem = [("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
    let assert = |jti: &str| signer.sign(&signing.claims(jti));
    let named = [&redeem[..], &[("client_id", signing.id())]].concat();
    token(&server, &named).await.refused(401, "invalid_client");
    let tokens = present(&server, &assert("a"), &named).await;
    tokens.granted();
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", tokens.text_of("refresh_token"))];
    let named = [&refresh[..], &[("client_id", signing.id())]].concat();
    token(&server, &named).await.refused(401, "invalid_client");
    not_authenticated(&present(&server, &assert("a"), &refresh).await);
    present(&server, &assert("b"), &refresh).await.granted();
    let revoke = [("token", tokens.text_of("access_token")), ("client_id", signing.id())];
    post(&server, "/revoke", &revoke).await.refused(401, "invalid_client");
    let assertion = assert("c");
    let credentials = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion.as_str())];
    let answer = post(&server, "/revoke", &[&revoke[..], &credentials].concat()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(call(&server, tokens.text_of("access_token")).await, 401);
}

#[tokio::test]
async fn of_32_presentations_of_one_assertion_one_counts() {
    let server = Server::start().await;
    let signer = Signer::new("ES256", "1");
    let signing = Signing::register(&server, "jwks", &jwks(&[&signer])).await;
    let assertion = signer.sign(&signing.claims("once"));
    let answers = join_all((0..32).map(|_| signing.present(&assertion))).await;
    let good = answers.iter().filter(|answer| answer.status == StatusCode::BAD_REQUEST).count();
    assert_eq!(good, 1, "{answers:?}");
}

#[tokio::test]
async fn a_jti_is_remembered_until_its_assertion_has_expired_and_is_each_clients_own() {
    let server = Server::start().await;
    let signer = Signer::new("EdDSA", "1");
    let one = Signing::register(&server, "jwks", &jwks(&[&signer])).await;
    let other = Signing::register(&server, "jwks", &jwks(&[&signer])).await;
    let mut long = one.claims("same");
    long["exp"] = json!(START.unix_seconds() + 3600);
    let assertion = signer.sign(&long);
    authenticated(&one.present(&assertion).await);
    authenticated(&other.present(&signer.sign(&other.claims("same"))).await);
    for minutes in [10, 49] {
        server.advance(Duration::from_secs(minutes * 60));
        not_authenticated(&one.present(&assertion).await);
    }
    // The same jti under another signature is the same jti.
    not_authenticated(&one.present(&signer.sign(&one.claims("same"))).await);
}

#[tokio::test]
async fn the_audience_is_this_issuer_and_nothing_else() {
    let server = Server::start().await;
    let signer = Signer::new("EdDSA", "1");
    let signing = Signing::register(&server, "jwks", &jwks(&[&signer])).await;
    let issuer = server.url.as_str();
    let with = |aud: Value, jti: String| {
        let mut claims = signing.claims(&jti);
        claims["aud"] = aud;
        signer.sign(&claims)
    };
    let good = [json!(issuer), json!([issuer]), json!(format!("{issuer}/"))];
    for (number, aud) in good.into_iter().enumerate() {
        authenticated(&signing.present(&with(aud, format!("good-{number}"))).await);
    }
    let bad = [
        json!(server.at("/token")),
        json!([server.at("/token")]),
        json!([issuer, server.at("/token")]),
        json!([issuer, "https://other.example"]),
        json!("https://other.example"),
        json!(server.at("/mcp")),
        json!([]),
        json!([[issuer]]),
        json!(null),
        json!(7),
    ];
    for (number, aud) in bad.into_iter().enumerate() {
        not_authenticated(&signing.present(&with(aud, format!("bad-{number}"))).await);
    }
}

#[tokio::test]
async fn claims_that_are_missing_wrong_or_out_of_time_are_refused() {
    let server = Server::start().await;
    let signer = Signer::new("EdDSA", "1");
    let signing = Signing::register(&server, "jwks", &jwks(&[&signer])).await;
    let other = Signing::register(&server, "jwks", &jwks(&[&signer])).await;
    let now = START.unix_seconds();
    let missing = ["iss", "sub", "aud", "exp", "jti"].map(|name| (name, None));
    let wrong = [
        ("iss", Some(json!(other.id()))),
        ("sub", Some(json!(other.id()))),
        ("iss", Some(json!("https://other.example"))),
        ("exp", Some(json!(now - 60))),
        ("exp", Some(json!(now + 3661))),
        ("exp", Some(json!("soon"))),
        ("exp", Some(json!(-1))),
        ("exp", Some(json!(1e300))),
        ("nbf", Some(json!(now + 61))),
        ("nbf", Some(json!("now"))),
        ("jti", Some(json!(7))),
    ];
    for (number, (name, value)) in missing.into_iter().chain(wrong).enumerate() {
        let mut claims = signing.claims(&format!("bad-{number}"));
        match value {
            Some(value) => claims[name] = value,
            None => drop(claims.as_object_mut().unwrap().remove(name)),
        }
        let answer = signing.present(&signer.sign(&claims)).await;
        assert_eq!(answer.refused(401, "invalid_client").header("retry-after"), "", "{claims}");
    }
    server.advance(Duration::from_secs(3600));
    let now = server.app.now().unix_seconds();
    // A minute of difference between the clocks is forgiven.
    for (number, (name, value)) in
        [("exp", now - 59), ("exp", now + 3600), ("nbf", now + 60), ("iat", now + 1000)]
            .into_iter()
            .enumerate()
    {
        let mut claims = signing.claims(&format!("good-{number}"));
        claims[name] = json!(value);
        authenticated(&signing.present(&signer.sign(&claims)).await);
    }
}

#[tokio::test]
async fn only_listed_algorithms_with_the_clients_own_key_count() {
    let server = Server::start().await;
    let (ec, rsa, foreign) =
        (Signer::new("ES256", "ec"), Signer::new("RS256", "rsa"), Signer::new("ES256", "ec"));
    let signing = Signing::register(&server, "jwks", &jwks(&[&ec, &rsa])).await;
    let mut number = 0;
    let mut next = || {
        number += 1;
        signing.claims(&format!("{number}"))
    };
    let unsigned = |header: Value, claims: &Value| {
        format!("{}.{}.", encode(header.to_string()), encode(claims.to_string()))
    };
    let hmac_with = |secret: &[u8], claims: &Value| {
        let message = format!("{}.{}", encode(r#"{"alg":"HS256","typ":"JWT"}"#), encode(claims.to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", encode(tag))
    };
    let good = ec.sign(&next());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other_claims = encode(next().to_string());
    let header = good.split('.').next().unwrap();
    let public_key = rsa.jwk().to_string();
    let as_ps256 = json!({ "alg": "PS256", "kid": "rsa", "typ": "JWT" });
    let bad = [
        ("alg none", unsigned(json!({ "alg": "none" }), &next())),
        ("alg None", unsigned(json!({ "alg": "NONE", "typ": "JWT" }), &next())),
        ("no signature", format!("{message}.")),
        ("no alg", ec.sign_as(&json!({ "typ": "JWT" }), &next())),
        ("HMAC with the public key", hmac_with(public_key.as_bytes(), &next())),
        ("HMAC with nothing", hmac_with(b"", &next())),
        ("a foreign key under a known kid", foreign.sign(&next())),
        ("an unknown kid", ec.sign_as(&json!({ "alg": "ES256", "kid": "other" }), &next())),
        ("the kid of another kind of key", ec.sign_as(&json!({ "alg": "ES256", "kid": "rsa" }), &next())),
        ("another algorithm of the same key", rsa.sign_as(&as_ps256, &next())),
        ("an algorithm that is not listed", rsa.sign_as(&json!({ "alg": "RS512", "kid": "rsa" }), &next())),
        ("changed claims", format!("{header}.{other_claims}.{signature}")),
        ("an unknown critical extension", {
            let header = json!({ "alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": true });
            ec.sign_as(&header, &next())
        }),
    ];
    for (what, assertion) in &bad {
        let answer = signing.present(assertion).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {answer:?}");
    }
    for text in ["x", "a.b", "a.b.c", "....", "\u{1}"] {
        not_authenticated(&signing.present(text).await);
    }
    authenticated(&signing.present(&good).await);
}

#[tokio::test]
async fn a_key_that_the_header_brings_along_proves_nothing() {
    let server = Server::start().await;
    let (own, thief) = (Signer::new("ES256", "1"), Signer::new("ES256", "1"));
    let host = KeyHost::start().await;
    host.put("/jwks", &jwks(&[&thief]));
    let signing = Signing::register(&server, "jwks", &jwks(&[&own])).await;
    for (name, value) in
        [("jwk", thief.jwk()), ("jku", json!(host.url("/jwks"))), ("x5u", json!(host.url("/x5u")))]
    {
        let mut header = thief.header();
        header[name] = value;
        not_authenticated(&signing.present(&thief.sign_as(&header, &signing.claims(name))).await);
        header["kid"] = json!("1");
        authenticated(&signing.present(&own.sign_as(&header, &signing.claims(name))).await);
    }
    assert_eq!(host.asked("/jwks") + host.asked("/x5u"), 0, "and nobody is asked for it");
}

#[tokio::test]
async fn other_kinds_of_jwt_are_refused_by_their_typ() {
    let server = Server::start().await;
    let signer = Signer::new("ES256", "1");
    let signing = Signing::register(&server, "jwks", &jwks(&[&signer])).await;
    let typed = |typ: Option<&str>| {
        let mut header = signer.header();
        match typ {
            Some(typ) => header["typ"] = json!(typ),
            None => drop(header.as_object_mut().unwrap().remove("typ")),
        }
        signer.sign_as(&header, &signing.claims(&format!("{typ:?}")))
    };
    let good = ["JWT", "jwt", "client-authentication+jwt", "application/client-authentication+jwt"];
    for typ in good.map(Some).into_iter().chain([None]) {
        authenticated(&signing.present(&typed(typ)).await);
    }
    for typ in
        ["at+jwt", "application/at+jwt", "oauth-id-jag+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt", ""]
    {
        not_authenticated(&signing.present(&typed(Some(typ))).await);
    }
}

#[tokio::test]
async fn an_access_token_is_no_assertion_and_an_assertion_no_access_token() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let tokens = client.obtain_tokens("alice").await;
    let access_token = tokens["access_token"].as_str().unwrap();
    not_authenticated(&present(&server, access_token, &UNKNOWN_TOKEN).await);
    let signer = Signer::new("ES256", "1");
    let signing = Signing::register(&server, "jwks", &jwks(&[&signer])).await;
    assert_eq!(call(&server, &signer.sign(&signing.claims("1"))).await, 401);
    let assertion_of_another = signer.sign(&claims(&client.client_id, &server, "2"));
    not_authenticated(&present(&server, &assertion_of_another, &UNKNOWN_TOKEN).await);
    assert_eq!(call(&server, access_token).await, 200);
}

#[tokio::test]
async fn the_form_must_fit_the_assertion() {
    let server = Server::start().await;
    let signer = Signer::new("ES256", "1");
    let signing = Signing::register(&server, "jwks", &jwks(&[&signer])).await;
    let assertion = signer.sign(&signing.claims("1"));
    let with = |form: &[(&'static str, &str)]| {
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let server = &server;
        async move {
            let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
            token(server, &[&UNKNOWN_TOKEN[..], &form].concat()).await
        }
    };
    let (given, kind) = (("client_assertion", assertion.as_str()), ("client_assertion_type", ASSERTION_TYPE));
    let saml = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer");
    with(&[given]).await.refused(400, "invalid_request");
    with(&[given, saml]).await.refused(400, "invalid_request");
    with(&[given, kind, ("client_id", "client_other")]).await.refused(401, "invalid_client");
    with(&[given, kind, ("client_secret", "x"), ("client_id", signing.id())])
        .await
        .refused(400, "invalid_request");
    with(&[kind]).await.refused(401, "invalid_client");
    let large = "x".repeat(9000);
    with(&[("client_assertion", &large), kind]).await.refused(401, "invalid_client");
    authenticated(&with(&[given, kind, ("client_id", signing.id())]).await);
}

#[tokio::test]
async fn a_key_of_unknown_kind_does_not_spoil_the_others() {
    let server = Server::start().await;
    let signer = Signer::new("ES256", "1");
    let mut keys = jwks(&[&signer]);
    let odd = [
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }),
        json!({ "kty": "EC" }),
        json!("x"),
        json!({}),
    ];
    let listed = keys["keys"].as_array_mut().unwrap();
    listed.splice(0..0, odd);
    let signing = Signing::register(&server, "jwks", &keys).await;
    authenticated(&signing.present(&signer.sign(&signing.claims("1"))).await);
}

#[tokio::test]
async fn a_key_set_is_fetched_kept_and_asked_for_again_when_a_key_is_new() {
    let host = KeyHost::start().await;
    let server = Server::start_with(|config| host.allow(config)).await;
    let (old, new) = (Signer::new("ES256", "old"), Signer::new("ES256", "new"));
    host.put("/jwks", &jwks(&[&old]));
    let signing = Signing::register(&server, "jwks_uri", &json!(host.url("/jwks"))).await;
    for jti in ["1", "2", "3"] {
        authenticated(&signing.present(&old.sign(&signing.claims(jti))).await);
    }
    assert_eq!(host.asked("/jwks"), 1);
    // Rotated: the unknown kid is a reason to look again, at once.
    host.put("/jwks", &jwks(&[&old, &new]));
    authenticated(&signing.present(&new.sign(&signing.claims("4"))).await);
    authenticated(&signing.present(&old.sign(&signing.claims("5"))).await);
    assert_eq!(host.asked("/jwks"), 2);
    // But anybody can invent a kid, so not every time.
    for number in 0..10 {
        let header = json!({ "alg": "ES256", "kid": format!("invented-{number}") });
        not_authenticated(&signing.present(&old.sign_as(&header, &signing.claims("6"))).await);
    }
    assert_eq!(host.asked("/jwks"), 3, "three fetches a minute, the first two included");
    authenticated(&signing.present(&new.sign(&signing.claims("7"))).await);
}

#[tokio::test]
async fn a_key_set_out_of_reach_is_our_503_and_the_copy_stands_in() {
    let host = KeyHost::start().await;
    let server = Server::start_with(|config| host.allow(config)).await;
    let signer = Signer::new("EdDSA", "1");
    host.put("/jwks", &jwks(&[&signer]));
    let signing = Signing::register(&server, "jwks_uri", &json!(host.url("/jwks"))).await;
    authenticated(&signing.present(&signer.sign(&signing.claims("1"))).await);
    host.break_down();
    server.advance(Duration::from_secs(2 * 86_400));
    authenticated(&signing.present(&signer.sign(&signing.claims("2"))).await);
    assert_eq!(host.asked("/jwks"), 2, "the host failed and the copy stood in");

    let away = Signing::register(&server, "jwks_uri", &json!(host.url("/nowhere"))).await;
    for number in 0..20 {
        let answer = away.present(&signer.sign(&away.claims(&number.to_string()))).await;
        answer.refused(503, "temporarily_unavailable");
        assert!(answer.header("retry-after").parse::<u64>().is_ok(), "{answer:?}");
    }
    assert_eq!(host.asked("/nowhere"), 3, "a stranger does not decide how often a host is asked");
}

#[tokio::test]
async fn keys_are_fetched_only_from_where_the_guard_allows() {
    let host = KeyHost::start().await;
    let signer = Signer::new("EdDSA", "1");
    host.put("/jwks", &jwks(&[&signer]));
    let server = Server::start().await;
    let signing = Signing::register(&server, "jwks_uri", &json!(host.url("/jwks"))).await;
    let answer = signing.present(&signer.sign(&signing.claims("1"))).await;
    answer.refused(503, "temporarily_unavailable");
    assert_eq!(host.asked("/jwks"), 0);
}

/// Publishes a metadata document that signs, and returns its client.
fn publish<'a>(host: &KeyHost, server: &'a Server, signer: &Signer, more: &Value) -> Client<'a> {
    let client_id = host.url("/client.json");
    let mut document = json!({
        "client_id": client_id,
        "client_name": "Hosted client",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks_uri": host.url("/jwks"),
    });
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    host.put("/client.json", &document);
    host.put("/jwks", &jwks(&[signer]));
    Client::known(server, client_id)
}

#[tokio::test]
async fn a_document_client_that_signs_may_not_fall_back_to_its_name() {
    let host = KeyHost::start().await;
    let server = people_on(|config| host.allow(config)).await;
    let signer = Signer::new("RS256", "1");
    let client = publish(&host, &server, &signer, &json!({}));
    let id = client.client_id.as_str();
    let mut browser = Browser::signed_in(&server, "alice").await;
    let code = code(&mut browser, &client, &[]).await;
    let redeem = [("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
    let named = [&redeem[..], &[("client_id", id)]].concat();
    token(&server, &named).await.refused(401, "invalid_client");
    let foreign = Signer::new("RS256", "1");
    not_authenticated(&present(&server, &foreign.sign(&claims(id, &server, "x")), &redeem).await);
    let tokens = present(&server, &signer.sign(&claims(id, &server, "1")), &named).await;
    tokens.granted();
    // Even a later document that asks for no proof does not free the old grant of it.
    publish(&host, &server, &signer, &json!({ "token_endpoint_auth_method": "none" }));
    server.advance(Duration::from_secs(120));
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", tokens.text_of("refresh_token"))];
    let named = [&refresh[..], &[("client_id", id)]].concat();
    token(&server, &named).await.refused(401, "invalid_client");
    post(&server, "/revoke", &[("client_id", id), ("token", tokens.text_of("refresh_token"))])
        .await
        .refused(401, "invalid_client");
    publish(&host, &server, &signer, &json!({}));
    server.advance(Duration::from_secs(120));
    present(&server, &signer.sign(&claims(id, &server, "2")), &refresh).await.granted();
}

#[tokio::test]
async fn a_document_that_lists_none_beside_its_key_may_use_either() {
    let host = KeyHost::start().await;
    let server = people_on(|config| host.allow(config)).await;
    let signer = Signer::new("RS256", "1");
    let both =
        json!({ "token_endpoint_auth_methods_supported": ["private_key_jwt", "none", "client_secret_post"] });
    let client = publish(&host, &server, &signer, &both);
    let id = client.client_id.as_str();
    let mut browser = Browser::signed_in(&server, "alice").await;
    let code = code(&mut browser, &client, &[]).await;
    let (status, tokens) = client.redeem(&code).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let refresh =
        [("grant_type", "refresh_token"), ("refresh_token", tokens["refresh_token"].as_str().unwrap())];
    let renewed = present(&server, &signer.sign(&claims(id, &server, "1")), &refresh).await;
    renewed.granted();
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", renewed.text_of("refresh_token"))];
    let secret = [&refresh[..], &[("client_id", id), ("client_secret", "x")]].concat();
    token(&server, &secret).await.refused(401, "invalid_client");
}
