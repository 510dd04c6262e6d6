//! Token requests under way. What an authorization server answers to one exists nowhere else until it is kept: the
//! old refresh token may count for nothing by then. So the end of the program waits for them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long the end waits.
const LAST_EXCHANGES: Duration = Duration::from_secs(5);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    under_way: TaskTracker,
    ending: CancellationToken,
}

/// One: held until the tokens that it brought are kept.
#[derive(Debug)]
pub(super) struct Exchange {
    _held: TaskTrackerToken,
}

impl Exchanges {
    /// Begins one; nothing once the program ends.
    pub(super) fn begin(&self) -> Option<Exchange> {
        let exchange = Exchange { _held: self.under_way.token() };
        (!self.ending.is_cancelled()).then_some(exchange)
    }

    /// Begins no more, and waits for those under way.
    pub(super) async fn end(&self) {
        self.ending.cancel();
        self.under_way.close();
        let _ = tokio::time::timeout(LAST_EXCHANGES, self.under_way.wait()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_waits_for_what_is_under_way_and_nothing_begins_after_it() {
        let exchanges = Exchanges::default();
        let first = exchanges.begin().unwrap();
        let ending = exchanges.end();
        tokio::pin!(ending);
        assert!(futures::poll!(&mut ending).is_pending());
        assert!(exchanges.begin().is_none());
        drop(first);
        ending.await;
    }
}
