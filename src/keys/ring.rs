//! The rules that signing keys live by, pure: which one signs, which are published, when one has had its day.
//!
//! A key is published long before it signs: first it is the *next* one, for which no time is set; a rotation sets the
//! time, far enough ahead that every replica and whoever keeps a copy of the JWK set knows the key by then. From the
//! time on that its successor signs it is *old*: published until the last token that it may have signed has expired.
//! How long that is, is written down with the key itself ([`Life::kept_until`]) and renewed by each replica that may
//! sign with it. So it needs no knowledge of what the other replicas are configured to do: during a rolling restart
//! they differ.

use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::CLOCK_SKEW;
use crate::clock::Timestamp;

/// How long others may keep a copy of the JWK set.
pub const JWKS_KEPT: Duration = Duration::from_mins(5);
/// How often each replica reads the keys anew, at least.
pub const READ_EVERY: Duration = Duration::from_secs(30);
/// How often a replica that may sign with a key says so.
pub const KEPT_EVERY: Duration = Duration::from_mins(5);
/// How long before a published key signs, this is decided: in which time every replica hears of it, whatever its
/// clock says. Any other could verify its tokens, but should also know who signs.
pub const LEAD: Duration = Duration::from_mins(2);
/// The same for a key that was not published yet: until every copy of the JWK set has it.
pub const LEAD_OF_A_STRANGER: Duration = JWKS_KEPT.saturating_add(LEAD);

/// When the very first key begins to sign: at once, by the clock of any replica.
pub const FROM_THE_START: Timestamp = Timestamp(0);
/// When the next key begins to sign: once a rotation says so.
pub const NOT_YET: Timestamp = Timestamp(i64::MAX);

/// What is known of a published key, without its halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its name in token headers and the JWK set.
    pub kid: String,
    /// The one algorithm it is used with.
    pub algorithm: Algorithm,
    /// Whether this process has what signs.
    pub can_sign: bool,
    /// When it was made, or first seen.
    pub created_at: Timestamp,
    /// From when it signs; [`NOT_YET`] for the next key.
    pub active_from: Timestamp,
    /// Until when it is published at least. `None` while no replica said so.
    pub kept_until: Option<Timestamp>,
}

impl AsRef<Life> for Life {
    fn as_ref(&self) -> &Life {
        self
    }
}

/// Which keys the configuration chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Those that the server makes, of this algorithm.
    Made(Algorithm),
    /// Those that the operator gives, by their names.
    Given {
        /// The one that signs.
        signing: String,
        /// The one that is published beside it.
        next: Option<String>,
    },
}

impl Chosen {
    /// Whether a key is one of those that may sign here.
    fn includes(&self, life: &Life) -> bool {
        life.can_sign
            && match self {
                Self::Made(algorithm) => life.algorithm == *algorithm,
                Self::Given { signing, .. } => life.kid == *signing,
            }
    }
}

/// The key that signs at `now`. Of the chosen ones that which began last; while there is none yet, because the
/// configuration has just changed, the one that signed until now, so that nobody meets a key before they can know it.
pub fn signing<'a, K: AsRef<Life>>(keys: &'a [K], chosen: &Chosen, now: Timestamp) -> Option<&'a K> {
    let latest = |wanted: &dyn Fn(&Life) -> bool| {
        let active = keys.iter().filter(|key| {
            let life = key.as_ref();
            life.can_sign && life.active_from <= now && wanted(life)
        });
        active.max_by_key(|key| key.as_ref().active_from)
    };
    let given = || match chosen {
        Chosen::Made(_) => None,
        // There is no other: whoever does not know it reads the keys again.
        Chosen::Given { .. } => keys.iter().find(|key| chosen.includes(key.as_ref())),
    };
    latest(&|life| chosen.includes(life)).or_else(|| latest(&|_| true)).or_else(given)
}

/// Where a published key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It signs.
    Signing,
    /// It is published, and will sign from then on where that is known.
    Next(Option<Timestamp>),
    /// It signs no more, and is published until then. `None` while nobody said until when.
    Old(Option<Timestamp>),
}

/// Where a key is in its life, as this process is configured.
pub fn state<K: AsRef<Life>>(keys: &[K], life: &Life, chosen: &Chosen, now: Timestamp) -> State {
    if signing(keys, chosen, now).is_some_and(|key| key.as_ref().kid == life.kid) {
        return State::Signing;
    }
    let is_named = matches!(chosen, Chosen::Given { next: Some(next), .. } if *next == life.kid);
    if is_named || (chosen.includes(life) && life.active_from > now) {
        return State::Next(Some(life.active_from).filter(|from| *from != NOT_YET));
    }
    State::Old(life.kept_until)
}

