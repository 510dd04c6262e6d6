//! How the audit log shows that it was changed: its events form chains, each event sealed together with the seal
//! of the one before it.
//!
//! One chain would make every writer of every replica wait for every other, because an event cannot be sealed
//! before its predecessor is committed. So there are [`CHAINS`], and an event goes to the chain of its grant: two
//! writers wait for each other only when they act under the same grant, or by chance. The events of one grant
//! stay in one order.
//!
//! A seal is an HMAC whose key is derived from the server's secret key: who can write to the database but has
//! not the key can seal nothing. What no seal shows is the whole log put back to an earlier state; against that
//! `mandate audit export` carries the log elsewhere.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::Event;
use crate::storage::audit::ChainEnd;

/// How many chains there are. An event's `seq` is its link times this, plus its chain.
pub const CHAINS: i64 = 16;

/// The number (`seq`) of the event at a place.
pub fn number(chain: i64, link: i64) -> i64 {
    link.saturating_mul(CHAINS).saturating_add(chain)
}

/// The place that a number stands for: chain and link.
pub fn place(seq: i64) -> (i64, i64) {
    (seq.rem_euclid(CHAINS), seq.div_euclid(CHAINS))
}

/// The key of the seals.
#[derive(Clone)]
pub struct ChainKey(hmac::Key);

impl ChainKey {
    /// The key of these bytes, which are used for nothing else.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// Seals a link: what it holds, after the link with the seal `before`.
    pub fn seal(&self, before: &str, content: &impl Serialize) -> Result<String, serde_json::Error> {
        // JSON of a tuple: no two contents have the same text.
        let text = serde_json::to_vec(&("event", before, content))?;
        Ok(URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &text)))
    }

    /// Seals a chain's end: so many links, the last with this seal.
    pub fn seal_end(&self, chain: i64, link: i64, last: &str) -> Result<String, serde_json::Error> {
        let text = serde_json::to_vec(&("end", chain, link, last))?;
        Ok(URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &text)))
    }

    /// Whether a chain's end is as it was left here. That of a chain without events has no seal yet.
    pub fn has_sealed(&self, end: &ChainEnd) -> bool {
        if end.end_seal.is_empty() {
            return end.link == end.first_link && end.last_seal.is_empty();
        }
        let seal = self.seal_end(end.chain, end.link, &end.last_seal);
        seal.is_ok_and(|seal| is_same(&seal, &end.end_seal))
    }
}

/// Whether two seals are the same, in constant time.
pub fn is_same(one: &str, other: &str) -> bool {
    constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainKey")
    }
}

/// The chain of an event: that of its grant, or else of its user, or else of its client.
pub fn chain_of(event: &Event) -> i64 {
    let grant = event.grant_id.as_ref().map(crate::oauth::GrantId::as_str);
    let user = event.user_id.as_ref().map(crate::oauth::UserId::as_str);
    let client = event.client_id.as_ref().map(crate::oauth::ClientId::as_str);
    let whose = grant.or(user).or(client).unwrap_or_default();
    let first = digest::digest(&digest::SHA256, whose.as_bytes()).as_ref().first().copied();
    i64::from(first.unwrap_or_default()) % CHAINS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Kind, Outcome};
    use crate::oauth::{GrantId, UserId};

    #[test]
    fn the_events_of_a_grant_are_in_one_chain_and_grants_are_spread() {
        let of = |grant: &str, user: &str| {
            let event = Event::new(Kind::ToolCall, Outcome::Done).grant(&GrantId::new(grant));
            chain_of(&event.user(&UserId::new(user)))
        };
        assert_eq!(of("g", "alice"), of("g", "bob"));
        let mut used: Vec<_> = (0..200).map(|number| of(&number.to_string(), "alice")).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used, (0..CHAINS).collect::<Vec<_>>());
    }

    #[test]
    fn a_seal_depends_on_the_key_the_content_and_what_came_before() {
        let key = ChainKey::new([1; 32]);
        let seal = key.seal("before", &("a", "b")).unwrap();
        assert!(is_same(&seal, &key.seal("before", &("a", "b")).unwrap()));
        for other in [
            key.seal("", &("a", "b")).unwrap(),
            key.seal("before", &("ab", "")).unwrap(),
            ChainKey::new([2; 32]).seal("before", &("a", "b")).unwrap(),
            key.seal_end(0, 1, "before").unwrap(),
        ] {
            assert!(!is_same(&seal, &other));
        }
    }
}
