//! What is particular to SQLite: how its file is opened, and how numbers are handed out.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sqlx::AnyPool;
use sqlx::Executor as _;
use sqlx::any::AnyPoolOptions;

use tokio::sync::Semaphore;

use super::bounded::Bounded;
use super::files::{create_private, folder_of, make_folder_of};
use super::{Begin, Kind, OpenError, Patience, Result, Schema, Tx, migrations};

/// How long a request waits for a connection before it is told to come back.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(2);
/// How long a statement may take, and a transaction.
pub(super) const PATIENCE: Patience = Patience {
    statement: Duration::from_secs(5),
    request: Duration::from_secs(5),
    work: Duration::from_mins(1),
};
/// `IMMEDIATE` takes the writer's lock at once, so that a transaction never fails half way for having read first.
pub(super) const BEGIN: Begin = Begin { request: "BEGIN IMMEDIATE", work: "BEGIN IMMEDIATE" };
/// What a connection begins with that waits for others as long as it takes: for a day, which SQLite counts in
/// milliseconds.
pub(super) const UNBOUNDED: &str = "PRAGMA busy_timeout = 86400000; PRAGMA foreign_keys = ON;";
/// How often opening the file is tried, each time for as long.
const OPENING_TRIES: u32 = 5;
/// How often the migrations are tried: each step may have been taken by somebody else.
const MIGRATING_TRIES: u32 = 10;
/// Readers: enough to use every core, few enough that their page caches stay small.
const READERS: u32 = 4;

/// The path that a URL names, like `sqlite://./data/my%20mandate.db`. Nothing where it names none, or what SQLite would
/// not take for a path: `:memory:`, or a URL of its own.
pub(super) fn path_of(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
    // What comes after it are settings, and those are ours.
    let path = percent_decode_str(path).decode_utf8().ok().filter(|_| !path.contains('?'))?;
    (!path.is_empty() && !path.contains([':', '\0'])).then(|| PathBuf::from(path.as_ref()))
}

/// The URL by which the driver opens this path and no other. Slashes and dots are escaped as well: without that the first
/// folder counts as a host, and `..` takes away what is before it.
pub(super) fn url_of(path: &Path, mode: &str) -> String {
    let path = percent_encode(path.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
    format!("sqlite:{path}?mode={mode}")
}

/// Opens the file, creating it if need be: the readers and the one writer.
pub(super) async fn open(
    path: &Path,
    room: &Arc<Semaphore>,
) -> std::result::Result<(Bounded, Bounded, Schema), OpenError> {
    make_private(path).map_err(|error| OpenError::Unreadable(format!("{}: {error}", path.display())))?;
    let url = url_of(path, "rwc");
    let write = pool(&url, 1, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").await?;
    let schema = migrate(&write).await?;
    let read = pool(&url, READERS, "PRAGMA query_only = ON;").await?;
    let bounded = |pool| Bounded::new(pool, PATIENCE.statement, room.clone());
    Ok((bounded(read), bounded(write), schema))
}

/// Makes the file where there is none: password hashes are in there, and in a folder that was there before others may
/// look around. SQLite gives what it keeps beside it the same permissions.
fn make_private(path: &Path) -> std::io::Result<()> {
    match create_private(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Brings the schema up to date. Of two processes that start on a new file one finds what the other has just made,
/// and then has to look again; there is no lock for it, as there is on PostgreSQL.
async fn migrate(pool: &AnyPool) -> std::result::Result<Schema, OpenError> {
    for _ in 1..MIGRATING_TRIES {
        match migrations::run(pool, Kind::Sqlite).await {
            Err(OpenError::Migration(_)) => {}
            other => return other,
        }
    }
    migrations::run(pool, Kind::Sqlite).await
}

async fn pool(url: &str, size: u32, pragmas: &'static str) -> std::result::Result<AnyPool, OpenError> {
    let options = AnyPoolOptions::new().max_connections(size).acquire_timeout(ACQUIRE_WITHIN).after_connect(
        move |connection, _| {
            Box::pin(async move {
                connection.execute("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;").await?;
                connection.execute(pragmas).await?;
                Ok(())
            })
        },
    );
    // A start may take longer than a request may wait: the first sync of a busy disk, say.
    let mut opened = options.clone().connect(url).await;
    for _ in 1..OPENING_TRIES {
        if !matches!(opened, Err(sqlx::Error::PoolTimedOut)) {
            break;
        }
        opened = options.clone().connect(url).await;
    }
    opened.map_err(|error| OpenError::Unreadable(error.to_string()))
}

/// Whether the file answers.
pub(super) async fn ping(store: &Bounded) -> Result<()> {
    sqlx::query("SELECT 1").execute(store).await?;
    Ok(())
}

/// The next number: gapless, because the counter is part of the transaction, and there is one writer anyway.
pub(super) async fn next_number(tx: &mut Tx, counter: &'static str) -> Result<i64> {
    let (value,): (i64,) =
        sqlx::query_as("UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value")
            .bind(counter)
            .fetch_one(&mut **tx)
            .await?;
    Ok(value)
}

pub(super) fn create_folder_of(path: &Path) -> std::result::Result<(), OpenError> {
    let failed = |error| OpenError::Unreadable(format!("{}: {error}", folder_of(path).display()));
    make_folder_of(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_url_names_a_path_and_nothing_else() {
        for (url, path) in [
            ("sqlite://./data/mandate.db", Some("./data/mandate.db")),
            ("sqlite:data/mandate.db", Some("data/mandate.db")),
            ("sqlite:///srv/my%20data/100%25.db", Some("/srv/my data/100%.db")),
            ("sqlite://a b/../c%3Fd%23.db", Some("a b/../c?d#.db")),
            ("sqlite://100%.db", Some("100%.db")),
            ("sqlite://", None),
            ("sqlite://a.db?mode=ro", None),
            ("sqlite::memory:", None),
            ("sqlite:%3Amemory%3A", None),
            ("sqlite://file%3Aa.db", None),
            ("sqlite://a%00.db", None),
            ("sqlite://a%FF.db", None),
            ("a.db", None),
        ] {
            assert_eq!(path_of(url), path.map(PathBuf::from), "{url}");
        }
    }

    #[tokio::test]
    async fn the_driver_opens_the_very_path() {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir().unwrap();
        let room = Arc::new(Semaphore::new(16));
        for name in ["my db.db", "my%20db.db", "100%.db", "a?b#c.db", "é.db", "X.db", "there/../back.db"] {
            let path = folder.path().join(name);
            create_folder_of(&path).unwrap();
            let (read, write, _) = open(&path, &room).await.unwrap();
            let at = path.parent().unwrap().canonicalize().unwrap().join(path.file_name().unwrap());
            assert!(at.metadata().unwrap().len() > 0, "{name}");
            read.close().await;
            write.close().await;
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 8, "and nothing else");
    }

    #[tokio::test]
    async fn of_several_that_open_a_new_file_at_once_all_succeed() {
        sqlx::any::install_default_drivers();
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("t.db");
            let room = Arc::new(Semaphore::new(16));
            let opened = futures::future::join_all((0..4).map(|_| open(&file, &room))).await;
            for one in opened {
                one.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn what_it_makes_is_its_owners_alone_whatever_folder_it_is_in() {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let file = folder.path().join("t.db");
        let _open = open(&file, &Arc::new(Semaphore::new(16))).await.unwrap();
        for name in ["t.db", "t.db-wal", "t.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
