//! What is done to the stored keys: rotated, retired, taken back. Each is one transaction, which no other replica's
//! crosses, with its audit event.

use std::time::Duration;

use super::ring::{self, Chosen, NOT_YET, Pending, State};
use super::stored::{ReadError, generate};
use super::{CLOCK_SKEW, Keys, SigningKeyRow};
use crate::audit::{Event, Kind, Outcome};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::storage::{Store, Tx, audit, commit, signing_keys, undo};

/// Who rotates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// An operator, now.
    Hand,
    /// The server, when a key has signed for so long.
    Schedule(Duration),
}

/// What came of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It is decided.
    Done(Rotated),
    /// The last one is not over yet.
    Pending(Pending),
    /// It is not time yet.
    NotDue,
    /// Keys are given by the operator, who alone can change them.
    Given,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The key that will sign.
    pub kid: String,
    /// From when.
    pub active_from: Timestamp,
    /// The key that signs until then.
    pub former: Option<String>,
    /// Until when that is published at least.
    pub former_until: Timestamp,
    /// The new next key.
    pub next: String,
}

/// What came of taking a key back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It is published no more. Another signs in its place, where it signed.
    Done {
        /// That other.
        successor: Option<String>,
    },
    /// It was taken back before.
    Already,
    /// There is no key of this name.
    Unknown,
    /// It is in a key file of the configuration.
    Given,
}

/// The keys, where they are stored, and the moment at which something is done to them.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The keys.
    pub keys: &'a Keys,
    /// Where they are stored.
    pub store: &'a Store,
    /// For new keys.
    pub random: &'a Random,
    /// How long any token lives.
    pub longest_token: Duration,
    /// The moment.
    pub now: Timestamp,
}

