//! Statements that are to read, whoever wrote them: they change nothing, on either database.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use sqlx::any::{Any, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{Execute, Executor, SqlStr};

use super::Kind;
use super::bounded::{Bounded, BoundedConnection, Step, steps};

/// Where statements are run that change nothing: `….fetch_all(look.read())`. One that would change something is an error.
///
/// On SQLite its connections are `query_only`. On PostgreSQL each statement stands in a transaction of its own that is
/// `READ ONLY`, which is undone.
#[derive(Clone, Copy, Debug)]
pub struct ReadOnly<'a> {
    pool: &'a Bounded,
    kind: Kind,
}

impl<'a> ReadOnly<'a> {
    /// Over the pool that readers use of a database of this kind.
    pub(super) fn new(pool: &'a Bounded, kind: Kind) -> Self {
        Self { pool, kind }
    }

    async fn begin(self) -> sqlx::Result<BoundedConnection> {
        self.pool.begin_reading("BEGIN READ ONLY").await
    }
}

/// Ends the transaction of a statement, whatever came of it.
async fn end<T>(connection: BoundedConnection, done: sqlx::Result<T>) -> sqlx::Result<T> {
    let ended = connection.end("ROLLBACK").await;
    let done = done.map_err(wrote)?;
    ended.map(|()| done)
}

/// A statement that would change something is wrong, and stays so. Elsewhere the same code says that the server only reads
/// for now.
fn wrote(error: sqlx::Error) -> sqlx::Error {
    let is_write = error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("25006"));
    if is_write { sqlx::Error::InvalidArgument(error.to_string()) } else { error }
}

impl<'p> Executor<'p> for ReadOnly<'p> {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Step>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        if self.kind == Kind::Sqlite {
            return self.pool.fetch_many(query);
        }
        let reading = async move {
            let mut connection = self.begin().await?;
            let done: sqlx::Result<Vec<Step>> = connection.fetch_many(query).try_collect().await;
            end(connection, done).await
        };
        reading.map(steps).flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<AnyRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        if self.kind == Kind::Sqlite {
            return self.pool.fetch_optional(query);
        }
        let reading = async move {
            let mut connection = self.begin().await?;
            let done = connection.fetch_optional(query).await;
            end(connection, done).await
        };
        reading.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<AnyStatement>>
    where
        'p: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{StorageError, commit, everywhere};

    /// What changes something, each in its own way.
    const CHANGES: [&str; 5] = [
        "INSERT INTO x_kept (name) VALUES ('b')",
        "UPDATE x_kept SET name = 'c' RETURNING name",
        "DELETE FROM x_kept",
        "DROP TABLE x_kept",
        "WITH added AS (SELECT 'b' AS name) INSERT INTO x_kept (name) SELECT name FROM added",
    ];

    #[tokio::test]
    async fn what_is_to_read_changes_nothing() {
        for opened in everywhere::open().await {
            let store = opened.store;
            let mut tx = store.write().await.unwrap();
            for made in ["CREATE TABLE x_kept (name TEXT NOT NULL)", "INSERT INTO x_kept (name) VALUES ('a')"]
            {
                sqlx::query(made).execute(tx.connection()).await.unwrap();
            }
            commit(tx).await.unwrap();
            let names = || async {
                let all =
                    sqlx::query_as::<_, (String,)>("SELECT name FROM x_kept").fetch_all(store.read_only());
                let all: Vec<String> = all.await.unwrap().into_iter().map(|(name,)| name).collect();
                let one = sqlx::query_as("SELECT name FROM x_kept").fetch_one(store.read_only());
                let (one,): (String,) = one.await.unwrap();
                assert_eq!(all, [one]);
                all
            };
            for change in CHANGES {
                let (executed, fetched) = (
                    sqlx::query(change).execute(store.read_only()).await,
                    sqlx::query(change).fetch_optional(store.read_only()).await,
                );
                for refused in [executed.err(), fetched.err()] {
                    let refused = refused.map(StorageError::from);
                    let StorageError::Wrong(said) = refused.unwrap() else { panic!("it may be tried again") };
                    let is_why = said.contains("read-only") || said.contains("readonly");
                    assert!(is_why, "{:?} {change}: {said}", opened.database);
                }
                assert_eq!(names().await, ["a"], "{:?} {change}", opened.database);
            }
            // The connections are as they were.
            let mut tx = store.write().await.unwrap();
            sqlx::query("INSERT INTO x_kept (name) VALUES ('b')").execute(tx.connection()).await.unwrap();
            commit(tx).await.unwrap();
        }
    }
}
