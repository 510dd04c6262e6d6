//! The schema, step by step. The files are compiled in, so that the binary needs no folder beside it.
//!
//! A database may have been brought further by a newer version that runs beside this one, or that was taken back.
//! The database itself says which versions may still run on it: see `migrations/README.md`.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, SqlSafeStr};

use super::{Kind, OpenError};

/// A migration: its number, its name and its text.
type Step = (i64, &'static str, &'static str);

const SHARED: [Step; 11] = [
    (1, "identity", include_str!("../../migrations/0001_identity.sql")),
    (2, "grants", include_str!("../../migrations/0002_grants.sql")),
    (3, "audit", include_str!("../../migrations/0003_audit.sql")),
    (4, "tickets", include_str!("../../migrations/0004_tickets.sql")),
    (6, "replicas", include_str!("../../migrations/0006_replicas.sql")),
    (8, "triage", include_str!("../../migrations/0008_triage.sql")),
    (9, "vouched", include_str!("../../migrations/0009_vouched.sql")),
    (10, "keys", include_str!("../../migrations/0010_keys.sql")),
    (11, "machines", include_str!("../../migrations/0011_machines.sql")),
    (12, "compatibility", include_str!("../../migrations/0012_compatibility.sql")),
    (13, "roles said", include_str!("../../migrations/0013_roles_said.sql")),
];
const SQLITE: [Step; 1] =
    [(5, "ticket search", include_str!("../../migrations/0005_ticket_search.sqlite.sql"))];
const POSTGRES: [Step; 2] = [
    (5, "ticket search", include_str!("../../migrations/0005_ticket_search.postgres.sql")),
    (7, "search in blocks", include_str!("../../migrations/0007_search_in_blocks.postgres.sql")),
];

/// Which schema a database has: the number of its newest migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// That of this version.
    Own(i64),
    /// One that a newer version brought it to, and on which this one may run.
    Newer(i64),
}

/// Applies what is missing. On PostgreSQL one replica does it under a lock, and the others wait.
pub(super) async fn run(pool: &AnyPool, kind: Kind) -> Result<Schema, OpenError> {
    let steps = steps(kind);
    let own = newest(&steps);
    let migrations = steps.iter().map(migration).collect();
    let mut migrator = Migrator::with_migrations(migrations);
    match migrator.run(pool).await {
        Ok(()) => return Ok(Schema::Own(own)),
        Err(MigrateError::VersionMissing(_)) => {}
        Err(error) => return Err(refused(error)),
    }
    let unreadable = |error: sqlx::Error| OpenError::Unreadable(error.to_string());
    let mut connection = pool.acquire().await.map_err(unreadable)?;
    let found = Found::read(&mut connection, kind).await.map_err(unreadable)?;
    drop(connection);
    if !found.lets_in(&versions(kind)) {
        return Err(OpenError::Newer { found: found.newest(), oldest: found.oldest, own });
    }
    // Applies nothing: everything of ours is there. It compares the checksums.
    migrator.set_ignore_missing(true).run(pool).await.map_err(refused)?;
    let found = found.newest();
    tracing::warn!(
        schema = found,
        own,
        "a newer version brought the database to its schema; this version may run on it, too"
    );
    Ok(Schema::Newer(found))
}

fn steps(kind: Kind) -> Vec<Step> {
    let own = match kind {
        Kind::Sqlite => SQLITE.as_slice(),
        Kind::Postgres => POSTGRES.as_slice(),
    };
    let mut all = SHARED.to_vec();
    all.extend_from_slice(own);
    all.sort_unstable_by_key(|(version, ..)| *version);
    all
}

/// The numbers of all steps, in order.
pub(super) fn versions(kind: Kind) -> Vec<i64> {
    steps(kind).iter().map(|(version, ..)| *version).collect()
}

fn newest(steps: &[Step]) -> i64 {
    steps.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

fn migration((version, name, sql): &Step) -> Migration {
    Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
}

/// The checksum of the first migration, by which a database of ours is known.
pub(super) fn first_checksum() -> Vec<u8> {
    SHARED.first().map(|step| migration(step).checksum.to_vec()).unwrap_or_default()
}

fn refused(error: MigrateError) -> OpenError {
    match error {
        MigrateError::Execute(sqlx::Error::Database(cause)) => OpenError::Unreadable(cause.to_string()),
        other => OpenError::Migration(other.to_string()),
    }
}

/// What a database says of its schema.
pub(super) struct Found {
    /// The numbers of the steps that it has taken, in order.
    pub(super) applied: Vec<i64>,
    /// The oldest schema whose versions may run on it, where it says so.
    oldest: Option<i64>,
}

impl Found {
    /// Reads it where anything was ever brought up to date.
    pub(super) async fn read_any(connection: &mut AnyConnection, kind: Kind) -> sqlx::Result<Option<Self>> {
        if !has_table(connection, kind, "_sqlx_migrations").await? {
            return Ok(None);
        }
        Self::read(connection, kind).await.map(Some)
    }

    async fn read(connection: &mut AnyConnection, kind: Kind) -> sqlx::Result<Self> {
        let applied: Vec<(i64,)> = sqlx::query_as("SELECT version FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut *connection)
            .await?;
        let applied: Vec<i64> = applied.into_iter().map(|(version,)| version).collect();
        // Where there is no such table, no version that knows of it was here.
        if !has_table(connection, kind, "compatibility").await? {
            return Ok(Self { applied, oldest: None });
        }
        let (oldest,): (Option<i64>,) =
            sqlx::query_as("SELECT MAX(oldest_schema) FROM compatibility").fetch_one(connection).await?;
        Ok(Self { applied, oldest })
    }

    fn newest(&self) -> i64 {
        self.applied.iter().copied().max().unwrap_or(0)
    }

    /// Whether a version that knows these migrations may run.
    pub(super) fn lets_in(&self, known: &[i64]) -> bool {
        let own = known.iter().copied().max().unwrap_or(0);
        let unknown_is_newer = self.applied.iter().all(|version| known.contains(version) || *version > own);
        let all_applied = known.iter().all(|version| self.applied.contains(version));
        unknown_is_newer && all_applied && self.oldest.is_some_and(|oldest| oldest <= own)
    }
}

async fn has_table(connection: &mut AnyConnection, kind: Kind, name: &'static str) -> sqlx::Result<bool> {
    let count = match kind {
        Kind::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1",
        // Where a statement would find it.
        Kind::Postgres => "SELECT COUNT(to_regclass($1))",
    };
    let (count,): (i64,) = sqlx::query_as(count).bind(name).fetch_one(connection).await?;
    Ok(count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_runs_on_a_newer_schema_only_where_that_lets_it() {
        for (applied, oldest, let_in) in [
            (&[1, 2, 3, 4][..], Some(3), true),
            (&[1, 2, 3, 4, 5], Some(2), true),
            (&[1, 2, 3, 4], Some(4), false),
            (&[1, 2, 3, 4], None, false),
            (&[1, 2, 4], Some(1), false),
            (&[0, 1, 2, 3], Some(1), false),
        ] {
            let found = Found { applied: applied.to_vec(), oldest };
            assert_eq!(found.lets_in(&[1, 2, 3]), let_in, "{applied:?} {oldest:?}");
        }
    }

    #[test]
    fn no_number_is_given_twice() {
        for kind in [Kind::Sqlite, Kind::Postgres] {
            let mut versions: Vec<i64> = steps(kind).iter().map(|(version, ..)| *version).collect();
            let all = versions.len();
            versions.dedup();
            assert_eq!(versions.len(), all);
        }
    }
}
