//! Putting a backup of a SQLite database in the place of the one that is there.
//!
//! All that is done to the backup is done to a copy of it, before anything is touched that was there: when something
//! goes wrong, nothing has happened. The copy then takes the database's place in one step.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::backup::{Content, FileError, at, check, code, sorted};
use super::external_grants::TAKEN_BACK;
use super::files::{
    Draft, LOGS, SIDES, give_to_owner_of, name_also, remove, sync_folder_of, target_of, with_end,
};
use super::in_use::{self, Alone};
use super::restored::{TAKEN_BACK_ROWS, TakenBack};
use super::{Database, sqlite};

/// Why a database cannot be replaced.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A server or a command has it open.
    #[error("{0} is in use: stop the server, and whatever else has it open, and try again")]
    InUse(String),
    /// The backup is the database itself.
    #[error("{0} is the database itself; name a backup of it")]
    Itself(String),
    /// The backup has a log beside it, of this name.
    #[error(
        "{0} has a log beside it ({1}), so it was copied while somebody wrote to it and is not whole; take a file that \
         `mandate backup` wrote"
    )]
    HasLog(String, String),
    /// Its folder cannot be made, or a file cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// A file is not what it should be.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The database's place, in which nobody can open anything for as long as this lives.
#[derive(Debug)]
pub struct Place {
    database: PathBuf,
    _alone: Alone,
}

/// A copy of a backup on its way into that place.
#[derive(Debug)]
pub struct Prepared {
    draft: Draft,
    /// What the backup held.
    pub content: Content,
}

impl Prepared {
    /// The copy, as a database to be opened.
    pub fn database(&self) -> Database {
        Database::Sqlite(self.draft.path.clone())
    }
}