impl Moment<'_> {
    /// Decides that the next key signs soon, and publishes another next one at once.
    pub async fn rotate(self, by: By) -> Result<Rotation, ReadError> {
        let Chosen::Made(algorithm) = *self.keys.chosen() else { return Ok(Rotation::Given) };
        let is_due = |rows: &[SigningKeyRow]| match by {
            By::Hand => true,
            By::Schedule(every) => ring::is_due(rows, algorithm, every, self.now),
        };
        if !is_due(&self.keys.rows(self.store.list_signing_keys().await?)) {
            return Ok(Rotation::NotDue);
        }
        let spare = generate(algorithm).await?;
        let mut tx = self.store.write_patiently().await?;
        let rows = self.keys.rows_in(&mut tx).await?;
        // Another replica may have done it.
        let promotion = match ring::promote(&rows, algorithm, self.now) {
            Ok(promotion) if is_due(&rows) => promotion,
            Ok(_) => return undo(tx).await.map(|()| Rotation::NotDue).map_err(ReadError::from),
            Err(pending) => {
                return undo(tx).await.map(|()| Rotation::Pending(pending)).map_err(ReadError::from);
            }
        };
        let active_from = promotion.active_from;
        let kid = if let Some(kid) = promotion.kid {
            signing_keys::activate(&mut tx, &kid, active_from).await?;
            kid
        } else {
            let pair = generate(algorithm).await?;
            let kid = pair.kid.clone();
            self.keys.add(&mut tx, Some(pair), (active_from, self.now), self.random).await?;
            kid
        };
        let next = spare.kid.clone();
        self.keys.add(&mut tx, Some(spare), (NOT_YET, self.now), self.random).await?;
        let former = ring::signing(&rows, self.keys.chosen(), self.now).map(|row| row.life.kid.clone());
        let former_until = active_from.plus(ring::kept_for(self.longest_token));
        if let Some(former) = &former {
            signing_keys::keep(&mut tx, former, former_until).await?;
        }
        let who = match by {
            By::Hand => "by hand",
            By::Schedule(_) => "by schedule",
        };
        let what = format!("{who}; {kid} signs from {}", active_from.rfc3339());
        self.record(&mut tx, Kind::KeysRotated, what);
        commit(tx).await?;
        Ok(Rotation::Done(Rotated { kid, active_from, former, former_until, next }))
    }

    /// Retires the keys whose time is over; says how many.
    pub async fn retire(self) -> Result<usize, ReadError> {
        let old = |rows: &[SigningKeyRow]| -> Vec<(String, Option<Timestamp>)> {
            let lives = rows.iter().map(|row| &row.life);
            let states = lives.map(|life| (life, ring::state(rows, life, self.keys.chosen(), self.now)));
            states
                .filter_map(|(life, state)| match state {
                    State::Old(until) if until.is_none_or(|until| until <= self.now) => {
                        Some((life.kid.clone(), until))
                    }
                    _ => None,
                })
                .collect()
        };
        if old(&self.keys.rows(self.store.list_signing_keys().await?)).is_empty() {
            return Ok(0);
        }
        let mut tx = self.store.write_patiently().await?;
        let rows = self.keys.rows_in(&mut tx).await?;
        let mut retired = 0;
        for (kid, until) in old(&rows) {
            if until.is_none() {
                // Nobody said how long it is needed: from now on, as if it had signed until now.
                let full = self.now.plus(ring::kept_for(self.longest_token));
                signing_keys::keep(&mut tx, &kid, full).await?;
            } else if signing_keys::retire(&mut tx, &kid, self.now).await? {
                retired += 1;
                self.record(&mut tx, Kind::KeyRetired, kid);
            }
        }
        commit(tx).await?;
        Ok(retired)
    }

    /// Takes a key back at once and for good: no token that it signed is good any more. Where it signs, or was about
    /// to, another takes its place without a lead: one that is published already, or else a new one.
    pub async fn revoke(self, kid: &str) -> Result<Revocation, ReadError> {
        if let Chosen::Given { signing, next } = self.keys.chosen()
            && (signing == kid || next.as_deref() == Some(kid))
        {
            return Ok(Revocation::Given);
        }
        let all = self.store.list_all_signing_keys().await?;
        match all.iter().find(|row| row.life.kid == kid) {
            None => return Ok(Revocation::Unknown),
            Some(row) if row.revoked_at.is_some() => return Ok(Revocation::Already),
            Some(_) => {}
        }
        let spare = match *self.keys.chosen() {
            Chosen::Made(algorithm) => Some(generate(algorithm).await?),
            Chosen::Given { .. } => None,
        };
        let mut tx = self.store.write_patiently().await?;
        let rows = self.keys.rows_in(&mut tx).await?;
        if !signing_keys::revoke(&mut tx, kid, self.now).await? {
            undo(tx).await?;
            return Ok(Revocation::Already);
        }
        let left: Vec<&SigningKeyRow> = rows.iter().filter(|row| row.life.kid != kid).collect();
        let signed =
            ring::signing(&rows, self.keys.chosen(), self.now).is_some_and(|row| row.life.kid == kid);
        let mut successor = None;
        if let Chosen::Made(algorithm) = *self.keys.chosen() {
            let mut ours: Vec<_> = left.iter().map(|row| &row.life).collect();
            ours.retain(|life| life.algorithm == algorithm && life.can_sign && life.active_from > self.now);
            ours.sort_by_key(|life| (life.active_from, life.created_at));
            let next =
                ours.last().is_some_and(|life| life.active_from == NOT_YET && (!signed || ours.len() > 1));
            // By the clock of every replica.
            let at_once = self.now.minus(CLOCK_SKEW);
            if signed && let Some(life) = ours.first() {
                signing_keys::activate(&mut tx, &life.kid, at_once).await?;
                successor = Some(life.kid.clone());
            } else if signed {
                let pair = generate(algorithm).await?;
                successor = Some(pair.kid.clone());
                self.keys.add(&mut tx, Some(pair), (at_once, self.now), self.random).await?;
            }
            if !next {
                self.keys.add(&mut tx, spare, (NOT_YET, self.now), self.random).await?;
            }
        }
        let what = successor.as_ref().map_or_else(|| kid.to_owned(), |next| format!("{kid}; {next} signs"));
        self.record(&mut tx, Kind::KeyRevoked, what);
        commit(tx).await?;
        Ok(Revocation::Done { successor })
    }

    /// Says of the keys that this replica signs with, or will, that they are kept.
    pub async fn keep(self) -> Result<(), ReadError> {
        let to_keep = |rows: &[SigningKeyRow]| -> Vec<String> {
            let lives = ring::to_keep(rows, self.keys.chosen(), self.longest_token, self.now);
            lives.into_iter().map(|life| life.kid.clone()).collect()
        };
        if to_keep(&self.keys.rows(self.store.list_signing_keys().await?)).is_empty() {
            return Ok(());
        }
        let until = self.now.plus(ring::kept_for(self.longest_token));
        let mut tx = self.store.write_patiently().await?;
        for kid in to_keep(&self.keys.rows_in(&mut tx).await?) {
            signing_keys::keep(&mut tx, &kid, until).await?;
        }
        Ok(commit(tx).await?)
    }

    fn record(self, tx: &mut Tx, kind: Kind, what: String) {
        audit::record(tx, self.now, &Event::new(kind, Outcome::Done).detail(what));
    }
}
