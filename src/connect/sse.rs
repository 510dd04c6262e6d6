//! Server-sent events as they arrive in pieces (WHATWG HTML §9.2.6), each within a limit.

use std::time::Duration;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its data, lines joined; empty in an event that only carries an id.
    pub(crate) data: String,
    /// Where to go on after it.
    pub(crate) id: Option<String>,
    /// How long to wait before asking again.
    pub(crate) retry: Option<Duration>,
}

/// An event that is longer than the limit, or is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Longer than this many bytes.
    #[error("an event is longer than {0} bytes")]
    TooLong(usize),
    /// Not text.
    #[error("an event is not UTF-8")]
    NotText,
}

/// Puts the pieces together.
#[derive(Debug)]
pub(crate) struct Parser {
    limit: usize,
    line: Vec<u8>,
    data: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
    after_cr: bool,
    at_start: bool,
}

impl Parser {
    /// A parser for a stream whose events are no longer than `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, line: Vec::new(), data: None, id: None, retry: None, after_cr: false, at_start: true }
    }

    /// Takes a piece; the events that are complete with it.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Vec<Event>, Malformed> {
        let mut events = Vec::new();
        let mut rest = piece;
        while let Some((first, _)) = rest.split_first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            let data = self.data.as_ref().map_or(0, String::len);
            if self.line.len() + line.len() + data > self.limit {
                return Err(Malformed::TooLong(self.limit));
            }
            self.line.extend_from_slice(line);
            let Some((ending, after)) = after.split_first() else { break };
            self.after_cr = *ending == b'\r';
            events.extend(self.end_line()?);
            rest = after;
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Result<Option<Event>, Malformed> {
        let line = String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| Malformed::NotText)?;
        let line = if std::mem::take(&mut self.at_start) {
            line.strip_prefix('\u{feff}').unwrap_or(&line)
        } else {
            &line
        };
        if line.is_empty() {
            let (data, id, retry) = (self.data.take(), self.id.take(), self.retry.take());
            let is_event = data.is_some() || id.is_some() || retry.is_some();
            return Ok(is_event.then(|| Event { data: data.unwrap_or_default(), id, retry }));
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                none => *none = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis),
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\r\n\r\nid: 1\nretry: 500\ndata:\n\nevent: message\rdata: {\"a\":\rdata: 1}\r\r\
                          data: \u{e9}\r\nid: 2\r\n\r\ndata: never ended";

    #[test]
    fn events_are_the_same_however_the_stream_is_cut() {
        let expected = vec![
            Event { data: String::new(), id: Some("1".into()), retry: Some(Duration::from_millis(500)) },
            Event { data: "{\"a\":\n1}".into(), ..Event::default() },
            Event { data: "\u{e9}".into(), id: Some("2".into()), ..Event::default() },
        ];
        for size in 1..=STREAM.len() {
            let mut parser = Parser::new(1000);
            let pieces = STREAM.as_bytes().chunks(size).map(|piece| parser.push(piece).unwrap());
            let events: Vec<Event> = pieces.flatten().collect();
            assert_eq!(events, expected, "pieces of {size}");
        }
    }

    #[test]
    fn no_event_grows_beyond_the_limit() {
        for text in ["data: 12345678901", "data: 12345\ndata: 1234\ndata: 12345", ": 123456789012345678"] {
            let mut parser = Parser::new(16);
            assert_eq!(parser.push(text.as_bytes()), Err(Malformed::TooLong(16)), "{text}");
        }
        assert_eq!(Parser::new(16).push(b"data: \xff\n"), Err(Malformed::NotText));
    }
}
