//! What an answer left unread of its request's body, in HTTP/1.
//!
//! A connection carries the next request only behind the end of this one (RFC 9112 §9.3), and one that is closed while
//! more arrives is reset, which can take the answer along before it is read (RFC 9112 §9.6). Both look to a proxy as if
//! the server had broken down: its client would hear 502 in place of 401, and not sign in again. So what is left is read
//! and thrown away before the answer goes out. When it is too much for that, or comes too slowly, the answer says that the
//! connection ends, and is followed by more of the same until the other end had time to read it.
//!
//! It costs whoever sends it more than it costs us: nothing of it is kept, and a connection that sends a body may be there
//! for no longer than one that sends nothing at all. How many do so at once is limited with the connections themselves.
//! HTTP/2 needs none of it: an answer ends its own stream there, and says so (RFC 9113 §8.1).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::Response;
use http::{HeaderMap, HeaderValue, Request, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// How much is read for nobody, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How many bytes before the answer: as many as the largest body has that is read for somebody.
    pub(super) bytes: u64,
    /// How long it may take until the body is there, counted from the head: as long as a body may take that is read for
    /// somebody. Who was late already is not waited for again.
    pub(super) within: Duration,
    /// How long after an answer with which the connection ends.
    pub(super) after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let (within, after) = (Duration::from_secs(30), Duration::from_secs(30));
        Self { bytes: 1 << 20, within, after }
    }
}

/// Where the body comes to lie when nobody reads it any more.
type Slot = Arc<Mutex<Option<Left>>>;

/// A body that was not read to its end.
struct Left {
    body: Incoming,
    /// Whether anything of it was asked for.
    is_begun: bool,
}

/// A request's body as its handler has it.
pub(super) struct Arriving {
    left: Option<Left>,
    slot: Option<Slot>,
}

/// What will be left of it when it is answered.
pub(super) struct Unread {
    slot: Slot,
    waits_to_be_asked: bool,
    most: u64,
    until: Sleep,
}

/// Lends the body of a request to its handler.
pub(super) fn lend(request: Request<Incoming>, patience: Patience) -> (Request<Arriving>, Option<Unread>) {
    let unread = (request.version() < Version::HTTP_2).then(|| Unread {
        slot: Slot::default(),
        waits_to_be_asked: waits_to_be_asked(request.headers()),
        most: patience.bytes,
        until: tokio::time::sleep(patience.within),
    });
    let slot = unread.as_ref().map(|unread| unread.slot.clone());
    let lent = request.map(|body| Arriving { left: Some(Left { body, is_begun: false }), slot });
    (lent, unread)
}

/// Whether the body comes only after an interim answer (RFC 9110 §10.1.1).
fn waits_to_be_asked(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(left) = &mut self.left else { return Poll::Ready(None) };
        left.is_begun = true;
        let frame = Pin::new(&mut left.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.left = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.left.as_ref().is_none_or(|left| left.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.left.as_ref().map(|left| left.body.size_hint()).unwrap_or_default()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.is_end_stream() {
            return;
        }
        if let Some(slot) = &self.slot {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = self.left.take();
        }
    }
}

impl Unread {
    /// Reads what is left, so that the connection can go on; or has the answer say that it ends, and gives back what is
    /// still to come. A stop does not wait for it.
    pub(super) async fn settle(
        self,
        response: &mut Response,
        stopping: &CancellationToken,
    ) -> Option<Incoming> {
        let left = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Left { mut body, is_begun } = left?;
        let is_asked_for = is_begun || !self.waits_to_be_asked;
        if is_asked_for && body.size_hint().lower() <= self.most {
            let is_read = tokio::select! {
                is_read = throw_away(&mut body, self.most) => is_read,
                () = self.until => false,
                () = stopping.cancelled() => false,
            };
            if is_read {
                return None;
            }
        }
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        Some(body)
    }
}

/// Reads up to so much; says whether that was all.
async fn throw_away(body: &mut Incoming, most: u64) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        // It broke off: nobody is there.
        let Ok(frame) = frame else { return true };
        read += frame.data_ref().map_or(0, |data| data.len() as u64);
        if read > most {
            return false;
        }
    }
    true
}

/// Reads on behind an answer, so that it arrives before the connection is closed. A stop does not wait for it.
pub(super) async fn linger(mut body: Incoming, patience: Patience, stopping: CancellationToken) {
    tokio::select! {
        _ = throw_away(&mut body, u64::MAX) => {}
        () = tokio::time::sleep(patience.after) => {}
        () = stopping.cancelled() => {}
    }
}
