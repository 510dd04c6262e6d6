//! A bounded shelf of what expires.

use std::collections::{BTreeSet, HashMap};

use crate::clock::Timestamp;

/// Entries by key, and in the order in which they expire.
pub(super) struct Shelf<V> {
    pub(super) entries: HashMap<String, (V, Timestamp, usize)>,
    pub(super) by_expiry: BTreeSet<(Timestamp, String)>,
    pub(super) bytes: usize,
    pub(super) most_entries: usize,
    most_bytes: usize,
}

impl<V> Shelf<V> {
    pub(super) fn new(most_entries: usize, most_bytes: usize) -> Self {
        Self { entries: HashMap::new(), by_expiry: BTreeSet::new(), bytes: 0, most_entries, most_bytes }
    }

    pub(super) fn get(&self, key: &str, now: Timestamp) -> Option<&V> {
        self.entries.get(key).filter(|(_, expires_at, _)| *expires_at > now).map(|(value, ..)| value)
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<(V, Timestamp)> {
        let (value, expires_at, size) = self.entries.remove(key)?;
        self.by_expiry.remove(&(expires_at, key.to_owned()));
        self.bytes = self.bytes.saturating_sub(size);
        Some((value, expires_at))
    }

    pub(super) fn insert(&mut self, key: String, value: V, expires_at: Timestamp, size: usize) {
        self.remove(&key);
        self.by_expiry.insert((expires_at, key.clone()));
        self.entries.insert(key, (value, expires_at, size));
        self.bytes = self.bytes.saturating_add(size);
    }

    /// Drops what has expired.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        while let Some((expires_at, key)) = self.by_expiry.first().cloned() {
            if expires_at > now {
                return;
            }
            self.remove(&key);
        }
    }

    pub(super) fn is_full(&self, size: usize) -> bool {
        self.entries.len() >= self.most_entries || self.bytes.saturating_add(size) > self.most_bytes
    }

    /// Drops what would expire soonest until there is room.
    pub(super) fn make_room(&mut self, size: usize) {
        while self.is_full(size) {
            let Some((_, key)) = self.by_expiry.first().cloned() else { return };
            self.remove(&key);
        }
    }
}
