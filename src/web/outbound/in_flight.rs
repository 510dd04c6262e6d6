//! One fetch at a time for the same document (draft-ietf-oauth-client-id-metadata-document §6.6).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

use super::{Answer, FetchError, Order};

type Fetch = BoxFuture<'static, Result<Answer, FetchError>>;

/// The fetches under way. It holds them weakly: when every caller has gone away the fetch ends,
/// and a result lives only as long as somebody waits for it.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashMap<Order, WeakShared<Fetch>>>);

impl InFlight {
    /// Joins the fetch for this order, or starts it.
    pub(super) fn join(&self, order: Order, start: impl FnOnce(Order) -> Fetch) -> Shared<Fetch> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|_, fetch| running(fetch).is_some());
        if let Some(fetch) = under_way.get(&order).and_then(running) {
            return fetch;
        }
        let fetch = start(order.clone()).shared();
        if let Some(weak) = fetch.downgrade() {
            under_way.insert(order, weak);
        }
        fetch
    }
}

/// A fetch that has its result already is not joined: the next caller asks anew.
fn running(fetch: &WeakShared<Fetch>) -> Option<Shared<Fetch>> {
    fetch.upgrade().filter(|fetch| fetch.peek().is_none())
}
