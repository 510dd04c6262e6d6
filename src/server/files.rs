//! How many connections the system lets the process have: each is an open file.

use crate::storage::Database;
use crate::telemetry::metrics::most_files;

/// Files that are open besides connections of clients and those to PostgreSQL: SQLite and its readers, Redis, listeners,
/// logs, and what is sent elsewhere.
const OTHERS: usize = 128;

/// As many connections as are wished for, or as the process may have beside those to its database. Where the system does
/// not tell, as it was wished.
pub(super) fn most_connections(wished: usize, database: &Database) -> usize {
    let Some(files) = most_files().and_then(|files| usize::try_from(files).ok()) else { return wished };
    let pool = pool(database);
    let most = most(files, pool);
    if most < wished {
        tracing::info!(
            "at most {most} connections are open at once, fewer than limits.connections: this process may open {files} \
             files (ulimit -n, LimitNOFILE), and {pool} of them are for database_connections"
        );
    }
    most.min(wished)
}

/// How many connections to a database server there may be.
fn pool(database: &Database) -> usize {
    match database {
        Database::Sqlite(_) => 0,
        Database::Postgres { connections, .. } => usize::try_from(*connections).unwrap_or(usize::MAX),
    }
}

/// How many connections so many files are enough for. Where they are few, half of them.
fn most(files: usize, pool: usize) -> usize {
    let left = files.saturating_sub(pool);
    left.saturating_sub(OTHERS).max(left / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::postgres::PostgresUrl;

    #[test]
    fn the_database_and_all_else_have_their_files_before_connections_do() {
        for (files, pool, expected) in [
            (1024, 0, 896),
            (1024, 10, 886),
            (1024, 500, 396),
            (1024, 1000, 12),
            (1024, 1024, 1),
            (1024, 2000, 1),
            (256, 0, 128),
            (200, 0, 100),
            (20_000, 1000, 18_872),
            (0, 0, 1),
        ] {
            assert_eq!(most(files, pool), expected, "{files} files, {pool} connections to the database");
        }
    }

    #[test]
    fn only_connections_to_a_server_are_counted() {
        let url = PostgresUrl::parse("postgres://a@b/c").unwrap();
        assert_eq!(pool(&Database::Postgres { url, connections: 500 }), 500);
        assert_eq!(pool(&Database::Sqlite("m.db".into())), 0);
    }

    #[test]
    fn no_more_connections_are_wished_for_than_there_are() {
        assert_eq!(most_connections(1, &Database::Sqlite("m.db".into())), 1);
    }
}
