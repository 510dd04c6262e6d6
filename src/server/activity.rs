//! What is going on on a connection: how many requests are being answered, who of both ends is to do the next step, and
//! whether anything happened lately.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};

/// How many looks in a row may find every answer of a connection unread until it ends. A look comes as often as a head may
/// take, so this is five minutes at most: whoever reads anything within four stays.
///
/// How long we are silent does not matter: a call that is not answered yet and a stream between two keep-alives (one every
/// 15 seconds, of either era) wait for us, and such a connection is never stuck. So a person may think about a question for
/// as long as the call that asked lets them, and tools of an extension may take their time. But an answer whose part was
/// taken and is not sent waits for the other end: it opened no window in HTTP/2, or does not read in HTTP/1, and pings
/// that it answers say nothing of it.
const UNREAD_LOOKS: u8 = 3;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests whose answer is not sent yet.
    open: AtomicUsize,
    /// Those among them for which we have nothing to send yet.
    ours: AtomicUsize,
    /// How often a request began, a part of an answer was taken to be sent, one was sent, or an answer ended.
    changes: AtomicU64,
    /// Whether a request ever came.
    has_begun: AtomicBool,
}

/// What was seen of a connection at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(u64);

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Something happened since the last look, or we are at work on an answer.
    Busy,
    /// Nothing is being answered, and nothing that was left since the last look.
    Idle,
    /// Every answer waits until the other end reads what is there of it, and it read nothing since the last look.
    Stuck,
}

impl Activity {
    /// A request is being answered for as long as the result lives.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.ours.fetch_add(1, Ordering::SeqCst);
        self.has_begun.store(true, Ordering::SeqCst);
        self.changes.fetch_add(1, Ordering::SeqCst);
        UnderWay { activity: self.clone(), turn: Turn::Ours }
    }

    /// Whether a request ever came.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }

    /// A part of an answer has left, of one that is under way or of one that was handed over whole.
    pub(super) fn sent(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// What it does, and did since then. Sets the moment to now.
    pub(super) fn look(&self, seen: &mut Seen) -> State {
        let now = Seen(self.changes.load(Ordering::SeqCst));
        let before = std::mem::replace(seen, now);
        match (self.open.load(Ordering::SeqCst), self.ours.load(Ordering::SeqCst)) {
            _ if before != now => State::Busy,
            (0, _) => State::Idle,
            (_, 0) => State::Stuck,
            _ => State::Busy,
        }
    }
}

/// What the looks at one connection have come to.
#[derive(Debug, Default)]
pub(super) struct Looks {
    seen: Seen,
    /// How many in a row found all answers unread.
    unread: u8,
    is_sent_away: bool,
}

/// What becomes of a connection after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays as it is.
    Stays,
    /// It is told to go when it has its answers.
    IsSentAway,
    /// It ends: it never asked for anything, or was told to go and has not.
    IsOver,
    /// It ends: nobody reads its answers.
    IsUnread,
}

impl Looks {
    /// Looks once more.
    pub(super) fn judge(&mut self, activity: &Activity) -> Verdict {
        let state = activity.look(&mut self.seen);
        self.unread = if state == State::Stuck { self.unread + 1 } else { 0 };
        match state {
            State::Idle if self.is_sent_away || !activity.has_begun() => Verdict::IsOver,
            State::Idle => {
                self.is_sent_away = true;
                Verdict::IsSentAway
            }
            State::Stuck if self.unread >= UNREAD_LOOKS => Verdict::IsUnread,
            State::Busy | State::Stuck => Verdict::Stays,
        }
    }
}

/// Whose turn it is with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// We have nothing to send yet: the answer is being made, or its stream is quiet.
    Ours,
    /// They are to read what there is; nothing more is asked of us before.
    Theirs,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    turn: Turn,
}

impl UnderWay {
    /// The body with which the answer ends.
    pub(super) fn until_the_end_of(mut self, body: Body) -> Body {
        // Until it is asked for its first part: behind an answer that nobody reads it never is.
        self.give(Turn::Theirs);
        Body::new(Answer { body, under_way: self })
    }

