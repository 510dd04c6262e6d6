//! Signing keys as they are stored, read at the start and ever again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use tokio::sync::Mutex;

use super::given::Given;
use super::ring::{self, Chosen, FROM_THE_START, NOT_YET};
use super::{KeyError, Keys, Pair, SealingKey, SigningKey, SigningKeyRow};
use crate::clock::Timestamp;
use crate::oauth::error::{Error, temporarily_unavailable};
use crate::random::Random;
use crate::storage::leases::{self, Work};
use crate::storage::{StorageError, Store, Tx, commit, signing_keys};

/// How soon after one unknown `kid` the keys are read again for another: forged ones cost nothing.
const UNKNOWN_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// The stored keys cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database cannot be asked.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A key does not open.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// They could not be read a moment ago, and are not tried again so soon.
    #[error("the signing keys could not be read a moment ago")]
    Lately,
    /// A key that is given was taken back.
    #[error("this key ({0}) was revoked; make another")]
    Revoked(String),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(error) => error.into(),
            ReadError::Key(error) => error.into(),
            ReadError::Lately | ReadError::Revoked(_) => {
                let busy = temporarily_unavailable("the server is busy, try again shortly");
                busy.detail(error).retry_after(2)
            }
        }
    }
}

/// Of those who meet an unknown `kid` one reads the keys, and the others wait for it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    last: Mutex<Last>,
    ended: AtomicU64,
}

#[derive(Debug, Default)]
struct Last {
    begun: Option<Timestamp>,
    failed: bool,
}

impl Keys {
    /// Opens the keys of a store. Keys of `algorithm` are made where there are none, unless keys are given. Says
    /// whether anything was stored that the other replicas should read.
    pub async fn open(
        store: &Store,
        sealing: SealingKey,
        (algorithm, given): (Algorithm, Option<Given>),
        now: Timestamp,
        random: &Random,
    ) -> Result<(Self, bool), ReadError> {
        // Before anything is stored: with the key file of another database nothing opens, and what it seals would be
        // of no use to anybody.
        let keys = Self::look(store, sealing, (algorithm, given)).await?;
        let rows = keys.rows(store.list_signing_keys().await?);
        let changed = match &keys.given {
            None => keys.make_first(store, algorithm, &rows, now, random).await?,
            Some(given) => keys.publish_given(store, given, &rows, now).await?,
        };
        keys.read(store).await?;
        Ok((keys, changed))
    }

    /// The keys of a store as they are: none is made, and none that is given is published.
    pub async fn look(
        store: &Store,
        sealing: SealingKey,
        (algorithm, given): (Algorithm, Option<Given>),
    ) -> Result<Self, ReadError> {
        let chosen = given.as_ref().map_or(Chosen::Made(algorithm), |given| Chosen::Given {
            signing: given.signing.kid.clone(),
            next: given.next.as_ref().map(|next| next.kid.clone()),
        });
        let keys = Self { given, ..Self::new(sealing, Vec::new(), chosen) };
        keys.read(store).await?;
        Ok(keys)
    }

    /// Rows as this process sees them: with what it can sign.
    pub(super) fn rows(&self, mut rows: Vec<SigningKeyRow>) -> Vec<SigningKeyRow> {
        for row in &mut rows {
            let given = self.given.as_ref().is_some_and(|given| given.signing.kid == row.life.kid);
            row.life.can_sign |= given;
        }
        rows
    }

    /// The published keys as they are stored at this moment, in the transaction that may change them.
    pub(super) async fn rows_in(&self, tx: &mut Tx) -> Result<Vec<SigningKeyRow>, StorageError> {
        leases::hold(tx, Work::SigningKeys).await?;
        Ok(self.rows(signing_keys::list(tx).await?))
    }

