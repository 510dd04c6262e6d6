//! Our own resource: what it is called and which scopes it has. The program says so, not the configuration.

use crate::oauth::scope::{Catalogue, TICKETS, TICKETS_READ};

/// What people are told they give access to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// What people call it.
    pub title: &'static str,
    /// Its scopes.
    pub scopes: Catalogue,
}

impl Own {
    /// Whether tickets are among what it has.
    pub fn has_tickets(&self) -> bool {
        self.scopes.find(TICKETS_READ).is_some()
    }

    /// What an app is allowed to use: `Allow … to use your tickets?`
    pub fn used(&self) -> &'static str {
        if *self == Self::default() { "your tickets" } else { self.title }
    }
}

/// The tickets alone.
impl Default for Own {
    fn default() -> Self {
        Self { title: "Tickets", scopes: Catalogue::of(TICKETS) }
    }
}
