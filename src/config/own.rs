//! Our own resource: what it is called and which scopes it has. The program says so, not the configuration.

use crate::oauth::scope::{Catalogue, TICKETS, TICKETS_READ};

/// What people are told they give access to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// What it is called where a client is given it.
    pub name: &'static str,
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
        let tickets = Self::default();
        let is_tickets = self.title == tickets.title && self.scopes == tickets.scopes;
        if is_tickets { "your tickets" } else { self.title }
    }
}

/// The tickets alone.
impl Default for Own {
    fn default() -> Self {
        Self { name: "tickets", title: "Tickets", scopes: Catalogue::of(TICKETS) }
    }
}
