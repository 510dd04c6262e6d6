//! What goes out, and what is under way until it has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::{ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::super::permit::Permit;
use super::super::refusal::fault_words;
use crate::app::App;

/// How many requests may be under way at once.
const MOST: usize = 64;

/// Writes answers, one a line.
pub(super) struct Outlet<W> {
    app: Arc<App>,
    output: tokio::sync::Mutex<W>,
    /// Requests that have no answer yet, with what lets them run.
    under_way: Mutex<HashMap<RequestId, Underway>>,
    /// What the client was asked and has not answered yet.
    asked: Mutex<Vec<RequestId>>,
}

/// A request that has no answer yet.
struct Underway {
    permit: Permit,
    lasts: bool,
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
            output: tokio::sync::Mutex::new(output),
            under_way: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    /// Whether a request of this id could begin.
    pub(super) fn may_begin(&self, id: &RequestId) -> Begun {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        match under_way.len() {
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
    pub(super) fn forget(&self, id: &RequestId) -> bool {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }

    /// The requests that end only when somebody ends them.
    pub(super) fn lasting(&self) -> Vec<RequestId> {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.iter().filter(|(_, request)| request.lasts).map(|(id, _)| id.clone()).collect()
    }

    /// Notes that the client answered. `false` when it was not asked.
    pub(super) fn answered(&self, id: &RequestId) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let before = asked.len();
        asked.retain(|open| open != id);
        asked.len() < before
    }

    /// What the client was asked and has not answered. It is not waited for any more.
    pub(super) fn unanswered(&self) -> Vec<RequestId> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Refuses a message.
    pub(super) async fn refuse(&self, id: Option<RequestId>, error: ErrorData) {
        if let Err(error) = self.write(&ServerJsonRpcMessage::error(error, id)).await {
            tracing::debug!(%error, "a refusal reached nobody");
        }
    }

    /// Sends what the MCP library says. Where it failed by our own fault, that is said instead.
    pub(super) async fn send(&self, message: ServerJsonRpcMessage) -> std::io::Result<()> {
        let id = match &message {
            JsonRpcMessage::Response(response) => Some(response.id.clone()),
            JsonRpcMessage::Error(error) => error.id.clone(),
            JsonRpcMessage::Request(request) => {
                self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(request.id.clone());
                None
            }
            JsonRpcMessage::Notification(_) => None,
        };
        let Some(id) = id else { return self.write(&message).await };
        // Free before the answer is out: whoever has read it may use the id again at once.
        let answered = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
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

    /// Writes a line. Nothing is served to a reader who is gone.
    async fn write(&self, message: &ServerJsonRpcMessage) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut output = self.output.lock().await;
        let written = async {
            output.write_all(&line).await?;
            output.flush().await
        };
        written.await.inspect_err(|_| self.app.stopping.cancel())
    }
}
