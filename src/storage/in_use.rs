//! Who has a SQLite file open, so that nobody puts another one in its place meanwhile.
//!
//! SQLite's own locks do not say it: a connection holds one for as long as it is open, but the pool of an idle server
//! closes its connections. So every process that opens the store holds a shared lock on a file beside it for as long
//! as it has the store, and who replaces the database holds that alone. The kernel ends the lock with the process.
//! It is no lock on the database itself: closing a second descriptor of that would give SQLite's own locks away.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::files::{LOCK, create_private, give_to_owner_of, target_of, with_end};
use super::sqlite::create_folder_of;
use super::{Database, OpenError};

/// Others may have the file open, too.
#[derive(Debug)]
pub(super) struct InUse {
    _locked: File,
}

/// Nobody else has it open, or can open it.
#[derive(Debug)]
pub(super) struct Alone {
    _locked: File,
}

/// Nobody else serves it.
#[derive(Debug)]
pub struct Serving {
    _locked: File,
}

/// Keeps other servers from the same file, for as long as what comes back lives; commands may use it beside this one.
/// What is limited, claimed and half done is known to one process alone, so two would each allow the whole of it.
/// Nothing where files cannot be locked, and for databases that are servers themselves.
pub fn serve_alone(database: &Database) -> Result<Option<Serving>, OpenError> {
    let Database::Sqlite(database) = database else { return Ok(None) };
    let database = &target_of(database);
    create_folder_of(database)?;
    let opened = open(&with_end(database, ".serve.lock"), database);
    let file = opened.map_err(|error| OpenError::Unreadable(error.to_string()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Serving { _locked: file })),
        Err(TryLockError::WouldBlock) => Err(OpenError::Served),
        Err(TryLockError::Error(error)) => {
            tracing::warn!(detail = %error, "files cannot be locked here: a second server would not be noticed");
            Ok(None)
        }
    }
}

/// Says that the database is open, for as long as what comes back lives. Nothing where files cannot be locked: no
/// reason not to serve.
pub(super) fn share(database: &Path) -> Result<Option<InUse>, OpenError> {
    let file = open(&beside(database), database).map_err(|error| OpenError::Unreadable(error.to_string()))?;
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(InUse { _locked: file })),
        Err(TryLockError::WouldBlock) => Err(OpenError::BeingRestored),
        Err(TryLockError::Error(error)) => {
            tracing::warn!(detail = %error, "files cannot be locked here: a restore would not see that this runs");
            Ok(None)
        }
    }
}

/// Keeps everybody else from opening the database. Nothing when somebody has it open.
pub(super) fn alone(database: &Path) -> std::io::Result<Option<Alone>> {
    let file = open(&beside(database), database)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Alone { _locked: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The file beside a database that is locked for it. It stays: one that was removed could be locked by two.
pub(super) fn beside(database: &Path) -> PathBuf {
    with_end(database, LOCK)
}

/// Opened to be read, which is enough for a lock. It is the owner's of the database alone, because whoever could read it
/// could keep the server from starting.
fn open(path: &Path, database: &Path) -> std::io::Result<File> {
    let read = || OpenOptions::new().read(true).open(path);
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        other => return other,
    }
    match create_private(path) {
        // Made by an operator as root, it is still the server's.
        Ok(file) => {
            give_to_owner_of(&file, database);
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_share_a_database_and_one_has_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("t.db");
        let (one, other) = (share(&database).unwrap(), share(&database).unwrap());
        assert!(one.is_some() && alone(&database).unwrap().is_none());
        drop(one);
        assert!(alone(&database).unwrap().is_none());
        drop(other);
        let alone = alone(&database).unwrap();
        assert!(alone.is_some());
        assert!(matches!(share(&database), Err(OpenError::BeingRestored)));
        drop(alone);
        assert!(share(&database).is_ok());
    }

    #[test]
    fn one_serves_a_file_and_others_may_use_it_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/t.db");
        let database = Database::Sqlite(file.clone());
        let serving = serve_alone(&database).unwrap();
        assert!(serving.is_some());
        assert!(matches!(serve_alone(&database), Err(OpenError::Served)));
        assert!(share(&file).is_ok());
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(serve_alone(&Database::Sqlite(link)), Err(OpenError::Served)), "by another name");
        drop(serving);
        assert!(serve_alone(&database).is_ok());
    }
}
