//! Whether an ID token holds (OpenID Connect Core §3.1.3.7), by our own clock.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::JwkSet;
use openidconnect::core::{
    CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier, CoreJsonWebKey, CoreJsonWebKeySet,
    CoreJwsSigningAlgorithm,
};
use openidconnect::{
    AccessTokenHash, ClaimsVerificationError, ClientId, IssuerUrl, Nonce, SignatureVerificationError,
};
use serde_json::{Map, Value};

use super::attempt::Attempt;
use super::metadata::Metadata;
use super::redemption::Tokens;
use super::{Result, SKEW, Trouble};
use crate::app::App;
use crate::clock::Timestamp;
use crate::config::providers::Provider;
use crate::web::key_set::{self, Unverified};

/// The longest text that is passed on, in characters.
const LONGEST: usize = 255;
/// How many methods of authentication are passed on.
const METHODS: usize = 16;
/// How many keys are tried on a token that does not say which is its.
const TRIED: usize = 10;

/// What a token says that holds.
pub(super) struct Verified {
    pub(super) subject: String,
    pub(super) issued_at: Timestamp,
    pub(super) auth_time: Option<Timestamp>,
    pub(super) acr: Option<String>,
    pub(super) amr: Vec<String>,
    pub(super) sid: Option<String>,
    pub(super) claims: Map<String, Value>,
}

/// Why one does not.
struct Fault {
    word: &'static str,
    detail: String,
    /// Whether newer keys may make it good.
    may_be_outdated: bool,
}

/// Verifies the token of a sign-in. Keys are fetched for `asker`.
pub(super) async fn verify(
    app: &App,
    provider: &Provider,
    metadata: &Metadata,
    attempt: &Attempt,
    tokens: &Tokens,
    asker: &str,
) -> Result<Verified> {
    let now = app.now();
    let judge = |keys: &JwkSet| {
        let keys = readable(keys);
        match check(provider, attempt, tokens, keys.clone(), now) {
            // A token need not say which key is its; the crate takes it then for the only one.
            Err(Unfit::Ambiguous) => keys
                .keys()
                .iter()
                .take(TRIED)
                .find_map(|key| {
                    check(provider, attempt, tokens, CoreJsonWebKeySet::new(vec![key.clone()]), now).ok()
                })
                .ok_or_else(|| fault_of_signature("no key verifies it")),
            Err(Unfit::Fault(fault)) => Err(fault),
            Ok(claims) => Ok(claims),
        }
    };
    let judged =
        key_set::judge_by(app, metadata.jwks_uri().url(), asker, judge, |fault| fault.may_be_outdated);
    let claims = match judged.await? {
        Ok(judged) => judged.map_err(|fault| Trouble::wrong(fault.word, fault.detail))?,
        Err(Unverified::Away(detail)) => return Err(Trouble::Away(format!("jwks_uri: {detail}"))),
        Err(Unverified::NoKeySet(reason)) => {
            return Err(Trouble::wrong("provider_keys", format!("jwks_uri: {reason}")));
        }
        Err(Unverified::NoKeyFits | Unverified::UnknownKey) => {
            return Err(Trouble::wrong("signature", "no key verifies it"));
        }
    };
    said(&claims, &tokens.id_token)
}

enum Unfit {
    Ambiguous,
    Fault(Fault),
}

fn check(
    provider: &Provider,
    attempt: &Attempt,
    tokens: &Tokens,
    keys: CoreJsonWebKeySet,
    now: Timestamp,
) -> std::result::Result<CoreIdTokenClaims, Unfit> {
    let verifier = verifier(provider, attempt, keys, now)
        .ok_or_else(|| Unfit::Fault(fault("malformed", "the issuer is no URL")))?;
    let claims = tokens.id_token.claims(&verifier, &Nonce::new(attempt.nonce.clone())).map_err(unfit)?;
    check_parties(provider, claims).map_err(Unfit::Fault)?;
    check_access_token(tokens, claims, &verifier).map_err(Unfit::Fault)?;
    Ok(claims.clone())
}

fn verifier<'a>(
    provider: &Provider,
    attempt: &Attempt,
    keys: CoreJsonWebKeySet,
    now: Timestamp,
) -> Option<CoreIdTokenVerifier<'a>> {
    let issuer = IssuerUrl::new(provider.issuer.clone()).ok()?;
    // As a public client even where we have a secret: what that secret could sign is not allowed.
    let verifier =
        CoreIdTokenVerifier::new_public_client(ClientId::new(provider.client_id.clone()), issuer, keys);
    let expired_by = moment(now.minus(SKEW))?;
    let latest = moment(now.plus(SKEW))?;
    let earliest = attempt.max_age.map(|seconds| {
        let age = std::time::Duration::from_secs(seconds);
        attempt.begun_at.minus(age).minus(SKEW)
    });
    Some(
        verifier
            .set_allowed_algs(provider.algorithms.iter().copied().filter_map(algorithm))
            .set_time_fn(move || expired_by)
            .set_issue_time_verifier_fn(move |issued_at| {
                if issued_at <= latest {
                    Ok(())
                } else {
                    Err(format!("it was issued in the future, at {issued_at}"))
                }
            })
            // Whether we are the party that it was made for is said by azp.
            .set_other_audience_verifier_fn(|_| true)
            .set_auth_time_verifier_fn(move |said| match (earliest, said) {
                (None, _) => Ok(()),
                (Some(_), None) => Err("max_age was asked, and there is no auth_time".into()),
                (Some(earliest), Some(said)) if said.timestamp_millis() >= earliest.0 => Ok(()),
                (Some(_), Some(said)) => Err(format!("auth_time is {said}, longer ago than max_age")),
            }),
    )
}

