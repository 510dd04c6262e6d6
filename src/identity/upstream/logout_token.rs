//! A provider says that somebody signed out there (OpenID Connect Back-Channel Logout §2.4, §2.6).

use std::time::Duration;

use jsonwebtoken::{Header, decode_header};
use serde_json::{Map, Value};

use super::{SKEW, Trouble, metadata};
use crate::app::App;
use crate::clock::Timestamp;
use crate::config::providers::Provider;
use crate::ephemeral::Key;
use crate::oauth::error::{Error, invalid_request, temporarily_unavailable};
use crate::oauth::secret::SecretHash;
use crate::web::key_set::{self, Unverified};

/// The longest token, in bytes.
const LIMIT_BYTES: usize = 8 * 1024;
/// How far `exp` may lie ahead: its `jti` is remembered for so long.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What the token says (§2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The longest `sub` and `sid`, in bytes.
const LONGEST_NAME: usize = 1024;

/// Whose sessions end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOut {
    /// Of this person.
    pub subject: Option<String>,
    /// Of this session there.
    pub sid: Option<String>,
}

/// Checks a token, and that it is used for the first time. Keys are fetched for `asker`. What names the token is for
/// [`forget`].
pub async fn check(
    app: &App,
    provider: &Provider,
    token: &str,
    asker: &str,
) -> Result<(SignedOut, SecretHash), Error> {
    if token.len() > LIMIT_BYTES {
        return Err(refused("it is too long"));
    }
    let header = decode_header(token).map_err(refused)?;
    check_header(provider, &header).map_err(refused)?;
    let metadata = metadata::find(app, provider).await.map_err(|trouble| match trouble {
        Trouble::Ours(error) => error,
        Trouble::Away(detail) | Trouble::Wrong { detail, .. } => away(detail),
    })?;
    let verified = key_set::verify(app, metadata.jwks_uri().url(), token, &header, asker).await?;
    let claims: Map<String, Value> = verified.map_err(|why| match why {
        Unverified::Away(detail) | Unverified::NoKeySet(detail) => away(detail),
        Unverified::NoKeyFits | Unverified::UnknownKey => refused("no key of the provider verifies it"),
    })?;
    let judged = judge(provider, &claims, app.now()).map_err(refused)?;
    let jti = SecretHash::of(&judged.jti);
    let key = Key::LogoutJti(&provider.name, jti.as_str());
    if app.ephemeral.once(key, judged.remembered).await? {
        Ok((judged.signed_out, jti))
    } else {
        Err(refused("its jti was used before"))
    }
}

/// Forgets that a token was used: nothing came of it, so that it may come again.
pub async fn forget(app: &App, provider: &Provider, jti: &SecretHash) -> Result<(), Error> {
    app.ephemeral.take(Key::LogoutJti(&provider.name, jti.as_str())).await?;
    Ok(())
}

/// `typ` tells it from other tokens, where it is said. It was not before 2022, so that a plain `JWT` is taken for one,
/// too: no other token has its `events`.
fn check_header(provider: &Provider, header: &Header) -> Result<(), &'static str> {
    let typ = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    if !matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "logout+jwt") {
        return Err("its typ is that of another kind of token");
    }
    if header.crit.is_some() {
        return Err("it has critical extensions, of which none is understood here");
    }
    if provider.algorithms.contains(&header.alg) {
        Ok(())
    } else {
        Err("its alg is not among providers.<name>.algorithms")
    }
}

struct Judged {
    signed_out: SignedOut,
    jti: String,
    remembered: Duration,
}

