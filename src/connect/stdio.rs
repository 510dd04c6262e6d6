//! Standard input and output, each on a thread of its own: reading a pipe cannot be given up, and must not hold back
//! the end of the program. Both ways are short queues, so that whoever is slow makes the others wait.

use std::io::{BufRead, ErrorKind, Read, Write};
use std::os::fd::AsFd as _;
use std::thread;

use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

use super::message;

/// How many messages wait in either direction.
const WAITING: usize = 8;

/// A line of standard input.
#[derive(Debug)]
pub(super) enum Line {
    /// Its text without the line break.
    Text(String),
    /// It is longer than a message may be, or not UTF-8.
    Unreadable,
}

/// The lines of standard input, until it is closed.
pub(super) fn lines() -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(WAITING);
    thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        while let Some(line) = next_line(&mut input, message::LONGEST) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The next line that is not blank. What is beyond the limit is read and thrown away.
fn next_line(input: &mut impl BufRead, limit: usize) -> Option<Line> {
    loop {
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = input.by_ref().take(most).read_until(b'\n', &mut bytes).ok()?;
        if read == 0 {
            return None;
        }
        if bytes.len() > limit && bytes.last() != Some(&b'\n') {
            skip_line(input)?;
            return Some(Line::Unreadable);
        }
        match String::from_utf8(bytes) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => return Some(Line::Text(text.trim().to_owned())),
            Err(_) => return Some(Line::Unreadable),
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> Option<()> {
    loop {
        let buffer = input.fill_buf().ok()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |at| at + 1);
        if used == 0 {
            return None;
        }
        input.consume(used);
        if end.is_some() {
            return Some(());
        }
    }
}

/// Where messages for the client go. Nothing else is ever written to standard output.
#[derive(Clone, Debug)]
pub(super) struct Output(mpsc::Sender<String>);

impl Output {
    /// Hands a message over; waits as long as the client does not read. A client that is gone is not missed: the
    /// bridge ends with it.
    pub(super) async fn send(&self, message: String) {
        let _ = self.0.send(message::one_line(message)).await;
    }

    /// Waits until the client is gone, whether there is something to write or not.
    pub(super) async fn closed(&self) {
        tokio::select! {
            () = self.0.closed() => {}
            () = nobody_reads() => {}
        }
    }
}

/// Waits until nobody reads standard output any more. A file has no reader that could go away.
async fn nobody_reads() {
    let output = std::io::stdout().as_fd().try_clone_to_owned();
    // Watched and never written to, so it need not be a pipe, and blocks whoever does write as before.
    if let Ok(output) = output.and_then(pipe::Sender::from_owned_fd_unchecked) {
        while let Ok(ready) = output.ready(Interest::WRITABLE).await {
            if ready.is_write_closed() {
                return;
            }
            // That there is room is nothing new: sleeps until something else is.
            let _ = output.try_io(|| Err::<(), _>(ErrorKind::WouldBlock.into()));
        }
    }
    std::future::pending::<()>().await;
}

/// Starts writing; the second half tells that everything is written and the output given up.
pub(super) fn output() -> (Output, oneshot::Receiver<()>) {
    let (sender, mut receiver) = mpsc::channel::<String>(WAITING);
    let (written, done) = oneshot::channel();
    thread::spawn(move || {
        let mut output = std::io::stdout().lock();
        while let Some(mut line) = receiver.blocking_recv() {
            line.push('\n');
            if output.write_all(line.as_bytes()).and_then(|()| output.flush()).is_err() {
                break;
            }
        }
        let _ = written.send(());
    });
    (Output(sender), done)
}

/// Says something to the person, on standard error. Part of it may come from a server, which must not write on the
/// person's terminal.
pub(super) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "mandate connect: {}", harmless(line));
}

/// One line, of what is seen as it is: without control characters and without those that turn the reading direction.
fn harmless(line: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let visible = |c: char| if c.is_control() || turns(c) { '\u{fffd}' } else { c };
    line.chars().take(LONGEST_WORD).map(visible).collect()
}

/// How much is said at once, in characters.
const LONGEST_WORD: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_write_on_the_terminal() {
        let said = harmless("https://evil/\u{1b}]0;title\u{7}\nmandate connect: \u{202e}moc\u{9b}2J");
        assert_eq!(
            said,
            "https://evil/\u{fffd}]0;title\u{fffd}\u{fffd}mandate connect: \u{fffd}moc\u{fffd}2J"
        );
        assert_eq!(harmless(&"x".repeat(9_000)).len(), LONGEST_WORD);
    }

    #[test]
    fn lines_are_read_one_by_one_and_none_beyond_the_limit() {
        let mut input: &[u8] = b"{}\r\n\n  \nmuch too long for ten\n\xff\nlast";
        let mut seen = Vec::new();
        while let Some(line) = next_line(&mut input, 10) {
            seen.push(match line {
                Line::Text(text) => text,
                Line::Unreadable => "unreadable".to_owned(),
            });
        }
        assert_eq!(seen, ["{}", "unreadable", "unreadable", "last"]);
    }
}
