//! What every ephemeral store promises, races included. A new kind's whole test is to run this.

use std::sync::Arc;
use std::time::Duration;

use super::{Ephemeral, Key, Meter, Quota, Rate};

const MINUTE: Duration = Duration::from_secs(60);

/// Runs the contract. `pass` lets time go by for the store.
pub(crate) async fn check(store: Arc<dyn Ephemeral>, pass: &(dyn Fn(Duration) + Sync)) {
    a_value_lives_as_long_as_it_was_given(&*store, pass).await;
    a_value_is_taken_by_one_of_many(store.clone()).await;
    a_key_is_claimed_by_one_of_many(store.clone(), pass).await;
    a_burst_passes_and_then_the_rate_holds(&*store, pass).await;
    many_at_once_never_pass_more_than_the_burst(store.clone()).await;
    store.ping().await.unwrap();
}

async fn a_value_lives_as_long_as_it_was_given(store: &dyn Ephemeral, pass: &(dyn Fn(Duration) + Sync)) {
    store.put(Key::Flow("a"), "one".into(), MINUTE).await.unwrap();
    store.put(Key::Flow("a"), "two".into(), MINUTE).await.unwrap();
    assert_eq!(store.find(Key::Flow("a")).await.unwrap().as_deref(), Some("two"));
    assert_eq!(store.find(Key::Answered("a")).await.unwrap(), None);
    pass(MINUTE);
    assert_eq!(store.find(Key::Flow("a")).await.unwrap(), None);
    assert_eq!(store.take(Key::Flow("a")).await.unwrap(), None);
}

async fn a_value_is_taken_by_one_of_many(store: Arc<dyn Ephemeral>) {
    store.put(Key::Flow("b"), "x".into(), MINUTE).await.unwrap();
    let takers: Vec<_> = (0..32)
        .map(|_| {
            let store = store.clone();
            async move { store.take(Key::Flow("b")).await.unwrap().is_some() }
        })
        .collect();
    let taken = futures::future::join_all(takers).await;
    assert_eq!(taken.into_iter().filter(|got| *got).count(), 1);
}

async fn a_key_is_claimed_by_one_of_many(store: Arc<dyn Ephemeral>, pass: &(dyn Fn(Duration) + Sync)) {
    let key = || Key::AssertionJti("client", "jti");
    let claims: Vec<_> = (0..32)
        .map(|_| {
            let store = store.clone();
            async move { store.once(key(), MINUTE).await.unwrap() }
        })
        .collect();
    let first = futures::future::join_all(claims).await;
    assert_eq!(first.into_iter().filter(|first| *first).count(), 1);
    pass(MINUTE);
    assert!(store.once(key(), MINUTE).await.unwrap(), "a claim ends with its lifetime");
    store.take(key()).await.unwrap();
    assert!(store.once(key(), MINUTE).await.unwrap(), "a claim can be given back");
}

async fn a_burst_passes_and_then_the_rate_holds(store: &dyn Ephemeral, pass: &(dyn Fn(Duration) + Sync)) {
    let rate = Rate { burst: 3, per: MINUTE };
    let meter = || Meter::Register("192.0.2.1");
    for remaining in [2, 1, 0] {
        assert_eq!(store.quota(meter(), rate).await.unwrap(), Quota::Within { remaining });
    }
    let Quota::Exceeded { retry_after } = store.quota(meter(), rate).await.unwrap() else {
        panic!("the fourth of three is refused");
    };
    assert!(retry_after <= Duration::from_secs(20) && retry_after > Duration::from_secs(19));
    assert!(matches!(store.peek(meter(), rate).await.unwrap(), Quota::Exceeded { .. }));
    assert!(matches!(
        store.quota(Meter::Register("192.0.2.2"), rate).await.unwrap(),
        Quota::Within { remaining: 2 }
    ));
    pass(Duration::from_secs(20));
    assert_eq!(store.quota(meter(), rate).await.unwrap(), Quota::Within { remaining: 0 });
    store.refund(meter(), rate).await.unwrap();
    assert_eq!(store.quota(meter(), rate).await.unwrap(), Quota::Within { remaining: 0 });
    store.forget(meter()).await.unwrap();
    assert_eq!(store.peek(meter(), rate).await.unwrap(), Quota::Within { remaining: 2 });
}

async fn many_at_once_never_pass_more_than_the_burst(store: Arc<dyn Ephemeral>) {
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let store = store.clone();
            let rate = Rate { burst: 5, per: Duration::from_secs(3600) };
            async move {
                let quota = store.quota(Meter::Calls("write", "client", "user"), rate).await.unwrap();
                matches!(quota, Quota::Within { .. })
            }
        })
        .collect();
    let passed = futures::future::join_all(calls).await;
    assert_eq!(passed.into_iter().filter(|within| *within).count(), 5);
}
