//! A look at a database without changing it: for whoever asks whether this program can run on it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use sqlx::{AnyConnection, Connection as _};

use super::migrations::Found;
use super::postgres::PostgresUrl;
use super::{Database, Kind, OpenError, migrations};
use crate::clock::Timestamp;

/// How long looking may take.
const WITHIN: Duration = Duration::from_secs(5);
/// The step of the schema that made the accounts, and all else there was at first.
const FIRST: i64 = 1;

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The database's version, as it writes it.
    pub version: String,
    /// The first number of PostgreSQL's version; `None` for SQLite, which is compiled in.
    pub postgres: Option<u32>,
    /// Steps of the schema that this program has and the database has not taken.
    pub behind: Vec<i64>,
    /// Steps that the database has taken and this program does not know.
    pub ahead: Vec<i64>,
    /// Whether versions that do not know those may run on it all the same.
    pub lets_in: bool,
    /// The database's own clock; `None` where it has none.
    pub now: Option<Timestamp>,
    /// Whether nothing can be written to it.
    pub reads_only: bool,
    /// Which of the accounts that were asked for can sign in.
    pub accounts: Vec<String>,
}

impl Survey {
    /// Whether it has none of our tables.
    pub fn is_empty(&self) -> bool {
        self.behind.contains(&FIRST)
    }
}

/// Looks, also for accounts with these names. `None` when there is no database yet.
pub async fn survey(database: &Database, usernames: &[&str]) -> Result<Option<Survey>, OpenError> {
    sqlx::any::install_default_drivers();
    let looking = async {
        match database {
            Database::Sqlite(path) => sqlite(path, usernames).await,
            Database::Postgres { url, .. } => postgres(url, usernames).await.map(Some),
        }
    };
    let late = |_| OpenError::Unreachable(format!("it does not answer within {} s", WITHIN.as_secs()));
    tokio::time::timeout(WITHIN, looking).await.map_err(late)?
}

/// Whether the database has our tables, as old as they may be. Waits a little for a server that is started at the same
/// time, as opening does.
pub async fn is_ours(database: &Database) -> Result<bool, OpenError> {
    if let Database::Postgres { url, .. } = database {
        sqlx::any::install_default_drivers();
        super::postgres::wait_for(url).await?;
    }
    let seen = survey(database, &[]).await?;
    Ok(seen.is_some_and(|seen| !seen.is_empty()))
}

async fn sqlite(path: &Path, usernames: &[&str]) -> Result<Option<Survey>, OpenError> {
    if !path.exists() {
        return Ok(None);
    }
    let wrong = |error: sqlx::Error| OpenError::Unreadable(error.to_string());
    // Not `ro`: in that mode a file with a log beside it cannot always be opened.
    let mut connection = AnyConnection::connect(&super::sqlite::url_of(path, "rw")).await.map_err(wrong)?;
    sqlx::query("PRAGMA query_only = ON").execute(&mut connection).await.map_err(wrong)?;
    let (version,): (String,) =
        sqlx::query_as("SELECT sqlite_version()").fetch_one(&mut connection).await.map_err(wrong)?;
    let taken = Found::read_any(&mut connection, Kind::Sqlite).await.map_err(wrong)?;
    let accounts = active(&mut connection, usernames, taken.as_ref()).await.map_err(wrong)?;
    connection.close().await.map_err(wrong)?;
    let (behind, ahead) = compare(Kind::Sqlite, taken.as_ref());
    let lets_in = taken.is_none_or(|taken| taken.lets_in(&migrations::versions(Kind::Sqlite)));
    Ok(Some(Survey {
        version,
        postgres: None,
        behind,
        ahead,
        lets_in,
        now: None,
        reads_only: false,
        accounts,
    }))
}

async fn postgres(url: &PostgresUrl, usernames: &[&str]) -> Result<Survey, OpenError> {
    let wrong = super::postgres::unreachable;
    let mut connection = url.connect().await.map_err(wrong)?;
    let about = "SELECT current_setting('server_version'), CAST(current_setting('server_version_num') AS BIGINT), \
                 CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT), pg_is_in_recovery()";
    let (version, number, now, reads_only): (String, i64, i64, bool) =
        sqlx::query_as(about).fetch_one(&mut connection).await.map_err(wrong)?;
    let taken = Found::read_any(&mut connection, Kind::Postgres).await.map_err(wrong)?;
    let accounts = active(&mut connection, usernames, taken.as_ref()).await.map_err(wrong)?;
    connection.close().await.map_err(wrong)?;
    let (behind, ahead) = compare(Kind::Postgres, taken.as_ref());
    let lets_in = taken.is_none_or(|taken| taken.lets_in(&migrations::versions(Kind::Postgres)));
    let (postgres, now) = (u32::try_from(number / 10_000).ok(), Some(Timestamp(now)));
    Ok(Survey { version, postgres, behind, ahead, lets_in, now, reads_only, accounts })
}

