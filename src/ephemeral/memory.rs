//! Perishable state in process: the default for one machine.
//!
//! One mutex around three shelves: every operation is a few map steps without waiting, so a lock held for them
//! costs less than any sharing scheme. Each shelf is bounded on its own, so that a flood of one kind never pushes
//! another out. Values and meters make room by dropping what would expire soonest; what must be seen once is
//! never dropped early, because that would let it be replayed: that shelf, when full, refuses instead.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Ephemeral, EphemeralError, Key, Meter, Quota, Rate, Result};
use crate::clock::{Clock, Timestamp};

/// How many entries a shelf holds.
const ENTRIES: usize = 100_000;
/// How many bytes of values are kept in all.
const VALUE_BYTES: usize = 64 * 1024 * 1024;

/// The in-process store.
pub struct Memory {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    values: Shelf<String>,
    seen: Shelf<()>,
    // GCRA: the theoretical arrival time of the next event, in unix microseconds.
    arrivals: Shelf<i64>,
}

/// Entries by key, and in the order in which they expire.
struct Shelf<V> {
    entries: HashMap<String, (V, Timestamp, usize)>,
    by_expiry: BTreeSet<(Timestamp, String)>,
    bytes: usize,
    most_entries: usize,
    most_bytes: usize,
}

impl<V> Shelf<V> {
    fn new(most_entries: usize, most_bytes: usize) -> Self {
        Self { entries: HashMap::new(), by_expiry: BTreeSet::new(), bytes: 0, most_entries, most_bytes }
    }

    fn get(&self, key: &str, now: Timestamp) -> Option<&V> {
        self.entries.get(key).filter(|(_, expires_at, _)| *expires_at > now).map(|(value, ..)| value)
    }

    fn remove(&mut self, key: &str) -> Option<(V, Timestamp)> {
        let (value, expires_at, size) = self.entries.remove(key)?;
        self.by_expiry.remove(&(expires_at, key.to_owned()));
        self.bytes = self.bytes.saturating_sub(size);
        Some((value, expires_at))
    }

    fn insert(&mut self, key: String, value: V, expires_at: Timestamp, size: usize) {
        self.remove(&key);
        self.by_expiry.insert((expires_at, key.clone()));
        self.entries.insert(key, (value, expires_at, size));
        self.bytes = self.bytes.saturating_add(size);
    }

    /// Drops what has expired.
    fn sweep(&mut self, now: Timestamp) {
        while let Some((expires_at, key)) = self.by_expiry.first().cloned() {
            if expires_at > now {
                return;
            }
            self.remove(&key);
        }
    }

    fn is_full(&self, size: usize) -> bool {
        self.entries.len() >= self.most_entries || self.bytes.saturating_add(size) > self.most_bytes
    }

    /// Drops what would expire soonest until there is room.
    fn make_room(&mut self, size: usize) {
        while self.is_full(size) {
            let Some((_, key)) = self.by_expiry.first().cloned() else { return };
            self.remove(&key);
        }
    }
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
            arrivals: Shelf::new(entries, usize::MAX),
        };
        Self { clock, state: Mutex::new(state) }
    }

    // A panic while the lock was held cannot leave a shelf half changed in a way that matters here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(moment: Timestamp) -> i64 {
    moment.0.saturating_mul(1000)
}

fn in_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// When an arrival time is over, rounded up: from then on it says nothing any more.
fn end_of(arrival: i64) -> Timestamp {
    Timestamp(arrival.div_euclid(1000).saturating_add(1))
}

/// GCRA: judges one event at `now` against the arrival time so far; returns the verdict and the new time.
fn judge(arrival: Option<i64>, now: i64, rate: Rate) -> (Quota, Option<i64>) {
    let burst = i64::from(rate.burst.max(1));
    let window = in_micros(rate.per);
    let interval = window / burst;
    let next = arrival.unwrap_or(now).max(now).saturating_add(interval);
    let ahead = next.saturating_sub(now);
    if ahead > window {
        let wait = Duration::from_micros(u64::try_from(ahead - window).unwrap_or(0));
        return (Quota::Exceeded { retry_after: wait }, None);
    }
    let left = if interval == 0 { burst } else { (window - ahead) / interval };
    (Quota::Within { remaining: u32::try_from(left).unwrap_or(0) }, Some(next))
}

#[async_trait]
impl Ephemeral for Memory {
    async fn put(&self, key: Key<'_>, value: String, lifetime: Duration) -> Result<()> {
        let now = self.clock.now();
        let (key, size) = (key.to_string(), value.len());
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
        let guards_replay = matches!(key, Key::AssertionJti(..));
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
        let arrivals = &mut self.lock().arrivals;
        let (quota, next) = judge(arrivals.get(&meter, now).copied(), micros(now), rate);
        if let Some(next) = next {
            arrivals.sweep(now);
            arrivals.make_room(0);
            arrivals.insert(meter, next, end_of(next), 0);
        }
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
            let earlier = arrival.saturating_sub(in_micros(rate.per) / i64::from(rate.burst.max(1)));
            arrivals.insert(meter, earlier, end_of(earlier), 0);
        }
        Ok(())
    }

    async fn forget(&self, meter: Meter<'_>) -> Result<()> {
        self.lock().arrivals.remove(&meter.to_string());
        Ok(())
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
    use crate::clock::ManualClock;
    use crate::ephemeral::contract;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let store: Arc<dyn Ephemeral> = Arc::new(Memory::new(clock.clone()));
        contract::check(store, &|duration| clock.advance(duration)).await;
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
        let rate = Rate { burst: 1, per: minute };
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
