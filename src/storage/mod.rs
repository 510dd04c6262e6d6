//! Durable facts. One SQL text for every database; what lives here is statements, not decisions.
//!
//! The two databases are told apart by sqlx's `Any` driver: measured, it is as fast as an enum of
//! native pools, and it leaves one pool type and no macro at each query. Its price is that columns are TEXT and
//! BIGINT only, which the migrations keep to. A transaction is opened only by [`Store::write`]. State changes
//! are one conditional `UPDATE … RETURNING`, never read-then-write.

pub mod audit;
pub mod clients;
pub mod codes;
pub mod documents;
pub mod effects;
mod error;
pub mod grants;
mod migrations;
pub mod refresh_tokens;
pub mod sessions;
pub mod setup_links;
pub mod signing_keys;
pub mod users;

#[cfg(test)]
mod contract;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, Executor, Transaction};

pub use error::{OpenError, StorageError};

/// How long a request waits for a connection before it is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Readers of SQLite: enough to use every core, few enough that their page caches stay small.
const SQLITE_READERS: u32 = 4;

/// An open write transaction. Dropping it without `commit` undoes it.
pub type Tx = Transaction<'static, Any>;

/// The result of a storage function.
pub type Result<T> = std::result::Result<T, StorageError>;

/// Which database holds the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file of our own.
    Sqlite(PathBuf),
}

/// The store. Cheap to clone: it holds pools.
#[derive(Clone, Debug)]
pub struct Store {
    read: AnyPool,
    write: AnyPool,
}

impl Store {
    /// Opens the database, creating it if need be, and brings its schema up to date.
    pub async fn open(database: &Database) -> std::result::Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let Database::Sqlite(path) = database;
        create_folder_of(path)?;
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let write = sqlite_pool(&url, 1, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").await?;
        migrations::run(&write).await?;
        let read = sqlite_pool(&url, SQLITE_READERS, "PRAGMA query_only = ON;").await?;
        Ok(Self { read, write })
    }

    /// Opens a write transaction. On SQLite there is one writer, and `BEGIN IMMEDIATE` takes its lock at once,
    /// so that a transaction never fails half way for having read first.
    pub async fn write(&self) -> Result<Tx> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// The pool for statements that only read. Only storage functions use it.
    pub(crate) fn read(&self) -> &AnyPool {
        &self.read
    }

    /// Whether the database answers; for `/ready`.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Closes the pools after their statements have ended.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// Ends a write transaction for good.
pub async fn commit(tx: Tx) -> Result<()> {
    Ok(tx.commit().await?)
}

/// Hands out the next number of a counter. Gapless, because it is part of the transaction.
pub async fn next_number(tx: &mut Tx, counter: &'static str) -> Result<i64> {
    let (value,): (i64,) =
        sqlx::query_as("UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value")
            .bind(counter)
            .fetch_one(&mut **tx)
            .await?;
    Ok(value)
}

async fn sqlite_pool(url: &str, size: u32, pragmas: &'static str) -> std::result::Result<AnyPool, OpenError> {
    let options = AnyPoolOptions::new().max_connections(size).acquire_timeout(ACQUIRE_TIMEOUT).after_connect(
        move |connection, _| {
            Box::pin(async move {
                connection.execute("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;").await?;
                connection.execute(pragmas).await?;
                Ok(())
            })
        },
    );
    options.connect(url).await.map_err(|error| OpenError::Unreadable(error.to_string()))
}

fn create_folder_of(path: &Path) -> std::result::Result<(), OpenError> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        // Password hashes are in there: a folder that we make is its owner's alone.
        Some(folder) => private_folder(folder)
            .map_err(|error| OpenError::Unreadable(format!("{}: {error}", folder.display()))),
        None => Ok(()),
    }
}

fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
