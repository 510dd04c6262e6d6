//! What is promised of the stored keys, on every database.

use std::time::Duration;

use jsonwebtoken::Algorithm::{self, ES256, EdDSA};

use super::given::Given;
use super::ring::{self, FROM_THE_START, KEPT_EVERY, LEAD, LEAD_OF_A_STRANGER, NOT_YET, State};
use super::rotation::{By, Moment, Revocation, Rotated, Rotation};
use super::{Keys, Pair, ReadError, SealingKey};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::storage::everywhere::{self, Opened};
use crate::storage::{Store, commit, signing_keys};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const HOUR: Duration = Duration::from_hours(1);

/// One replica.
struct Replica {
    keys: Keys,
    store: Store,
    random: Random,
}

impl Replica {
    async fn open(store: &Store, algorithm: Algorithm, now: Timestamp) -> Self {
        Self::try_open(store, algorithm, None, now).await.unwrap()
    }

    async fn given(store: &Store, signing: &Pair, next: Option<&Pair>, now: Timestamp) -> Self {
        let given = Given { signing: signing.clone(), next: next.cloned() };
        Self::try_open(store, signing.algorithm, Some(given), now).await.unwrap()
    }

    async fn try_open(
        store: &Store,
        algorithm: Algorithm,
        given: Option<Given>,
        now: Timestamp,
    ) -> Result<Self, ReadError> {
        let random = Random::seeded(7);
        let sealing = SealingKey::new([7; 32]);
        let (keys, _) = Keys::open(store, sealing, (algorithm, given), now, &random).await?;
        Ok(Self { keys, store: store.clone(), random })
    }

    fn at(&self, now: Timestamp) -> Moment<'_> {
        Moment { keys: &self.keys, store: &self.store, random: &self.random, longest_token: HOUR, now }
    }

    async fn rotate(&self, now: Timestamp) -> Rotated {
        let Rotation::Done(rotated) = self.at(now).rotate(By::Hand).await.unwrap() else { panic!() };
        self.keys.read(&self.store).await.unwrap();
        rotated
    }

    /// Its signing key, and the state of every published key.
    async fn states(&self, now: Timestamp) -> (Option<String>, Vec<(String, State)>) {
        let rows = self.keys.rows(self.store.list_signing_keys().await.unwrap());
        let chosen = self.keys.chosen();
        let signing = ring::signing(&rows, chosen, now).map(|row| row.life.kid.clone());
        let state =
            |row: &super::SigningKeyRow| (row.life.kid.clone(), ring::state(&rows, &row.life, chosen, now));
        (signing, rows.iter().map(state).collect())
    }

    async fn signing(&self, now: Timestamp) -> String {
        self.states(now).await.0.unwrap()
    }
}

async fn published(store: &Store) -> Vec<String> {
    store.list_signing_keys().await.unwrap().into_iter().map(|row| row.life.kid).collect()
}

async fn audited(store: &Store) -> Vec<(String, String)> {
    let events = store.list_audit_events(None, 100).await.unwrap();
    events.into_iter().map(|row| (row.event, row.detail.unwrap_or_default())).collect()
}

#[tokio::test]
async fn the_next_key_signs_after_its_lead_and_the_former_goes_with_its_last_token() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let replica = Replica::open(&store, ES256, NOW).await;
        let first = replica.signing(NOW).await;
        replica.at(NOW).keep().await.unwrap();
        let now = NOW.plus(HOUR);
        let rotated = replica.rotate(now).await;
        assert_eq!((rotated.former.as_ref(), rotated.active_from), (Some(&first), now.plus(LEAD)));
        assert_eq!(replica.signing(now).await, first);
        let states = replica.states(now).await.1;
        assert!(states.contains(&(rotated.kid.clone(), State::Next(Some(now.plus(LEAD))))));
        assert!(states.contains(&(rotated.next.clone(), State::Next(None))));
        let again = replica.at(now).rotate(By::Hand).await.unwrap();
        assert!(matches!(again, Rotation::Pending(pending) if pending.kid == rotated.kid));

        let later = now.plus(LEAD);
        assert_eq!(replica.signing(later).await, rotated.kid);
        let end = rotated.former_until;
        assert!(end >= later.plus(HOUR));
        let states = replica.states(later).await.1;
        assert!(states.contains(&(first.clone(), State::Old(Some(end)))), "{states:?}");
        let before = end.minus(Duration::from_millis(1));
        assert_eq!(replica.at(before).retire().await.unwrap(), 0);
        assert_eq!(replica.at(end).retire().await.unwrap(), 1);
        assert_eq!(replica.at(end).retire().await.unwrap(), 0);
        assert_eq!(published(&store).await.len(), 2);
        let all = store.list_all_signing_keys().await.unwrap();
        let gone = all.iter().find(|row| row.life.kid == first).unwrap();
        assert_eq!(
            (gone.retired_at, &gone.sealed_private_key),
            (Some(end), &None),
            "its private half is gone"
        );
        let said = format!("by hand; {} signs from {}", rotated.kid, later.rfc3339());
        let expected = [("keys_rotated".to_owned(), said), ("key_retired".to_owned(), first)];
        let mut audited = audited(&store).await;
        audited.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(audited, expected);
    }
}

