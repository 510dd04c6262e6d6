//! Full-text search. What is asked and answered; how it is found is each database's own affair
//! (`search_sqlite.rs`, `search_postgres.rs`).

use std::fmt;

use async_trait::async_trait;

use super::query::{Position, Query, Tier};
use super::ticket::{Status, Ticket, TicketId};
use super::{Sight, search_postgres, search_sqlite};
use crate::storage::{Kind, Result, Store, Tx};

/// A search and how much of its results to read.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// On whose behalf.
    pub sight: &'a Sight,
    /// What to look for.
    pub query: &'a Query,
    /// Only tickets that stand so.
    pub status: Option<Status>,
    /// Where the page before ended.
    pub after: Option<Position>,
    /// How many tickets; at least 1.
    pub limit: usize,
    /// How many characters of each body.
    pub excerpt: usize,
    /// Whom to tell how far it has come.
    pub progress: Option<&'a dyn Progress>,
}

/// Is told between the steps of a search how far it has come. A search that is dropped there has looked no further.
#[async_trait]
pub trait Progress: fmt::Debug + Send + Sync {
    /// So many of a hundred parts are done: less than a hundred, and not always more than before.
    async fn reached(&self, percent: u32);
}

impl Search<'_> {
    /// Says that of one tier `done` of `all` are looked at.
    pub(super) async fn tell(&self, tier: Tier, done: i64, all: i64) {
        let Some(progress) = self.progress else { return };
        let starts_below = matches!(self.after, Some(Position { tier: Tier::Anywhere, .. }));
        let (start, share) = match tier {
            _ if starts_below || self.query == &Query::Everything => (0, 100),
            Tier::Title => (0, 50),
            Tier::Anywhere => (50, 50),
        };
        let part = done.clamp(0, all).saturating_mul(share).checked_div(all).unwrap_or(share);
        progress.reached(u32::try_from(start + part).unwrap_or(0).min(99)).await;
    }
}

/// A page of results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The tickets, best first.
    pub tickets: Vec<Ticket>,
    /// Where this page ends, when there is another.
    pub next: Option<Position>,
}

/// One page of the tickets in sight that match: first those that have every phrase in their title, then those
/// that have them anywhere, each newest first.
pub async fn search(store: &Store, search: Search<'_>) -> Result<Page> {
    match store.kind() {
        Kind::Sqlite => search_sqlite::search(store, search).await,
        Kind::Postgres => search_postgres::search(store, search).await,
    }
}

/// Brings the index up to date with a ticket, in the transaction that changed it.
pub(super) async fn index(tx: &mut Tx, id: TicketId) -> Result<()> {
    match tx.kind() {
        Kind::Sqlite => search_sqlite::index(tx, id).await,
        Kind::Postgres => search_postgres::index(tx, id).await,
    }
}
