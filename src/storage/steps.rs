//! Tables that are not ours: the steps by which whoever builds upon this makes theirs, remembered apart from our own
//! migrations. Forward only, each taken once.

use sqlx::{AnyConnection, Connection as _, Executor as _};

use super::{Kind, Result, StorageError, Store, postgres};
use crate::clock::Timestamp;
use crate::oauth::secret::SecretHash;

/// One step of a schema: statements that are run once, in a transaction. A step that was taken is never changed; what
/// is to be different is a further step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

impl Step {
    /// Statements that SQLite and PostgreSQL understand alike: with columns of the types `TEXT` and `BIGINT`.
    pub const fn new(name: &'static str, sql: &'static str) -> Self {
        Self { name, sqlite: sql, postgres: sql }
    }

    /// Statements for each of them.
    pub const fn for_each(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Self {
        Self { name, sqlite, postgres }
    }

    /// What it is called in messages.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    fn sql(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Sqlite => self.sqlite,
            Kind::Postgres => self.postgres,
        }
    }

    /// Of both texts, so that a database may be moved.
    fn digest(&self) -> String {
        SecretHash::of(&format!("{}\n{}", self.sqlite, self.postgres)).as_str().to_owned()
    }
}

/// Why steps were not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The database did not do it.
    #[error("step {step} of {owner} cannot be taken: {error}")]
    Failed {
        /// Whose.
        owner: String,
        /// Which.
        step: &'static str,
        /// Why not.
        error: StorageError,
    },
    /// A step reads otherwise than when it was taken.
    #[error(
        "step {step} of {owner} was changed after it had been taken: write it as it was, and add a further step"
    )]
    Changed {
        /// Whose.
        owner: String,
        /// Which.
        step: &'static str,
    },
    /// More steps were taken than there are.
    #[error(
        "the database was written by a newer version: it has {taken} steps of {owner}, of which {known} are known here"
    )]
    Newer {
        /// Whose.
        owner: String,
        /// How many were taken.
        taken: usize,
        /// How many there are.
        known: usize,
    },
    /// The database is not what it should be.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Takes the steps of `owner` that were not taken yet, all of them or none; returns how many those were. Of several
/// replicas that start together one does it, and the others wait.
pub async fn take(
    store: &Store,
    owner: &str,
    steps: &[Step],
    now: Timestamp,
) -> std::result::Result<usize, StepError> {
    if steps.is_empty() {
        return Ok(0);
    }
    // Without bounds, as our own migrations: an index on a big table takes its time, and so do the steps of another
    // replica.
    let mut connection = store.connect_unbounded().await?;
    let taken = take_missing(&mut connection, store.kind(), (owner, steps), now).await;
    // A transaction that did not come to its end is undone by this.
    let closed = connection.close().await;
    let taken = taken?;
    closed.map_err(StorageError::from)?;
    Ok(taken)
}

async fn take_missing(
    connection: &mut AnyConnection,
    kind: Kind,
    (owner, steps): (&str, &[Step]),
    now: Timestamp,
) -> std::result::Result<usize, StepError> {
    run(connection, kind.writing().0.request).await?;
    if kind == Kind::Postgres {
        postgres::hold_schema(connection).await?;
    }
    create(connection).await?;
    let taken = list(connection, owner).await?;
    if taken.len() > steps.len() {
        return Err(StepError::Newer { owner: owner.to_owned(), taken: taken.len(), known: steps.len() });
    }
    if let Some((step, _)) = steps.iter().zip(&taken).find(|(step, digest)| step.digest() != **digest) {
        return Err(StepError::Changed { owner: owner.to_owned(), step: step.name });
    }
    let missing = steps.iter().enumerate().skip(taken.len());
    for (number, step) in missing {
        let failed = |error| StepError::Failed { owner: owner.to_owned(), step: step.name, error };
        run(connection, step.sql(kind)).await.map_err(failed)?;
        record(connection, owner, (number, step), now).await?;
    }
    run(connection, "COMMIT").await?;
    Ok(steps.len() - taken.len())
}

async fn create(connection: &mut AnyConnection) -> Result<()> {
    run(
        connection,
        "CREATE TABLE IF NOT EXISTS extension_steps (owner TEXT NOT NULL, number BIGINT NOT NULL, \
         name TEXT NOT NULL, digest TEXT NOT NULL, taken_at BIGINT NOT NULL, PRIMARY KEY (owner, number))",
    )
    .await
}