#[tokio::test]
async fn of_many_who_rotate_at_once_by_schedule_one_does() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let replica = Replica::open(&store, ES256, NOW).await;
        let every = By::Schedule(24 * HOUR);
        assert_eq!(replica.at(NOW).rotate(every).await.unwrap(), Rotation::NotDue);
        let now = NOW.plus(24 * HOUR);
        let rotations = (0..8).map(|_| replica.at(now).rotate(every));
        let rotations = futures::future::join_all(rotations).await;
        let done = rotations.iter().filter(|done| matches!(done, Ok(Rotation::Done(_)))).count();
        assert_eq!(done, 1, "{rotations:?}");
        assert_eq!(published(&store).await.len(), 3);
        assert!(audited(&store).await[0].1.starts_with("by schedule; "));
    }
}

#[tokio::test]
async fn another_algorithm_signs_once_its_key_is_known_and_the_former_stays_as_long_as_anybody_signs_with_it()
{
    for Opened { store, _folder, .. } in everywhere::open().await {
        let old = Replica::open(&store, ES256, NOW).await;
        let former = old.signing(NOW).await;
        let now = NOW.plus(HOUR);
        let new = Replica::open(&store, EdDSA, now).await;
        assert_eq!(new.signing(now).await, former, "nobody knows the new key yet");
        let known = now.plus(LEAD_OF_A_STRANGER);
        let successor = new.signing(known).await;
        assert_ne!(successor, former);
        assert_eq!(old.signing(known).await, former, "an old replica goes on with the old algorithm");
        // For a day the two run side by side: each keeps what it signs with, and retires nothing of the other's.
        let mut at = known;
        for _ in 0..24 * 6 {
            at = at.plus(2 * KEPT_EVERY);
            for replica in [&old, &new] {
                replica.at(at).keep().await.unwrap();
                assert_eq!(replica.at(at).retire().await.unwrap(), 0);
            }
        }
        assert_eq!(published(&store).await.len(), 4);
        // Then the old one stops. Its last token has expired after an hour and what is put on top.
        let over = at.plus(ring::kept_for(HOUR));
        new.at(over).keep().await.unwrap();
        assert_eq!(new.at(over.minus(Duration::from_millis(1))).retire().await.unwrap(), 0);
        assert_eq!(new.at(over).retire().await.unwrap(), 2, "the key and the one that was to be next");
        assert_eq!(new.signing(over).await, successor);
        let back = Replica::open(&store, ES256, over).await;
        assert_eq!(back.signing(over).await, successor, "back again is a change like the first");
        assert_ne!(back.signing(over.plus(LEAD_OF_A_STRANGER)).await, successor);
    }
}

#[tokio::test]
async fn a_key_that_nobody_spoke_for_gets_its_full_time() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        Replica::open(&store, ES256, NOW).await;
        let new = Replica::open(&store, EdDSA, NOW).await;
        let now = NOW.plus(24 * HOUR);
        assert_eq!(new.at(now).retire().await.unwrap(), 0, "its replicas may run an earlier version");
        let over = now.plus(ring::kept_for(HOUR));
        assert_eq!(new.at(over.minus(Duration::from_millis(1))).retire().await.unwrap(), 0);
        assert_eq!(new.at(over).retire().await.unwrap(), 2);
    }
}

#[tokio::test]
async fn a_given_key_signs_and_only_its_public_half_is_stored() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let [a, b, c] = [ES256, ES256, EdDSA].map(|algorithm| Pair::generate(algorithm).unwrap());
        let replica = Replica::given(&store, &a, Some(&b), NOW).await;
        let expected = vec![(a.kid.clone(), State::Signing), (b.kid.clone(), State::Next(None))];
        let mut states = replica.states(NOW).await.1;
        states.sort_by_key(|(kid, _)| *kid != a.kid);
        assert_eq!(states, expected);
        let rows = store.list_signing_keys().await.unwrap();
        assert!(rows.iter().all(|row| row.sealed_private_key.is_none()));
        assert_eq!(replica.at(NOW).rotate(By::Hand).await.unwrap(), Rotation::Given);
        replica.at(NOW).keep().await.unwrap();

        // The operator swaps the files, and one replica after the other restarts.
        let now = NOW.plus(HOUR);
        let swapped = Replica::given(&store, &b, Some(&c), now).await;
        assert_eq!(swapped.signing(now).await, b.kid, "it was published long enough");
        assert_eq!(replica.signing(now).await, a.kid);
        assert_eq!(published(&store).await.len(), 3);
        replica.at(now).keep().await.unwrap();
        let over = now.plus(ring::kept_for(HOUR));
        swapped.at(over).keep().await.unwrap();
        assert_eq!(swapped.at(over.minus(Duration::from_millis(1))).retire().await.unwrap(), 0);
        assert_eq!(swapped.at(over).retire().await.unwrap(), 1);
        // Back again: it is published once more.
        let back = Replica::given(&store, &a, None, over).await;
        assert_eq!(back.signing(over).await, a.kid);
    }
}