/// A token for several audiences names the one that it was made for (§2, `azp`), and one that names it names us.
fn check_parties(provider: &Provider, claims: &CoreIdTokenClaims) -> std::result::Result<(), Fault> {
    match claims.authorized_party() {
        Some(azp) if azp.as_str() != provider.client_id => {
            Err(fault("azp", &format!("it was made for {:?} (azp)", azp.as_str())))
        }
        None if claims.audiences().len() > 1 => Err(fault("azp", "it has several audiences and no azp")),
        _ => Ok(()),
    }
}

/// Where the token is tied to the access token beside it, it is to this one (§3.1.3.8, `at_hash`).
fn check_access_token(
    tokens: &Tokens,
    claims: &CoreIdTokenClaims,
    verifier: &CoreIdTokenVerifier<'_>,
) -> std::result::Result<(), Fault> {
    let Some(said) = claims.access_token_hash() else { return Ok(()) };
    let wrong = |detail: &str| fault("at_hash", detail);
    let algorithm = tokens.id_token.signing_alg().map_err(|error| wrong(&error.to_string()))?;
    let key = tokens.id_token.signing_key(verifier).map_err(|error| wrong(&error.to_string()))?;
    let hash = AccessTokenHash::from_token(&tokens.access_token, algorithm, key)
        .map_err(|error| wrong(&error.to_string()))?;
    if hash == *said { Ok(()) } else { Err(wrong("at_hash is that of another access token")) }
}

fn unfit(error: ClaimsVerificationError) -> Unfit {
    use ClaimsVerificationError as Claims;
    use SignatureVerificationError as Signature;
    let detail = error.to_string();
    Unfit::Fault(match error {
        Claims::SignatureVerification(Signature::AmbiguousKeyId(_)) => return Unfit::Ambiguous,
        Claims::SignatureVerification(
            why @ (Signature::NoSignature | Signature::DisallowedAlg(_) | Signature::UnsupportedAlg(_)),
        ) => fault("algorithm", &why.to_string()),
        Claims::SignatureVerification(why) => fault_of_signature(&why.to_string()),
        Claims::Expired(_) => fault("expired", &detail),
        Claims::InvalidAudience(_) => fault("audience", &detail),
        Claims::InvalidIssuer(_) => fault("issuer", &detail),
        Claims::InvalidNonce(_) => fault("nonce", &detail),
        Claims::InvalidAuthTime(_) => fault("auth_time", &detail),
        _ => fault("malformed", &detail),
    })
}

fn fault(word: &'static str, detail: &str) -> Fault {
    Fault { word, detail: format!("id_token: {detail}"), may_be_outdated: false }
}

fn fault_of_signature(detail: &str) -> Fault {
    Fault { may_be_outdated: true, ..fault("signature", detail) }
}

/// The keys in the crate's words; those that it does not know are left out.
fn readable(keys: &JwkSet) -> CoreJsonWebKeySet {
    let keys = keys.keys.iter().filter_map(|key| {
        let key = serde_json::to_value(key).ok()?;
        serde_json::from_value::<CoreJsonWebKey>(key).ok()
    });
    CoreJsonWebKeySet::new(keys.collect())
}

fn algorithm(algorithm: Algorithm) -> Option<CoreJwsSigningAlgorithm> {
    use CoreJwsSigningAlgorithm as Core;
    Some(match algorithm {
        Algorithm::RS256 => Core::RsaSsaPkcs1V15Sha256,
        Algorithm::RS384 => Core::RsaSsaPkcs1V15Sha384,
        Algorithm::RS512 => Core::RsaSsaPkcs1V15Sha512,
        Algorithm::PS256 => Core::RsaSsaPssSha256,
        Algorithm::PS384 => Core::RsaSsaPssSha384,
        Algorithm::PS512 => Core::RsaSsaPssSha512,
        Algorithm::ES256 => Core::EcdsaP256Sha256,
        Algorithm::ES384 => Core::EcdsaP384Sha384,
        Algorithm::EdDSA => Core::EdDsa,
        // What the secret of a client signs, and what the crate cannot verify.
        _ => return None,
    })
}

fn said(claims: &CoreIdTokenClaims, token: &CoreIdToken) -> Result<Verified> {
    let acr = claims.auth_context_ref().map(|acr| acr.as_str().to_owned());
    let methods = claims.auth_method_refs().into_iter().flatten().map(|method| method.as_str());
    let all =
        all_of(token).ok_or_else(|| Trouble::wrong("malformed", "id_token: its claims are no object"))?;
    Ok(Verified {
        subject: claims.subject().as_str().to_owned(),
        issued_at: timestamp(claims.issue_time()),
        auth_time: claims.auth_time().map(timestamp),
        acr: acr.filter(|acr| is_plain(acr)),
        amr: methods
            .filter(|method| is_plain(method) && !method.contains(' '))
            .take(METHODS)
            .map(str::to_owned)
            .collect(),
        sid: all.get("sid").and_then(Value::as_str).filter(|sid| is_plain(sid)).map(str::to_owned),
        claims: all,
    })
}

/// Every claim of a token whose signature holds, those that the crate has no name for as well.
fn all_of(token: &CoreIdToken) -> Option<Map<String, Value>> {
    let text = token.to_string();
    let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= LONGEST && !text.chars().any(char::is_control)
}

fn moment(at: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(at.0)
}

fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp(at.timestamp_millis())
}