/// For how long from now a key is kept that may sign now: until the last token that it signs before this is said
/// again has expired everywhere, and no copy of the JWK set that was taken meanwhile is in use.
pub fn kept_for(longest_token: Duration) -> Duration {
    let unsaid = KEPT_EVERY.saturating_mul(2);
    longest_token.saturating_add(CLOCK_SKEW).saturating_add(JWKS_KEPT).saturating_add(unsaid)
}

/// Those keys that this replica signs with or will, of which it has to be said that they are kept.
pub fn to_keep<'a, K: AsRef<Life>>(
    keys: &'a [K],
    chosen: &Chosen,
    longest_token: Duration,
    now: Timestamp,
) -> Vec<&'a Life> {
    let renewed = now.plus(kept_for(longest_token).saturating_sub(KEPT_EVERY));
    let lives = keys.iter().map(AsRef::as_ref);
    lives
        .filter(|life| !matches!(state(keys, life, chosen, now), State::Old(_)))
        .filter(|life| life.kept_until.is_none_or(|until| until < renewed))
        .collect()
}

/// What a rotation does: this key signs from then on. `None` is a key that has yet to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// Which.
    pub kid: Option<String>,
    /// From when.
    pub active_from: Timestamp,
}

/// A rotation is under way already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The key that begins to sign.
    pub kid: String,
    /// When.
    pub active_from: Timestamp,
}

/// Which key of `algorithm` signs next, if keys are rotated now.
pub fn promote<K: AsRef<Life>>(
    keys: &[K],
    algorithm: Algorithm,
    now: Timestamp,
) -> Result<Promotion, Pending> {
    let chosen = Chosen::Made(algorithm);
    let of_ours = || keys.iter().map(AsRef::as_ref).filter(|life| chosen.includes(life));
    if let Some(life) = of_ours().find(|life| life.active_from > now && life.active_from != NOT_YET) {
        return Err(Pending { kid: life.kid.clone(), active_from: life.active_from });
    }
    let next = of_ours().filter(|life| life.active_from == NOT_YET).min_by_key(|life| life.created_at);
    Ok(match next {
        Some(life) => {
            Promotion { kid: Some(life.kid.clone()), active_from: now.plus(LEAD).max(known_from(life)) }
        }
        None => Promotion { kid: None, active_from: now.plus(LEAD_OF_A_STRANGER) },
    })
}

/// From when everybody can know a key.
pub fn known_from(life: &Life) -> Timestamp {
    life.created_at.plus(LEAD_OF_A_STRANGER)
}

/// What has to be done so that there is a key of `algorithm` that signs, or will; `None` when there is one. The first
/// key of all signs at once.
pub fn first<K: AsRef<Life>>(keys: &[K], algorithm: Algorithm, now: Timestamp) -> Option<Promotion> {
    let lives = || keys.iter().map(AsRef::as_ref).filter(|life| life.can_sign && life.active_from != NOT_YET);
    if lives().any(|life| life.algorithm == algorithm) {
        return None;
    }
    let promotion = promote(keys, algorithm, now).ok()?;
    let active_from =
        if lives().any(|life| life.active_from <= now) { promotion.active_from } else { FROM_THE_START };
    Some(Promotion { active_from, ..promotion })
}

