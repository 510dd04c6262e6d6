use super::*;
use crate::random::Random;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const ISSUER: &str = "https://t.example";
const RESOURCE: &str = "https://t.example/mcp";

fn keys(algorithm: Algorithm) -> Keys {
    let sealing = SealingKey::new([1; 32]);
    let key = key(algorithm, NOW);
    Keys::new(sealing, vec![key], Chosen::Made(algorithm))
}

fn key(algorithm: Algorithm, active_from: Timestamp) -> SigningKey {
    let sealing = SealingKey::new([1; 32]);
    let pair = Pair::generate(algorithm).unwrap();
    let row = pair.seal(active_from, NOW, &sealing, &Random::seeded(1)).unwrap();
    SigningKey::open(&row, &sealing, None).unwrap()
}

fn kid(keys: &Keys) -> String {
    keys.lives()[0].kid.clone()
}

fn why(verified: Result<AccessTokenClaims, Refused>) -> Result<AccessTokenClaims, BadToken> {
    verified.map_err(|refused| refused.why)
}

fn claims() -> AccessTokenClaims {
    AccessTokenClaims {
        iss: ISSUER.into(),
        sub: "user_1".into(),
        aud: RESOURCE.into(),
        client_id: "client_1".into(),
        scope: "tickets:read".into(),
        jti: "j".into(),
        iat: NOW.unix_seconds(),
        exp: NOW.unix_seconds() + 3600,
        auth_time: Some(NOW.unix_seconds()),
        acr: None,
        amr: Vec::new(),
        grant_id: "grant_1".into(),
    }
}

#[test]
fn every_algorithm_signs_what_it_verifies() {
    for algorithm in [Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA] {
        let keys = keys(algorithm);
        let token = keys.sign(&claims(), NOW).unwrap();
        assert_eq!(keys.verify(&token, ISSUER, RESOURCE, NOW).unwrap(), claims());
        let public = keys.jwks().to_string();
        for private in ["\"d\"", "\"p\"", "\"q\"", "\"k\""] {
            assert!(!public.contains(private), "{algorithm:?} publishes {private}");
        }
    }
}

#[test]
fn audience_and_issuer_must_be_equal_and_time_must_be_right() {
    let keys = keys(Algorithm::ES256);
    let token = keys.sign(&claims(), NOW).unwrap();
    for (issuer, audience) in [(ISSUER, "https://t.example"), ("https://t.example/", RESOURCE)] {
        assert_eq!(why(keys.verify(&token, issuer, audience, NOW)), Err(BadToken::Foreign));
    }
    let later = NOW.plus(Duration::from_secs(3600));
    assert_eq!(why(keys.verify(&token, ISSUER, RESOURCE, later)), Err(BadToken::Expired));
}

#[test]
fn only_a_current_key_signs() {
    let keys = keys(Algorithm::ES256);
    assert!(keys.sign(&claims(), NOW.minus(Duration::from_secs(1))).is_err());
}

/// Builds a JWT with any header, signed with the real key where `sign` says so.
fn forged(keys: &Keys, header: Value) -> String {
    let header: jsonwebtoken::Header = serde_json::from_value(header).unwrap();
    encode(&header, &claims(), keys.ring().keys[0].encoding.as_ref().unwrap()).unwrap()
}

#[test]
fn other_kinds_of_jwt_are_refused() {
    let keys = keys(Algorithm::ES256);
    let kid = kid(&keys);
    for typ in ["JWT", "id_token+jwt", "oauth-id-jag+jwt", "client-authentication+jwt"] {
        let token = forged(&keys, json!({"alg": "ES256", "typ": typ, "kid": kid}));
        assert_eq!(why(keys.verify(&token, ISSUER, RESOURCE, NOW)), Err(BadToken::WrongType), "{typ}");
    }
    let accepted = forged(&keys, json!({"alg": "ES256", "typ": "application/at+jwt", "kid": kid}));
    assert!(keys.verify(&accepted, ISSUER, RESOURCE, NOW).is_ok());
}