/// The digests of the steps that were taken, in their order.
async fn list(connection: &mut AnyConnection, owner: &str) -> Result<Vec<String>> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT digest FROM extension_steps WHERE owner = $1 ORDER BY number")
            .bind(owner)
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|(digest,)| digest).collect())
}

/// Runs statements, of which there may be several.
async fn run(connection: &mut AnyConnection, sql: &'static str) -> Result<()> {
    connection.execute(sql).await?;
    Ok(())
}

async fn record(
    connection: &mut AnyConnection,
    owner: &str,
    (number, step): (usize, &Step),
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO extension_steps (owner, number, name, digest, taken_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(owner)
    .bind(i64::try_from(number).unwrap_or(i64::MAX))
    .bind(step.name)
    .bind(step.digest())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{commit, everywhere};

    const NOW: Timestamp = Timestamp(1_000);
    const FIRST: Step =
        Step::new("first", "CREATE TABLE x_a (a TEXT NOT NULL); CREATE INDEX x_a_by_a ON x_a (a)");
    const SECOND: Step =
        Step::for_each("second", "ALTER TABLE x_a ADD b TEXT", "ALTER TABLE x_a ADD COLUMN b TEXT");
    const BAD: Step =
        Step::new("bad", "CREATE TABLE x_b (b TEXT NOT NULL); CREATE TABLE x_b (b TEXT NOT NULL)");

    async fn insert(store: &Store, sql: &'static str) -> Result<()> {
        let mut tx = store.write().await?;
        tx.connection().execute(sql).await?;
        commit(tx).await
    }

    #[tokio::test]
    async fn each_step_is_taken_once_and_each_owner_has_its_own() {
        for opened in everywhere::open().await {
            let store = &opened.store;
            assert_eq!(take(store, "a", &[], NOW).await.unwrap(), 0);
            assert_eq!(take(store, "a", &[FIRST], NOW).await.unwrap(), 1);
            assert_eq!(take(store, "a", &[FIRST], NOW).await.unwrap(), 0);
            assert_eq!(take(store, "a", &[FIRST, SECOND], NOW).await.unwrap(), 1);
            insert(store, "INSERT INTO x_a (a, b) VALUES ('a', 'b')").await.unwrap();
            let other = Step::new("other", "CREATE TABLE x_c (c BIGINT NOT NULL)");
            assert_eq!(take(store, "c", &[other], NOW).await.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn steps_that_fail_leave_nothing_and_say_which() {
        for opened in everywhere::open().await {
            let store = &opened.store;
            let error = take(store, "a", &[FIRST, BAD], NOW).await.unwrap_err().to_string();
            assert!(error.starts_with("step bad of a cannot be taken: "), "{error}");
            assert!(insert(store, "INSERT INTO x_a (a) VALUES ('a')").await.is_err());
            assert_eq!(take(store, "a", &[FIRST], NOW).await.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn what_was_taken_is_neither_changed_nor_forgotten() {
        for opened in everywhere::open().await {
            let store = &opened.store;
            take(store, "a", &[FIRST, SECOND], NOW).await.unwrap();
            let error = take(store, "a", &[SECOND, SECOND], NOW).await.unwrap_err();
            assert!(matches!(error, StepError::Changed { step: "second", .. }), "{error}");
            let error = take(store, "a", &[FIRST], NOW).await.unwrap_err();
            assert!(matches!(error, StepError::Newer { taken: 2, known: 1, .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn of_eight_that_start_at_once_one_takes_the_steps() {
        for opened in everywhere::open().await {
            let all = (0..8).map(|_| take(&opened.store, "a", &[FIRST, SECOND], NOW));
            let taken = futures::future::try_join_all(all).await.unwrap();
            assert_eq!(taken.iter().sum::<usize>(), 2, "{taken:?}");
        }
    }

    #[tokio::test]
    async fn a_step_may_take_as_long_as_it_takes() {
        // SQLite's bound is the one on the store's own connections, which is kept by none of its settings.
        let bound = Step::for_each(
            "bound",
            "CREATE TABLE x_bound AS SELECT '0' AS bound",
            "CREATE TABLE x_bound AS SELECT current_setting('statement_timeout') AS bound \
             UNION ALL SELECT current_setting('lock_timeout')",
        );
        for opened in everywhere::open().await {
            take(&opened.store, "a", &[bound], NOW).await.unwrap();
            let bounds: Vec<(String,)> =
                sqlx::query_as("SELECT bound FROM x_bound").fetch_all(opened.store.read()).await.unwrap();
            assert!(!bounds.is_empty() && bounds.iter().all(|(bound,)| bound == "0"), "{bounds:?}");
        }
    }
}
