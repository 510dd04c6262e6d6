//! After a try to refresh that failed: how long not to try again, and what is said meanwhile.

use std::time::Duration;

use super::login::LoginError;
use crate::clock::Timestamp;

/// The first rest. Each that follows is twice as long.
const FIRST: Duration = Duration::from_secs(5);
/// The longest.
const LONGEST: Duration = Duration::from_mins(1);

/// The failures in a row, until a try succeeds or the server has said its word.
#[derive(Debug, Default)]
pub(super) struct Respite {
    times: u32,
    last: Option<(Timestamp, LoginError)>,
}

impl Respite {
    /// Whether a try may be made now; else what came of the last one.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), LoginError> {
        match &self.last {
            // A clock that was set back makes no rest longer.
            Some((until, why)) if now < *until && until.since(now) <= LONGEST => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// What is left of a patience: once a server is known to be away, nobody waits for it again.
    pub(super) fn limit(&self, patience: Duration) -> Duration {
        if self.times == 0 { patience } else { Duration::ZERO }
    }

    /// Notes what came of a try.
    pub(super) fn note(&mut self, now: Timestamp, done: &Result<(), LoginError>) {
        match done {
            Err(why) if why.is_fault() => {
                let rest = FIRST.saturating_mul(2_u32.saturating_pow(self.times)).min(LONGEST);
                self.times = self.times.saturating_add(1);
                self.last = Some((now.plus(rest), why.clone()));
            }
            _ => *self = Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_to_a_limit_and_end_with_the_servers_word() {
        let start = Timestamp(0);
        let away = || Err(LoginError::Away("503".into()));
        let mut respite = Respite::default();
        let patience = Duration::from_secs(30);
        assert_eq!(respite.limit(patience), patience);
        for seconds in [5, 10, 20, 40, 60, 60] {
            respite.note(start, &away());
            let just_before = start.plus(Duration::from_millis(seconds * 1_000 - 1));
            assert!(matches!(respite.check(just_before), Err(LoginError::Away(_))), "{seconds}");
            assert!(respite.check(start.plus(Duration::from_secs(seconds))).is_ok(), "{seconds}");
            assert_eq!(respite.limit(patience), Duration::ZERO);
        }
        assert!(respite.check(start.minus(Duration::from_hours(1))).is_ok(), "the clock was set back");
        for word in [Ok(()), Err(LoginError::Needed)] {
            respite.note(start, &away());
            respite.note(start, &word);
            assert!(respite.check(start).is_ok() && respite.limit(patience) == patience, "{word:?}");
        }
    }
}
