//! What is going on on a connection: how many requests are being answered, and whether anything happened lately.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests whose answer is not sent yet.
    open: AtomicUsize,
    /// How often a request began or an answer ended.
    changes: AtomicU64,
}

/// What was seen of a connection at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(u64);

impl Activity {
    /// A request is being answered for as long as the result lives.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.changes.fetch_add(1, Ordering::SeqCst);
        UnderWay(self.clone())
    }

    /// Whether a request ever came.
    pub(super) fn has_begun(&self) -> bool {
        self.changes.load(Ordering::SeqCst) > 0
    }

    /// Whether nothing is being answered and nothing was since then. Sets the moment to now.
    pub(super) fn was_idle_since(&self, seen: &mut Seen) -> bool {
        let now = Seen(self.changes.load(Ordering::SeqCst));
        let before = std::mem::replace(seen, now);
        self.open.load(Ordering::SeqCst) == 0 && before == now
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl UnderWay {
    /// The body with which the answer ends.
    pub(super) fn until_the_end_of(self, body: Body) -> Body {
        Body::new(Answer { body, _under_way: self })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.changes.fetch_add(1, Ordering::SeqCst);
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A body as it is; it is gone when all of it is sent, or nobody waits for it.
struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_when_nothing_is_answered_and_nothing_was_between_two_looks() {
        let activity = Arc::<Activity>::default();
        let mut seen = Seen::default();
        assert!(activity.was_idle_since(&mut seen) && !activity.has_begun());
        let answer = activity.begin().until_the_end_of(Body::from("text"));
        assert_eq!(answer.size_hint().exact(), Some(4));
        assert!(activity.has_begun());
        for _ in 0..2 {
            assert!(!activity.was_idle_since(&mut seen), "it is not sent yet");
        }
        drop(answer);
        assert!(!activity.was_idle_since(&mut seen), "it was sent since the last look");
        assert!(activity.was_idle_since(&mut seen));
    }
}
