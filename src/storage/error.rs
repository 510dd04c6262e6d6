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

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        let busy = error.as_database_error().is_some_and(|db| db.message().contains("locked"));
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                Self::Away(error.to_string())
            }
            other if busy => Self::Away(other.to_string()),
            other => Self::Wrong(other.to_string()),
        }
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
    /// It cannot be opened or created, or is no database.
    #[error("the database cannot be opened ({0})")]
    Unreadable(String),
    /// It was written by a later version of this program.
    #[error("the database was written by a newer version (it holds migration {0}, unknown here)")]
    Newer(i64),
    /// A migration failed.
    #[error("the database cannot be brought up to date ({0})")]
    Migration(String),
}
