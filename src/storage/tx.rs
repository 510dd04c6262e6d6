//! Write transactions.

use std::ops::{Deref, DerefMut};

use super::bounded::BoundedConnection;
use super::{Kind, Result, audit};
use crate::audit::Event;
use crate::audit::chain::ChainKey;
use crate::clock::Timestamp;

/// An open write transaction. Dropping it undoes it, at the price of its connection: see [`undo`].
#[derive(Debug)]
pub struct Tx {
    connection: BoundedConnection,
    pub(super) kind: Kind,
    pub(super) chain_key: ChainKey,
    /// Events are written at the very end and in the order of their chains: so each chain is held as shortly as
    /// can be, and no two transactions ever wait for each other in a circle.
    pub(super) events: Vec<(Timestamp, Event)>,
}

impl Tx {
    /// Which kind of database it is in, for what only one of them understands.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the statements of this transaction are run: `….execute(tx.connection())`.
    pub fn connection(&mut self) -> &mut BoundedConnection {
        &mut self.connection
    }

    pub(super) fn new(connection: BoundedConnection, kind: Kind, chain_key: ChainKey) -> Self {
        Self { connection, kind, chain_key, events: Vec::new() }
    }
}

/// Ends a write transaction for good, with the events that were recorded in it. When this fails because the
/// database went away, nobody knows whether it was done: what must not be done twice is guarded by a row.
pub async fn commit(mut tx: Tx) -> Result<()> {
    audit::append(&mut tx).await?;
    Ok(tx.connection.end("COMMIT").await?)
}

/// Ends a write transaction in which nothing is to be done after all.
pub async fn undo(tx: Tx) -> Result<()> {
    Ok(tx.connection.end("ROLLBACK").await?)
}

impl Deref for Tx {
    type Target = BoundedConnection;

    fn deref(&self) -> &BoundedConnection {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut BoundedConnection {
        &mut self.connection
    }
}
