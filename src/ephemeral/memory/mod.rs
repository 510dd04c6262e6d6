//! Perishable state in process: the default for one machine.
//!
//! One mutex around five shelves: every operation is a few map steps without waiting, so a lock held for them
//! costs less than any sharing scheme. Each shelf is bounded on its own, so that a flood of one kind never pushes
//! another out. Values, meters, places and claims make room by dropping what would expire soonest; what must be seen once is
//! never dropped early, because that would let it be replayed: that shelf, when full, refuses instead.

mod gcra;
mod shelf;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::admission::{
    Admission, Admitted, Claim, ClaimKey, GrantKey, Limit, RESULT_REMEMBERED, Record, Settled, Standing,
};
use super::bus::{Bus, Heard, Listener, Notice};
use super::{Ephemeral, EphemeralError, Key, Meter, Place, Quota, Rate, Result};
use crate::clock::Clock;
use gcra::{end_of, judge, micros};
use shelf::Shelf;
use state::{State, claimed, meters};

/// How many entries a shelf holds.
const ENTRIES: usize = 100_000;
/// How many bytes of values are kept in all.
const VALUE_BYTES: usize = 64 * 1024 * 1024;

/// The in-process store.
pub struct Memory {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    bus: Bus,
}

impl Memory {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_capacity(clock, ENTRIES)
    }

    /// An empty store that holds at most `entries` of each kind.
    pub fn with_capacity(clock: Arc<dyn Clock>, entries: usize) -> Self {
        let state = State {
            values: Shelf::new(entries, VALUE_BYTES),
            seen: Shelf::new(entries, usize::MAX),
            claims: Shelf::new(entries, VALUE_BYTES),
            places: Shelf::new(entries, VALUE_BYTES),
            arrivals: Shelf::new(entries, usize::MAX),
        };
        Self { clock, state: Mutex::new(state), bus: Bus::default() }
    }

    // A panic while the lock was held cannot leave a shelf half changed in a way that matters here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ephemeral for Memory {
    async fn put(&self, key: Key<'_>, value: String, lifetime: Duration) -> Result<()> {
        let now = self.clock.now();
        let key = key.to_string();
        let size = key.len() + value.len();
        let values = &mut self.lock().values;
        values.sweep(now);
        values.make_room(size);
        values.insert(key, value, now.plus(lifetime), size);
        Ok(())
    }

    async fn find(&self, key: Key<'_>) -> Result<Option<String>> {
        let now = self.clock.now();
        Ok(self.lock().values.get(&key.to_string(), now).cloned())
    }

    async fn take(&self, key: Key<'_>) -> Result<Option<String>> {
        let now = self.clock.now();
        let key = key.to_string();
        let mut state = self.lock();
        state.seen.remove(&key);
        let taken = state.values.remove(&key);
        Ok(taken.filter(|(_, expires_at)| *expires_at > now).map(|(value, _)| value))
    }

    async fn once(&self, key: Key<'_>, lifetime: Duration) -> Result<bool> {
        let now = self.clock.now();
        let guards_replay = matches!(key, Key::AssertionJti(..) | Key::LogoutJti(..));
        let key = key.to_string();
        let state = &mut *self.lock();
        if !guards_replay {
            let values = &mut state.values;
            values.sweep(now);
            if values.get(&key, now).is_some() {
                return Ok(false);
            }
            values.make_room(0);
            values.insert(key, String::new(), now.plus(lifetime), 0);
            return Ok(true);
        }
        let seen = &mut state.seen;
        seen.sweep(now);
        if seen.get(&key, now).is_some() {
            return Ok(false);
        }
        if seen.is_full(0) {
            return Err(EphemeralError(format!("{} keys are held, which is the limit", seen.most_entries)));
        }
        seen.insert(key, (), now.plus(lifetime), 0);
        Ok(true)
    }

    async fn quota(&self, meter: Meter<'_>, rate: Rate) -> Result<Quota> {
        let now = self.clock.now();
        let meter = meter.to_string();
        let mut state = self.lock();
        let quota = judge(state.arrivals.get(&meter, now).copied(), micros(now), rate).0;
        state.count(&meter, rate, now);
        Ok(quota)
    }

    async fn peek(&self, meter: Meter<'_>, rate: Rate) -> Result<Quota> {
        let now = self.clock.now();
        let arrival = self.lock().arrivals.get(&meter.to_string(), now).copied();
        Ok(judge(arrival, micros(now), rate).0)
    }

    async fn refund(&self, meter: Meter<'_>, rate: Rate) -> Result<()> {
        let meter = meter.to_string();
        let arrivals = &mut self.lock().arrivals;
        if let Some((arrival, _)) = arrivals.remove(&meter) {
            let earlier = arrival.saturating_sub(rate.interval());
            arrivals.insert(meter, earlier, end_of(earlier), 0);
        }
        Ok(())
    }

    async fn forget(&self, meter: Meter<'_>) -> Result<()> {
        self.lock().arrivals.remove(&meter.to_string());
        Ok(())
    }

    async fn admit(&self, admission: Admission<'_>) -> Result<Admitted> {
        let Admission { grant, client_id, known: Some(known), limits, claim } = admission else {
            return Ok(Admitted::UnknownGrant { asked_at: 0 });
        };
        let now = self.clock.now();
        let meters = meters(&grant.user_id, client_id, limits);
        let state = &mut *self.lock();
        if let Some((limit, retry_after)) = state.exceeded(&meters, now) {
            let standings = state.standings(&meters, now);
            return Ok(Admitted::Limited { limit, retry_after, standings });
        }
        for (meter, limit) in meters.iter().filter(|(_, limit)| limit.counts) {
            state.count(meter, limit.rate, now);
        }
        let claim = claim.map(|key| state.claim(&key, now));
        Ok(Admitted::In { grant: known.facts.to_owned(), standings: state.standings(&meters, now), claim })
    }

    async fn standings(&self, user_id: &str, client_id: &str, limits: &[Limit<'_>]) -> Result<Vec<Standing>> {
        let now = self.clock.now();
        Ok(self.lock().standings(&meters(user_id, client_id, limits), now))
    }

    async fn claim(&self, key: ClaimKey<'_>) -> Result<Claim> {
        let now = self.clock.now();
        Ok(self.lock().claim(&key, now))
    }

    async fn settle(&self, key: ClaimKey<'_>, settled: Settled) -> Result<()> {
        let now = self.clock.now();
        let name = claimed(&key);
        let claims = &mut self.lock().claims;
        match settled {
            Settled::Done(result) => {
                let size = name.len() + key.digest.len() + result.len();
                claims.remove(&name);
                claims.make_room(size);
                let done = Record::Done(key.digest.to_owned(), result);
                claims.insert(name, done, now.plus(RESULT_REMEMBERED), size);
            }
            Settled::Released => {
                let own = |record: &Record| *record == Record::Held(key.attempt.to_owned());
                if claims.get(&name, now).is_some_and(own) {
                    claims.remove(&name);
                }
            }
        }
        Ok(())
    }

    // No grant is remembered here: another process may change the same database.
    async fn end_grants(&self, _: &[GrantKey], _: &str) -> Result<()> {
        Ok(())
    }

    async fn unmark_grant(&self, _: &GrantKey, _: &str) -> Result<()> {
        Ok(())
    }

    async fn hold(&self, place: Place<'_>, holder: &str, most: usize, lifetime: Duration) -> Result<bool> {
        let now = self.clock.now();
        Ok(self.lock().change_place(place, now, |holders| {
            let has_room = holders.contains_key(holder) || holders.len() < most;
            if has_room {
                holders.insert(holder.to_owned(), now.plus(lifetime));
            }
            has_room
        }))
    }

    async fn leave(&self, place: Place<'_>, holder: &str) -> Result<()> {
        let now = self.clock.now();
        self.lock().change_place(place, now, |holders| holders.remove(holder));
        Ok(())
    }

    async fn holders(&self, place: Place<'_>) -> Result<Vec<String>> {
        let now = self.clock.now();
        Ok(self.lock().change_place(place, now, |holders| holders.keys().cloned().collect()))
    }

    async fn publish(&self, notice: &Notice) -> Result<()> {
        self.bus.tell(Heard::Notice(notice.clone()));
        Ok(())
    }

    fn listen(&self) -> Listener {
        self.bus.listen()
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        "in process (lost at a restart; one machine only)".to_owned()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::ephemeral::contract;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let store: Arc<dyn Ephemeral> = Arc::new(Memory::new(clock.clone()));
        contract::check(&InProcess { store, clock }).await;
    }

    struct InProcess {
        store: Arc<dyn Ephemeral>,
        clock: Arc<ManualClock>,
    }

    #[async_trait]
    impl contract::Subject for InProcess {
        fn store(&self) -> Arc<dyn Ephemeral> {
            self.store.clone()
        }

        fn remembers_grants(&self) -> bool {
            false
        }

        async fn pass(&self, duration: Duration) {
            self.clock.advance(duration);
        }
    }

    #[tokio::test]
    async fn what_was_seen_once_is_never_forgotten_early() {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let store = Memory::with_capacity(clock.clone(), 2);
        let minute = Duration::from_secs(60);
        assert!(store.once(Key::AssertionJti("c", "1"), minute).await.unwrap());
        assert!(store.once(Key::AssertionJti("c", "2"), minute).await.unwrap());
        assert!(store.once(Key::AssertionJti("c", "3"), minute).await.is_err());
        assert!(!store.once(Key::AssertionJti("c", "1"), minute).await.unwrap());
        clock.advance(minute);
        assert!(store.once(Key::AssertionJti("c", "3"), minute).await.unwrap());
    }

    #[tokio::test]
    async fn a_flood_of_one_kind_pushes_out_its_own_oldest_and_no_other_kind() {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let store = Memory::with_capacity(clock.clone(), 3);
        let minute = Duration::from_secs(60);
        let rate = Rate::of(1, minute);
        assert!(store.once(Key::AssertionJti("c", "1"), minute).await.unwrap());
        store.put(Key::Flow("first"), String::new(), minute).await.unwrap();
        for flood in ["a", "b", "c", "d", "e"] {
            clock.advance(Duration::from_secs(1));
            store.put(Key::Flow(flood), String::new(), minute).await.unwrap();
            store.quota(Meter::Register(flood), rate).await.unwrap();
        }
        assert_eq!(store.find(Key::Flow("first")).await.unwrap(), None);
        assert!(store.find(Key::Flow("e")).await.unwrap().is_some());
        assert!(!store.once(Key::AssertionJti("c", "1"), minute).await.unwrap());
        let state = store.lock();
        let held = [state.values.entries.len(), state.arrivals.entries.len(), state.seen.entries.len()];
        assert_eq!(held, [3, 3, 1]);
        assert_eq!(state.values.by_expiry.len(), 3);
    }

    #[tokio::test]
    async fn values_are_bounded_in_bytes() {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let store = Memory::new(clock.clone());
        let megabyte = "x".repeat(1024 * 1024);
        for number in 0..100 {
            clock.advance(Duration::from_millis(1));
            let id = number.to_string();
            store.put(Key::Flow(&id), megabyte.clone(), Duration::from_secs(60)).await.unwrap();
        }
        assert!(store.lock().values.bytes <= VALUE_BYTES);
        assert!(store.find(Key::Flow("99")).await.unwrap().is_some());
    }
}