    fn give(&mut self, turn: Turn) {
        match (self.turn, turn) {
            (Turn::Theirs, Turn::Ours) => self.activity.ours.fetch_add(1, Ordering::SeqCst),
            (Turn::Ours, Turn::Theirs) => self.activity.ours.fetch_sub(1, Ordering::SeqCst),
            _ => return,
        };
        self.turn = turn;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.activity.changes.fetch_add(1, Ordering::SeqCst);
        self.activity.open.fetch_sub(1, Ordering::SeqCst);
        self.give(Turn::Theirs);
    }
}

/// A body as it is; it is gone when all of it is sent, or nobody waits for it.
struct Answer {
    body: Body,
    under_way: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending() {
            self.under_way.give(Turn::Ours);
        } else {
            self.under_way.give(Turn::Theirs);
            self.under_way.activity.changes.fetch_add(1, Ordering::SeqCst);
        }
        frame
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
    use futures::{StreamExt as _, poll};
    use std::convert::Infallible;

    #[test]
    fn a_connection_is_idle_when_nothing_is_answered_and_nothing_was_between_two_looks() {
        let activity = Arc::<Activity>::default();
        let mut seen = Seen::default();
        assert_eq!(activity.look(&mut seen), State::Idle);
        assert!(!activity.has_begun());
        let answer = activity.begin().until_the_end_of(Body::from("text"));
        assert_eq!(answer.size_hint().exact(), Some(4));
        assert!(activity.has_begun());
        assert_eq!(activity.look(&mut seen), State::Busy, "it has just begun");
        drop(answer);
        assert_eq!(activity.look(&mut seen), State::Busy, "it was sent since the last look");
        assert_eq!(activity.look(&mut seen), State::Idle);
    }

    #[test]
    fn who_is_idle_goes_in_two_looks_and_who_reads_what_was_handed_over_stays() {
        let (activity, mut looks) = (Arc::<Activity>::default(), Looks::default());
        assert_eq!(looks.judge(&activity), Verdict::IsOver, "it never asked");
        drop(activity.begin().until_the_end_of(Body::from("text")));
        for _ in 0..10 {
            activity.sent();
            assert_eq!(looks.judge(&activity), Verdict::Stays);
        }
        assert_eq!(looks.judge(&activity), Verdict::IsSentAway);
        activity.sent();
        assert_eq!(looks.judge(&activity), Verdict::Stays);
        assert_eq!(looks.judge(&activity), Verdict::IsOver);
        let _unread = activity.begin().until_the_end_of(Body::from("text"));
        assert_eq!(looks.judge(&activity), Verdict::Stays);
        let verdicts = [(); 3].map(|()| looks.judge(&activity));
        assert_eq!(verdicts, [Verdict::Stays, Verdict::Stays, Verdict::IsUnread]);
    }

    #[tokio::test]
    async fn a_connection_is_stuck_when_all_that_there_is_waits_to_be_read() {
        let activity = Arc::<Activity>::default();
        let mut seen = Seen::default();
        let under_way = activity.begin();
        for _ in 0..3 {
            assert_eq!(activity.look(&mut seen), State::Busy, "the answer is being made");
        }
        let first = futures::stream::iter([Ok::<_, Infallible>("first")]);
        let body = Body::from_stream(first.chain(futures::stream::pending()));
        let mut answer = under_way.until_the_end_of(body).into_data_stream();
        assert_eq!(activity.look(&mut seen), State::Stuck, "nobody asks for it");
        assert!(poll!(answer.next()).is_ready());
        assert_eq!(activity.look(&mut seen), State::Busy, "a part of it was taken");
        assert_eq!(activity.look(&mut seen), State::Stuck, "the part is not sent");
        assert!(poll!(answer.next()).is_pending());
        let other = activity.begin().until_the_end_of(Body::from("text"));
        assert_eq!(activity.look(&mut seen), State::Busy, "another request began");
        for _ in 0..3 {
            assert_eq!(activity.look(&mut seen), State::Busy, "there is a quiet stream beside the stuck one");
        }
        drop(answer);
        assert_eq!(activity.look(&mut seen), State::Busy);
        assert_eq!(activity.look(&mut seen), State::Stuck);
        drop(other);
        assert_eq!(activity.look(&mut seen), State::Busy);
        assert_eq!(activity.look(&mut seen), State::Idle);
    }
}
