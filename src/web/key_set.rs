//! Key sets that lie at a URL (RFC 7517 §5): whose they are says where, and a token says which key it wants. A set is
//! kept between fetches, and fetched anew when a token names a key that it does not hold, as often as limits allow.

use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Header, Validation, decode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::fetched::{self, Purpose};
use super::outbound::Wanted;
use super::outbound::cached::{CacheBounds, Freshness};
use crate::app::App;
use crate::ephemeral::{Meter, Quota, Rate};
use crate::oauth::Error;

/// The longest key set, in bytes.
const LIMIT_BYTES: usize = 64 * 1024;
/// How many keys of a set are tried on one token.
const TRIED: usize = 10;
/// How often a set is fetched for one asker outside of its time, and for all of them.
const REFETCH: Rate = Rate::of(3, Duration::from_secs(60));
const REFETCH_OF_ALL: Rate = Rate::of(30, Duration::from_secs(60));

/// Why no key verified a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// The set cannot be had for now. The text is for the log.
    Away(String),
    /// What lies there is no key set.
    NoKeySet(String),
    /// No key of the set is for this token, the signature is wrong, or claims are missing.
    NoKeyFits,
}

/// Verifies the signature of a token with the set at `uri`, and reads its claims. Their times and parties are for the
/// caller to check. `header` is the token's, its algorithm allowed already. Fetches are done for `asker`, such as an
/// address: a stranger cannot use up what others need.
pub async fn verify<C: DeserializeOwned>(
    app: &App,
    uri: &Url,
    token: &str,
    header: &Header,
    asker: &str,
) -> Result<Result<C, Unverified>, Error> {
    let unknown = |keys: &JwkSet| header.kid.as_deref().is_some_and(|kid| keys.find(kid).is_none());
    let judge = |keys: &JwkSet| try_keys(keys, token, header).ok_or_else(|| unknown(keys));
    let judged = judge_by(app, uri, asker, judge, |unknown| *unknown).await?;
    Ok(judged.and_then(|claims| claims.map_err(|_| Unverified::NoKeyFits)))
}

/// Judges something by the set at `uri`, in the caller's own way. When the verdict may come from a set that is out of
/// date, it is judged once more by what lies there now, as often as limits allow.
pub async fn judge_by<T, E>(
    app: &App,
    uri: &Url,
    asker: &str,
    judge: impl Fn(&JwkSet) -> Result<T, E>,
    may_be_outdated: impl Fn(&E) -> bool,
) -> Result<Result<Result<T, E>, Unverified>, Error> {
    let keys = match current(app, uri, asker).await? {
        Ok(keys) => keys,
        Err(why) => return Ok(Err(why)),
    };
    match judge(&keys) {
        Err(error) if may_be_outdated(&error) && may_fetch(app, uri, asker).await? => {
            Ok(fetch(app, uri).await?.map(|keys| judge(&keys)))
        }
        verdict => Ok(Ok(verdict)),
    }
}

/// The set as it is kept, or fetched where its time is over. While its host fails, or was asked too often, a copy that
/// may stand in does.
async fn current(app: &App, uri: &Url, asker: &str) -> Result<Result<JwkSet, Unverified>, Error> {
    let kept = fetched::kept(app, Purpose::KeySet, uri).await?;
    let now = app.now().0;
    if let Some(keys) = kept.as_ref().filter(|kept| kept.freshness(now) == Freshness::Fresh).and_then(keys_of)
    {
        return Ok(Ok(keys));
    }
    if may_fetch(app, uri, asker).await? {
        return fetch(app, uri).await;
    }
    let older = kept.and_then(|kept| kept.standing_in(&CacheBounds::default(), now));
    let older = older.as_ref().and_then(keys_of);
    Ok(older.ok_or_else(|| Unverified::Away("it was asked too often".into())))
}

fn keys_of(document: &fetched::CachedDocument) -> Option<JwkSet> {
    parse_text(&document.body)
}

async fn fetch(app: &App, uri: &Url) -> Result<Result<JwkSet, Unverified>, Error> {
    let wanted = Wanted { url: uri, accept: "application/json", limit_bytes: LIMIT_BYTES };
    let kept = fetched::kept(app, Purpose::KeySet, uri).await?;
    let judge = |body: &str| parse_text(body).map(drop).ok_or_else(|| "it is no JWK set".to_owned());
    Ok(match fetched::renew(app, Purpose::KeySet, wanted, kept, judge).await? {
        Ok(document) => keys_of(&document).ok_or_else(|| Unverified::NoKeySet("it is no JWK set".into())),
        Err(fetched::Failure::Fetch(error)) => Err(Unverified::Away(error.detail())),
        Err(fetched::Failure::Invalid(reason)) => Err(Unverified::NoKeySet(reason)),
    })
}

/// Counted by asker first, so that one cannot use up what the rotation of keys needs.
async fn may_fetch(app: &App, uri: &Url, asker: &str) -> Result<bool, Error> {
    let mine = app.ephemeral.quota(Meter::KeyRefetch(uri.as_str(), asker), REFETCH).await?;
    if matches!(mine, Quota::Exceeded { .. }) {
        return Ok(false);
    }
    let all = app.ephemeral.quota(Meter::KeyRefetch(uri.as_str(), ""), REFETCH_OF_ALL).await?;
    Ok(matches!(all, Quota::Within { .. }))
}

fn parse_text(body: &str) -> Option<JwkSet> {
    parse(&serde_json::from_str(body).ok()?)
}

/// Reads a key set. Keys of a kind that is not known are left out, the others stay (RFC 7517 §5).
pub fn parse(members: &Value) -> Option<JwkSet> {
    let keys = members.get("keys")?.as_array()?;
    let keys = keys.iter().filter_map(|key| serde_json::from_value(key.clone()).ok());
    Some(JwkSet { keys: keys.collect() })
}

/// Tries the keys that the header's `kid` names, or all, as far as they are for this algorithm and for signing
/// (RFC 8725 §3.1). Nothing else in the header is looked at: a key that a token brings along proves nothing
/// (RFC 8725 §3.5).
pub fn try_keys<C: DeserializeOwned>(keys: &JwkSet, token: &str, header: &Header) -> Option<C> {
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
    let candidates = keys.keys.iter().filter(fits).take(TRIED);
    candidates
        .filter_map(|key| DecodingKey::from_jwk(key).ok())
        .find_map(|key| decode::<C>(token, &key, &validation).ok())
        .map(|data| data.claims)
}
