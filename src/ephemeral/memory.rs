//! Perishable state in process: the default for one machine.
//!
//! One mutex around two maps: every operation is a few map steps without waiting, so a lock held for them costs
//! less than any sharing scheme. Both maps are bounded: sweeps drop what has expired, and a full map refuses
//! new keys rather than forget live ones, because forgetting a `jti` would let an assertion be replayed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Ephemeral, EphemeralError, Key, Meter, Quota, Rate, Result};
use crate::clock::{Clock, Timestamp};

/// How many keys, and how many meters, are held at most: about 200 MB of the largest flows.
const CAPACITY: usize = 100_000;
/// How often expired entries are swept, counted in operations that add one.
const SWEEP_EVERY: u32 = 1024;

/// The in-process store.
pub struct Memory {
    clock: Arc<dyn Clock>,
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    values: HashMap<String, (String, Timestamp)>,
    // GCRA: the theoretical arrival time of the next event, in unix microseconds.
    arrivals: HashMap<String, i64>,
    added: u32,
}

impl Memory {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_capacity(clock, CAPACITY)
    }

    /// An empty store that holds at most `capacity` keys and as many meters.
    pub fn with_capacity(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        Self { clock, capacity, state: Mutex::default() }
    }

    // A panic while the lock was held cannot leave a map half changed in a way that matters here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_room(&self, state: &mut State, now: Timestamp) -> Result<()> {
        state.added = state.added.wrapping_add(1);
        let full = state.values.len() >= self.capacity || state.arrivals.len() >= self.capacity;
        if full || state.added.is_multiple_of(SWEEP_EVERY) {
            state.values.retain(|_, (_, expires_at)| *expires_at > now);
            state.arrivals.retain(|_, arrival| *arrival > micros(now));
        }
        if state.values.len() >= self.capacity || state.arrivals.len() >= self.capacity {
            return Err(EphemeralError(format!("{} entries are held, which is the limit", self.capacity)));
        }
        Ok(())
    }
}

fn micros(moment: Timestamp) -> i64 {
    moment.0.saturating_mul(1000)
}

fn in_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
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
        let mut state = self.lock();
        self.make_room(&mut state, now)?;
        state.values.insert(key.to_string(), (value, now.plus(lifetime)));
        Ok(())
    }

    async fn find(&self, key: Key<'_>) -> Result<Option<String>> {
        let now = self.clock.now();
        let state = self.lock();
        let kept = state.values.get(&key.to_string());
        Ok(kept.filter(|(_, expires_at)| *expires_at > now).map(|(value, _)| value.clone()))
    }

    async fn take(&self, key: Key<'_>) -> Result<Option<String>> {
        let now = self.clock.now();
        let taken = self.lock().values.remove(&key.to_string());
        Ok(taken.filter(|(_, expires_at)| *expires_at > now).map(|(value, _)| value))
    }

    async fn once(&self, key: Key<'_>, lifetime: Duration) -> Result<bool> {
        let now = self.clock.now();
        let key = key.to_string();
        let mut state = self.lock();
        if state.values.get(&key).is_some_and(|(_, expires_at)| *expires_at > now) {
            return Ok(false);
        }
        self.make_room(&mut state, now)?;
        state.values.insert(key, (String::new(), now.plus(lifetime)));
        Ok(true)
    }

    async fn quota(&self, meter: Meter<'_>, rate: Rate) -> Result<Quota> {
        let now = self.clock.now();
        let meter = meter.to_string();
        let mut state = self.lock();
        if !state.arrivals.contains_key(&meter) {
            self.make_room(&mut state, now)?;
        }
        let (quota, next) = judge(state.arrivals.get(&meter).copied(), micros(now), rate);
        if let Some(next) = next {
            state.arrivals.insert(meter, next);
        }
        Ok(quota)
    }

    async fn peek(&self, meter: Meter<'_>, rate: Rate) -> Result<Quota> {
        let now = self.clock.now();
        let arrival = self.lock().arrivals.get(&meter.to_string()).copied();
        Ok(judge(arrival, micros(now), rate).0)
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
    async fn a_full_store_refuses_and_forgets_only_what_has_expired() {
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
}
