//! `private_key_jwt` (RFC 7523 §3, draft-ietf-oauth-rfc7523bis): a client's signed assertion.

use std::time::Duration;

use jsonwebtoken::{Algorithm, Header, dangerous, decode_header};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::app::App;
use crate::ephemeral::Key;
use crate::oauth::client::Client;
use crate::oauth::error::{Error, invalid_client, temporarily_unavailable};
use crate::oauth::secret::SecretHash;
use crate::web::key_set::{self, Unverified};

/// What a client may sign with, as the metadata lists it.
pub const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::ES256, Algorithm::RS256, Algorithm::PS256, Algorithm::EdDSA];
/// The longest assertion, in bytes.
const LIMIT_BYTES: usize = 8 * 1024;
/// How far an assertion may reach into the future: its `jti` is remembered for so long.
const LONGEST: Duration = Duration::from_secs(3600);
/// Tolerated between the client's clock and ours, in seconds.
const SKEW_SECONDS: i64 = 60;
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
    // RFC 7515 §4.1.11.
    if header.crit.is_some() {
        return Err(refused("it has critical extensions, of which none is understood here"));
    }
    let typ = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    if !matches!(typ, "jwt" | "client-authentication+jwt") {
        return Err(refused("its typ is that of another kind of token"));
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
        let keys = key_set::parse(jwks).ok_or_else(no_key_set)?;
        return key_set::try_keys(&keys, assertion, header).ok_or_else(no_key_fits);
    }
    let uri = client.metadata.jwks_uri.as_deref().and_then(|uri| Url::parse(uri).ok());
    let uri = uri.ok_or_else(|| refused("the client has no keys"))?;
    key_set::verify(app, &uri, assertion, header, address).await?.map_err(|why| match why {
        Unverified::Away(detail) => temporarily_unavailable("the client's jwks_uri is out of reach for now")
            .retry_after(60)
            .detail(detail),
        Unverified::NoKeySet(reason) => no_key_set().detail(reason),
        Unverified::UnknownKey | Unverified::NoKeyFits => no_key_fits(),
    })
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

fn no_key_fits() -> Error {
    refused("no key of the client verifies it, or iss, sub, aud, exp or jti is missing")
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