fn judge(provider: &Provider, claims: &Map<String, Value>, now: Timestamp) -> Result<Judged, &'static str> {
    let text = |name: &str| {
        let value = claims.get(name).and_then(Value::as_str);
        value.filter(|value| !value.is_empty() && value.len() <= LONGEST_NAME && !value.contains('\0'))
    };
    let seconds = |name: &str| {
        let since_1970 = Duration::try_from_secs_f64(claims.get(name)?.as_f64()?).ok()?;
        i64::try_from(since_1970.as_millis()).ok().map(Timestamp)
    };
    if text("iss") != Some(provider.issuer.as_str()) {
        return Err("iss is not the issuer");
    }
    let is_ours = match claims.get("aud") {
        Some(Value::String(aud)) => *aud == provider.client_id,
        Some(Value::Array(list)) => list.iter().any(|aud| aud.as_str() == Some(&provider.client_id)),
        _ => false,
    };
    if !is_ours {
        return Err("aud is not our client_id");
    }
    let issued_at = seconds("iat").ok_or("iat is missing")?;
    let expires_at = seconds("exp").ok_or("exp is missing")?;
    if issued_at > now.plus(SKEW) {
        return Err("iat lies in the future");
    }
    if expires_at.plus(SKEW) <= now {
        return Err("it has expired");
    }
    if expires_at > now.plus(LONGEST) {
        return Err("exp lies more than a day ahead");
    }
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err("events does not name a back-channel logout");
    }
    if claims.contains_key("nonce") {
        return Err("it has a nonce, as only ID tokens have");
    }
    let jti = text("jti").ok_or("jti is missing")?.to_owned();
    let signed_out =
        SignedOut { subject: text("sub").map(str::to_owned), sid: text("sid").map(str::to_owned) };
    // What is there and cannot be read must not widen what ends.
    let unread = |name: &str, read: &Option<String>| claims.contains_key(name) && read.is_none();
    if unread("sub", &signed_out.subject) || unread("sid", &signed_out.sid) {
        return Err("sub or sid cannot be read");
    }
    if signed_out.subject.is_none() && signed_out.sid.is_none() {
        return Err("it has neither sub nor sid");
    }
    Ok(Judged { signed_out, jti, remembered: expires_at.since(now) + 2 * SKEW })
}

fn refused(why: impl std::fmt::Display) -> Error {
    invalid_request("the logout token is not acceptable").detail(why)
}

fn away(detail: String) -> Error {
    temporarily_unavailable("the keys of the provider are out of reach for now")
        .retry_after(60)
        .detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn provider() -> Provider {
        let text = "[providers.acme]\nissuer = \"https://id.example\"\nclient_id = \"c\"\n";
        Config::written(text).unwrap().providers["acme"].clone()
    }

    fn judged(change: &Value) -> Result<SignedOut, &'static str> {
        let mut claims = json!({
            "iss": "https://id.example", "aud": "c", "iat": 1_000_000, "exp": 1_000_120, "jti": "1",
            "events": { EVENT: {} }, "sub": "alice", "sid": "s1",
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let mut claims = claims.as_object().unwrap().clone();
        claims.retain(|_, value| !value.is_null());
        judge(&provider(), &claims, NOW).map(|judged| judged.signed_out)
    }

    #[test]
    fn a_token_says_whose_sessions_end() {
        let of = |subject: Option<&str>, sid: Option<&str>| SignedOut {
            subject: subject.map(str::to_owned),
            sid: sid.map(str::to_owned),
        };
        for (change, expected) in [
            (json!({}), of(Some("alice"), Some("s1"))),
            (json!({ "sub": null }), of(None, Some("s1"))),
            (json!({ "sid": null, "aud": ["x", "c"] }), of(Some("alice"), None)),
            (json!({ "iat": 1_000_059, "exp": 999_941 }), of(Some("alice"), Some("s1"))),
        ] {
            assert_eq!(judged(&change).unwrap(), expected, "{change}");
        }
    }

    #[test]
    fn a_token_that_breaks_a_rule_ends_nothing() {
        for change in [
            json!({ "iss": "https://id.example/" }),
            json!({ "iss": null }),
            json!({ "aud": "other" }),
            json!({ "aud": null }),
            json!({ "iat": null }),
            json!({ "iat": 1_000_061 }),
            json!({ "exp": null }),
            json!({ "exp": 999_940 }),
            json!({ "exp": 1_090_000 }),
            json!({ "events": null }),
            json!({ "events": { "other": {} } }),
            json!({ "events": { EVENT: "yes" } }),
            json!({ "nonce": "n" }),
            json!({ "jti": null }),
            json!({ "sub": null, "sid": null }),
            json!({ "sub": 7 }),
            json!({ "sid": ["s1"] }),
        ] {
            assert!(judged(&change).is_err(), "{change}");
        }
    }

    #[test]
    fn a_header_names_a_kind_and_an_algorithm_that_fit() {
        use jsonwebtoken::Algorithm::{ES256, HS256};
        let header = |alg, typ: Option<&str>| Header { typ: typ.map(str::to_owned), ..Header::new(alg) };
        for (alg, typ, fits) in [
            (ES256, Some("logout+jwt"), true),
            (ES256, Some("application/logout+jwt"), true),
            (ES256, Some("JWT"), true),
            (ES256, None, true),
            (ES256, Some("at+jwt"), false),
            (HS256, Some("logout+jwt"), false),
        ] {
            assert_eq!(check_header(&provider(), &header(alg, typ)).is_ok(), fits, "{alg:?} {typ:?}");
        }
    }
}
