//! Statements that end: whatever the database does, nobody waits for it longer than a bound, and no more than so
//! many wait at once.
//!
//! A server that is down refuses quickly; one that hangs says nothing at all, and no setting of its own can end
//! that. So each use of a connection (a statement, or a whole transaction) runs against a clock here. A
//! connection that did not come to its end is closed instead of going back to the pool, where it would keep the
//! next caller waiting; and one that goes back is tested against the clock, too. The same goes for a transaction
//! that was neither committed nor undone: that happens when something else has failed.

use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use sqlx::any::{Any, AnyArguments, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::pool::PoolConnection;
use sqlx::{AnyConnection, AnyPool, Connection as _, Either, Execute, Executor, SqlStr};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::task::TaskTracker;

use crate::telemetry::StoreWatch;
use crate::telemetry::metrics::{Pool, PoolState};

/// What a statement gives: rows, and how many it changed.
pub(super) type Step = Either<AnyQueryResult, AnyRow>;

/// How long a connection that goes back to its pool may take to show that it is well.
const RETURNED_WITHIN: Duration = Duration::from_secs(1);

/// A pool for statements outside of transactions.
#[derive(Clone, Debug)]
pub struct Bounded {
    pool: AnyPool,
    within: Duration,
    room: Arc<Semaphore>,
    returning: TaskTracker,
    watch: StoreWatch,
}

/// A connection in use.
#[derive(Debug)]
pub struct BoundedConnection {
    connection: PoolConnection<Any>,
    /// The time that is left for this use.
    time: Pin<Box<Sleep>>,
    /// A transaction was begun and has not ended.
    in_transaction: bool,
    /// A statement was begun and has not ended: what it left on the wire is nobody's answer any more.
    is_waiting: bool,
    returning: TaskTracker,
    watch: StoreWatch,
    _room: OwnedSemaphorePermit,
}

impl Bounded {
    /// Statements over `pool`, each ending within `within`, with room for as many at once as `room` says.
    pub(super) fn new(pool: AnyPool, within: Duration, room: Arc<Semaphore>) -> Self {
        Self { pool, within, room, returning: TaskTracker::new(), watch: StoreWatch::default() }
    }

    /// The same, watched from now on.
    pub(super) fn watched(self, watch: StoreWatch) -> Self {
        Self { watch, ..self }
    }

    /// The pool, to be looked at.
    pub(super) fn as_pool(&self, name: &'static str) -> Pool {
        let pool = self.pool.clone();
        let state = move || {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            PoolState { used: pool.size().saturating_sub(idle), idle }
        };
        Pool { name, state: Arc::new(state) }
    }

    /// Opens a transaction with this statement. All of it ends within this time.
    pub(super) async fn begin(
        &self,
        statement: &'static str,
        within: Duration,
    ) -> sqlx::Result<BoundedConnection> {
        let mut connection = self.connect(within).await?;
        connection.in_transaction = true;
        connection.execute(statement).await?;
        Ok(connection)
    }

    /// A connection outside of the pool and its bounds.
    pub(super) async fn connect_unbounded(&self) -> sqlx::Result<AnyConnection> {
        AnyConnection::connect_with(&self.pool.connect_options()).await
    }

    /// Opens a transaction with this statement for one statement that reads, and ends as such a statement does.
    pub(super) async fn begin_reading(&self, statement: &'static str) -> sqlx::Result<BoundedConnection> {
        self.begin(statement, self.within).await
    }

    /// Closes the pool after its statements have ended.
    pub(super) async fn close(&self) {
        self.pool.close().await;
        self.returning.close();
        self.returning.wait().await;
    }

    async fn connect(&self, within: Duration) -> sqlx::Result<BoundedConnection> {
        let room = self.room.clone().try_acquire_owned().map_err(|_| too_many())?;
        let connection = self.watch.connection(self.pool.acquire()).await?;
        Ok(BoundedConnection {
            connection,
            time: Box::pin(tokio::time::sleep(within)),
            in_transaction: false,
            is_waiting: false,
            returning: self.returning.clone(),
            watch: self.watch.clone(),
            _room: room,
        })
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
        let (sql, arguments) = taken(query)?;
        let text = sql.clone();
        let running = self.connection.fetch_many((sql, arguments)).try_collect();
        let ended = in_time(running, &mut self.is_waiting, self.time.as_mut());
        self.watch.statement(text.as_str(), ended).await
    }

    async fn run_for_one<'q, E: 'q + Execute<'q, Any>>(&mut self, query: E) -> sqlx::Result<Option<AnyRow>> {
        let (sql, arguments) = taken(query)?;
        let text = sql.clone();
        let running = self.connection.fetch_optional((sql, arguments));
        let ended = in_time(running, &mut self.is_waiting, self.time.as_mut());
        self.watch.statement(text.as_str(), ended).await
    }
}

impl Drop for BoundedConnection {
    fn drop(&mut self) {
        // The server undoes what a closed connection leaves open.
        if self.is_waiting || self.in_transaction {
            self.connection.close_on_drop();
        } else if Handle::try_current().is_ok() {
            // The pool itself would wait for as long as the network keeps a dead connection.
            let returned = self.connection.return_to_pool();
            self.returning.spawn(tokio::time::timeout(RETURNED_WITHIN, returned));
        }
    }
}

/// Runs a statement against the clock. One that is dropped, or late, stays marked as waiting.
async fn in_time<T>(
    running: impl Future<Output = sqlx::Result<T>>,
    is_waiting: &mut bool,
    time: Pin<&mut Sleep>,
) -> sqlx::Result<T> {
    *is_waiting = true;
    let done = tokio::select! {
        biased;
        done = running => done,
        () = time => return Err(out_of_time()),
    };
    *is_waiting = false;
    done
}

/// A query taken apart as the driver does it, so that its text can be read.
fn taken<'q, E: Execute<'q, Any>>(mut query: E) -> sqlx::Result<(SqlStr, Option<AnyArguments>)> {
    let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
    Ok((query.sql(), arguments))
}

fn out_of_time() -> sqlx::Error {
    std::io::Error::new(ErrorKind::TimedOut, "a statement took too long").into()
}

fn too_many() -> sqlx::Error {
    std::io::Error::new(ErrorKind::WouldBlock, "too many requests wait for the database").into()
}

/// What a statement gave, one by one.
pub(super) fn steps(done: sqlx::Result<Vec<Step>>) -> BoxStream<'static, sqlx::Result<Step>> {
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
        let done = async move { self.connect(self.within).await?.run(query).await };
        done.map(steps).flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<AnyRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        async move { self.connect(self.within).await?.run_for_one(query).await }.boxed()
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
