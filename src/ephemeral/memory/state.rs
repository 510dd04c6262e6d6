//! What the in-process store holds, and the steps that change it under the lock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::gcra::{end_of, judge, micros, standing};
use super::shelf::Shelf;
use crate::clock::Timestamp;
use crate::ephemeral::admission::{CLAIM_HELD, Claim, ClaimKey, Limit, Record, Standing};
use crate::ephemeral::{Place, Quota, Rate};
use crate::oauth::secret::SecretHash;

/// Everything, by shelves.
pub(super) struct State {
    pub(super) values: Shelf<String>,
    pub(super) seen: Shelf<()>,
    pub(super) claims: Shelf<Record>,
    pub(super) places: Shelf<BTreeMap<String, Timestamp>>,
    // GCRA: the theoretical arrival time of the next event, in unix microseconds.
    pub(super) arrivals: Shelf<i64>,
}

impl State {
    /// The place of the limit that is exceeded by most, and the wait.
    pub(super) fn exceeded(
        &self,
        meters: &[(String, &Limit<'_>)],
        now: Timestamp,
    ) -> Option<(usize, Duration)> {
        let waits = meters.iter().enumerate().filter(|(_, (_, limit))| limit.counts).filter_map(
            |(place, (meter, limit))| {
                let arrival = self.arrivals.get(meter, now).copied();
                match judge(arrival, micros(now), limit.rate).0 {
                    Quota::Within { .. } => None,
                    Quota::Exceeded { retry_after } => Some((place, retry_after)),
                }
            },
        );
        waits.max_by_key(|(_, wait)| *wait)
    }

    pub(super) fn count(&mut self, meter: &str, rate: Rate, now: Timestamp) {
        let arrivals = &mut self.arrivals;
        if let (_, Some(next)) = judge(arrivals.get(meter, now).copied(), micros(now), rate) {
            arrivals.sweep(now);
            arrivals.make_room(0);
            arrivals.insert(meter.to_owned(), next, end_of(next), 0);
        }
    }

    pub(super) fn standings(&self, meters: &[(String, &Limit<'_>)], now: Timestamp) -> Vec<Standing> {
        let standing = |(meter, limit): &(String, &Limit<'_>)| {
            standing(self.arrivals.get(meter, now).copied(), micros(now), limit.rate)
        };
        meters.iter().map(standing).collect()
    }

    pub(super) fn claim(&mut self, key: &ClaimKey<'_>, now: Timestamp) -> Claim {
        let (name, claims) = (claimed(key), &mut self.claims);
        claims.sweep(now);
        if let Some(record) = claims.get(&name, now) {
            return record.judge(key);
        }
        let size = name.len() + key.attempt.len();
        claims.make_room(size);
        claims.insert(name, Record::Held(key.attempt.to_owned()), now.plus(CLAIM_HELD), size);
        Claim::Run
    }
}

impl State {
    /// Who holds a place, changed by `change`; kept for as long as somebody does.
    pub(super) fn change_place<T>(
        &mut self,
        place: Place<'_>,
        now: Timestamp,
        change: impl FnOnce(&mut BTreeMap<String, Timestamp>) -> T,
    ) -> T {
        let (name, places) = (place.to_string(), &mut self.places);
        places.sweep(now);
        let mut holders = places.remove(&name).map(|(holders, _)| holders).unwrap_or_default();
        holders.retain(|_, until| *until > now);
        let done = change(&mut holders);
        if let Some(until) = holders.values().max().copied() {
            let size = name.len() + holders.keys().map(String::len).sum::<usize>();
            places.make_room(size);
            places.insert(name, holders, until, size);
        }
        done
    }
}

/// The limits of a user's client, each with its meter.
pub(super) fn meters<'a>(
    user_id: &str,
    client_id: &str,
    limits: &'a [Limit<'a>],
) -> Vec<(String, &'a Limit<'a>)> {
    let meter = |limit: &Limit<'_>| format!("calls:{}:{user_id}:{client_id}", limit.name);
    limits.iter().map(|limit| (meter(limit), limit)).collect()
}

pub(super) fn claimed(key: &ClaimKey<'_>) -> String {
    // A digest, because both may hold colons: two pairs must never have one name.
    format!("{}:{}:{}", key.user_id, SecretHash::of(key.client_id).as_str(), key.key)
}
