//! What can go wrong with the database, in two words: it is away, or it is wrong.

use crate::oauth::error::{Error, server_error, temporarily_unavailable};

/// A storage function failed. Neither kind is ever the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Busy, unreachable or out of connections: worth another try.
    #[error("the database is unavailable: {0}")]
    Away(String),
    /// A statement or a stored value is not what it should be.
    #[error("the database answered unexpectedly: {0}")]
    Wrong(String),
}

impl StorageError {
    /// A stored value that does not parse.
    pub fn corrupt(what: &str, why: impl std::fmt::Display) -> Self {
        Self::Wrong(format!("{what}: {why}"))
    }
}

/// SQLSTATE classes and codes that say "not now" rather than "not so" (PostgreSQL, appendix A): connection
/// exceptions, insufficient resources, operator intervention (a statement that ran out of time included), a
/// server that only reads or has ended the transaction, a lock that was not to be had, a deadlock or a conflict.
const NOT_NOW: [&str; 7] = ["08", "53", "57", "25", "55P03", "40P01", "40001"];

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        let not_now = match &error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                database.message().contains("locked") || NOT_NOW.iter().any(|start| code.starts_with(start))
            }
            _ => false,
        };
        if not_now { Self::Away(error.to_string()) } else { Self::Wrong(error.to_string()) }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match &error {
            StorageError::Away(_) => {
                temporarily_unavailable("the server is busy, try again shortly").detail(error).retry_after(2)
            }
            StorageError::Wrong(_) => server_error("the server made an error").detail(error),
        }
    }
}

/// The database cannot be used at all; ends the start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened or created, or is no database.
    #[error(
        "the database cannot be opened ({0}); check the path and its permissions, or point the key at another \
         file"
    )]
    Unreadable(String),
    /// The server cannot be reached or does not let us in.
    #[error(
        "the database cannot be reached ({0}); check that the server runs, and the URL with its password"
    )]
    Unreachable(String),
    /// A newer version of this program brought it to a schema that leaves no room for this one.
    #[error(
        "a newer version brought the database to schema {found}, on which this one, with schema {own}, may not run \
         ({}); run that version, or restore a backup from before it",
        .oldest.map_or("it does not say which may".to_owned(), |oldest| format!("schema {oldest} is the oldest that may"))
    )]
    Newer {
        /// The newest migration in it.
        found: i64,
        /// The oldest schema whose versions may run on it, where it says so.
        oldest: Option<i64>,
        /// The schema of this version.
        own: i64,
    },
    /// Somebody puts another file in its place at this moment.
    #[error("a restore of the database is under way; try again when it has ended")]
    BeingRestored,
    /// Another process serves it.
    #[error(
        "another server serves this file, and only one can; stop it, or let all of them use PostgreSQL and Redis \
         (redis_url); if `mandate restore --finish` is at work on it, wait for its end"
    )]
    Served,
    /// A migration failed.
    #[error("the database cannot be brought up to date ({0}); restore it from a backup or use another one")]
    Migration(String),
}