    /// Reads the published keys. What has not changed is left as it is.
    pub async fn read(&self, store: &Store) -> Result<(), ReadError> {
        let rows = store.list_signing_keys().await?;
        let ring = self.ring();
        let same = |(row, key): (&SigningKeyRow, &SigningKey)| {
            row.life.kid == key.life.kid && row.life.active_from == key.life.active_from
        };
        if rows.len() == ring.keys.len() && rows.iter().zip(&ring.keys).all(same) {
            return Ok(());
        }
        let given = self.given.as_ref().map(|given| &given.signing);
        let signing = rows.iter().map(|row| SigningKey::open(row, &self.sealing, given));
        self.replace(signing.collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Reads the published keys because a token names one that is not known, at most once a second however many ask.
    /// Whoever asked should look again: the keys are now those of a second ago or later.
    pub async fn read_for_unknown(&self, store: &Store, now: Timestamp) -> Result<(), ReadError> {
        let asked = self.reading.ended.load(Ordering::SeqCst);
        let mut last = self.reading.last.lock().await;
        let read_meanwhile = self.reading.ended.load(Ordering::SeqCst) != asked;
        let lately = |begun: Timestamp| begun <= now && now.since(begun) < UNKNOWN_AT_MOST_EVERY;
        if read_meanwhile || last.begun.is_some_and(lately) {
            return if last.failed { Err(ReadError::Lately) } else { Ok(()) };
        }
        // Should nobody wait for the end of this any more, it has failed.
        *last = Last { begun: Some(now), failed: true };
        let read = self.read(store).await;
        last.failed = read.is_err();
        self.reading.ended.fetch_add(1, Ordering::SeqCst);
        read
    }

    /// Makes the current key and the next one where there is none of the algorithm. Of several replicas that start
    /// together one records its keys, and the others find them.
    async fn make_first(
        &self,
        store: &Store,
        algorithm: Algorithm,
        rows: &[SigningKeyRow],
        now: Timestamp,
        random: &Random,
    ) -> Result<bool, ReadError> {
        if ring::first(rows, algorithm, now).is_none() {
            return Ok(false);
        }
        let mut spare = vec![generate(algorithm).await?, generate(algorithm).await?];
        let mut tx = store.write_patiently().await?;
        let rows = self.rows_in(&mut tx).await?;
        let first = ring::first(&rows, algorithm, now);
        if let Some(first) = &first {
            match &first.kid {
                Some(kid) => {
                    signing_keys::activate(&mut tx, kid, first.active_from).await?;
                }
                None => self.add(&mut tx, spare.pop(), (first.active_from, now), random).await?,
            }
            self.add(&mut tx, spare.pop(), (NOT_YET, now), random).await?;
        }
        commit(tx).await?;
        Ok(first.is_some())
    }

    /// Records a key that was made.
    pub(super) async fn add(
        &self,
        tx: &mut Tx,
        pair: Option<Pair>,
        (active_from, now): (Timestamp, Timestamp),
        random: &Random,
    ) -> Result<(), ReadError> {
        if let Some(pair) = pair {
            signing_keys::record(tx, &pair.seal(active_from, now, &self.sealing, random)?).await?;
        }
        Ok(())
    }

    /// Publishes the keys that are given: the one that signs from when everybody can know it, or at once where
    /// there is no other.
    async fn publish_given(
        &self,
        store: &Store,
        given: &Given,
        rows: &[SigningKeyRow],
        now: Timestamp,
    ) -> Result<bool, ReadError> {
        let is_active =
            |kid: &str| rows.iter().any(|row| row.life.kid == kid && row.life.active_from != NOT_YET);
        let is_published = |pair: &Pair| rows.iter().any(|row| row.life.kid == pair.kid);
        if is_active(&given.signing.kid) && given.next.as_ref().is_none_or(is_published) {
            return Ok(false);
        }
        let mut tx = store.write_patiently().await?;
        let rows = self.rows_in(&mut tx).await?;
        let known = rows.iter().find(|row| row.life.kid == given.signing.kid);
        let others_sign = rows
            .iter()
            .any(|row| row.life.can_sign && row.life.active_from <= now && row.life.kid != given.signing.kid);
        let active_from = match known {
            Some(row) => now.max(ring::known_from(&row.life)),
            None if others_sign => now.plus(ring::LEAD_OF_A_STRANGER),
            None => FROM_THE_START,
        };
        self.publish(&mut tx, &given.signing, now).await?;
        signing_keys::activate(&mut tx, &given.signing.kid, active_from).await?;
        if let Some(next) = &given.next {
            self.publish(&mut tx, next, now).await?;
        }
        commit(tx).await?;
        Ok(true)
    }

    /// Publishes a given key, also one that was retired.
    async fn publish(&self, tx: &mut Tx, pair: &Pair, now: Timestamp) -> Result<(), ReadError> {
        if signing_keys::publish(tx, &pair.public(NOT_YET, now)).await? {
            Ok(())
        } else {
            Err(ReadError::Revoked(pair.kid.clone()))
        }
    }
}

/// Makes a key where no request waits for it.
pub(super) async fn generate(algorithm: Algorithm) -> Result<Pair, KeyError> {
    let made = tokio::task::spawn_blocking(move || Pair::generate(algorithm)).await;
    made.map_err(|error| KeyError::Unusable(error.to_string()))?
}
