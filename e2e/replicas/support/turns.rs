//! Replicas in turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::browser::Address;

/// An address at which every request reaches another replica than the one before.
pub(crate) struct Turns {
    urls: Vec<String>,
    next: AtomicUsize,
}

impl Turns {
    /// Begins with the first.
    pub(crate) fn new(urls: Vec<String>) -> Self {
        Self { urls, next: AtomicUsize::new(0) }
    }
}

impl Address for Turns {
    fn at(&self, path: &str) -> String {
        let turn = self.next.fetch_add(1, Ordering::SeqCst);
        format!("{}{path}", self.urls[turn % self.urls.len()])
    }
}
