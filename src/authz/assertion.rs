//! `private_key_jwt` (RFC 7523 §3, draft-ietf-oauth-rfc7523bis): a client's signed assertion.

use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, dangerous, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::client_document::charge;
use super::fetched::{self, Purpose};
use crate::app::App;
use crate::ephemeral::{Key, Meter, Quota, Rate};
use crate::oauth::client::Client;
use crate::oauth::error::{Error, invalid_client, temporarily_unavailable};
use crate::oauth::secret::SecretHash;
use crate::web::outbound::Wanted;
use crate::web::outbound::cached::Freshness;

/// What a client may sign with, as the metadata lists it.
pub const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::ES256, Algorithm::RS256, Algorithm::PS256, Algorithm::EdDSA];
/// The longest assertion, in bytes.
const LIMIT_BYTES: usize = 8 * 1024;
/// The longest key set, in bytes.
const JWKS_LIMIT_BYTES: usize = 32 * 1024;
/// How far an assertion may reach into the future: its `jti` is remembered for so long.
const LONGEST: Duration = Duration::from_secs(3600);
/// Tolerated between the client's clock and ours, in seconds.
const SKEW_SECONDS: i64 = 60;
/// How often an unknown `kid` makes us fetch a key set anew.
const REFETCH: Rate = Rate::of(3, Duration::from_secs(60));
const REFETCH_OF_ALL: Rate = Rate::of(30, Duration::from_secs(60));

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    exp: f64,
    nbf: Option<f64>,
    jti: String,
}

/// Who the assertion claims to be from: `sub`, not verified yet. Says only where to look for keys.
pub fn claimed_client(assertion: &str) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    if assertion.len() > LIMIT_BYTES {
        return Err(malformed("it is too long"));
    }
    let sub = dangerous::insecure_decode::<Subject>(assertion).map_err(malformed)?.claims.sub;
    if sub.contains('\0') { Err(malformed("sub contains a null character")) } else { Ok(sub) }
}

/// Checks the assertion of `client`, and that it is used for the first time. `address` is whom fetches of its keys
/// are done for.
pub async fn check(app: &App, client: &Client, assertion: &str, address: &str) -> Result<(), Error> {
    let header = decode_header(assertion).map_err(malformed)?;
    check_header(&header)?;
    let claims = verify(app, client, assertion, &header, address).await?;
    let now = app.now();
    let seconds = as_seconds(now.unix_seconds());
    let issuer = app.config.public_url.issuer();
    if claims.iss != client.client_id.as_str() || claims.sub != client.client_id.as_str() {
        return Err(refused("iss and sub must be the client_id"));
    }
    if !is_for(&claims.aud, issuer) {
        return Err(refused("aud must be the issuer of this server and nothing else"));
    }
    if claims.exp + as_seconds(SKEW_SECONDS) <= seconds {
        return Err(refused("it has expired"));
    }
    if claims.exp > seconds + LONGEST.as_secs_f64() + as_seconds(SKEW_SECONDS) {
        return Err(refused("exp lies more than an hour ahead"));
    }
    if claims.nbf.is_some_and(|nbf| nbf > seconds + as_seconds(SKEW_SECONDS)) {
        return Err(refused("it is not valid yet"));
    }
    let digest = SecretHash::of(&claims.jti);
    // Until it has expired by any tolerated clock.
    let left = (claims.exp - seconds).max(0.0) + 2.0 * as_seconds(SKEW_SECONDS);
    let remembered = Duration::from_secs_f64(left.min(LONGEST.as_secs_f64() * 2.0));
    let key = Key::AssertionJti(client.client_id.as_str(), digest.as_str());
    if app.ephemeral.once(key, remembered).await? { Ok(()) } else { Err(refused("its jti was used before")) }
}

fn check_header(header: &Header) -> Result<(), Error> {
    if header.crit.is_some() {
        return Err(refused("it has critical extensions, of which none is understood here"));
    }
    let typ = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    if !matches!(typ, "jwt" | "client-authentication+jwt") {
        return Err(refused("its typ is that of another kind of token"));
    }
    // RFC 7515 §4.1.11: an extension that must be understood, and we understand none.
    if header.crit.is_some() {
        return Err(refused("its crit names an extension that is not known here"));
    }
    if ALGORITHMS.contains(&header.alg) {
        Ok(())
    } else {
        Err(refused("it must be signed with ES256, RS256, PS256 or EdDSA"))
    }
}

async fn verify(
    app: &App,
    client: &Client,
    assertion: &str,
    header: &Header,
    address: &str,
) -> Result<Claims, Error> {
    if let Some(jwks) = &client.metadata.jwks {
        return try_keys(&key_set(jwks).ok_or_else(no_key_set)?, assertion, header);
    }
    let uri = client.metadata.jwks_uri.as_deref().and_then(|uri| Url::parse(uri).ok());
    let uri = uri.ok_or_else(|| refused("the client has no keys"))?;
    let keys = fetch_keys(app, &uri, false, address).await?;
    let first = try_keys(&keys, assertion, header);
    let unknown = header.kid.as_deref().is_some_and(|kid| keys.find(kid).is_none());
    if first.is_err() && unknown && may_refetch(app, &uri, address).await? {
        return try_keys(&fetch_keys(app, &uri, true, address).await?, assertion, header);
    }
    first
}

