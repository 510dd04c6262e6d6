//! What goes out, and what is under way until it has.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::super::permit::Permit;
use super::super::refusal::fault_words;
use super::questions::Questions;
use crate::app::App;

/// How many requests may be under way at once.
const MOST: usize = 64;
/// How long a reader may keep the end waiting.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Writes answers, one a line.
pub(super) struct Outlet<W> {
    app: Arc<App>,
    /// Until a line could not be written whole: what follows it could not be read.
    output: tokio::sync::Mutex<Option<W>>,
    /// Requests that have no answer yet, with what lets them run.
    under_way: Mutex<HashMap<RequestId, Underway>>,
    /// How many answers wait to be written: their requests count as long as they do, because a client that does not
    /// read would have any number of them.
    leaving: AtomicUsize,
    /// What the client was asked and somebody waits for the answer to.
    asked: Questions,
}

/// A request that has no answer yet.
struct Underway {
    permit: Permit,
    lasts: bool,
}

/// One answer on its way out.
struct Leaving<'a>(&'a AtomicUsize);

impl<'a> Leaving<'a> {
    fn count(all: &'a AtomicUsize) -> Self {
        all.fetch_add(1, Ordering::AcqRel);
        Self(all)
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether a request may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It may.
    Yes,
    /// Another with its id is under way.
    Twice,
    /// Too many are under way.
    TooMany,
}

impl<W: AsyncWrite + Send + Unpin> Outlet<W> {
    /// Nothing is under way yet.
    pub(super) fn new(app: Arc<App>, output: W) -> Self {
        Self {
            app,
            output: tokio::sync::Mutex::new(Some(output)),
            under_way: Mutex::default(),
            leaving: AtomicUsize::new(0),
            asked: Questions::default(),
        }
    }

    /// Whether a request of this id could begin.
    pub(super) fn may_begin(&self, id: &RequestId) -> Begun {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        match under_way.len() + self.leaving.load(Ordering::Acquire) {
            _ if under_way.contains_key(id) => Begun::Twice,
            MOST.. => Begun::TooMany,
            _ => Begun::Yes,
        }
    }

    /// Notes that a request begins. One that lasts has no answer of its own accord.
    pub(super) fn begin(&self, id: RequestId, permit: Permit, lasts: bool) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.insert(id, Underway { permit, lasts });
    }

    /// Notes that nobody waits for the answer to a request any more: there will be none.
    pub(super) fn forget(&self, id: &RequestId) {
        self.end(id);
    }

    /// Ends a request, and whatever was asked for it.
    fn end(&self, id: &RequestId) -> Option<Underway> {
        self.asked.end(id);
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    /// The requests that end only when somebody ends them.
    pub(super) fn lasting(&self) -> Vec<RequestId> {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.iter().filter(|(_, request)| request.lasts).map(|(id, _)| id.clone()).collect()
    }

    /// Notes that the client answered. `false` when nobody waits for that.
    pub(super) fn answered(&self, id: &RequestId) -> bool {
        self.asked.take(id)
    }

    /// What the client was asked and has not answered. It is not waited for any more.
    pub(super) fn unanswered(&self) -> Vec<RequestId> {
        self.asked.take_all()
    }

    /// Refuses a message.
    pub(super) async fn refuse(&self, id: Option<RequestId>, error: ErrorData) {
        if let Err(error) = self.write(&ServerJsonRpcMessage::error(error, id)).await {
            tracing::debug!(%error, "a refusal reached nobody");
        }
    }

    /// Sends what the MCP library says. Where it failed by our own fault, that is said instead.
    pub(super) async fn send(&self, message: ServerJsonRpcMessage) -> io::Result<()> {
        self.asked.note(&message);
        let id = match &message {
            JsonRpcMessage::Response(response) => Some(response.id.clone()),
            JsonRpcMessage::Error(error) => error.id.clone(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let Some(id) = id else { return self.write(&message).await };
        let _leaving = Leaving::count(&self.leaving);
        // Free before the answer is out: whoever has read it may use the id again at once.
        let answered = self.end(&id);
        let fault = answered.as_ref().and_then(|request| {
            request.permit.fault().map(|error| fault_words(error, request.permit.reference()))
        });
        let message = match fault {
            Some((text, data)) => {
                JsonRpcMessage::error(ErrorData::internal_error(text, Some(data)), Some(id))
            }
            None => message,
        };
        self.write(&message).await
    }

    /// Writes a line. Nothing is served to a reader who is gone, and nobody waits at the end for one who does not read.
    async fn write(&self, message: &ServerJsonRpcMessage) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut output = self.output.lock().await;
        let reader = output.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let writing = async {
            reader.write_all(&line).await?;
            reader.flush().await
        };
        let written = tokio::select! {
            written = writing => written,
            () = self.too_late() => Err(io::ErrorKind::TimedOut.into()),
        };
        if written.is_err() {
            *output = None;
            self.app.stopping.cancel();
        }
        written
    }

    /// A while after the stop.
    async fn too_late(&self) {
        self.app.stopping.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    }
}
