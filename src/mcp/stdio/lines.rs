//! One message a line (MCP transports, "stdio"), of bounded length.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its end; never blank.
    Whole(Vec<u8>),
    /// A line that was longer than it may be. It is gone.
    TooLong,
    /// There are no more.
    End,
}

/// Reads lines.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    longest: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most `longest` bytes.
    pub(super) fn new(input: R, longest: usize) -> Self {
        Self { input: BufReader::new(input), longest }
    }

    /// The next line that is not blank. A last line without an end is one, too.
    pub(super) async fn next(&mut self) -> std::io::Result<Line> {
        loop {
            match self.read().await? {
                Line::Whole(line) if line.trim_ascii().is_empty() => {}
                other => return Ok(other),
            }
        }
    }

    async fn read(&mut self) -> std::io::Result<Line> {
        let mut line = Vec::new();
        let mut too_long = false;
        loop {
            let buffer = self.input.fill_buf().await?;
            let ended = buffer.is_empty();
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            too_long |= line.len() + part.len() > self.longest;
            if too_long {
                line = Vec::new();
            } else {
                line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() || ended {
                return Ok(match (too_long, ended && line.is_empty()) {
                    (true, _) => Line::TooLong,
                    (false, true) => Line::End,
                    (false, false) => Line::Whole(line),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &str) -> Vec<Line> {
        // In pieces of three bytes, as a slow writer sends them.
        let (mut ours, theirs) = tokio::io::duplex(3);
        let input = input.to_owned();
        let writing = async move {
            use tokio::io::AsyncWriteExt as _;
            ours.write_all(input.as_bytes()).await.unwrap();
        };
        let reading = async {
            let mut lines = Lines::new(theirs, 8);
            let mut read = Vec::new();
            loop {
                match lines.next().await.unwrap() {
                    Line::End => return read,
                    line => read.push(line),
                }
            }
        };
        tokio::join!(writing, reading).1
    }

    #[tokio::test]
    async fn a_line_is_a_message_and_a_longer_one_is_thrown_away_whole() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        let cases: [(&str, Vec<Line>); 7] = [
            ("", vec![]),
            ("one\ntwo\r\n", vec![whole("one"), whole("two\r")]),
            ("\n \n\r\none\n\n", vec![whole("one")]),
            ("no end", vec![whole("no end")]),
            ("12345678\nok\n", vec![whole("12345678"), whole("ok")]),
            ("123456789\nok\n", vec![Line::TooLong, whole("ok")]),
            ("123456789123456789", vec![Line::TooLong]),
        ];
        for (input, expected) in cases {
            assert_eq!(read(input).await, expected, "{input:?}");
        }
    }
}
