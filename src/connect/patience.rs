//! How long to go on trying when a server is away, and how long to wait between two tries.

use std::time::Duration;

use crate::random::Random;

/// The longest wait between two tries, unless the server asks for more.
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that double, with a bit of chance in them so that many programs do not come back at once.
#[derive(Debug)]
pub(super) struct Patience {
    next: Duration,
    longest: Duration,
    left: Option<Duration>,
}

impl Patience {
    /// Gives up after about this long.
    pub(super) fn of(limit: Duration) -> Self {
        Self { next: Duration::from_millis(200), longest: LONGEST, left: Some(limit) }
    }

    /// Never gives up.
    pub(super) fn endless() -> Self {
        Self { next: Duration::from_millis(200), longest: Duration::from_secs(30), left: None }
    }

    /// Begins anew: it worked meanwhile.
    pub(super) fn renew(&mut self) {
        if self.left.is_none() {
            *self = Self::endless();
        }
    }

    /// The next wait, at least what the server asked for; nothing when it would take too long.
    pub(super) fn next(&mut self, asked: Option<Duration>, random: &Random) -> Option<Duration> {
        let [chance] = random.bytes::<1>();
        let own = self.next.mul_f64(0.75 + f64::from(chance) / 512.0);
        let wait = own.max(asked.unwrap_or_default());
        self.next = (self.next * 2).min(self.longest);
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(wait)?;
        }
        Some(wait)
    }

    /// Waits before the next try; false when it is time to give up.
    pub(super) async fn wait(&mut self, asked: Option<Duration>, random: &Random) -> bool {
        match self.next(asked, random) {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_come_to_an_end_in_about_the_time_allowed() {
        let random = Random::seeded(1);
        let mut patience = Patience::of(Duration::from_secs(30));
        let waits: Vec<Duration> = std::iter::from_fn(|| patience.next(None, &random)).collect();
        let sum: Duration = waits.iter().sum();
        assert!(waits[0] < Duration::from_millis(300) && waits.len() < 15, "{waits:?}");
        assert!((Duration::from_secs(24)..=Duration::from_secs(30)).contains(&sum), "{sum:?}");
    }

    #[test]
    fn what_the_server_asks_for_is_waited_or_given_up() {
        let random = Random::seeded(1);
        let mut patience = Patience::of(Duration::from_secs(30));
        assert_eq!(patience.next(Some(Duration::from_secs(7)), &random), Some(Duration::from_secs(7)));
        assert_eq!(patience.next(Some(Duration::from_secs(3600)), &random), None);
    }
}
