//! A point in time as people read it. Pages have no script, so times are UTC and say so.

use chrono::{DateTime, Utc};

/// A point in time to be shown on a page, made from unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(DateTime<Utc>);

impl Moment {
    /// The moment `unix_ms` milliseconds after 1970. What lies beyond the calendar is moved to its last day.
    #[must_use]
    pub fn from_unix_ms(unix_ms: i64) -> Self {
        let last_day = if unix_ms < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
        Self(DateTime::from_timestamp_millis(unix_ms).unwrap_or(last_day))
    }

    /// For people: `23 November 2026, 00:20 UTC`.
    #[must_use]
    pub fn words(self) -> String {
        self.0.format("%-d %B %Y, %H:%M UTC").to_string()
    }

    /// For `<time datetime>`: `2026-11-23T00:20:00Z` (RFC 3339).
    #[must_use]
    pub fn machine(self) -> String {
        self.0.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// A wait in words, never promising too little: `1 second`, `45 seconds`, `2 minutes`.
#[must_use]
pub fn wait_words(seconds: u64) -> String {
    let (count, unit) =
        if seconds < 120 { (seconds.max(1), "second") } else { (seconds.div_ceil(60), "minute") };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_as_utc_words_and_as_rfc_3339() {
        for (unix_ms, words, machine) in [
            (1_795_393_200_000, "23 November 2026, 00:20 UTC", "2026-11-23T00:20:00Z"),
            (0, "1 January 1970, 00:00 UTC", "1970-01-01T00:00:00Z"),
            (951_782_399_999, "28 February 2000, 23:59 UTC", "2000-02-28T23:59:59Z"),
            (951_782_400_000, "29 February 2000, 00:00 UTC", "2000-02-29T00:00:00Z"),
            (-1, "31 December 1969, 23:59 UTC", "1969-12-31T23:59:59Z"),
        ] {
            let moment = Moment::from_unix_ms(unix_ms);
            assert_eq!((moment.words().as_str(), moment.machine().as_str()), (words, machine));
        }
    }

    #[test]
    fn a_moment_beyond_the_calendar_still_has_words() {
        for unix_ms in [i64::MIN, i64::MAX] {
            assert!(Moment::from_unix_ms(unix_ms).words().ends_with("UTC"));
        }
    }

    #[test]
    fn a_wait_is_rounded_up() {
        for (seconds, words) in [
            (0, "1 second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (121, "3 minutes"),
            (3600, "60 minutes"),
        ] {
            assert_eq!(wait_words(seconds), words);
        }
    }
}
