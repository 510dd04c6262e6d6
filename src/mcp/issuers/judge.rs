//! What another issuer's token must say (RFC 9068 §4, RFC 8725), apart from its signature. Pure.

use jsonwebtoken::Header;
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::config::accounts::claim;
use crate::config::issuers::Issuer;
use crate::keys::BadToken;
use crate::oauth::Scopes;
use crate::oauth::claims::ACCESS_TOKEN_TYPE;

/// The longest client id, in bytes.
const LONGEST_CLIENT_ID: usize = 255;
/// Claims of tokens that are no access tokens: ID tokens (OpenID Connect Core §3.3.2.11, Front-Channel replies) and
/// logout tokens (OpenID Connect Back-Channel Logout §2.4).
const NOT_OF_ACCESS_TOKENS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "events"];

/// What the header says that a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An access token (RFC 9068 §2.1).
    AccessToken,
    /// Any JWT: only its claims can tell.
    AnyJwt,
}

/// What a token says, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Who, as the issuer names them.
    pub(super) subject: String,
    /// The client, as the issuer names it.
    pub(super) client_id: String,
    /// What it reaches here.
    pub(super) scopes: Scopes,
    /// When it expires by the slowest tolerated clock, in unix seconds.
    pub(super) expires: i64,
}

/// Checks the header, and says what the token is by it.
pub(super) fn check_header(issuer: &Issuer, header: &Header) -> Result<Kind, BadToken> {
    if !issuer.algorithms.contains(&header.alg) {
        return Err(BadToken::Algorithm);
    }
    if header.crit.is_some() {
        return Err(BadToken::Critical);
    }
    let typ = header.typ.as_deref().unwrap_or_default().to_ascii_lowercase();
    // RFC 7515 §4.1.9: the prefix may be left out.
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    if !issuer.types.iter().any(|accepted| accepted == typ) {
        return Err(BadToken::WrongType);
    }
    Ok(if typ == ACCESS_TOKEN_TYPE { Kind::AccessToken } else { Kind::AnyJwt })
}

/// Judges the claims of a token of `issuer` for `resource`.
pub(super) fn judge(
    issuer: &Issuer,
    resource: &str,
    kind: Kind,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<Said, BadToken> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(issuer.issuer.as_str()) || !issuer.is_for_us(&audiences(claims)?, resource) {
        return Err(BadToken::Foreign);
    }
    let expires = times(claims, now.unix_seconds(), issuer.skew_seconds)?;
    // RFC 7800: whoever stole a token that is bound to a key must not get by as a bearer.
    if claims.contains_key("cnf") {
        return Err(BadToken::Bound);
    }
    let scope = issuer.scope_claims.iter().find_map(|name| claim(claims, name));
    if kind == Kind::AnyJwt {
        // Some issuers name the kind in a claim instead.
        let named = text("typ").is_none_or(|typ| typ.eq_ignore_ascii_case("Bearer"));
        let another = NOT_OF_ACCESS_TOKENS.iter().any(|name| claims.contains_key(*name));
        if another || !named || scope.is_none() {
            return Err(BadToken::Claims);
        }
    }
    let said = match scope {
        None => Scopes::default(),
        Some(scope) => scopes(scope).ok_or(BadToken::Claims)?,
    };
    let client_id = issuer.client_claims.iter().find_map(|name| claim(claims, name)?.as_str());
    let plain = |id: &&str| {
        (1..=LONGEST_CLIENT_ID).contains(&id.len()) && id.bytes().all(|b| (0x20..=0x7e).contains(&b))
    };
    let client_id = client_id.filter(plain).ok_or(BadToken::Claims)?;
    let subject = claim(claims, &issuer.subject_claim).and_then(Value::as_str).filter(|sub| !sub.is_empty());
    // RFC 9068 §5: the client itself, which must not pass for somebody of that name.
    if subject == Some(client_id) {
        return Err(BadToken::Claims);
    }
    Ok(Said {
        subject: subject.ok_or(BadToken::Claims)?.to_owned(),
        client_id: client_id.to_owned(),
        scopes: issuer.scopes(&said),
        expires,
    })
}

/// RFC 7519 §4.1.3: one text, or several in a list.
fn audiences(claims: &Map<String, Value>) -> Result<Vec<&str>, BadToken> {
    match claims.get("aud") {
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(all)) => {
            all.iter().map(Value::as_str).collect::<Option<_>>().ok_or(BadToken::Claims)
        }
        _ => Err(BadToken::Foreign),
    }
}

