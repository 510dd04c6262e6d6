//! The session of a client of 2025-11-25 and before (Streamable HTTP, "Session Management"), and what is needed to
//! open another when the server has lost it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;

/// How long requests wait for it: a server may say nothing at all until it has something to say.
const STREAM: Duration = Duration::from_secs(1);
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// What every request of one session carries.
#[derive(Clone, Debug, Default)]
pub(super) struct Mark {
    generation: u64,
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
}

impl Mark {
    /// Its headers.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.extend(self.id.clone().map(|id| (SESSION_ID, id)));
        headers.extend(self.version.clone().map(|version| (VERSION, version)));
        headers
    }

    /// Whether the server has given it an id.
    pub(super) fn has_id(&self) -> bool {
        self.id.is_some()
    }

    /// Whether this is the same session.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.generation == other.generation
    }
}

#[derive(Debug, Default)]
struct State {
    mark: Mark,
    initialize: Option<String>,
    initialized: Option<String>,
}

/// Requests wait until it is dropped.
#[derive(Debug)]
pub(super) struct Hold(watch::Sender<usize>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held = held.saturating_sub(1));
    }
}

/// The session, as far as there is one.
#[derive(Debug, Default)]
pub(super) struct Session {
    state: Mutex<State>,
    /// Held by whoever opens another one.
    pub(super) reopening: tokio::sync::Mutex<()>,
    /// How many messages the server must have first.
    held: watch::Sender<usize>,
    /// The generation of the newest session.
    begun: watch::Sender<u64>,
    /// The newest generation of which it is known whether the server speaks on a stream of its own.
    streaming: watch::Sender<u64>,
}

impl Session {
    /// What requests carry now.
    pub(super) fn mark(&self) -> Mark {
        self.with(|state| state.mark.clone())
    }

    /// A session has begun: the server's headers, the revision that was agreed on, and the request that began it.
    pub(super) fn begin(&self, headers: &HeaderMap, version: Option<&str>, initialize: &str) {
        self.with(|state| {
            state.mark = Mark {
                generation: state.mark.generation + 1,
                id: headers.get(SESSION_ID).cloned(),
                version: version.and_then(|version| HeaderValue::from_str(version).ok()),
            };
            state.initialize = Some(initialize.to_owned());
            self.begun.send_replace(state.mark.generation);
        });
    }

    /// Wakes when another session has begun.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.begun.subscribe()
    }

    /// The server's own stream in this session is open, or there is none for now.
    pub(super) fn note_stream(&self, mark: &Mark) {
        self.streaming
            .send_if_modified(|newest| std::mem::replace(newest, mark.generation.max(*newest)) != *newest);
    }

    /// There will be none in any session.
    pub(super) fn note_no_streams(&self) {
        self.streaming.send_replace(u64::MAX);
    }

    /// Waits until it is known. What a server asks before its stream is open, some servers drop.
    pub(super) async fn stream_known(&self) {
        let generation = self.mark().generation;
        let mut streaming = self.streaming.subscribe();
        let _ = tokio::time::timeout(STREAM, streaming.wait_for(|newest| *newest >= generation)).await;
    }

    /// Keeps the notification that follows.
    pub(super) fn keep_initialized(&self, text: &str) {
        self.with(|state| state.initialized = Some(text.to_owned()));
    }

    /// The two messages with which the client began.
    pub(super) fn beginning(&self) -> Option<(String, Option<String>)> {
        self.with(|state| Some((state.initialize.clone()?, state.initialized.clone())))
    }

    /// Makes requests wait until the server knows that the client is ready.
    pub(super) fn hold(&self) -> Hold {
        self.held.send_modify(|held| *held += 1);
        Hold(self.held.clone())
    }

    /// Waits for that.
    pub(super) async fn ready(&self) {
        // There is always a sender: this session.
        let _ = self.held.subscribe().wait_for(|held| *held == 0).await;
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