/// Counted by address first, so that a stranger cannot use up what a client's own key rotation needs.
async fn may_refetch(app: &App, uri: &Url, address: &str) -> Result<bool, Error> {
    let by_address = Meter::KeyRefetch(uri.as_str(), address);
    let mine = app.ephemeral.quota(by_address, REFETCH).await?;
    if matches!(mine, Quota::Exceeded { .. }) {
        return Ok(false);
    }
    let all = app.ephemeral.quota(Meter::KeyRefetch(uri.as_str(), ""), REFETCH_OF_ALL).await?;
    Ok(matches!(all, Quota::Within { .. }))
}

async fn fetch_keys(app: &App, uri: &Url, anew: bool, address: &str) -> Result<JwkSet, Error> {
    let wanted = Wanted { url: uri, accept: "application/json", limit_bytes: JWKS_LIMIT_BYTES };
    let kept = fetched::kept(app, Purpose::KeySet, uri).await?;
    let document = match kept {
        Some(kept) if !anew && kept.freshness(app.now().0) == Freshness::Fresh => kept,
        kept => {
            // Anybody can name a client, so it is not for them to decide how often a failing host is asked.
            if !anew && !may_refetch(app, uri, address).await? {
                return Err(away().detail("it was asked too often"));
            }
            charge(app, address).await?;
            let judge = |body: &str| parse_keys(body).map(drop).ok_or_else(|| "it is no JWK set".to_owned());
            let renewed = fetched::renew(app, Purpose::KeySet, wanted, kept, judge).await?;
            renewed.map_err(|failure| match failure {
                fetched::Failure::Fetch(error) => away().detail(error.detail()),
                fetched::Failure::Invalid(reason) => no_key_set().detail(reason),
            })?
        }
    };
    parse_keys(&document.body).ok_or_else(no_key_set)
}

fn parse_keys(body: &str) -> Option<JwkSet> {
    key_set(&serde_json::from_str(body).ok()?)
}

/// Reads a JWK set. Keys of a kind that we do not know are left out, the others stay (RFC 7517 §5).
fn key_set(members: &Value) -> Option<JwkSet> {
    let keys = members.get("keys")?.as_array()?;
    let keys = keys.iter().filter_map(|key| serde_json::from_value(key.clone()).ok());
    Some(JwkSet { keys: keys.collect() })
}

/// Tries the keys that the header's `kid` names, or all, as far as they are for this algorithm and for signing
/// (RFC 8725 §3.1). Nothing else in the header is looked at: a key that a token brings along proves nothing
/// (RFC 8725 §3.5).
fn try_keys(keys: &JwkSet, assertion: &str, header: &Header) -> Result<Claims, Error> {
    let fits = |key: &&Jwk| {
        let named = match (&header.kid, &key.common.key_id) {
            (Some(wanted), Some(has)) => wanted == has,
            _ => true,
        };
        let of_the_algorithm = match key.common.key_algorithm {
            None | Some(KeyAlgorithm::UNKNOWN_ALGORITHM) => true,
            Some(algorithm) => algorithm == KeyAlgorithm::from(header.alg),
        };
        named && of_the_algorithm && key.common.public_key_use != Some(PublicKeyUse::Encryption)
    };
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    keys.keys
        .iter()
        .filter(fits)
        .take(10)
        .filter_map(|key| DecodingKey::from_jwk(key).ok())
        .find_map(|key| decode::<Claims>(assertion, &key, &validation).ok())
        .map(|data| data.claims)
        .ok_or_else(|| refused("no key of the client verifies it, or iss, sub, aud, exp or jti is missing"))
}

/// The issuer as sole value, a string or an array of one; one trailing slash is forgiven. The token endpoint's
/// URL is not accepted: it lets a malicious server replay assertions elsewhere (rfc7523bis §3).
fn is_for(aud: &Value, issuer: &str) -> bool {
    let sole = match aud {
        Value::String(text) => Some(text.as_str()),
        Value::Array(list) if list.len() == 1 => list.first().and_then(Value::as_str),
        _ => None,
    };
    sole.is_some_and(|aud| aud.strip_suffix('/').unwrap_or(aud) == issuer)
}

#[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^52")]
fn as_seconds(seconds: i64) -> f64 {
    seconds as f64
}

fn away() -> Error {
    temporarily_unavailable("the client's jwks_uri is out of reach for now").retry_after(60)
}

fn no_key_set() -> Error {
    invalid_client("the client has no key set that can be read")
}

fn refused(why: &'static str) -> Error {
    invalid_client("the client assertion is not acceptable").detail(why)
}

fn malformed(why: impl std::fmt::Display) -> Error {
    invalid_client("the client assertion is not a JWT with iss, sub, aud, exp and jti").detail(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_audience_is_the_issuer_and_nothing_else() {
        let issuer = "https://t.example";
        for good in [json!(issuer), json!("https://t.example/"), json!([issuer])] {
            assert!(is_for(&good, issuer), "{good}");
        }
        for bad in [
            json!("https://t.example/token"),
            json!([issuer, "https://other.example"]),
            json!([issuer, issuer]),
            json!([]),
            json!(null),
            json!("https://t.example//"),
        ] {
            assert!(!is_for(&bad, issuer), "{bad}");
        }
    }
}
