//! What a host's headers say about keeping its document, within our bounds (RFC 9111, RFC 5861).
//!
//! A host that says nothing gets the minimum; there is no guess from `Last-Modified`. We read the
//! headers as a private cache does: the documents are fetched for ourselves, without anybody's
//! credentials.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_cache_semantics::{CacheOptions, CachePolicy};
use serde::{Deserialize, Serialize};

use super::CacheBounds;

/// What a host's headers come to, within the bounds. Kept because a 304 may leave them out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) lifetime_ms: i64,
    pub(super) stale_for_ms: i64,
}

impl Terms {
    /// Reads the headers of an answer that came at that time.
    pub(super) fn of(headers: &HeaderMap, bounds: &CacheBounds, now_ms: i64) -> Self {
        let lifetime = lifetime(headers, now_ms).min(bounds.max).max(bounds.min);
        Self {
            lifetime_ms: millis(lifetime),
            stale_for_ms: millis(
                stale_for(headers).map_or(bounds.stale_if_error, |says| says.min(bounds.stale_if_error)),
            ),
        }
    }
}

/// The time left to the document by `Cache-Control`, `Expires` and `Age` (RFC 9111 §4.2).
fn lifetime(headers: &HeaderMap, now_ms: i64) -> Duration {
    let mut response = Response::new(());
    *response.headers_mut() = headers.clone();
    // Directive names may be in any case (RFC 9111 §5.2), the library knows them in lower case.
    response.headers_mut().remove(header::CACHE_CONTROL);
    for (name, value) in directives(headers) {
        let text = value.map_or_else(|| name.clone(), |value| format!("{name}={value}"));
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().append(header::CACHE_CONTROL, value);
        }
    }
    let options = CacheOptions {
        shared: false,
        cache_heuristic: 0.0,
        immutable_min_time_to_live: Duration::ZERO,
        ..CacheOptions::default()
    };
    let now = Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    let now = SystemTime::UNIX_EPOCH.checked_add(now).unwrap_or(SystemTime::UNIX_EPOCH);
    CachePolicy::new_options(&Request::new(()), &response, now, options).time_to_live(now)
}

/// What the host says on standing in: zero where it forbids it (RFC 9111 §4.2.4), its own number
/// of seconds (RFC 5861 §4), or nothing.
fn stale_for(headers: &HeaderMap) -> Option<Duration> {
    let mut says = None;
    for (name, value) in directives(headers) {
        match name.as_str() {
            "must-revalidate" | "no-cache" | "no-store" => return Some(Duration::ZERO),
            "stale-if-error" => says = Some(value.and_then(|text| text.parse().ok()).unwrap_or(0)),
            _ => {}
        }
    }
    says.map(Duration::from_secs)
}

/// The directives of `Cache-Control`, names in lower case, values without quotes.
fn directives(headers: &HeaderMap) -> Vec<(String, Option<String>)> {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let parts = values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let pairs = parts.map(|part| match part.split_once('=') {
        Some((name, value)) => (name, Some(value.trim().trim_matches('"').to_owned())),
        None => (part, None),
    });
    let named = pairs.map(|(name, value)| (name.trim().to_ascii_lowercase(), value));
    named.filter(|(name, _)| !name.is_empty()).collect()
}

