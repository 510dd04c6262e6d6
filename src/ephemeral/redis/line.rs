//! The line to Redis: nothing on it waits long, no more than so many wait at once, and a line that has gone dead
//! is laid anew.
//!
//! A connection that was closed comes back by itself. One that is silent does not: the network keeps it for many
//! minutes, though the name may already lead to another server. And a server that was demoted answers well and
//! refuses every write. Both are noticed here.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ::redis::{Arg, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::RedisUrl;
use super::connection::Connection;
use crate::ephemeral::{EphemeralError, Result};
use crate::telemetry::StoreWatch;

/// How long an operation may take.
const ANSWER_WITHIN: Duration = Duration::from_millis(900);
/// How long connecting to a server, or to the nodes of a cluster, may take.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// After how many operations in a row without an answer a line counts as dead.
const DEAD_AFTER: u32 = 3;

/// A line; clones share it.
#[derive(Clone)]
pub(super) struct Line(Arc<Inner>, StoreWatch);

struct Inner {
    url: RedisUrl,
    connection: RwLock<Connection>,
    room: Semaphore,
    unanswered: AtomicU32,
    is_reopening: AtomicBool,
    tasks: TaskTracker,
}

impl Line {
    /// Connects. At most `room` operations are under way at once.
    pub(super) async fn open(url: &RedisUrl, room: usize) -> Result<Self> {
        Ok(Self(
            Arc::new(Inner {
                url: url.clone(),
                connection: RwLock::new(connect(url).await?),
                room: Semaphore::new(room),
                unanswered: AtomicU32::new(0),
                is_reopening: AtomicBool::new(false),
                tasks: TaskTracker::new(),
            }),
            StoreWatch::default(),
        ))
    }

    /// The same line, watched from now on.
    pub(super) fn watched(self, watch: StoreWatch) -> Self {
        Self(self.0, watch)
    }

    /// Sends a command.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.connection();
        let name = match command.args_iter().next() {
            Some(Arg::Simple(name)) => name,
            _ => b"",
        };
        self.1.command(name, self.within(command.query_async(&mut connection))).await
    }

    /// Sends a command that waits for no room: for the few of ours that must get through however many others wait.
    pub(super) async fn ask_in_any_case<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.connection();
        self.answered(command.query_async(&mut connection)).await
    }

    /// Runs a script; loads it where it is not known yet.
    pub(super) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        let mut connection = self.connection();
        self.1.command(b"EVALSHA", self.within(script.invoke_async(&mut connection))).await
    }

    async fn within<T>(&self, work: impl Future<Output = RedisResult<T>>) -> Result<T> {
        let room = self.0.room.try_acquire();
        let _room = room.map_err(|_| EphemeralError("too many requests wait for Redis".to_owned()))?;
        self.answered(work).await
    }

    async fn answered<T>(&self, work: impl Future<Output = RedisResult<T>>) -> Result<T> {
        match tokio::time::timeout(ANSWER_WITHIN, work).await {
            Ok(Ok(answer)) => {
                self.0.unanswered.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => {
                if error.code() == Some("READONLY") {
                    self.reopen();
                } else if error.is_timeout() {
                    self.count_unanswered();
                }
                Err(failed(&error))
            }
            Err(_) => {
                self.count_unanswered();
                Err(EphemeralError("Redis took too long to answer".to_owned()))
            }
        }
    }

    // Whoever panicked while holding the lock was replacing one whole connection by another.
    fn connection(&self) -> Connection {
        self.0.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count_unanswered(&self) {
        if self.0.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= DEAD_AFTER {
            self.reopen();
        }
    }

    /// Lays the line anew, without keeping anybody waiting; one attempt at a time.
    fn reopen(&self) {
        if self.0.is_reopening.swap(true, Ordering::Relaxed) {
            return;
        }
        let line = self.clone();
        self.0.tasks.spawn(async move {
            match connect(&line.0.url).await {
                Ok(connection) => {
                    *line.0.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
                    line.0.unanswered.store(0, Ordering::Relaxed);
                    tracing::warn!("the connection to Redis was dead and is made anew");
                }
                Err(error) => tracing::warn!(detail = %error, "Redis cannot be reached"),
            }
            line.0.is_reopening.store(false, Ordering::Relaxed);
        });
    }
}

async fn connect(url: &RedisUrl) -> Result<Connection> {
    match tokio::time::timeout(OPEN_WITHIN, Connection::open(url)).await {
        Ok(opened) => opened.map_err(|error| failed(&error)),
        Err(_) => Err(EphemeralError("Redis took too long to connect".to_owned())),
    }
}

// The error's kind and code, never its detail: that can repeat a command with its arguments.
pub(super) fn failed(error: &RedisError) -> EphemeralError {
    let kind = match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => match error.code() {
            Some("NOAUTH") => "it asks for a password (NOAUTH)".to_owned(),
            Some("WRONGPASS") => "it does not take the password (WRONGPASS)".to_owned(),
            code => code.unwrap_or("an error").to_owned(),
        },
        ErrorKind::Io => error.to_string(),
        _ => error.category().to_owned(),
    };
    EphemeralError(format!("Redis: {kind}"))
}
