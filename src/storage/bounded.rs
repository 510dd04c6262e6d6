//! Statements that end: whatever the database does, nobody waits for it longer than a bound.
//!
//! A server that is down refuses quickly; one that hangs says nothing at all, and no setting of its own can end
//! that. So every statement runs against a clock here, and a connection whose statement did not come to its end
//! is closed instead of going back to the pool, where it would keep the next caller waiting. The same goes for a
//! transaction that was neither committed nor undone: that happens when something else has failed.

use std::io::ErrorKind;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use sqlx::any::{Any, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::pool::PoolConnection;
use sqlx::{AnyPool, Either, Execute, Executor, SqlStr};

type Step = Either<AnyQueryResult, AnyRow>;

/// A pool for statements outside of transactions.
#[derive(Clone, Debug)]
pub(crate) struct Bounded {
    pool: AnyPool,
    within: Duration,
}

/// A connection whose statements end, and with it the transaction that was left open in it.
#[derive(Debug)]
pub struct BoundedConnection {
    connection: PoolConnection<Any>,
    within: Duration,
    /// A transaction was begun and has not ended.
    in_transaction: bool,
    /// A statement was begun and has not ended: what it left on the wire is nobody's answer any more.
    is_waiting: bool,
}

impl Bounded {
    /// Statements over `pool`, each ending within `within`.
    pub(super) fn new(pool: AnyPool, within: Duration) -> Self {
        Self { pool, within }
    }

    /// Opens a transaction with this statement.
    pub(super) async fn begin(&self, statement: &'static str) -> sqlx::Result<BoundedConnection> {
        let mut connection = self.connect().await?;
        connection.in_transaction = true;
        connection.execute(statement).await?;
        Ok(connection)
    }

    /// Closes the pool after its statements have ended.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    async fn connect(&self) -> sqlx::Result<BoundedConnection> {
        let connection = self.pool.acquire().await?;
        Ok(BoundedConnection { connection, within: self.within, in_transaction: false, is_waiting: false })
    }
}

impl BoundedConnection {
    /// Ends the transaction with this statement. When this fails nobody knows whether it was done.
    pub(super) async fn end(mut self, statement: &'static str) -> sqlx::Result<()> {
        (&mut self).execute(statement).await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn run<'q, E: 'q + Execute<'q, Any>>(&mut self, query: E) -> sqlx::Result<Vec<Step>> {
        self.is_waiting = true;
        let steps = self.connection.fetch_many(query).try_collect();
        let done = tokio::time::timeout(self.within, steps).await;
        self.ended(done)
    }

    async fn run_for_one<'q, E: 'q + Execute<'q, Any>>(&mut self, query: E) -> sqlx::Result<Option<AnyRow>> {
        self.is_waiting = true;
        let done = tokio::time::timeout(self.within, self.connection.fetch_optional(query)).await;
        self.ended(done)
    }

    fn ended<T>(&mut self, done: Result<sqlx::Result<T>, tokio::time::error::Elapsed>) -> sqlx::Result<T> {
        self.is_waiting = done.is_err();
        done.unwrap_or_else(|_| Err(out_of_time()))
    }
}

impl Drop for BoundedConnection {
    fn drop(&mut self) {
        // The server undoes what a closed connection leaves open.
        if self.is_waiting || self.in_transaction {
            self.connection.close_on_drop();
        }
    }
}

fn out_of_time() -> sqlx::Error {
    std::io::Error::new(ErrorKind::TimedOut, "a statement took too long").into()
}

fn steps(done: sqlx::Result<Vec<Step>>) -> BoxStream<'static, sqlx::Result<Step>> {
    match done {
        Ok(steps) => stream::iter(steps.into_iter().map(Ok)).boxed(),
        Err(error) => stream::iter([Err(error)]).boxed(),
    }
}

impl<'p> Executor<'p> for &'p Bounded {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Step>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let done = async move { self.connect().await?.run(query).await };
        done.map(steps).flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<AnyRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        async move { self.connect().await?.run_for_one(query).await }.boxed()
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

impl<'c> Executor<'c> for &'c mut BoundedConnection {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Step>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        self.run(query).map(steps).flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<AnyRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        self.run_for_one(query).boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<AnyStatement>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters).map_err(Into::into).boxed()
    }
}
