//! Whether anything of an answer leaves: what was handed over to be sent may wait for long until the other end reads.
//!
//! In HTTP/2 only some of what is written is of answers. Pings, and answers to pings, go out to whoever reads nothing else,
//! too, and say nothing about that (RFC 9113 §6.7).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;

/// How long the head of a frame is (RFC 9113 §4.1).
const FRAME_HEAD: usize = 9;
/// DATA, HEADERS and CONTINUATION (RFC 9113 §6).
const OF_ANSWERS: [u8; 3] = [0, 1, 9];

/// A connection of which it is noticed when a part of an answer leaves.
pub(super) struct Written<I> {
    io: I,
    activity: Arc<Activity>,
    spoken: Spoken,
}

/// What is said on it, as far as it shows.
#[derive(Debug, PartialEq, Eq)]
enum Spoken {
    /// Nothing yet.
    Nothing,
    /// HTTP/1: all of it are answers.
    Http1,
    /// HTTP/2, in frames.
    Http2(Frame),
}

/// Where in a frame we are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frame {
    head: Vec<u8>,
    /// How much of its body is still to come.
    left: usize,
}

impl<I> Written<I> {
    pub(super) fn new(io: I, activity: Arc<Activity>) -> Self {
        Self { io, activity, spoken: Spoken::Nothing }
    }

    fn note<'a>(&mut self, parts: impl IntoIterator<Item = &'a [u8]>, mut length: usize) {
        let mut is_of_an_answer = false;
        for part in parts {
            let written = part.get(..length).unwrap_or(part);
            length -= written.len();
            is_of_an_answer |= self.spoken.take(written);
        }
        if is_of_an_answer {
            self.activity.sent();
        }
    }
}

impl Spoken {
    /// Follows what was written; says whether any of it is of an answer.
    fn take(&mut self, written: &[u8]) -> bool {
        let Some(first) = written.first() else { return false };
        if *self == Self::Nothing {
            // The first frame is SETTINGS, whose length has nothing in the first of its bytes; an answer has a letter.
            *self = if *first == 0 { Self::Http2(Frame::default()) } else { Self::Http1 };
        }
        match self {
            Self::Nothing => false,
            Self::Http1 => true,
            Self::Http2(frame) => frame.take(written),
        }
    }
}

impl Frame {
    fn take(&mut self, mut written: &[u8]) -> bool {
        let mut is_of_an_answer = false;
        while !written.is_empty() {
            let missing = FRAME_HEAD - self.head.len();
            let (taken, rest) =
                written.split_at(written.len().min(if missing > 0 { missing } else { self.left }));
            if missing > 0 {
                self.head.extend_from_slice(taken);
                if let [high, middle, low, ..] = self.head.as_slice() {
                    self.left = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
                }
            } else {
                self.left -= taken.len();
                is_of_an_answer |= self.head.get(3).is_some_and(|kind| OF_ANSWERS.contains(kind));
            }
            if self.head.len() == FRAME_HEAD && self.left == 0 {
                self.head.clear();
            }
            written = rest;
        }
        is_of_an_answer
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Written<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, into)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Written<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        part: &[u8],
    ) -> Poll<io::Result<usize>> {
        let length = ready!(Pin::new(&mut self.io).poll_write(context, part))?;
        self.note([part], length);
        Poll::Ready(Ok(length))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = ready!(Pin::new(&mut self.io).poll_write_vectored(context, parts))?;
        self.note(parts.iter().map(|part| &**part), length);
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::activity::{Seen, State};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const SETTINGS: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 1, 0];
    const PING: &[u8] = &[0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    #[test]
    fn of_what_http_2_writes_pings_are_no_answer_and_parts_of_data_are() {
        // A frame of 70 000 bytes in three writes, the head in two of them.
        let data = [&[1, 0x11, 0x70, 0, 0, 0, 0, 0, 1][..], &vec![b'x'; 70_000]].concat();
        let mut spoken = Spoken::Nothing;
        for (written, expected) in [
            (SETTINGS, false),
            (PING, false),
            (&data[..4], false),
            (&data[4..9], false),
            (&data[9..10], true),
            (&data[10..60_000], true),
            (&data[60_000..], true),
            (PING, false),
            (&[PING, &data, PING].concat(), true),
            (&PING[..11], false),
            (&PING[11..], false),
            (&[0, 0, 0, 4, 1, 0, 0, 0, 0], false),
            (&[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88], true),
        ] {
            assert_eq!(spoken.take(written), expected, "{:?}", written.len());
        }
        assert_eq!(spoken, Spoken::Http2(Frame::default()));
        assert!(Spoken::Nothing.take(b"HTTP/1.1 200 OK\r\n"));
    }

    #[tokio::test]
    async fn whoever_reads_a_part_of_what_was_handed_over_is_not_idle() {
        let activity = Arc::<Activity>::default();
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let mut io = Written::new(ours, activity.clone());
        let mut seen = Seen::default();
        assert_eq!(io.write(&[b'x'; 5000]).await.unwrap(), 1000);
        assert_eq!(activity.look(&mut seen), State::Busy);
        assert!(!activity.has_begun(), "nothing was asked");
        assert_eq!(activity.look(&mut seen), State::Idle, "nothing is read");
        theirs.read_exact(&mut [0; 10]).await.unwrap();
        assert_eq!(io.write_vectored(&[IoSlice::new(b"xxxx"), IoSlice::new(&[b'x'; 90])]).await.unwrap(), 10);
        assert_eq!(activity.look(&mut seen), State::Busy);
    }
}