/// Checks `exp`, which must be there, and `nbf` and `iat`, which may be (RFC 7519 §4.1.4–6). Returns the end.
fn times(claims: &Map<String, Value>, now: i64, skew: i64) -> Result<i64, BadToken> {
    let read = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => seconds(value).map(Some).ok_or(BadToken::Claims),
    };
    let expires = read("exp")?.ok_or(BadToken::Claims)?.saturating_add(skew);
    let is_early = |moment: Option<i64>| moment.is_some_and(|moment| moment > now.saturating_add(skew));
    if expires <= now || is_early(read("nbf")?) || is_early(read("iat")?) {
        return Err(BadToken::Expired);
    }
    Ok(expires)
}

/// A `NumericDate`, which may have a fraction.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is out of range becomes the nearest moment, never another"
)]
fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|number| number.is_finite()).map(|number| number as i64))
}

/// A scope claim: a text with spaces between, or a list.
fn scopes(value: &Value) -> Option<Scopes> {
    match value {
        Value::String(text) => Scopes::parse(text).ok(),
        Value::Array(all) => {
            let names: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            Scopes::parse(&names?.join(" ")).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::issuers::Issuers;
    use jsonwebtoken::Algorithm::{ES256, ES384, HS256, RS256};
    use serde_json::json;
    use std::sync::Arc;

    const RESOURCE: &str = "https://t.example/mcp";
    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn issuer(keys: &Value) -> Arc<Issuer> {
        let mut table = json!({ "issuer": "https://login.example", "types": ["at+jwt", "JWT", ""] });
        for (name, value) in keys.as_object().unwrap() {
            table[name] = value.clone();
        }
        let all = Issuers::from_json(json!({ "acme": table })).unwrap();
        all.find("https://login.example").unwrap().clone()
    }

    fn claims(change: &Value) -> Map<String, Value> {
        let mut claims = json!({
            "iss": "https://login.example", "aud": RESOURCE, "sub": "s1", "client_id": "app",
            "scope": "tickets:read other", "iat": 1_000_000, "nbf": 1_000_000, "exp": 1_000_100,
        });
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims.as_object().unwrap().clone()
    }

    fn judged(issuer: &Issuer, kind: Kind, change: &Value) -> Result<Said, BadToken> {
        judge(issuer, RESOURCE, kind, &claims(change), NOW)
    }

    #[test]
    fn an_access_token_for_us_is_good() {
        let issuer = issuer(&json!({}));
        for change in [
            json!({}),
            json!({ "aud": [RESOURCE] }),
            json!({ "scope": null, "scp": ["tickets:read"] }),
            json!({ "scope": ["tickets:read"] }),
            json!({ "client_id": null, "azp": "app" }),
            json!({ "client_id": null, "appid": "app" }),
            json!({ "nbf": null, "iat": null, "exp": 1_000_100.7 }),
            json!({ "exp": 999_941, "nbf": 1_000_060, "iat": 1_000_060 }),
        ] {
            for kind in [Kind::AccessToken, Kind::AnyJwt] {
                let said = judged(&issuer, kind, &change).unwrap_or_else(|why| panic!("{change}: {why}"));
                assert_eq!((said.subject.as_str(), said.client_id.as_str()), ("s1", "app"), "{change}");
                assert_eq!(said.scopes, Scopes::of(["tickets:read"]), "{change}");
            }
        }
        let said = judged(&issuer, Kind::AccessToken, &json!({ "scope": null })).unwrap();
        assert!(said.scopes.is_empty());
        assert_eq!(said.expires, 1_000_160, "by the slowest tolerated clock");
    }

    #[test]
    fn what_is_not_for_us_or_not_now_is_refused() {
        let issuer = issuer(&json!({}));
        for (change, why) in [
            (json!({ "iss": "https://login.example/" }), BadToken::Foreign),
            (json!({ "iss": null }), BadToken::Foreign),
            (json!({ "aud": null }), BadToken::Foreign),
            (json!({ "aud": "https://t.example/mcp/" }), BadToken::Foreign),
            (json!({ "aud": "https://t.example" }), BadToken::Foreign),
            (json!({ "aud": [] }), BadToken::Foreign),
            (json!({ "aud": [RESOURCE, "https://other.example"] }), BadToken::Foreign),
            (json!({ "aud": [RESOURCE, 1] }), BadToken::Claims),
            (json!({ "exp": 999_940 }), BadToken::Expired),
            (json!({ "exp": -9_223_372_036_854_775_808_i64 }), BadToken::Expired),
            (json!({ "exp": null }), BadToken::Claims),
            (json!({ "sub": "app" }), BadToken::Claims),
            (json!({ "exp": "1000100" }), BadToken::Claims),
            (json!({ "nbf": 1_000_061 }), BadToken::Expired),
            (json!({ "iat": 1_000_061 }), BadToken::Expired),
            (json!({ "iat": "now" }), BadToken::Claims),
            (json!({ "cnf": { "jkt": "x" } }), BadToken::Bound),
            (json!({ "sub": null }), BadToken::Claims),
            (json!({ "sub": "" }), BadToken::Claims),
            (json!({ "sub": 7 }), BadToken::Claims),
            (json!({ "client_id": null }), BadToken::Claims),
            (json!({ "client_id": "" }), BadToken::Claims),
            (json!({ "client_id": "a\u{0}b" }), BadToken::Claims),
            (json!({ "client_id": "a".repeat(256) }), BadToken::Claims),
            (json!({ "scope": 7 }), BadToken::Claims),
            (json!({ "scope": "a\"b" }), BadToken::Claims),
        ] {
            for kind in [Kind::AccessToken, Kind::AnyJwt] {
                assert_eq!(judged(&issuer, kind, &change), Err(why), "{change}");
            }
        }
    }

    #[test]
    fn a_jwt_of_no_kind_must_look_like_an_access_token() {
        let issuer = issuer(&json!({}));
        for change in [
            json!({ "nonce": "n" }),
            json!({ "at_hash": "h" }),
            json!({ "events": {} }),
            json!({ "typ": "ID" }),
            json!({ "typ": "Refresh" }),
            json!({ "scope": null }),
        ] {
            assert_eq!(judged(&issuer, Kind::AnyJwt, &change), Err(BadToken::Claims), "{change}");
        }
        assert!(judged(&issuer, Kind::AnyJwt, &json!({ "typ": "Bearer" })).is_ok());
        assert!(judged(&issuer, Kind::AccessToken, &json!({ "nonce": "n" })).is_ok());
    }

    #[test]
    fn claims_may_have_other_names() {
        let issuer = issuer(&json!({
            "subject_claim": "person.id", "client_claim": "https://acme.example/app", "scope_claim": "rights",
            "scopes": { "Read": "tickets:read" }, "audience": ["api://1"],
        }));
        let said = judged(
            &issuer,
            Kind::AccessToken,
            &json!({
                "aud": "api://1", "person": { "id": "p1" }, "https://acme.example/app": "a1", "rights": ["Read"],
            }),
        )
        .unwrap();
        assert_eq!((said.subject.as_str(), said.client_id.as_str()), ("p1", "a1"));
        assert_eq!(said.scopes, Scopes::of(["tickets:read"]));
    }

    #[test]
    fn the_header_says_kind_and_algorithm_and_nothing_critical() {
        let plain = issuer(&json!({ "types": ["at+jwt"] }));
        let any = issuer(&json!({}));
        let header = |alg, typ: Option<&str>| {
            let mut header = Header::new(alg);
            header.typ = typ.map(str::to_owned);
            header
        };
        for (issuer, header, expected) in [
            (&plain, header(RS256, Some("at+jwt")), Ok(Kind::AccessToken)),
            (&plain, header(ES256, Some("application/AT+JWT")), Ok(Kind::AccessToken)),
            (&plain, header(RS256, Some("JWT")), Err(BadToken::WrongType)),
            (&plain, header(RS256, None), Err(BadToken::WrongType)),
            (&any, header(RS256, Some("JWT")), Ok(Kind::AnyJwt)),
            (&any, header(RS256, None), Ok(Kind::AnyJwt)),
            (&any, header(RS256, Some("logout+jwt")), Err(BadToken::WrongType)),
            (&any, header(HS256, Some("at+jwt")), Err(BadToken::Algorithm)),
            (&any, header(ES384, Some("at+jwt")), Err(BadToken::Algorithm)),
        ] {
            assert_eq!(check_header(issuer, &header), expected, "{header:?}");
        }
        let mut critical = header(RS256, Some("at+jwt"));
        critical.crit = Some(vec!["b64".into()]);
        assert_eq!(check_header(&plain, &critical), Err(BadToken::Critical));
    }
}