/// Whether the key of `algorithm` that signs has done so for `every`, and no rotation is under way.
pub fn is_due<K: AsRef<Life>>(keys: &[K], algorithm: Algorithm, every: Duration, now: Timestamp) -> bool {
    let Some(current) = signing(keys, &Chosen::Made(algorithm), now) else { return false };
    let life = current.as_ref();
    let signed_for = now.since(life.active_from.max(life.created_at));
    life.algorithm == algorithm && signed_for >= every && promote(keys, algorithm, now).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Algorithm::{ES256, EdDSA};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const HOUR: Duration = Duration::from_hours(1);
    const LONG_AGO: Timestamp = Timestamp(1_700_000_000_000);

    /// A key of ours that was made long ago.
    fn key(kid: &str, algorithm: Algorithm, active_from: Timestamp) -> Life {
        let kid = kid.to_owned();
        Life { kid, algorithm, can_sign: true, created_at: LONG_AGO, active_from, kept_until: None }
    }

    /// A key whose private half is elsewhere, or gone.
    fn public(kid: &str, active_from: Timestamp) -> Life {
        Life { can_sign: false, ..key(kid, ES256, active_from) }
    }

    fn given(kid: &str, next: Option<&str>) -> Chosen {
        Chosen::Given { signing: kid.to_owned(), next: next.map(str::to_owned) }
    }

    fn soon() -> Timestamp {
        NOW.plus(Duration::from_millis(1))
    }

    #[test]
    fn of_the_chosen_keys_the_one_that_began_last_signs_and_until_one_has_begun_the_former() {
        let es = Chosen::Made(ES256);
        let cases: [(&str, Vec<Life>, Chosen, Option<&str>); 13] = [
            ("no key", vec![], es.clone(), None),
            ("the first", vec![key("a", ES256, FROM_THE_START)], es.clone(), Some("a")),
            ("the next alone", vec![key("n", ES256, NOT_YET)], es.clone(), None),
            (
                "the latest",
                vec![key("a", ES256, FROM_THE_START), key("b", ES256, NOW), key("n", ES256, NOT_YET)],
                es.clone(),
                Some("b"),
            ),
            ("not before", vec![key("a", ES256, LONG_AGO), key("b", ES256, soon())], es.clone(), Some("a")),
            ("a public one", vec![key("a", ES256, LONG_AGO), public("p", NOW)], es.clone(), Some("a")),
            (
                "the algorithm goes before the time",
                vec![key("a", ES256, LONG_AGO), key("e", EdDSA, NOW)],
                es.clone(),
                Some("a"),
            ),
            (
                "another algorithm until its key is known",
                vec![key("a", ES256, LONG_AGO), key("e", EdDSA, soon()), key("f", EdDSA, NOT_YET)],
                Chosen::Made(EdDSA),
                Some("a"),
            ),
            (
                "the given one",
                vec![key("a", ES256, NOW), Life { can_sign: true, ..public("g", LONG_AGO) }],
                given("g", None),
                Some("g"),
            ),
            (
                "one of ours until the given one is known",
                vec![key("a", ES256, NOW), Life { can_sign: true, ..public("g", soon()) }],
                given("g", None),
                Some("a"),
            ),
            (
                "the given one at once where there is no other",
                vec![public("old", LONG_AGO), Life { can_sign: true, ..public("g", soon()) }],
                given("g", None),
                Some("g"),
            ),
            (
                "a key of ours in place of one that was given before",
                vec![public("old", NOW), key("a", ES256, LONG_AGO)],
                es.clone(),
                Some("a"),
            ),
            ("only what was given to another", vec![public("old", NOW)], es, None),
        ];
        for (case, keys, chosen, expected) in cases {
            let found = signing(&keys, &chosen, NOW).map(|key| key.kid.as_str());
            assert_eq!(found, expected, "{case}");
        }
    }

    #[test]
    fn a_key_is_next_then_signs_then_is_old() {
        let later = NOW.plus(HOUR);
        let mut old = key("a", ES256, LONG_AGO);
        old.kept_until = Some(later);
        let keys = vec![
            old,
            key("b", ES256, NOW),
            key("c", ES256, soon()),
            key("n", ES256, NOT_YET),
            key("e", EdDSA, FROM_THE_START),
            key("f", EdDSA, NOT_YET),
        ];
        let states: Vec<State> =
            keys.iter().map(|life| state(&keys, life, &Chosen::Made(ES256), NOW)).collect();
        let expected = [
            State::Old(Some(later)),
            State::Signing,
            State::Next(Some(soon())),
            State::Next(None),
            State::Old(None),
            State::Old(None),
        ];
        assert_eq!(states, expected);
        let keys = [public("g", LONG_AGO), public("h", NOT_YET), public("i", NOT_YET), key("a", ES256, NOW)];
        let mut keys = keys.to_vec();
        keys[0].can_sign = true;
        let chosen = given("g", Some("h"));
        let states: Vec<State> = keys.iter().map(|life| state(&keys, life, &chosen, NOW)).collect();
        assert_eq!(states, [State::Signing, State::Next(None), State::Old(None), State::Old(None)]);
    }

    #[test]
    fn a_key_is_kept_longer_than_any_token_lives_and_whoever_signs_says_so_in_time() {
        assert!(kept_for(HOUR) > HOUR + CLOCK_SKEW + JWKS_KEPT + KEPT_EVERY);
        let kept = |until: Option<Timestamp>| {
            let mut keys = vec![key("a", ES256, LONG_AGO), key("n", ES256, NOT_YET), key("e", EdDSA, NOW)];
            keys[0].kept_until = until;
            keys[1].kept_until = Some(NOW.plus(kept_for(HOUR)));
            let to_keep = to_keep(&keys, &Chosen::Made(ES256), HOUR, NOW);
            to_keep.into_iter().map(|life| life.kid.clone()).collect::<Vec<_>>()
        };
        let full = NOW.plus(kept_for(HOUR));
        for (until, expected) in [
            (None, &["a"] as &[&str]),
            (Some(NOW), &["a"]),
            (Some(full.minus(KEPT_EVERY).minus(Duration::from_millis(1))), &["a"]),
            (Some(full.minus(KEPT_EVERY)), &[]),
            (Some(full.plus(HOUR)), &[]),
        ] {
            assert_eq!(kept(until), expected, "{until:?}");
        }
        // The last token before it would be said again: its key outlives it, by any clock.
        let said = NOW.plus(kept_for(HOUR));
        let last_token = NOW.plus(KEPT_EVERY).plus(READ_EVERY).plus(HOUR);
        assert!(said >= last_token.plus(CLOCK_SKEW));
    }

    #[test]
    fn the_next_key_signs_once_everybody_can_know_it() {
        let made = |created_at: Timestamp| Life { created_at, ..key("n", ES256, NOT_YET) };
        let signing = key("a", ES256, FROM_THE_START);
        let cases: [(&str, Vec<Life>, Result<Promotion, Pending>); 6] = [
            (
                "long published",
                vec![signing.clone(), made(LONG_AGO)],
                Ok(Promotion { kid: Some("n".into()), active_from: NOW.plus(LEAD) }),
            ),
            (
                "published just now",
                vec![signing.clone(), made(NOW)],
                Ok(Promotion { kid: Some("n".into()), active_from: NOW.plus(LEAD_OF_A_STRANGER) }),
            ),
            (
                "none",
                vec![signing.clone()],
                Ok(Promotion { kid: None, active_from: NOW.plus(LEAD_OF_A_STRANGER) }),
            ),
            (
                "of another algorithm, or without its private half",
                vec![signing.clone(), key("e", EdDSA, NOT_YET), public("p", NOT_YET)],
                Ok(Promotion { kid: None, active_from: NOW.plus(LEAD_OF_A_STRANGER) }),
            ),
            (
                "one begins soon",
                vec![signing.clone(), key("b", ES256, soon()), made(NOW)],
                Err(Pending { kid: "b".into(), active_from: soon() }),
            ),
            (
                "it has begun",
                vec![signing, key("b", ES256, NOW), made(LONG_AGO)],
                Ok(Promotion { kid: Some("n".into()), active_from: NOW.plus(LEAD) }),
            ),
        ];
        for (case, keys, expected) in cases {
            assert_eq!(promote(&keys, ES256, NOW), expected, "{case}");
        }
        assert!(LEAD > READ_EVERY + CLOCK_SKEW, "every replica has read it, by any clock");
    }

    #[test]
    fn the_very_first_key_signs_at_once_and_the_first_of_another_algorithm_once_it_is_known() {
        let stranger = Some(Promotion { kid: None, active_from: NOW.plus(LEAD_OF_A_STRANGER) });
        let at_once =
            |kid: Option<&str>| Some(Promotion { kid: kid.map(str::to_owned), active_from: FROM_THE_START });
        let left = || Some(Promotion { kid: Some("n".into()), active_from: NOW.plus(LEAD) });
        let cases: [(&str, Vec<Life>, Option<Promotion>); 7] = [
            ("nothing", vec![], at_once(None)),
            ("one signs", vec![key("a", ES256, FROM_THE_START)], None),
            ("one will", vec![key("e", EdDSA, NOW), key("a", ES256, soon())], None),
            ("another algorithm signs", vec![key("e", EdDSA, FROM_THE_START)], stranger),
            ("what was given before cannot sign", vec![public("g", FROM_THE_START)], at_once(None)),
            ("a next one is left over", vec![key("n", ES256, NOT_YET)], at_once(Some("n"))),
            ("the same beside another", vec![key("n", ES256, NOT_YET), key("e", EdDSA, NOW)], left()),
        ];
        for (case, keys, expected) in cases {
            assert_eq!(first(&keys, ES256, NOW), expected, "{case}");
        }
    }

    #[test]
    fn a_rotation_is_due_when_the_key_has_signed_for_so_long_counted_from_its_making_where_it_is_the_first() {
        let young = Life { created_at: NOW.minus(HOUR), ..key("a", ES256, FROM_THE_START) };
        let ms = Duration::from_millis(1);
        let cases: [(&str, Vec<Life>, bool); 7] = [
            ("nothing", vec![], false),
            ("an hour", vec![key("a", ES256, NOW.minus(HOUR))], true),
            ("less", vec![key("a", ES256, NOW.minus(HOUR).plus(ms))], false),
            ("the first, made an hour ago", vec![young.clone()], true),
            ("the first, made later", vec![Life { created_at: NOW.minus(HOUR).plus(ms), ..young }], false),
            ("under way", vec![key("a", ES256, LONG_AGO), key("b", ES256, soon())], false),
            ("only another algorithm signs", vec![key("e", EdDSA, LONG_AGO)], false),
        ];
        for (case, keys, expected) in cases {
            assert_eq!(is_due(&keys, ES256, HOUR, NOW), expected, "{case}");
        }
    }
}
