//! What every ephemeral store promises, races included. A new kind's whole test is to run this.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::admission::{
    Admission, Admitted, CLAIM_HELD, Claim, ClaimKey, GrantKey, Known, Limit, RESULT_REMEMBERED, Settled,
    Standing,
};
use super::bus::{Heard, Notice};
use super::{Ephemeral, Key, Meter, Place, Quota, Rate};

/// Said at the end of time: never too late to be remembered.
const KNOWN: Known<'static> = Known { facts: "{}", asked_at: i64::MAX / 1024 };
const MINUTE: Duration = Duration::from_secs(60);

/// A store under test, for which time can be made to go by.
#[async_trait]
pub(crate) trait Subject: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Ephemeral>;

    /// Whether the store remembers grants.
    fn remembers_grants(&self) -> bool;

    /// Lets time go by for the store.
    async fn pass(&self, duration: Duration);
}

/// Runs the contract.
pub(crate) async fn check(subject: &dyn Subject) {
    a_value_lives_as_long_as_it_was_given(subject).await;
    a_value_is_taken_by_one_of_many(&subject.store()).await;
    a_key_is_claimed_by_one_of_many(subject).await;
    a_burst_passes_and_then_the_rate_holds(subject).await;
    many_at_once_never_pass_more_than_the_burst(&subject.store()).await;
    a_call_counts_against_all_its_limits_or_none(subject).await;
    how_limits_stand_is_told_without_counting(subject).await;
    many_calls_at_once_never_pass_more_than_the_burst(&subject.store()).await;
    an_ended_grant_lets_nobody_in(subject).await;
    of_many_attempts_one_runs_and_the_others_get_its_result(subject).await;
    a_released_key_is_free_and_only_its_holder_releases_it(subject).await;
    a_claim_ends_with_a_lost_holder_and_a_result_after_a_day(subject).await;
    places_are_held_by_so_many_and_for_so_long(subject).await;
    of_many_at_once_no_more_get_a_place_than_there_are(&subject.store()).await;
    what_one_tells_every_listener_hears(&subject.store()).await;
    subject.store().ping().await.unwrap();
}

async fn places_are_held_by_so_many_and_for_so_long(subject: &dyn Subject) {
    let store = subject.store();
    let place = Place::Streams("places");
    let hold = async |holder: &str| store.hold(place, holder, 2, MINUTE).await.unwrap();
    assert!(hold("a").await && hold("b").await && hold("a").await, "who has a place keeps it");
    assert!(!hold("c").await);
    let mut holders = store.holders(place).await.unwrap();
    holders.sort();
    assert_eq!(holders, ["a", "b"]);
    assert_eq!(store.holders(Place::Subscriptions("places")).await.unwrap(), Vec::<String>::new());
    store.leave(place, "a").await.unwrap();
    assert!(hold("c").await && !hold("a").await);
    subject.pass(MINUTE).await;
    assert_eq!(store.holders(place).await.unwrap(), Vec::<String>::new());
    assert!(hold("a").await);
}

async fn of_many_at_once_no_more_get_a_place_than_there_are(store: &Arc<dyn Ephemeral>) {
    let held = all(store, 32, |store| async move {
        static COMERS: AtomicUsize = AtomicUsize::new(0);
        let holder = COMERS.fetch_add(1, Ordering::Relaxed).to_string();
        store.hold(Place::Streams("race"), &holder, 5, MINUTE).await.unwrap()
    });
    assert_eq!(held.await.into_iter().filter(|held| *held).count(), 5);
}