impl Place {
    /// Keeps everybody from the database, unless somebody has it open.
    pub async fn hold(database: &Path) -> Result<Self, RestoreError> {
        // A link stays: what it leads to is what everybody opens and locks, and what is replaced.
        let database = target_of(database);
        let database = database.as_path();
        sqlite::create_folder_of(database).map_err(|error| RestoreError::Unusable(error.to_string()))?;
        let in_use = || RestoreError::InUse(database.display().to_string());
        let alone = in_use::alone(database).map_err(at(&in_use::beside(database)))?.ok_or_else(in_use)?;
        // Whatever else has the file open, such as a version that takes no part in our lock.
        if is_sqlite(database) {
            match fold(database).await {
                // What cannot be read is in nobody's use.
                Ok(true) | Err(FileError::Foreign(_) | FileError::Damaged(..)) => {}
                Ok(false) => return Err(in_use()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { database: database.to_owned(), _alone: alone })
    }

    /// What users of the database that is there took back of apps that rest on another issuer's tokens. `None` when it
    /// cannot be read.
    pub async fn taken_back(&self) -> Option<Vec<TakenBack>> {
        if self.database.metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Some(Vec::new());
        }
        if !is_sqlite(&self.database) {
            return None;
        }
        let options = SqliteConnectOptions::new().filename(&self.database).read_only(true);
        let mut connection = options.connect().await.ok()?;
        let read = sqlx::query_as(TAKEN_BACK_ROWS).bind(TAKEN_BACK).fetch_all(&mut connection).await.ok();
        let _ = connection.close().await;
        read
    }

    /// Copies a backup beside the database and checks the copy. `name` is part of its name.
    pub async fn prepare(&self, backup: &Path, name: &str) -> Result<Prepared, RestoreError> {
        let real = backup.canonicalize().map_err(at(backup))?;
        let shown = || backup.display().to_string();
        if self.database.canonicalize().is_ok_and(|database| database == real) {
            return Err(RestoreError::Itself(shown()));
        }
        for log in LOGS.map(|log| with_end(&real, log)) {
            if log.metadata().is_ok_and(|log| log.len() > 0) {
                return Err(RestoreError::HasLog(shown(), log.display().to_string()));
            }
        }
        let mut from = File::open(&real).map_err(at(backup))?;
        // Said of the backup, before gigabytes are copied.
        let draft = Draft::beside(&self.database, name).map_err(at(&self.database))?;
        let mut to = draft.file().and_then(File::try_clone).map_err(at(&draft.path))?;
        // Elsewhere, so that a signal is heard meanwhile.
        let copied = tokio::task::spawn_blocking(move || {
            io::copy(&mut from, &mut to)?;
            to.sync_all()
        });
        copied.await.map_err(io::Error::other).and_then(|copied| copied).map_err(at(&draft.path))?;
        let content = check(&draft.path).await.map_err(|error| of_backup(error, backup))?;
        Ok(Prepared { draft, content })
    }

    /// Puts a copy in the database's place; nobody has it open any more. Says where what was there is now: under its
    /// name with this at its end, and with a number where something has that already.
    pub async fn put(self, prepared: Prepared, end: &str) -> Result<Option<PathBuf>, RestoreError> {
        let draft = &prepared.draft.path;
        if !fold(draft).await? {
            return Err(RestoreError::InUse(draft.display().to_string()));
        }
        let file = prepared.draft.file().map_err(at(draft))?;
        give_to_owner_of(file, &self.database);
        file.sync_all().map_err(at(draft))?;
        let was_there = self.database.symlink_metadata().is_ok();
        let kept = was_there.then(|| keep(&self.database, end)).transpose();
        let kept = kept.map_err(at(&with_end(&self.database, end)))?;
        // A log without its database would be taken for that of the new one.
        for side in SIDES {
            let side = with_end(&self.database, side);
            remove(&side).map_err(at(&side))?;
        }
        prepared.draft.file().map_err(at(draft))?;
        std::fs::rename(draft, &self.database).map_err(at(&self.database))?;
        sync_folder_of(&self.database).map_err(at(&self.database))?;
        Ok(kept)
    }
}

/// Gives what is there a second name, so that the first one is never without a file. Of a damaged database the log
/// may be what is left of it.
fn keep(database: &Path, end: &str) -> io::Result<PathBuf> {
    let mut kept = with_end(database, end);
    let mut others = 1;
    while let Err(error) = name_also(database, &kept) {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        others += 1;
        kept = with_end(database, &format!("{end}-{others}"));
    }
    for side in SIDES {
        match std::fs::rename(with_end(database, side), with_end(&kept, side)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(kept)
}

/// Whether a file looks like SQLite's. One that does not is not shown to SQLite, which would remove its log.
fn is_sqlite(path: &Path) -> bool {
    let mut head = [0; 16];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && &head == b"SQLite format 3\0"
}

/// SQLite's `SQLITE_BUSY`.
const BUSY: i64 = 5;

/// Writes a database's log into it and leaves that mode, which SQLite does for the last one alone who has it open.
/// `false` when somebody else has.
async fn fold(database: &Path) -> Result<bool, FileError> {
    let options = SqliteConnectOptions::new().filename(database).create_if_missing(false);
    let folded = async {
        let mut connection = options.busy_timeout(Duration::ZERO).connect().await?;
        let mode: (String,) =
            sqlx::query_as("PRAGMA journal_mode = DELETE").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(mode.0 == "delete")
    };
    match folded.await {
        Ok(done) => Ok(done),
        Err(error) if code(&error) == Some(BUSY) => Ok(false),
        Err(error) => Err(sorted(database, error)),
    }
}

/// What was found wrong with the copy is wrong with the backup.
fn of_backup(error: FileError, backup: &Path) -> FileError {
    let shown = backup.display().to_string();
    match error {
        FileError::Foreign(_) => FileError::Foreign(shown),
        FileError::Damaged(_, why) => FileError::Damaged(shown, why),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_takes_nobodys_name_and_its_log_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let [database, first, second] =
            ["t.db", "t.db.before", "t.db.before-2"].map(|name| folder.path().join(name));
        for (kept, what) in [(&first, "one"), (&second, "other")] {
            std::fs::write(&database, what).unwrap();
            std::fs::write(with_end(&database, "-wal"), format!("log of {what}")).unwrap();
            assert_eq!(&keep(&database, ".before").unwrap(), kept);
            assert_eq!(std::fs::read_to_string(&database).unwrap(), what, "its name is never without a file");
            std::fs::remove_file(&database).unwrap();
        }
        for (kept, what) in [(&first, "one"), (&second, "other")] {
            assert_eq!(std::fs::read_to_string(kept).unwrap(), what);
            assert_eq!(std::fs::read_to_string(with_end(kept, "-wal")).unwrap(), format!("log of {what}"));
        }
    }

    #[tokio::test]
    async fn a_copy_that_was_damaged_or_replaced_meanwhile_replaces_nothing() {
        let changes: [fn(&Path); 2] = [
            |draft| std::fs::write(draft, "what is left of it".repeat(300)).unwrap(),
            |draft| {
                std::fs::copy(draft, with_end(draft, ".other")).unwrap();
                std::fs::rename(with_end(draft, ".other"), draft).unwrap();
            },
        ];
        for change in changes {
            let folder = tempfile::tempdir().unwrap();
            let [database, backup] = ["mandate.db", "one.backup"].map(|name| folder.path().join(name));
            let chain_key = crate::storage::everywhere::chain_key();
            let store = crate::storage::Store::open(&Database::Sqlite(database.clone()), chain_key).await;
            store.unwrap().close().await;
            let written = crate::storage::backup::write(&database, &backup, "1").await.unwrap();
            written.publish(&backup).unwrap();
            let place = Place::hold(&database).await.unwrap();
            let before = std::fs::read(&database).unwrap();
            let prepared = place.prepare(&backup, "2").await.unwrap();
            change(&prepared.draft.path);
            assert!(place.put(prepared, ".before").await.is_err());
            assert!(std::fs::read(&database).unwrap() == before);
            assert!(!with_end(&database, ".before").exists());
        }
    }
}
