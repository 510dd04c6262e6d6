//! Durable facts. One SQL text for every database; what lives here is statements, not decisions.
//!
//! The two databases are told apart by sqlx's `Any` driver: measured, it is as fast as an enum of
//! native pools, and it leaves one pool type and no macro at each query. Its price is that columns are TEXT and
//! BIGINT only, which the migrations keep to. What only one database understands stands in a file named for
//! it (`sqlite.rs`, `postgres.rs`). A transaction is opened only by [`Store::write`]. State changes are one
//! conditional `UPDATE … RETURNING`, never read-then-write: PostgreSQL runs transactions side by side (at `READ
//! COMMITTED`), and of two that change a row the second waits and then looks at the condition again.

pub mod audit;
pub mod backup;
mod bounded;
pub mod clients;
pub mod codes;
pub mod disabled_clients;
pub mod documents;
pub mod effects;
mod error;
pub mod external_grants;
pub(crate) mod files;
pub mod grant_list;
pub mod grants;
pub mod identities;
mod in_use;
pub mod leases;
pub mod live_grants;
pub mod machines;
mod migrations;
pub mod postgres;
mod read_only;
pub mod refresh_tokens;
pub mod restore;
pub mod restored;
pub mod sessions;
pub mod setup_links;
pub mod signing_keys;
mod sqlite;
pub mod steps;
pub mod survey;
mod tx;
pub mod users;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod everywhere;
#[cfg(test)]
mod external_contract;
#[cfg(test)]
pub(crate) mod figures;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyConnection, Executor as _};
use tokio::sync::Semaphore;

use crate::audit::chain::ChainKey;
use crate::telemetry::{Metrics, StoreWatch};
pub use bounded::{Bounded, BoundedConnection};
pub use error::{OpenError, StorageError};
use in_use::InUse;
pub use in_use::{Serving, serve_alone};
pub use migrations::Schema;
use postgres::PostgresUrl;
pub use read_only::ReadOnly;
pub use tx::{Tx, commit, undo};

/// The result of a storage function.
pub type Result<T> = std::result::Result<T, StorageError>;

/// Which database holds the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file of our own.
    Sqlite(PathBuf),
    /// A server, for any number of replicas.
    Postgres {
        /// Where it is.
        url: PostgresUrl,
        /// How many connections each replica opens at most.
        connections: u32,
    },
}

impl Database {
    /// The file that a URL names, like `sqlite://./data/mandate.db`. Nothing where it names none.
    pub fn in_file(url: &str) -> Option<Self> {
        sqlite::path_of(url).map(Self::Sqlite)
    }
}

/// What may be said aloud about it.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "SQLite, {}", path.display()),
            Self::Postgres { url, connections } => write!(f, "PostgreSQL, {url}, {connections} connections"),
        }
    }
}

/// The kinds of databases, told apart by what only one of them understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    fn writing(self) -> (Begin, Patience) {
        match self {
            Self::Sqlite => (sqlite::BEGIN, sqlite::PATIENCE),
            Self::Postgres => (postgres::BEGIN, postgres::PATIENCE),
        }
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// A statement outside of transactions.
    statement: Duration,
    /// A transaction that a request waits for.
    request: Duration,
    /// A transaction that nobody waits for.
    work: Duration,
}

/// What begins a transaction.
#[derive(Clone, Copy, Debug)]
struct Begin {
    request: &'static str,
    work: &'static str,
}

/// How much may wait for the database at once, unless it is opened with another room.
const ROOM: usize = 1024;

/// The store. Cheap to clone: it holds pools.
#[derive(Clone, Debug)]
pub struct Store {
    kind: Kind,
    chain_key: ChainKey,
    schema: Schema,
    read: Bounded,
    write: Bounded,
    /// Says to others that the file is open; of a file that cannot be locked, nothing.
    _in_use: Option<Arc<InUse>>,
}

impl Store {
    /// Opens the database and brings its schema up to date. `chain_key` seals the audit log.
    pub async fn open(database: &Database, chain_key: ChainKey) -> std::result::Result<Self, OpenError> {
        Self::open_with_room(database, chain_key, ROOM).await
    }

