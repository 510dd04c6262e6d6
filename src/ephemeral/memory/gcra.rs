//! GCRA, the generic cell rate algorithm: a meter is one number, the time at which the next event would arrive if
//! all came at the steady rate. An event is within the rate while that time is less than a burst ahead.

use std::time::Duration;

use super::super::admission::Standing;
use super::super::{Quota, Rate};
use crate::clock::Timestamp;

pub(super) fn micros(moment: Timestamp) -> i64 {
    moment.0.saturating_mul(1000)
}

/// When an arrival time is over, rounded up: from then on it says nothing any more.
pub(super) fn end_of(arrival: i64) -> Timestamp {
    Timestamp(arrival.div_euclid(1000).saturating_add(1))
}

/// GCRA: judges one event at `now` against the arrival time so far; returns the verdict and the new time.
pub(super) fn judge(arrival: Option<i64>, now: i64, rate: Rate) -> (Quota, Option<i64>) {
    let window = window(rate);
    let next = arrival.unwrap_or(now).max(now).saturating_add(rate.interval());
    let ahead = next.saturating_sub(now);
    if ahead > window {
        let wait = Duration::from_micros(u64::try_from(ahead - window).unwrap_or(0));
        return (Quota::Exceeded { retry_after: wait }, None);
    }
    let left = (window - ahead) / rate.interval();
    (Quota::Within { remaining: u32::try_from(left).unwrap_or(0) }, Some(next))
}

pub(super) fn window(rate: Rate) -> i64 {
    rate.interval().saturating_mul(i64::from(rate.burst.max(1)))
}

pub(super) fn standing(arrival: Option<i64>, now: i64, rate: Rate) -> Standing {
    let ahead = arrival.unwrap_or(now).max(now).saturating_sub(now);
    let left = (window(rate) - ahead) / rate.interval();
    Standing {
        remaining: u32::try_from(left).unwrap_or(0),
        full_after: Duration::from_micros(u64::try_from(ahead).unwrap_or(0)),
    }
}
