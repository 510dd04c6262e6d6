//! How long a fetched document may be kept, and how a copy is renewed (RFC 9111).
//!
//! The caller stores a [`CachedDocument`] as JSON, and only after it has judged the body: errors
//! and invalid documents are never stored (draft-ietf-oauth-client-id-metadata-document §4.3).

mod terms;

use std::time::Duration;

use http::header;
use serde::{Deserialize, Serialize};

use super::{Answer, FetchError, Outbound, Validators, Wanted};
use terms::{Terms, millis};

/// The limits put on what hosts say about their documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheBounds {
    /// A copy is used at least this long, whatever the host says; spares both sides.
    pub min: Duration,
    /// A copy is used at most this long before the host is asked again.
    pub max: Duration,
    /// How long after that a copy may stand in while the host fails.
    pub stale_if_error: Duration,
}

impl Default for CacheBounds {
    /// One minute to one day, and a week while the host fails.
    fn default() -> Self {
        Self {
            min: Duration::from_mins(1),
            max: Duration::from_hours(24),
            stale_if_error: Duration::from_hours(7 * 24),
        }
    }
}

/// How long a copy stands in that has no end.
const ENDLESS_MS: i64 = i64::MAX;

/// A document with what is needed to decide on its use. Times are unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedDocument {
    /// The document as fetched.
    pub body: String,
    /// When the host last confirmed it.
    pub fetched_at_ms: i64,
    /// Until then it is used without asking.
    pub fresh_until_ms: i64,
    /// Until then it may stand in when the host fails.
    pub stale_until_ms: i64,
    #[serde(flatten)]
    validators: Validators,
    terms: Terms,
    /// None in what was kept before it was written down.
    #[serde(default)]
    origin: Option<Origin>,
}

/// Who said what a copy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    /// Its host.
    Host,
    /// The program that it came with: its host never said it.
    Program,
}

/// What a copy is good for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Use it.
    Fresh,
    /// Renew it; if the host fails it may stand in.
    Stale,
    /// Renew it; it may not be used otherwise.
    TooOld,
}

/// How a copy was renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refresh {
    /// A new document; judge it before storing it.
    Fetched(CachedDocument),
    /// The same document, confirmed by its host.
    Confirmed(CachedDocument),
    /// The host failed and the older copy stands in; it is good for the minimum lifetime, so that
    /// a failing host is not asked by every request.
    StandsIn(CachedDocument, FetchError),
}

impl Refresh {
    /// The document to use and, once judged, to store.
    #[must_use]
    pub fn into_document(self) -> CachedDocument {
        match self {
            Self::Fetched(document) | Self::Confirmed(document) | Self::StandsIn(document, _) => document,
        }
    }
}

impl CachedDocument {
    /// What this copy is good for at that time.
    #[must_use]
    pub fn freshness(&self, now_ms: i64) -> Freshness {
        if now_ms < self.fresh_until_ms {
            Freshness::Fresh
        } else if now_ms < self.stale_until_ms {
            Freshness::Stale
        } else {
            Freshness::TooOld
        }
    }

    /// The copy to go on with when its host failed or sent something invalid, if that is allowed;
    /// good for the minimum lifetime.
    #[must_use]
    pub fn standing_in(&self, bounds: &CacheBounds, now_ms: i64) -> Option<Self> {
        if now_ms >= self.stale_until_ms {
            return None;
        }
        let retry_at_ms = now_ms.saturating_add(millis(bounds.min));
        let mut copy = self.clone();
        copy.fresh_until_ms = retry_at_ms.max(self.fresh_until_ms).min(self.stale_until_ms);
        Some(copy)
    }

    /// A copy that came with the program: its host is asked at once, and while the host fails it stands in.
    #[must_use]
    pub fn brought_along(body: &str, now_ms: i64) -> Self {
        let terms = Terms { lifetime_ms: 0, stale_for_ms: ENDLESS_MS };
        Self::new(Origin::Program, body.to_owned(), Validators::default(), terms, now_ms)
    }

    /// Whether it came with the program, this one or another version, so that its host never said it.
    #[must_use]
    pub fn came_along(&self) -> bool {
        // No host's copy may stand in without an end, which tells those apart that do not say it.
        let unsaid = || self.terms.stale_for_ms == ENDLESS_MS;
        self.origin.map_or_else(unsaid, |origin| origin == Origin::Program)
    }

    fn new(origin: Origin, body: String, validators: Validators, terms: Terms, now_ms: i64) -> Self {
        let fresh_until_ms = now_ms.saturating_add(terms.lifetime_ms);
        Self {
            body,
            fetched_at_ms: now_ms,
            fresh_until_ms,
            stale_until_ms: fresh_until_ms.saturating_add(terms.stale_for_ms),
            validators,
            terms,
            origin: Some(origin),
        }
    }
}

/// Asks the host for the document, or whether the copy still holds.
///
/// It asks even when the copy is fresh: [`CachedDocument::freshness`] is the caller's question.
/// `now_ms` is taken before the call, so a slow answer does not live longer for it.
///
/// # Errors
/// The fetch failed and no copy may stand in.
pub async fn refresh(
    outbound: &Outbound,
    wanted: Wanted<'_>,
    copy: Option<&CachedDocument>,
    bounds: &CacheBounds,
    now_ms: i64,
) -> Result<Refresh, FetchError> {
    let none = Validators::default();
    let validators = copy.map_or(&none, |copy| &copy.validators);
    let answer = outbound.get_if_changed(wanted, validators).await;
    match (answer.and_then(|answer| read(answer, copy, bounds, now_ms)), copy) {
        (Err(error), Some(copy)) if error.lets_an_older_copy_stand_in() => {
            match copy.standing_in(bounds, now_ms) {
                Some(copy) => Ok(Refresh::StandsIn(copy, error)),
                None => Err(error),
            }
        }
        (outcome, _) => outcome,
    }
}

