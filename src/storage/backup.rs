//! Backups of a SQLite database: one file, consistent, written while the server runs and writes.
//!
//! `VACUUM INTO` reads in one transaction, which keeps no writer waiting, and writes a file without a log beside it.
//! SQLite's backup API begins anew whenever another process writes, so that a busy server could keep it from ever
//! ending; and it copies what was deleted, too.

use std::fs::File;
use std::io::{self, Seek as _};
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::files::{Draft, folder_of, publish};
use super::migrations;
use crate::clock::Timestamp;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The newest migration in it.
    pub schema: i64,
    /// When the last event of its audit log happened.
    pub last_event: Option<Timestamp>,
    /// A private key as it is sealed there: what tells whether a key file belongs to it.
    pub sealed_key: Option<String>,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Why a file cannot be backed up, or is no backup.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there.
    #[error("there is no file {0}")]
    Missing(String),
    /// Its folder is not there.
    #[error("there is no folder {0}")]
    NoFolder(String),
    /// It is something else.
    #[error("{0} is no database of Mandate")]
    Foreign(String),
    /// It is not whole.
    #[error("{0} is damaged ({1})")]
    Damaged(String, String),
    /// Its name is one that SQLite does not take.
    #[error("{0} is no text in UTF-8, and SQLite takes no other names; choose another file or folder")]
    NotText(String),
    /// Something of this name is there already.
    #[error("{0} exists already, and nothing is overwritten; choose another name")]
    Exists(String),
    /// It cannot be read or written.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// The database does not do what it should.
    #[error("{0}: {1}")]
    Database(String, sqlx::Error),
}

/// What is said of a path, whatever went wrong there.
pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> FileError {
    let path = path.display().to_string();
    move |error| match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing(path.clone()),
        io::ErrorKind::AlreadyExists => FileError::Exists(path.clone()),
        _ => FileError::Io(path.clone(), error),
    }
}

/// A backup that is written and verified, and has no name yet: it is gone with this value, unless it gets one.
#[derive(Debug)]
pub struct Backup {
    draft: Draft,
    /// What it holds.
    pub content: Content,
}

/// Refuses a name that something has already, before gigabytes are written.
pub fn check_free(to: &Path) -> Result<(), FileError> {
    if to.symlink_metadata().is_ok() { Err(FileError::Exists(to.display().to_string())) } else { Ok(()) }
}

/// Writes a backup of `database` beside `to`, as a file of its own that only its owner can read. `name` is part of its
/// name. It is on the disk and verified when this returns.
pub async fn write(database: &Path, to: &Path, name: &str) -> Result<Backup, FileError> {
    database.metadata().map_err(at(database))?;
    if !folder_of(to).is_dir() {
        return Err(FileError::NoFolder(folder_of(to).display().to_string()));
    }
    let draft = Draft::beside(to, name).map_err(at(to))?;
    // Of another name a text can be made only by changing it.
    let not_text = || FileError::NotText(to.display().to_string());
    let into = draft.path.to_str().ok_or_else(not_text)?.to_owned();
    let mut connection = open(database).await?;
    let source = read(&mut connection, database).await?;
    sqlx::query("VACUUM INTO $1")
        .bind(into)
        .execute(&mut connection)
        .await
        .map_err(|error| FileError::Database(draft.path.display().to_string(), error))?;
    let _ = connection.close().await;
    draft.file().and_then(File::sync_all).map_err(at(&draft.path))?;
    let content = check(&draft.path).await?;
    if content.schema < source.schema {
        let why = format!("its schema is {}, not {}", content.schema, source.schema);
        return Err(FileError::Damaged(draft.path.display().to_string(), why));
    }
    Ok(Backup { draft, content })
}

impl Backup {
    /// Gives it its name.
    pub fn publish(self, to: &Path) -> Result<Content, FileError> {
        self.draft.file().map_err(at(&self.draft.path))?;
        publish(&self.draft.path, to).map_err(at(to))?;
        Ok(self.content.clone())
    }

    /// What was written, from its start, to be copied elsewhere.
    pub fn read(&self) -> Result<File, FileError> {
        let from_its_start = |file: &File| {
            let mut file = file.try_clone()?;
            file.rewind()?;
            Ok(file)
        };
        self.draft.file().and_then(from_its_start).map_err(at(&self.draft.path))
    }
}