async fn what_one_tells_every_listener_hears(store: &Arc<dyn Ephemeral>) {
    let mut listeners = [store.listen(), store.listen()];
    let notice = Notice::TicketChanged { id: "T-1".into() };
    // The first may come before anybody is connected, so it is said until it is heard.
    let telling = async {
        loop {
            store.publish(&notice).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let hearing = async {
        for listener in &mut listeners {
            while listener.next().await != Heard::Notice(notice.clone()) {}
        }
    };
    tokio::select! {
        () = telling => {}
        () = hearing => {}
        () = tokio::time::sleep(MINUTE) => panic!("nobody hears"),
    }
}

async fn a_value_lives_as_long_as_it_was_given(subject: &dyn Subject) {
    let store = subject.store();
    store.put(Key::Flow("a"), "one".into(), MINUTE).await.unwrap();
    store.put(Key::Flow("a"), "two".into(), MINUTE).await.unwrap();
    assert_eq!(store.find(Key::Flow("a")).await.unwrap().as_deref(), Some("two"));
    assert_eq!(store.find(Key::Answered("a")).await.unwrap(), None);
    subject.pass(MINUTE).await;
    assert_eq!(store.find(Key::Flow("a")).await.unwrap(), None);
    assert_eq!(store.take(Key::Flow("a")).await.unwrap(), None);
}

async fn a_value_is_taken_by_one_of_many(store: &Arc<dyn Ephemeral>) {
    store.put(Key::Flow("b"), "x".into(), MINUTE).await.unwrap();
    let taken = all(store, 32, |store| async move { store.take(Key::Flow("b")).await.unwrap().is_some() });
    assert_eq!(taken.await.into_iter().filter(|got| *got).count(), 1);
}

async fn a_key_is_claimed_by_one_of_many(subject: &dyn Subject) {
    let store = subject.store();
    let key = || Key::AssertionJti("client", "jti");
    let first = all(&store, 32, |store| async move { store.once(key(), MINUTE).await.unwrap() });
    assert_eq!(first.await.into_iter().filter(|first| *first).count(), 1);
    subject.pass(MINUTE).await;
    assert!(store.once(key(), MINUTE).await.unwrap(), "a claim ends with its lifetime");
    store.take(key()).await.unwrap();
    assert!(store.once(key(), MINUTE).await.unwrap(), "a claim can be given back");
}

async fn a_burst_passes_and_then_the_rate_holds(subject: &dyn Subject) {
    let store = subject.store();
    let rate = Rate { count: 6, per: 2 * MINUTE, burst: 3 };
    let meter = || Meter::Register("192.0.2.1");
    for remaining in [2, 1, 0] {
        assert_eq!(store.quota(meter(), rate).await.unwrap(), Quota::Within { remaining });
    }
    let Quota::Exceeded { retry_after } = store.quota(meter(), rate).await.unwrap() else {
        panic!("the fourth of three is refused");
    };
    assert!(retry_after <= Duration::from_secs(20) && retry_after > Duration::from_secs(17));
    assert!(matches!(store.peek(meter(), rate).await.unwrap(), Quota::Exceeded { .. }));
    assert!(matches!(
        store.quota(Meter::Register("192.0.2.2"), rate).await.unwrap(),
        Quota::Within { remaining: 2 }
    ));
    subject.pass(Duration::from_secs(20)).await;
    assert_eq!(store.quota(meter(), rate).await.unwrap(), Quota::Within { remaining: 0 });
    store.refund(meter(), rate).await.unwrap();
    assert_eq!(store.quota(meter(), rate).await.unwrap(), Quota::Within { remaining: 0 });
    store.forget(meter()).await.unwrap();
    assert_eq!(store.peek(meter(), rate).await.unwrap(), Quota::Within { remaining: 2 });
}

async fn many_at_once_never_pass_more_than_the_burst(store: &Arc<dyn Ephemeral>) {
    let passed = all(store, 32, |store| async move {
        let rate = Rate::of(5, Duration::from_secs(3600));
        let quota = store.quota(Meter::Token("192.0.2.3"), rate).await.unwrap();
        matches!(quota, Quota::Within { .. })
    });
    assert_eq!(passed.await.into_iter().filter(|within| *within).count(), 5);
}

async fn a_call_counts_against_all_its_limits_or_none(subject: &dyn Subject) {
    let (store, grant) = (subject.store(), grant("limits"));
    let rate = |count| Rate::of(count, MINUTE);
    let class = Limit { name: "read", rate: rate(3), counts: true };
    let other = Limit { name: "write", rate: rate(4), counts: false };
    let tool = Limit { name: "search", rate: rate(2), counts: true };
    let limits = [class, other, tool];
    let call = || async { store.admit(call(&grant, &limits, None)).await.unwrap() };
    let left = |standings: &[Standing]| standings.iter().map(|one| one.remaining).collect::<Vec<_>>();
    for expected in [[2, 4, 1], [1, 4, 0]] {
        let Admitted::In { standings, .. } = call().await else { panic!("within every limit") };
        assert_eq!(left(&standings), expected);
    }
    let Admitted::Limited { limit, retry_after, standings } = call().await else { panic!("a third search") };
    assert_eq!((limit, left(&standings)), (2, vec![1, 4, 0]), "what is refused counts against nothing");
    assert!(retry_after <= Duration::from_secs(30) && retry_after > Duration::from_secs(27));
    assert!(standings[2].full_after <= MINUTE && standings[2].full_after > Duration::from_secs(57));
    let mut of_another = self::call(&grant, &limits, None);
    of_another.client_id = "another";
    assert!(matches!(store.admit(of_another).await.unwrap(), Admitted::In { .. }), "limits are per client");
    subject.pass(Duration::from_secs(30)).await;
    assert!(matches!(call().await, Admitted::In { .. }));
}

async fn many_calls_at_once_never_pass_more_than_the_burst(store: &Arc<dyn Ephemeral>) {
    let passed = all(store, 32, |store| async move {
        let limit = Limit { name: "crowd", rate: Rate::of(5, Duration::from_secs(3600)), counts: true };
        let admitted = store.admit(call(&grant("crowd"), &[limit], None)).await.unwrap();
        matches!(admitted, Admitted::In { .. })
    });
    assert_eq!(passed.await.into_iter().filter(|within| *within).count(), 5);
}

async fn how_limits_stand_is_told_without_counting(subject: &dyn Subject) {
    let store = subject.store();
    let rate = |count| Rate::of(count, Duration::from_mins(count.into()));
    let limits = [
        Limit { name: "told", rate: rate(3), counts: true },
        Limit { name: "untouched", rate: rate(5), counts: false },
    ];
    let left = async |user_id: &str, client_id: &str| {
        let standings = store.standings(user_id, client_id, &limits).await.unwrap();
        standings.iter().map(|standing| standing.remaining).collect::<Vec<_>>()
    };
    assert_eq!(left("user", "client").await, [3, 5]);
    for used in 1..=3 {
        store.admit(call(&grant("g"), &limits, None)).await.unwrap();
        for _ in 0..2 {
            assert_eq!(left("user", "client").await, [3 - used, 5]);
        }
    }
    assert_eq!(left("user", "another").await, [3, 5], "of this client alone");
    assert_eq!(left("another", "client").await, [3, 5], "and of this user");
    subject.pass(MINUTE).await;
    assert_eq!(left("user", "client").await, [1, 5]);
    assert_eq!(store.standings("user", "client", &[]).await.unwrap(), []);
}

async fn an_ended_grant_lets_nobody_in(subject: &dyn Subject) {
    let (store, grant) = (subject.store(), grant("ended"));
    let without = Admission { known: None, ..call(&grant, &[], None) };
    assert!(matches!(store.admit(without).await.unwrap(), Admitted::UnknownGrant { .. }));
    let Admitted::In { grant: known, .. } = store.admit(call(&grant, &[], None)).await.unwrap() else {
        panic!("the database knows it");
    };
    assert_eq!(known, "{}");
    if !subject.remembers_grants() {
        assert!(matches!(store.admit(without).await.unwrap(), Admitted::UnknownGrant { .. }));
        return;
    }
    assert!(matches!(store.admit(without).await.unwrap(), Admitted::In { .. }), "it is remembered");
    subject.pass(super::admission::GRANT_REMEMBERED).await;
    assert!(
        matches!(store.admit(without).await.unwrap(), Admitted::UnknownGrant { .. }),
        "for a short while"
    );
    store.admit(call(&grant, &[], None)).await.unwrap();
    store.end_grants(std::slice::from_ref(&grant), "mark").await.unwrap();
    assert_eq!(store.admit(without).await.unwrap(), Admitted::EndedGrant);
    let late = store.admit(call(&grant, &[], None)).await.unwrap();
    assert_eq!(late, Admitted::EndedGrant, "whoever read it before it ended comes too late");
    store.unmark_grant(&grant, "another").await.unwrap();
    assert_eq!(store.admit(without).await.unwrap(), Admitted::EndedGrant);
    store.unmark_grant(&grant, "mark").await.unwrap();
    assert!(matches!(store.admit(without).await.unwrap(), Admitted::UnknownGrant { .. }));
    let stale = Admission { known: Some(Known { asked_at: 0, ..KNOWN }), ..without };
    assert!(matches!(store.admit(stale).await.unwrap(), Admitted::In { .. }));
    let after = store.admit(without).await.unwrap();
    assert!(matches!(after, Admitted::UnknownGrant { .. }), "what was read long ago is not remembered");
}

async fn of_many_attempts_one_runs_and_the_others_get_its_result(subject: &dyn Subject) {
    let store = subject.store();
    let found = all(&store, 32, |store| async move {
        let attempt = format!("{:p}", &raw const store);
        let admitted = store.admit(call(&grant("g"), &[], Some(key("k1", "d", &attempt)))).await.unwrap();
        match admitted {
            Admitted::In { claim: Some(claim), .. } => claim,
            other => panic!("{other:?}"),
        }
    });
    let found = found.await;
    assert_eq!(found.iter().filter(|claim| **claim == Claim::Run).count(), 1);
    assert_eq!(found.iter().filter(|claim| **claim == Claim::InFlight).count(), 31);
    assert_eq!(store.claim(key("k1", "another", "x")).await.unwrap(), Claim::InFlight, "it may yet be free");
    store.settle(key("k1", "d", "x"), Settled::Done("result".into())).await.unwrap();
    assert_eq!(store.claim(key("k1", "d", "y")).await.unwrap(), Claim::Done("result".into()));
    assert_eq!(store.claim(key("k1", "another", "y")).await.unwrap(), Claim::Mismatch);
    let mut of_another = key("k1", "d", "z");
    of_another.client_id = "another";
    assert_eq!(store.claim(of_another).await.unwrap(), Claim::Run, "a key is one client's");
    let tricky = ClaimKey { client_id: "client:k1", ..key("x", "d", "z") };
    let other = ClaimKey { client_id: "client", ..key("k1:x", "d", "z") };
    assert_eq!(store.claim(tricky).await.unwrap(), Claim::Run);
    store.settle(tricky, Settled::Done("theirs".into())).await.unwrap();
    assert_eq!(store.claim(other).await.unwrap(), Claim::Run, "no two pairs have one name");
    let limit = Limit { name: "write", rate: Rate::of(1, MINUTE), counts: true };
    let claimed = |attempt| store.admit(call_with(&limit, key("k2", "d", attempt)));
    assert!(matches!(claimed("1").await.unwrap(), Admitted::In { claim: Some(Claim::Run), .. }));
    store.settle(key("k2", "d", "1"), Settled::Released).await.unwrap();
    assert!(matches!(claimed("2").await.unwrap(), Admitted::Limited { .. }));
    assert_eq!(
        store.claim(key("k2", "d", "3")).await.unwrap(),
        Claim::Run,
        "the refused call claimed nothing"
    );
}

async fn a_released_key_is_free_and_only_its_holder_releases_it(subject: &dyn Subject) {
    let store = subject.store();
    assert_eq!(store.claim(key("k3", "d", "first")).await.unwrap(), Claim::Run);
    assert_eq!(
        store.claim(key("k3", "d", "first")).await.unwrap(),
        Claim::Run,
        "asked again: its answer was lost"
    );
    store.settle(key("k3", "d", "other"), Settled::Released).await.unwrap();
    assert_eq!(store.claim(key("k3", "d", "other")).await.unwrap(), Claim::InFlight);
    store.settle(key("k3", "d", "first"), Settled::Released).await.unwrap();
    assert_eq!(store.claim(key("k3", "d2", "other")).await.unwrap(), Claim::Run);
    store.settle(key("k3", "d2", "other"), Settled::Done("r".into())).await.unwrap();
    store.settle(key("k3", "d2", "other"), Settled::Released).await.unwrap();
    assert_eq!(store.claim(key("k3", "d2", "x")).await.unwrap(), Claim::Done("r".into()), "done stays done");
}

async fn a_claim_ends_with_a_lost_holder_and_a_result_after_a_day(subject: &dyn Subject) {
    let store = subject.store();
    assert_eq!(store.claim(key("k4", "d", "lost")).await.unwrap(), Claim::Run);
    assert_eq!(store.claim(key("k4", "d", "next")).await.unwrap(), Claim::InFlight);
    subject.pass(CLAIM_HELD).await;
    assert_eq!(store.claim(key("k4", "d", "next")).await.unwrap(), Claim::Run);
    store.settle(key("k4", "d", "next"), Settled::Done("r".into())).await.unwrap();
    subject.pass(RESULT_REMEMBERED.saturating_sub(MINUTE)).await;
    assert_eq!(store.claim(key("k4", "d", "late")).await.unwrap(), Claim::Done("r".into()));
    subject.pass(MINUTE).await;
    assert_eq!(store.claim(key("k4", "d", "later")).await.unwrap(), Claim::Run);
}

/// Runs `attempt` so many times at once.
async fn all<T, F, Fut>(store: &Arc<dyn Ephemeral>, times: usize, attempt: F) -> Vec<T>
where
    F: Fn(Arc<dyn Ephemeral>) -> Fut,
    Fut: Future<Output = T>,
{
    futures::future::join_all((0..times).map(|_| attempt(store.clone()))).await
}

fn grant(grant_id: &str) -> GrantKey {
    GrantKey { user_id: "user".into(), grant_id: grant_id.into() }
}

fn call<'a>(grant: &'a GrantKey, limits: &'a [Limit<'a>], claim: Option<ClaimKey<'a>>) -> Admission<'a> {
    Admission { grant, client_id: "client", known: Some(KNOWN), limits, claim }
}

fn call_with<'a>(limit: &'a Limit<'a>, claim: ClaimKey<'a>) -> Admission<'a> {
    static GRANT: std::sync::LazyLock<GrantKey> = std::sync::LazyLock::new(|| grant("g"));
    call(&GRANT, std::slice::from_ref(limit), Some(claim))
}

fn key<'a>(key: &'a str, digest: &'a str, attempt: &'a str) -> ClaimKey<'a> {
    ClaimKey { user_id: "user", client_id: "client", key, digest, attempt }
}