#[test]
fn an_unknown_kid_another_algorithm_none_and_a_changed_claim_are_refused() {
    let keys = keys(Algorithm::ES256);
    let kid = kid(&keys);
    let unknown = forged(&keys, json!({"alg": "ES256", "typ": "at+jwt", "kid": "other"}));
    assert_eq!(why(keys.verify(&unknown, ISSUER, RESOURCE, NOW)), Err(BadToken::UnknownKey));
    let missing = forged(&keys, json!({"alg": "ES256", "typ": "at+jwt"}));
    assert_eq!(why(keys.verify(&missing, ISSUER, RESOURCE, NOW)), Err(BadToken::UnknownKey));

    let token = keys.sign(&claims(), NOW).unwrap();
    let mut parts = token.split('.');
    let (_, payload, signature) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let with_header = |header: Value| {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        format!("{header}.{payload}.{signature}")
    };
    let none = with_header(json!({"alg": "none", "typ": "at+jwt", "kid": kid}));
    assert_eq!(why(keys.verify(&none, ISSUER, RESOURCE, NOW)), Err(BadToken::Malformed));
    let hmac = with_header(json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}));
    assert_eq!(why(keys.verify(&hmac, ISSUER, RESOURCE, NOW)), Err(BadToken::UnknownKey));

    let mut changed = claims();
    changed.scope = "tickets:read tickets:write".into();
    let payload = URL_SAFE_NO_PAD.encode(serde_json::to_string(&changed).unwrap());
    let header = token.split('.').next().unwrap();
    let token = format!("{header}.{payload}.{signature}");
    assert_eq!(why(keys.verify(&token, ISSUER, RESOURCE, NOW)), Err(BadToken::Signature));
}

#[test]
fn a_key_carried_in_the_header_is_not_looked_at() {
    let (ours, theirs) = (keys(Algorithm::ES256), keys(Algorithm::ES256));
    let kid = kid(&ours);
    let jwk = theirs.ring().keys[0].public_jwk.clone();
    let token = forged(&theirs, json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "jwk": jwk}));
    assert_eq!(why(ours.verify(&token, ISSUER, RESOURCE, NOW)), Err(BadToken::Signature));
}

#[test]
fn what_a_refused_token_says_is_told_only_when_one_of_our_keys_signed_it() {
    let keys = keys(Algorithm::ES256);
    let token = keys.sign(&claims(), NOW).unwrap();
    let later = NOW.plus(Duration::from_secs(3600));
    for (audience, now, why) in
        [(RESOURCE, later, BadToken::Expired), ("https://other.example/mcp", NOW, BadToken::Foreign)]
    {
        let refused = keys.verify(&token, ISSUER, audience, now).unwrap_err();
        assert_eq!(refused, Refused { why, claims: Some(Box::new(claims())) });
    }
    let unsigned = format!("{}.AAAA", token.rsplit_once('.').unwrap().0);
    for token in [unsigned.as_str(), "garbage", ""] {
        let refused = keys.verify(token, ISSUER, RESOURCE, later).unwrap_err();
        assert_eq!(refused.claims, None, "{token}");
    }
}

#[test]
fn whoever_holds_a_token_is_accepted_until_its_key_is_published_no_more() {
    let keys = keys(Algorithm::ES256);
    let (first, edition) = (keys.sign(&claims(), NOW).unwrap(), keys.edition());
    let sealing = SealingKey::new([1; 32]);
    let pairs = [Algorithm::ES256, Algorithm::EdDSA].map(|algorithm| Pair::generate(algorithm).unwrap());
    let open = |pair: &Pair, active_from| {
        let row = pair.seal(active_from, NOW, &sealing, &Random::seeded(1)).unwrap();
        SigningKey::open(&row, &sealing, None).unwrap()
    };
    let later = NOW.plus(Duration::from_secs(1));
    let both = || vec![open(&pairs[0], later), open(&pairs[1], ring::NOT_YET)];
    keys.replace(both());
    assert_eq!(why(keys.verify(&first, ISSUER, RESOURCE, NOW)), Err(BadToken::UnknownKey));
    assert_eq!(keys.edition(), edition + 1, "a key has gone");
    assert!(keys.sign(&claims(), NOW).is_err(), "its time has not come");
    let second = keys.sign(&claims(), later).unwrap();
    assert_eq!(decode_header(&second).unwrap().kid.unwrap(), pairs[0].kid);
    keys.replace(vec![open(&pairs[0], later), open(&pairs[1], ring::NOT_YET), key(Algorithm::ES256, later)]);
    assert_eq!(keys.edition(), edition + 1, "one more takes nothing away");
    keys.verify(&second, ISSUER, RESOURCE, later).unwrap();
}

#[test]
fn a_key_without_its_private_half_verifies_and_never_signs() {
    let pair = Pair::generate(Algorithm::ES256).unwrap();
    let sealing = SealingKey::new([1; 32]);
    let row = pair.public(NOW, NOW);
    assert!(row.sealed_private_key.is_none());
    let with = SigningKey::open(&row, &sealing, Some(&pair)).unwrap();
    let chosen = Chosen::Given { signing: pair.kid.clone(), next: None };
    let token = Keys::new(SealingKey::new([1; 32]), vec![with], chosen.clone()).sign(&claims(), NOW).unwrap();
    let without = SigningKey::open(&row, &sealing, None).unwrap();
    let keys = Keys::new(sealing, vec![without], chosen);
    keys.verify(&token, ISSUER, RESOURCE, NOW).unwrap();
    assert!(keys.sign(&claims(), NOW).is_err());
    assert!(!format!("{keys:?} {pair:?}").contains("pkcs8"));
}