#[tokio::test]
async fn from_keys_of_ours_to_a_given_one_and_back_no_token_is_without_its_key() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let made = Replica::open(&store, ES256, NOW).await;
        let first = made.signing(NOW).await;
        let pair = Pair::generate(ES256).unwrap();
        let now = NOW.plus(HOUR);
        let given = Replica::given(&store, &pair, None, now).await;
        assert_eq!(given.signing(now).await, first, "nobody knows the given key yet");
        assert_eq!(given.signing(now.plus(LEAD_OF_A_STRANGER)).await, pair.kid);
        assert_eq!(made.signing(now.plus(LEAD_OF_A_STRANGER)).await, first);
        let back = Replica::open(&store, ES256, now.plus(HOUR)).await;
        assert_eq!(back.signing(now.plus(HOUR)).await, first);
    }
}

#[tokio::test]
async fn a_key_that_is_taken_back_never_comes_back_and_another_signs_at_once() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let replica = Replica::open(&store, ES256, NOW).await;
        let revoke = async |kid: &str, now| replica.at(now).revoke(kid).await.unwrap();
        assert_eq!(revoke("unknown", NOW).await, Revocation::Unknown);
        let (signing, states) = replica.states(NOW).await;
        let signing = signing.unwrap();
        let next = states.into_iter().find(|(kid, _)| *kid != signing).unwrap().0;
        let done = revoke(&signing, NOW).await;
        assert_eq!(done, Revocation::Done { successor: Some(next.clone()) });
        assert_eq!(revoke(&signing, NOW).await, Revocation::Already);
        assert_eq!(replica.signing(NOW.minus(ring::KEPT_EVERY / 5)).await, next, "by slower clocks, too");
        // The next one alone is replaced, and during a rotation the one that begins soon.
        let (_, states) = replica.states(NOW).await;
        let spare = states.iter().find(|(_, state)| *state == State::Next(None)).unwrap().0.clone();
        assert_eq!(revoke(&spare, NOW).await, Revocation::Done { successor: None });
        assert_eq!(published(&store).await.len(), 2);
        let now = NOW.plus(HOUR);
        let rotated = replica.rotate(now).await;
        assert_eq!(revoke(&next, now).await, Revocation::Done { successor: Some(rotated.kid.clone()) });
        assert_eq!(replica.signing(now).await, rotated.kid);
        assert_eq!(replica.states(now).await.1.len(), 2);
        let rows = store.list_all_signing_keys().await.unwrap();
        let revoked: Vec<_> = rows.iter().filter(|row| row.revoked_at.is_some()).collect();
        assert_eq!(revoked.len(), 3);
        assert!(revoked.iter().all(|row| row.retired_at.is_some() && row.sealed_private_key.is_none()));
    }
}

#[tokio::test]
async fn a_key_that_is_taken_back_when_there_is_no_next_one_is_followed_by_a_new_one() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let replica = Replica::open(&store, ES256, NOW).await;
        let (signing, states) = replica.states(NOW).await;
        let signing = signing.unwrap();
        let mut tx = store.write().await.unwrap();
        for (kid, _) in states.iter().filter(|(kid, _)| *kid != signing) {
            assert!(signing_keys::revoke(&mut tx, kid, NOW).await.unwrap());
        }
        commit(tx).await.unwrap();
        let done = replica.at(NOW).revoke(&signing).await.unwrap();
        let Revocation::Done { successor: Some(successor) } = done else { panic!("{done:?}") };
        assert_eq!(replica.signing(NOW).await, successor);
        assert_eq!(replica.states(NOW).await.1.len(), 2, "and there is a next one again");
    }
}

