//! A balancer as simple as can be told the truth about: one connection per request, to the next replica whose
//! `/ready` says yes. Only a refused connection is tried at the next one; whatever happens later, nobody knows what
//! became of the request, and the answer is 502.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often each replica is asked whether it is ready.
const ASKS_EVERY: Duration = Duration::from_millis(50);
/// How long a replica may take to say so.
const SAYS_WITHIN: Duration = Duration::from_millis(2500);

/// A running balancer, in a thread of its own so that no test that blocks keeps it from its work. Ends with this
/// value.
pub(crate) struct Proxy {
    port: u16,
    replicas: Arc<Replicas>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Replicas {
    all: Vec<(SocketAddr, AtomicBool)>,
    next: AtomicUsize,
}

impl Proxy {
    /// Begins to balance between the replicas on these ports.
    pub(crate) fn start(ports: &[u16]) -> Self {
        let all =
            ports.iter().map(|port| (SocketAddr::from(([127, 0, 0, 1], *port)), AtomicBool::new(false)));
        let replicas = Arc::new(Replicas { all: all.collect(), next: AtomicUsize::new(0) });
        let stop = CancellationToken::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (shared, ended) = (replicas.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = accept(listener, shared.clone()) => {}
                    () = ask(&shared) => {}
                }
            });
        });
        Self { port, replicas, stop, thread: Some(thread) }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether requests are sent to the replica of this number.
    pub(crate) fn sends_to(&self, number: usize) -> bool {
        self.replicas.all[number].1.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // What went wrong in it has been seen by whoever sent a request.
            let _ = thread.join();
        }
    }
}

/// Asks every replica whether it is ready, for ever.
async fn ask(replicas: &Replicas) {
    let asking = replicas.all.iter().map(async |(address, ready)| {
        loop {
            let says = tokio::time::timeout(SAYS_WITHIN, is_ready(*address)).await.unwrap_or(false);
            ready.store(says, Ordering::SeqCst);
            tokio::time::sleep(ASKS_EVERY).await;
        }
    });
    futures::future::join_all(asking).await;
}

async fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let question = format!("GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let asked = stream.write_all(question.as_bytes()).await.is_ok();
    asked && stream.read_to_end(&mut answer).await.is_ok() && answer.starts_with(b"HTTP/1.1 200")
}

async fn accept(listener: TcpListener, replicas: Arc<Replicas>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                connections.spawn(serve(stream, replicas.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, one request.
async fn serve(mut stream: TcpStream, replicas: Arc<Replicas>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let answer = replicas.answer(&request).await;
    // The client may have gone.
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

impl Replicas {
    async fn answer(&self, request: &[u8]) -> Vec<u8> {
        let first = self.next.fetch_add(1, Ordering::SeqCst);
        for turn in 0..self.all.len() {
            let (address, ready) = &self.all[(first + turn) % self.all.len()];
            if !ready.load(Ordering::SeqCst) {
                continue;
            }
            let Ok(stream) = TcpStream::connect(address).await else { continue };
            return exchange(stream, request).await.unwrap_or_else(|| own_answer("502 Bad Gateway"));
        }
        own_answer("503 Service Unavailable")
    }
}

/// Sends a request and reads the whole answer. `None` when the connection ends before that.
async fn exchange(mut stream: TcpStream, request: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let head = head_of(&answer)?;
    let body = &answer[head.len()..];
    let whole = match header(head, "content-length") {
        Some(length) => body.len() == length.parse::<usize>().unwrap(),
        None if header(head, "transfer-encoding").is_some() => body.ends_with(b"0\r\n\r\n"),
        None => true,
    };
    whole.then_some(answer)
}

fn own_answer(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nServer: balancer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into()
}

/// A request as it is passed on: the same, but for a connection of its own.
async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    let length = loop {
        if let Some(head) = head_of(&read) {
            let body = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
            if read.len() >= head.len() + body {
                break head.len();
            }
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let mut request = read[..length - 2].to_vec();
    request.extend_from_slice(b"Connection: close\r\n\r\n");
    request.extend_from_slice(&read[length..]);
    Some(request)
}

/// Everything up to the empty line, with it.
fn head_of(message: &[u8]) -> Option<&[u8]> {
    message.windows(4).position(|four| four == b"\r\n\r\n").map(|end| &message[..end + 4])
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let head = std::str::from_utf8(head).unwrap();
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
