//! What revisions before 2026-07-28 have and later ones do not: sessions, requests of the server to the client, and a
//! stream that is opened with GET.
//!
//! A session is no state of a process. Its id is sealed and says all there is to know, namely what the client said
//! of itself in `initialize`; so any replica takes it, a restart loses none, and it gives no rights. What a running
//! call asks its client is answered to whichever replica the answer reaches, and comes back over the bus.
//!
//! Whoever leaves the session id out is served as before, but cannot be asked anything and hears of nothing.

mod conversation;
mod session;
mod stream;

pub(super) use conversation::{Outgoing, answered, begin, cancelled};
pub(super) use session::{HEADER, Session, Sessions};
pub(super) use stream::{follow, open as open_stream, subscribe, unsubscribe};

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use http::{HeaderName, HeaderValue};
use rmcp::model::ServerJsonRpcMessage;

/// How often a silent stream says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Messages as server-sent events.
fn events(messages: impl Stream<Item = ServerJsonRpcMessage> + Send + 'static) -> Response {
    use futures::StreamExt;
    let events = messages.map(|message| {
        // Every message is made here, of parts that JSON can hold.
        let data = serde_json::to_string(&message).unwrap_or_default();
        Ok::<_, Infallible>(Event::default().event("message").data(data))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Proxies must pass each event on as it comes (MCP streamable-http).
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