#[tokio::test]
async fn a_given_key_that_was_taken_back_is_not_opened() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let [a, b] = [ES256, ES256].map(|algorithm| Pair::generate(algorithm).unwrap());
        let replica = Replica::given(&store, &a, None, NOW).await;
        assert_eq!(replica.at(NOW).revoke(&a.kid).await.unwrap(), Revocation::Given);
        let other = Replica::given(&store, &b, None, NOW).await;
        assert_eq!(other.at(NOW).revoke(&a.kid).await.unwrap(), Revocation::Done { successor: None });
        let given = Given { signing: a.clone(), next: None };
        let refused = Replica::try_open(&store, ES256, Some(given), NOW).await.err().unwrap();
        assert!(matches!(refused, ReadError::Revoked(kid) if kid == a.kid));
    }
}

#[tokio::test]
async fn for_unknown_names_the_keys_are_read_once_a_second_however_many_ask() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let [here, there] =
            [Replica::open(&store, ES256, NOW).await, Replica::open(&store, ES256, NOW).await];
        let ask = async |now| here.keys.read_for_unknown(&store, now).await.unwrap();
        let knows = |kid: &str| here.keys.lives().iter().any(|life| life.kid == kid);
        let begun = NOW.plus(HOUR);
        let rotated = there.rotate(begun).await;
        assert!(!knows(&rotated.next));
        ask(begun).await;
        assert!(knows(&rotated.next));
        let later = begun.plus(LEAD_OF_A_STRANGER);
        ask(later).await;
        let rotated = there.rotate(later).await;
        futures::future::join_all((0..200).map(|_| ask(later))).await;
        assert!(!knows(&rotated.next), "they were read within this second");
        let second = later.plus(Duration::from_secs(1));
        futures::future::join_all((0..200).map(|_| async {
            ask(second).await;
            assert!(knows(&rotated.next), "one reads, and the others wait for it");
        }))
        .await;
        let much_later = second.plus(HOUR);
        let rotated = there.rotate(much_later).await;
        ask(NOW).await;
        assert!(knows(&rotated.next), "a clock that was put back keeps nobody waiting");
        store.close().await;
        let failed = here.keys.read_for_unknown(&store, much_later).await.unwrap_err();
        assert!(matches!(failed, ReadError::Storage(_)), "{failed:?}");
        let lately = here.keys.read_for_unknown(&store, much_later).await.unwrap_err();
        assert!(matches!(lately, ReadError::Lately), "nobody is refused for our fault: {lately:?}");
    }
}

#[tokio::test]
async fn a_time_is_set_once_and_a_keeping_is_only_put_off() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let pair = Pair::generate(ES256).unwrap();
        let row = pair.seal(NOT_YET, NOW, &SealingKey::new([7; 32]), &Random::seeded(7)).unwrap();
        let later = NOW.plus(HOUR);
        let mut tx = store.write().await.unwrap();
        signing_keys::record(&mut tx, &row).await.unwrap();
        signing_keys::record(&mut tx, &row).await.unwrap();
        assert!(signing_keys::activate(&mut tx, &row.life.kid, later).await.unwrap());
        assert!(!signing_keys::activate(&mut tx, &row.life.kid, later.plus(HOUR)).await.unwrap());
        assert!(signing_keys::activate(&mut tx, &row.life.kid, FROM_THE_START).await.unwrap());
        assert!(!signing_keys::retire(&mut tx, &row.life.kid, later).await.unwrap(), "nobody said how long");
        signing_keys::keep(&mut tx, &row.life.kid, later).await.unwrap();
        signing_keys::keep(&mut tx, &row.life.kid, NOW).await.unwrap();
        assert!(!signing_keys::retire(&mut tx, &row.life.kid, NOW).await.unwrap());
        assert!(signing_keys::retire(&mut tx, &row.life.kid, later).await.unwrap());
        assert!(!signing_keys::activate(&mut tx, &row.life.kid, Timestamp(-1)).await.unwrap());
        assert!(signing_keys::publish(&mut tx, &row).await.unwrap(), "it may come back");
        assert!(signing_keys::revoke(&mut tx, &row.life.kid, later).await.unwrap());
        assert!(!signing_keys::revoke(&mut tx, &row.life.kid, later).await.unwrap());
        assert!(!signing_keys::publish(&mut tx, &row).await.unwrap(), "it never comes back");
        commit(tx).await.unwrap();
    }
}

#[tokio::test]
async fn with_the_key_file_of_another_database_nothing_is_stored() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        Replica::open(&store, ES256, NOW).await;
        let before = published(&store).await;
        let stranger = SealingKey::new([8; 32]);
        let opened = Keys::open(&store, stranger, (EdDSA, None), NOW, &Random::seeded(8)).await;
        assert!(matches!(opened, Err(ReadError::Key(_))), "{opened:?}");
        assert_eq!(published(&store).await, before);
        Replica::open(&store, ES256, NOW).await;
    }
}
