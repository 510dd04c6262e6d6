//! The schema, step by step. The files are compiled in, so that the binary needs no folder beside it.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyPool, SqlSafeStr};

use super::{Kind, OpenError};

const SHARED: [(i64, &str, &str); 9] = [
    (1, "identity", include_str!("../../migrations/0001_identity.sql")),
    (2, "grants", include_str!("../../migrations/0002_grants.sql")),
    (3, "audit", include_str!("../../migrations/0003_audit.sql")),
    (4, "tickets", include_str!("../../migrations/0004_tickets.sql")),
    (6, "replicas", include_str!("../../migrations/0006_replicas.sql")),
    (8, "triage", include_str!("../../migrations/0008_triage.sql")),
    (9, "vouched", include_str!("../../migrations/0009_vouched.sql")),
    (10, "keys", include_str!("../../migrations/0010_keys.sql")),
    (11, "machines", include_str!("../../migrations/0011_machines.sql")),
];
const SQLITE: [(i64, &str, &str); 1] =
    [(5, "ticket search", include_str!("../../migrations/0005_ticket_search.sqlite.sql"))];
const POSTGRES: [(i64, &str, &str); 2] = [
    (5, "ticket search", include_str!("../../migrations/0005_ticket_search.postgres.sql")),
    (7, "search in blocks", include_str!("../../migrations/0007_search_in_blocks.postgres.sql")),
];

/// The numbers of all steps, in no order.
pub(super) fn versions(kind: Kind) -> impl Iterator<Item = i64> {
    SHARED.iter().chain(own(kind)).map(|(version, ..)| *version)
}

fn own(kind: Kind) -> &'static [(i64, &'static str, &'static str)] {
    match kind {
        Kind::Sqlite => &SQLITE,
        Kind::Postgres => &POSTGRES,
    }
}

/// Applies what is missing. On PostgreSQL one replica does it under a lock, and the others wait.
pub(super) async fn run(pool: &AnyPool, kind: Kind) -> Result<(), OpenError> {
    let mut all = SHARED.to_vec();
    all.extend_from_slice(own(kind));
    all.sort_unstable_by_key(|(version, ..)| *version);
    let migrations = all
        .iter()
        .map(|(version, name, sql)| {
            Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    Migrator::with_migrations(migrations).run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => OpenError::Newer(version),
        MigrateError::Execute(sqlx::Error::Database(cause)) => OpenError::Unreadable(cause.to_string()),
        other => OpenError::Migration(other.to_string()),
    })
}