/// Whole milliseconds; what does not fit is the end of time.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_700_000_000_000; // Tue, 14 Nov 2023 22:13:20 GMT
    const MIN: i64 = 60;
    const MAX: i64 = 24 * 60 * 60;
    const WEEK: i64 = 7 * MAX;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn terms_in_seconds(lines: &[(&'static str, &str)]) -> (i64, i64) {
        let terms = Terms::of(&headers(lines), &CacheBounds::default(), NOW);
        (terms.lifetime_ms / 1000, terms.stale_for_ms / 1000)
    }

    #[test]
    fn the_lifetime_is_what_the_host_says_within_our_bounds() {
        let date = ("date", "Tue, 14 Nov 2023 22:13:20 GMT");
        let old = ("last-modified", "Tue, 01 Jan 2013 00:00:00 GMT");
        for (lines, seconds) in [
            (vec![], MIN),
            (vec![date, old], MIN),
            (vec![("cache-control", "max-age=3600")], 3600),
            (vec![("cache-control", "MAX-AGE=3600")], 3600),
            (vec![("cache-control", "max-age=\"3600\"")], 3600),
            (vec![("cache-control", "public"), ("cache-control", "max-age=3600")], 3600),
            (vec![("cache-control", "private, max-age=3600")], 3600),
            (vec![("cache-control", "max-age=3600, s-maxage=7200")], 3600),
            (vec![("cache-control", "max-age=3600"), ("age", "600")], 3000),
            (vec![("cache-control", "max-age=3600"), ("age", "9999")], MIN),
            (vec![("cache-control", "max-age=3600"), ("age", "18446744073709551615")], MIN),
            (vec![("cache-control", "max-age=10")], MIN),
            (vec![("cache-control", "max-age=0")], MIN),
            (vec![("cache-control", "max-age=-1")], MIN),
            (vec![("cache-control", "max-age=x")], MIN),
            (vec![("cache-control", "max-age=31536000")], MAX),
            (vec![("cache-control", "max-age=31536000, immutable")], MAX),
            (vec![("cache-control", "immutable")], MIN),
            (vec![("cache-control", "max-age=18446744073709551615")], MAX),
            (vec![("cache-control", "no-store, max-age=3600")], MIN),
            (vec![("cache-control", "No-Cache, max-age=3600")], MIN),
            (vec![("pragma", "no-cache"), ("expires", "Wed, 15 Nov 2023 00:13:20 GMT")], MIN),
            (vec![("expires", "Wed, 15 Nov 2023 00:13:20 GMT")], 7200),
            (vec![date, ("expires", "Wed, 15 Nov 2023 00:13:20 GMT")], 7200),
            // The host's clock is a day behind: the difference to its own date counts.
            (
                vec![("date", "Mon, 13 Nov 2023 22:13:20 GMT"), ("expires", "Tue, 14 Nov 2023 00:13:20 GMT")],
                7200,
            ),
            (vec![("expires", "Fri, 31 Dec 9999 23:59:59 GMT")], MAX),
            (
                vec![("date", "Thu, 01 Jan 1925 00:00:00 GMT"), ("expires", "Thu, 01 Jan 1925 00:00:00 GMT")],
                MIN,
            ),
            (vec![("expires", "0")], MIN),
            (vec![("cache-control", "max-age=3600"), ("expires", "0")], 3600),
            (vec![("cache-control", "max-age=3600"), ("vary", "*")], MIN),
            (vec![("cache-control", ",, ,=,max-age=3600")], 3600),
        ] {
            assert_eq!(terms_in_seconds(&lines).0, seconds, "{lines:?}");
        }
    }

    #[test]
    fn a_copy_stands_in_as_long_as_the_host_lets_it_within_our_bounds() {
        for (cache_control, seconds) in [
            ("max-age=3600", WEEK),
            ("max-age=3600, stale-if-error=120", 120),
            ("max-age=3600, Stale-If-Error=\"120\"", 120),
            ("max-age=3600, stale-if-error=31536000", WEEK),
            ("max-age=3600, stale-if-error=x", 0),
            ("max-age=3600, must-revalidate", 0),
            ("max-age=3600, must-revalidate, stale-if-error=120", 0),
            ("no-cache", 0),
            ("no-store", 0),
        ] {
            let says = [("cache-control", cache_control)];
            assert_eq!(terms_in_seconds(&says).1, seconds, "{cache_control}");
        }
    }

    proptest! {
        #[test]
        fn no_header_breaks_the_bounds(
            cache_control in "[ -~]{0,40}",
            age in "[0-9]{1,21}",
            expires in "[ -~]{0,40}",
            seconds: u64,
        ) {
            let both = format!("{cache_control}, max-age={seconds}");
            for cache_control in [&cache_control, &both] {
                let lines = [("cache-control", cache_control.as_str()), ("age", &age),
                    ("expires", &expires), ("date", &expires), ("last-modified", &expires)];
                let (lifetime, stale) = terms_in_seconds(&lines);
                prop_assert!((MIN..=MAX).contains(&lifetime));
                prop_assert!((0..=WEEK).contains(&stale));
            }
        }
    }
}