/// Those of the accounts that can sign in.
async fn active(
    connection: &mut AnyConnection,
    usernames: &[&str],
    taken: Option<&Found>,
) -> sqlx::Result<Vec<String>> {
    let mut found = Vec::new();
    if taken.is_some_and(|taken| taken.applied.contains(&FIRST)) {
        for username in usernames {
            let row: Option<(String,)> =
                sqlx::query_as("SELECT username FROM users WHERE username = $1 AND disabled_at IS NULL")
                    .bind((*username).to_owned())
                    .fetch_optional(&mut *connection)
                    .await?;
            found.extend(row.map(|(username,)| username));
        }
    }
    Ok(found)
}

fn compare(kind: Kind, taken: Option<&Found>) -> (Vec<i64>, Vec<i64>) {
    let known: BTreeSet<i64> = migrations::versions(kind).into_iter().collect();
    let taken = taken.map(|taken| taken.applied.iter().copied().collect()).unwrap_or_default();
    (known.difference(&taken).copied().collect(), taken.difference(&known).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::postgres::shared_postgres;
    use crate::storage::everywhere::chain_key;
    use crate::storage::{Store, commit};

    async fn empty() -> Vec<(Database, tempfile::TempDir)> {
        let folder = tempfile::tempdir().unwrap();
        let mut all = vec![(Database::Sqlite(folder.path().join("t.db")), folder)];
        if let Some(server) = shared_postgres() {
            let url = PostgresUrl::parse(&server.fresh_database().await).unwrap();
            all.push((Database::Postgres { url, connections: 2 }, tempfile::tempdir().unwrap()));
        }
        all
    }

    #[tokio::test]
    async fn a_database_is_seen_as_it_is_and_left_so() {
        for (database, _folder) in empty().await {
            let before = survey(&database, &[]).await.unwrap();
            match &database {
                Database::Sqlite(path) => assert!(before.is_none() && !path.exists(), "nothing is made"),
                Database::Postgres { .. } => {
                    let before = before.unwrap();
                    assert!(before.behind.len() > 5 && before.ahead.is_empty(), "{before:?}");
                }
            }
            assert!(!is_ours(&database).await.unwrap());
            let store = Store::open(&database, chain_key()).await.unwrap();
            assert!(is_ours(&database).await.unwrap());
            let current = survey(&database, &["alice"]).await.unwrap().unwrap();
            assert!(current.behind.is_empty() && current.ahead.is_empty(), "{current:?}");
            assert!(!current.reads_only && current.accounts.is_empty());
            assert_eq!(current.postgres.is_some(), current.now.is_some());
            assert!(current.postgres.is_none_or(|major| major >= 10), "{current:?}");
            let mut tx = store.write().await.unwrap();
            for statement in [
                "UPDATE _sqlx_migrations SET version = 4711 WHERE version = 11",
                "INSERT INTO users (user_id, username, username_key, role, password_hash, created_at) \
                 VALUES ('user_a', 'alice', 'alice', 'agent', 'x', 1), ('user_b', 'bob', 'bob', 'agent', 'x', 1)",
                "UPDATE users SET disabled_at = 2 WHERE username = 'bob'",
            ] {
                sqlx::query(statement).execute(&mut *tx).await.unwrap();
            }
            commit(tx).await.unwrap();
            let changed = survey(&database, &["alice", "bob", "carol"]).await.unwrap().unwrap();
            assert_eq!((changed.behind, changed.ahead), (vec![11], vec![4711]));
            assert_eq!(changed.accounts, ["alice"]);
            for statement in ["DROP TABLE compatibility", "CREATE TABLE compatibility (other BIGINT)"] {
                assert!(!survey(&database, &[]).await.unwrap().unwrap().lets_in);
                let mut tx = store.write().await.unwrap();
                sqlx::query(statement).execute(&mut *tx).await.unwrap();
                commit(tx).await.unwrap();
            }
            assert!(
                survey(&database, &[]).await.is_err(),
                "a table that cannot be read is not one that is not there"
            );
            store.close().await;
        }
    }

    #[tokio::test]
    async fn what_is_away_is_said_to_be_without_its_password() {
        let url = PostgresUrl::parse("postgres://mandate:secret@127.0.0.1:9/x").unwrap();
        let error = survey(&Database::Postgres { url, connections: 1 }, &[]).await.unwrap_err();
        assert!(matches!(error, OpenError::Unreachable(_)) && !error.to_string().contains("secret"));
    }
}