fn read(
    answer: Answer,
    copy: Option<&CachedDocument>,
    bounds: &CacheBounds,
    now_ms: i64,
) -> Result<Refresh, FetchError> {
    match (answer, copy) {
        (Answer::Changed(document), _) => {
            let body = String::from_utf8(document.body.into())
                .map_err(|_| FetchError::Broken("it is not UTF-8".into()))?;
            let validators = Validators::of(&document.headers);
            let terms = Terms::of(&document.headers, bounds, now_ms);
            let copy = CachedDocument::new(Origin::Host, body, validators, terms, now_ms);
            Ok(Refresh::Fetched(copy))
        }
        (Answer::NotModified(headers), Some(copy)) if !copy.came_along() => {
            // RFC 9111 §4.3.4: what the 304 says replaces what was stored, the rest stays.
            let says = headers.contains_key(header::CACHE_CONTROL) || headers.contains_key(header::EXPIRES);
            let terms = if says { Terms::of(&headers, bounds, now_ms) } else { copy.terms };
            let new = Validators::of(&headers);
            let validators = Validators {
                etag: new.etag.or_else(|| copy.validators.etag.clone()),
                last_modified: new.last_modified.or_else(|| copy.validators.last_modified.clone()),
            };
            let copy = CachedDocument::new(Origin::Host, copy.body.clone(), validators, terms, now_ms);
            Ok(Refresh::Confirmed(copy))
        }
        (Answer::NotModified(_), _) => Err(FetchError::Broken("304 without a copy to confirm".into())),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const WEEK: i64 = 7 * 24 * 60 * 60;

    fn one(name: &'static str, value: &str) -> (HeaderName, HeaderValue) {
        (HeaderName::from_static(name), value.parse().unwrap())
    }

    fn copy() -> CachedDocument {
        let headers = HeaderMap::from_iter([one("cache-control", "max-age=3600"), one("etag", "\"one\"")]);
        let terms = Terms::of(&headers, &CacheBounds::default(), NOW);
        CachedDocument::new(Origin::Host, "{}".into(), Validators::of(&headers), terms, NOW)
    }

    #[test]
    fn a_copy_is_fresh_then_stale_then_too_old() {
        let (fresh_ms, stale_ms) = (3_600_000, WEEK * 1000);
        for (after_ms, freshness) in [
            (0, Freshness::Fresh),
            (fresh_ms - 1, Freshness::Fresh),
            (fresh_ms, Freshness::Stale),
            (fresh_ms + stale_ms - 1, Freshness::Stale),
            (fresh_ms + stale_ms, Freshness::TooOld),
        ] {
            assert_eq!(copy().freshness(NOW + after_ms), freshness, "{after_ms}");
        }
    }

    #[test]
    fn standing_in_never_shortens_or_outlives_a_copy() {
        let (copy, bounds) = (copy(), CacheBounds::default());
        assert_eq!(copy.standing_in(&bounds, NOW).unwrap(), copy, "fresh anyway");
        let last = copy.stale_until_ms - 1;
        let stand_in = copy.standing_in(&bounds, last).unwrap();
        assert_eq!(stand_in.fresh_until_ms, copy.stale_until_ms);
        assert_eq!(copy.standing_in(&bounds, last + 1), None);
    }

    #[test]
    fn a_copy_that_came_along_is_renewed_at_once_and_never_too_old_to_stand_in() {
        let copy = CachedDocument::brought_along("{}", NOW);
        for later_ms in [0, 60_000, 100 * WEEK * 1000] {
            assert_eq!(copy.freshness(NOW + later_ms), Freshness::Stale, "{later_ms}");
            let stand_in = copy.standing_in(&CacheBounds::default(), NOW + later_ms).unwrap();
            assert_eq!(stand_in.freshness(NOW + later_ms + 59_999), Freshness::Fresh);
            assert_eq!(stand_in.freshness(NOW + later_ms + 60_000), Freshness::Stale);
            assert!(stand_in.came_along(), "also as it stands in");
        }
        assert!(!self::copy().came_along());
    }

    #[test]
    fn a_copy_is_stored_as_json() {
        let text = serde_json::to_string(&copy()).unwrap();
        assert_eq!(serde_json::from_str::<CachedDocument>(&text).unwrap(), copy());
        assert!(text.contains(r#""etag":"\"one\"""#), "{text}");
    }

    #[test]
    fn whose_copy_it_is_is_kept_and_told_of_those_that_do_not_say_it() {
        for (copy, came_along) in [(copy(), false), (CachedDocument::brought_along("{}", NOW), true)] {
            let mut kept = serde_json::to_value(&copy).unwrap();
            assert_eq!(kept["origin"], if came_along { "program" } else { "host" });
            assert_eq!(serde_json::from_value::<CachedDocument>(kept.clone()).unwrap(), copy);
            kept.as_object_mut().unwrap().remove("origin");
            assert_eq!(serde_json::from_value::<CachedDocument>(kept).unwrap().came_along(), came_along);
        }
    }

    #[test]
    fn an_oversized_validator_is_dropped() {
        let long = "x".repeat(600);
        assert!(Validators::of(&HeaderMap::from_iter([one("etag", &long)])).is_empty());
    }
}