    /// As [`Self::open`], where at most `room` requests use or wait for the database at once; the next one is
    /// told to come back.
    pub async fn open_with_room(
        database: &Database,
        chain_key: ChainKey,
        room: usize,
    ) -> std::result::Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let room = Arc::new(Semaphore::new(room));
        match database {
            Database::Sqlite(path) => {
                let path = files::target_of(path);
                sqlite::create_folder_of(&path)?;
                let in_use = in_use::share(&path)?.map(Arc::new);
                let (read, write, schema) = sqlite::open(&path, &room).await?;
                Ok(Self { kind: Kind::Sqlite, chain_key, schema, read, write, _in_use: in_use })
            }
            Database::Postgres { url, connections } => {
                let (pool, schema) = postgres::open(url, *connections, &room).await?;
                let (read, write) = (pool.clone(), pool);
                Ok(Self { kind: Kind::Postgres, chain_key, schema, read, write, _in_use: None })
            }
        }
    }

    /// The same store, watched from now on.
    #[must_use]
    pub fn watched(self, metrics: &Metrics) -> Self {
        let (system, pools) = match self.kind {
            Kind::Sqlite => ("sqlite", vec![self.read.as_pool("read"), self.write.as_pool("write")]),
            Kind::Postgres => ("postgresql", vec![self.read.as_pool("all")]),
        };
        metrics.watch_pools(pools);
        let watch = |pool| StoreWatch::new(metrics, system, pool);
        let [read, write] = match self.kind {
            Kind::Sqlite => ["read", "write"],
            Kind::Postgres => ["all", "all"],
        };
        Self { read: self.read.watched(watch(read)), write: self.write.watched(watch(write)), ..self }
    }

    /// Opens a write transaction that a request waits for.
    pub async fn write(&self) -> Result<Tx> {
        let (begin, patience) = self.kind.writing();
        let connection = self.write.begin(begin.request, patience.request).await?;
        Ok(Tx::new(connection, self.kind, self.chain_key.clone()))
    }

    /// How long a transaction that a request waits for may take in all.
    pub(crate) fn patience(&self) -> Duration {
        self.kind.writing().1.request
    }

    /// Opens a write transaction for work that takes its time and waits for others: a command, a start.
    pub async fn write_patiently(&self) -> Result<Tx> {
        let (begin, patience) = self.kind.writing();
        let connection = self.write.begin(begin.work, patience.work).await?;
        Ok(Tx::new(connection, self.kind, self.chain_key.clone()))
    }

    /// A connection of its own, for what may take as long as it likes.
    async fn connect_unbounded(&self) -> Result<AnyConnection> {
        let mut connection = self.write.connect_unbounded().await?;
        if self.kind == Kind::Sqlite {
            connection.execute(sqlite::UNBOUNDED).await?;
        }
        Ok(connection)
    }

    /// The key of the audit log's seals.
    pub(crate) fn chain_key(&self) -> &ChainKey {
        &self.chain_key
    }

    /// Where our own statements that only read are run: `….fetch_all(store.read())`. On PostgreSQL nothing holds them to
    /// it: those of others are run by [`Self::read_only`].
    pub fn read(&self) -> &Bounded {
        &self.read
    }

    /// Where statements of others are run that are to read.
    pub fn read_only(&self) -> ReadOnly<'_> {
        ReadOnly::new(&self.read, self.kind)
    }

    /// Which kind of database it is, for what only one of them understands.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Which schema it had when it was opened.
    pub fn schema(&self) -> Schema {
        self.schema
    }

    /// Whether the database answers and can be written to; for `/ready`.
    pub async fn ping(&self) -> Result<()> {
        match self.kind {
            Kind::Sqlite => sqlite::ping(&self.read).await,
            Kind::Postgres => postgres::ping(&self.read).await,
        }
    }

    /// Closes the pools after their statements have ended.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// Hands out the next number of a counter: always a higher one.
pub async fn next_number(tx: &mut Tx, counter: &'static str) -> Result<i64> {
    match tx.kind() {
        Kind::Sqlite => sqlite::next_number(tx, counter).await,
        Kind::Postgres => postgres::next_number(tx, counter).await,
    }
}