async fn open(path: &Path) -> Result<SqliteConnection, FileError> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    options.connect().await.map_err(|error| sorted(path, error))
}

/// Checks that a file is a database of ours, whole, and whose references hold; says what is in it.
pub async fn check(path: &Path) -> Result<Content, FileError> {
    path.metadata().map_err(at(path))?;
    let mut connection = open(path).await?;
    let content = read(&mut connection, path).await?;
    let said: Vec<(String,)> = sqlx::query_as("PRAGMA integrity_check(3)")
        .fetch_all(&mut connection)
        .await
        .map_err(|error| sorted(path, error))?;
    let said: Vec<String> = said.into_iter().map(|(line,)| line).collect();
    if said != ["ok"] {
        return Err(FileError::Damaged(path.display().to_string(), said.join("; ")));
    }
    let lost: Option<(String, String)> =
        sqlx::query_as("SELECT \"table\", parent FROM pragma_foreign_key_check LIMIT 1")
            .fetch_optional(&mut connection)
            .await
            .map_err(|error| sorted(path, error))?;
    if let Some((table, parent)) = lost {
        let why = format!("{table} names what is not in {parent}");
        return Err(FileError::Damaged(path.display().to_string(), why));
    }
    let _ = connection.close().await;
    Ok(content)
}

async fn read(connection: &mut SqliteConnection, path: &Path) -> Result<Content, FileError> {
    let failed = |error| sorted(path, error);
    let foreign = || FileError::Foreign(path.display().to_string());
    let tables: Vec<(String,)> = sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'table'")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    if !tables.iter().any(|(name,)| name == "_sqlx_migrations") {
        return Err(foreign());
    }
    let first: Option<(Vec<u8>,)> = sqlx::query_as("SELECT checksum FROM _sqlx_migrations WHERE version = 1")
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    if first.is_none_or(|(checksum,)| checksum != migrations::first_checksum()) {
        return Err(foreign());
    }
    // These two are in every schema since the first.
    let (schema, last_event): (i64, Option<i64>) = sqlx::query_as(
        "SELECT (SELECT MAX(version) FROM _sqlx_migrations), (SELECT MAX(at) FROM audit_events)",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    let sealed: Option<(String,)> = sqlx::query_as(
        "SELECT sealed_private_key FROM signing_keys WHERE sealed_private_key <> '' ORDER BY created_at LIMIT 1",
    )
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed)?;
    Ok(Content {
        schema,
        last_event: last_event.map(Timestamp),
        sealed_key: sealed.map(|(sealed,)| sealed),
        bytes: path.metadata().map_err(at(path))?.len(),
    })
}

/// SQLite's `SQLITE_CORRUPT` and `SQLITE_NOTADB`, with what SQLite adds to the former in its upper bits.
const CORRUPT: i64 = 11;
const NOT_A_DATABASE: i64 = 26;

/// Whether the file is none, is damaged, or something else went wrong.
pub(super) fn sorted(path: &Path, error: sqlx::Error) -> FileError {
    let shown = path.display().to_string();
    match code(&error) {
        Some(NOT_A_DATABASE) => FileError::Foreign(shown),
        Some(CORRUPT) => FileError::Damaged(shown, error.to_string()),
        _ => FileError::Database(shown, error),
    }
}

/// SQLite's primary result code.
pub(super) fn code(error: &sqlx::Error) -> Option<i64> {
    match error {
        sqlx::Error::Database(database) => database.code()?.parse::<i64>().ok().map(|code| code & 0xff),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;
    use crate::storage::everywhere::chain_key;
    use crate::storage::{Database, Store};

    #[tokio::test]
    async fn a_name_that_is_no_text_is_refused_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("t.db");
        Store::open(&Database::Sqlite(database.clone()), chain_key()).await.unwrap().close().await;
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        let before = files();
        let to = folder.path().join(OsStr::from_bytes(b"one\xff.backup"));
        assert!(matches!(write(&database, &to, "1").await, Err(FileError::NotText(_))));
        assert_eq!(files(), before);
    }
}
