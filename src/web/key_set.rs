//! Key sets that lie at a URL (RFC 7517 §5): whose they are says where, and a token says which key it wants. A set is
//! kept between fetches, and fetched anew when a token names a key that it does not hold, as often as limits allow.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Header, Validation, decode};
use moka::sync::Cache;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
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

/// How long what was read is used without reading it again: many forged tokens cost no more than one.
const READ_AGAIN: Duration = Duration::from_secs(5);
/// How many sets are remembered for as long.
const REMEMBERED: u64 = 100;

/// Key sets as they were read a moment ago, and where issuers said that theirs lie.
#[derive(Debug)]
pub struct KeySets {
    sets: Cache<Url, KeySet>,
    pub(super) places: Cache<String, Place>,
    turns: Cache<Url, Arc<Mutex<()>>>,
    // Apart from the others: a host that is slow to say which keys it has must not keep those waiting whose key is known.
    turns_for_unknown: Cache<Url, Arc<Mutex<()>>>,
}

impl Default for KeySets {
    fn default() -> Self {
        let sets = Cache::builder().max_capacity(REMEMBERED).time_to_live(READ_AGAIN).build();
        let places = Cache::builder().max_capacity(REMEMBERED).time_to_live(READ_AGAIN).build();
        let (turns, turns_for_unknown) = (Cache::new(REMEMBERED), Cache::new(REMEMBERED));
        Self { sets, places, turns, turns_for_unknown }
    }
}

impl KeySets {
    /// Whoever holds it fetches from there, and the others find what came of it.
    pub(super) fn turn(&self, uri: &Url) -> Arc<Mutex<()>> {
        self.turns.get_with_by_ref(uri, Arc::default)
    }

    fn fresh(&self, uri: &Url, now_ms: i64) -> Option<KeySet> {
        self.sets.get(uri).filter(|set| now_ms < set.fresh_until_ms)
    }
}

/// Where a key set lies, and until when that holds, in unix milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) jwks_uri: Url,
    pub(super) fresh_until_ms: i64,
}

#[derive(Clone, Debug)]
struct KeySet {
    keys: Arc<JwkSet>,
    fetched_at_ms: i64,
    fresh_until_ms: i64,
}

impl KeySet {
    fn of(document: &fetched::CachedDocument) -> Option<Self> {
        Some(Self {
            keys: Arc::new(parse_text(&document.body)?),
            fetched_at_ms: document.fetched_at_ms,
            fresh_until_ms: document.fresh_until_ms,
        })
    }

    fn lacks(&self, header: &Header) -> bool {
        header.kid.as_deref().is_some_and(|kid| self.keys.find(kid).is_none())
    }
}

/// Why no key verified a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// The set cannot be had for now. The text is for the log.
    Away(String),
    /// What lies there is no key set.
    NoKeySet(String),
    /// The set has no key of that name.
    UnknownKey,
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
    let set = match current(app, uri, asker).await? {
        Ok(set) => set,
        Err(why) => return Ok(Err(why)),
    };
    if let Some(claims) = try_keys(&set.keys, token, header) {
        return Ok(Ok(claims));
    }
    let now_ms = app.now().0;
    if !set.lacks(header) {
        return Ok(Err(Unverified::NoKeyFits));
    }
    let turn = app.key_sets.turns_for_unknown.get_with_by_ref(uri, Arc::default);
    let _held = turn.lock().await;
    if let Some(newer) = app.key_sets.fresh(uri, now_ms).filter(|newer| !newer.lacks(header)) {
        return Ok(try_keys(&newer.keys, token, header).ok_or(Unverified::NoKeyFits));
    }
    // Whoever publishes a key before using it, as everybody should, has it in a set that is as young as this.
    let since_ms = i64::try_from(REFETCH.per.as_millis()).unwrap_or(i64::MAX);
    if !may_fetch(app, uri, asker).await? {
        let is_young = set.fetched_at_ms.saturating_add(since_ms) > now_ms;
        let away = || Unverified::Away("it was asked too often".into());
        return Ok(Err(if is_young { Unverified::UnknownKey } else { away() }));
    }
    let set = match fetch(app, uri).await? {
        Ok(set) => set,
        Err(why) => return Ok(Err(why)),
    };
    Ok(try_keys(&set.keys, token, header).ok_or_else(|| match set.lacks(header) {
        true if set.fetched_at_ms < now_ms => {
            Unverified::Away("its host fails, and the copy is older".into())
        }
        true => Unverified::UnknownKey,
        false => Unverified::NoKeyFits,
    }))
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
    let set = match current(app, uri, asker).await? {
        Ok(set) => set,
        Err(why) => return Ok(Err(why)),
    };
    match judge(&set.keys) {
        Err(error) if may_be_outdated(&error) && may_fetch(app, uri, asker).await? => {
            Ok(fetch(app, uri).await?.map(|set| judge(&set.keys)))
        }
        verdict => Ok(Ok(verdict)),
    }
}

/// The set as it is kept, or fetched where its time is over. While its host fails, or was asked too often, a copy that
/// may stand in does.
async fn current(app: &App, uri: &Url, asker: &str) -> Result<Result<KeySet, Unverified>, Error> {
    let now_ms = app.now().0;
    if let Some(set) = app.key_sets.fresh(uri, now_ms) {
        return Ok(Ok(set));
    }
    let turn = app.key_sets.turn(uri);
    let _held = turn.lock().await;
    if let Some(set) = app.key_sets.fresh(uri, now_ms) {
        return Ok(Ok(set));
    }
    let kept = fetched::kept(app, Purpose::KeySet, uri).await?;
    let fresh = kept.as_ref().filter(|kept| kept.freshness(now_ms) == Freshness::Fresh);
    if let Some(set) = fresh.and_then(KeySet::of) {
        app.key_sets.sets.insert(uri.clone(), set.clone());
        return Ok(Ok(set));
    }
    if may_fetch(app, uri, asker).await? {
        return fetch(app, uri).await;
    }
    let older = kept.and_then(|kept| kept.standing_in(&CacheBounds::default(), now_ms));
    let older = older.as_ref().and_then(KeySet::of);
    Ok(older.ok_or_else(|| Unverified::Away("it was asked too often".into())))
}

async fn fetch(app: &App, uri: &Url) -> Result<Result<KeySet, Unverified>, Error> {
    let wanted = Wanted { url: uri, accept: "application/json", limit_bytes: LIMIT_BYTES };
    let kept = fetched::kept(app, Purpose::KeySet, uri).await?;
    let judge = |body: &str| parse_text(body).map(drop).ok_or_else(|| "it is no JWK set".to_owned());
    let set = match fetched::renew(app, Purpose::KeySet, wanted, kept, judge).await? {
        Ok(document) => KeySet::of(&document),
        Err(fetched::Failure::Fetch(error)) => return Ok(Err(Unverified::Away(error.detail()))),
        Err(fetched::Failure::Invalid(reason)) => return Ok(Err(Unverified::NoKeySet(reason))),
    };
    if let Some(set) = &set {
        app.key_sets.sets.insert(uri.clone(), set.clone());
    }
    Ok(set.ok_or_else(|| Unverified::NoKeySet("it is no JWK set".into())))
}

/// Counted by asker first, so that one cannot use up what the rotation of keys needs.
pub(super) async fn may_fetch(app: &App, uri: &Url, asker: &str) -> Result<bool, Error> {
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
