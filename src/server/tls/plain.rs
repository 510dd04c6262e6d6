//! Who speaks plain HTTP to a port that speaks TLS is told so in plain HTTP, and not with an alert that no browser shows.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How much of what was said is read before the connection ends, in bytes. Unread, it would make the system throw
/// away the answer.
const HEARD: u64 = 64 * 1024;

/// Answers, hears the rest and ends.
pub(super) async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let body = "This port speaks https only: write https:// where the address has http://.\n";
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(HEARD), &mut tokio::io::sink()).await?;
    Ok(())
}
