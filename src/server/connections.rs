//! Connections: how many there may be, how long one may be silent, and how much it may ask for at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::activity::{Activity, Looks, Verdict};
use super::listeners::{Accepted, Listeners};
use super::room::Room;
use super::tls::{Protocol, Tls};
use super::unread::{self, Patience};
use super::written::Written;
use crate::config::TrustedProxy;
use crate::web::address::Peer;

/// What connections may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many there may be at once. Further ones are not refused: they wait in the system's backlog, where they cost us
    /// neither a file nor memory, and are answered as soon as one ends. A proxy that is refused would tell its client so
    /// at once, though a second later there may be room.
    pub(super) connections: usize,
    /// How long it may take until the head of the next request is there, counted from its beginning or from the answer
    /// before. Longer than the minute for which balancers keep idle connections: one that we close first may be
    /// about to carry a request. A connection of HTTP/2 without an open stream ends after that time, too, or after at most
    /// twice as long.
    pub(super) head_within: Duration,
    /// How many requests and streams there may be at once on a connection of HTTP/2. Proxies open another one for more.
    pub(super) streams: u32,
    /// How long the headers of a request of HTTP/2 may be, in bytes.
    pub(super) headers: u32,
    /// How long the head of a request of HTTP/1 may be, in bytes; a longer one is answered with 431 (RFC 6585 §5). It is
    /// also what a connection keeps of a head that is not whole yet, and of an answer that is not sent yet.
    pub(super) head: usize,
    /// How often the other end of a connection of HTTP/2 is asked whether it is there, and how long it has to say so.
    pub(super) ping_every: Duration,
    /// How long it may take until TLS is agreed upon, counted from the connection's beginning.
    pub(super) handshake_within: Duration,
    /// What is read of bodies that nobody wants, in HTTP/1.
    pub(super) unread: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        let (head_within, ping_every) = (Duration::from_secs(75), Duration::from_secs(20));
        let handshake_within = Duration::from_secs(10);
        Self {
            connections: 10_000,
            head_within,
            streams: 256,
            headers: 32 * 1024,
            head: 64 * 1024,
            ping_every,
            handshake_within,
            unread: Patience::default(),
        }
    }
}

/// Takes connections until it is told to stop, then lets each finish what it has begun.
pub(super) async fn serve(
    mut listeners: Listeners,
    router: Router,
    limits: Limits,
    trusted: &[TrustedProxy],
    stopping: &CancellationToken,
) {
    let connections = TaskTracker::new();
    let mut room = Room::new(limits.connections, trusted);
    loop {
        let taken = tokio::select! {
            taken = room.next(&mut listeners) => taken,
            () = stopping.cancelled() => break,
        };
        let Some((accepted, place)) = taken else { break };
        let (tasks, stopping) = (connections.clone(), stopping.clone());
        let end = End { router: router.clone(), limits, stopping, tasks };
        connections.spawn(async move {
            end.answer(accepted).await;
            drop(place);
        });
    }
    drop(listeners);
    connections.close();
    connections.wait().await;
}

/// Our end of a connection.
struct End {
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl End {
    async fn answer(self, accepted: Accepted) {
        match accepted {
            Accepted::Unix(stream) => self.speak(stream, Peer::Local, Protocol::Any).await,
            Accepted::Tcp(stream, address, None) => {
                self.speak(stream, Peer::Host(address), Protocol::Any).await;
            }
            Accepted::Tcp(stream, address, Some(tls)) => {
                // Who has asked for nothing yet need not be waited for.
                let shaken = tokio::select! {
                    shaken = Tls::shake_hands(&tls, stream, address, self.limits.handshake_within) => shaken,
                    () = self.stopping.cancelled() => return,
                };
                if let Some((stream, protocol)) = shaken {
                    self.speak(stream, Peer::Host(address), protocol).await;
                }
            }
        }
    }

    async fn speak<I>(self, io: I, peer: Peer, protocol: Protocol)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { router, limits, stopping, tasks } = self;
        let activity = Arc::<Activity>::default();
        let service = {
            let (activity, stopping) = (activity.clone(), stopping.clone());
            tower::service_fn(move |mut request: Request<Incoming>| {
                let under_way = activity.begin();
                request.extensions_mut().insert(peer);
                let (request, unread) = unread::lend(request, limits.unread);
                let answering = router.clone().oneshot(request);
                let (tasks, stopping) = (tasks.clone(), stopping.clone());
                async move {
                    let mut response = answering.await?;
                    if let Some(unread) = unread
                        && let Some(rest) = unread.settle(&mut response, &stopping).await
                    {
                        tasks.spawn(unread::linger(rest, limits.unread, stopping));
                    }
                    Ok::<_, std::convert::Infallible>(response.map(|body| under_way.until_the_end_of(body)))
                }
            })
        };
        let builder = builder(limits, protocol);
        let io = TokioIo::new(Written::new(io, activity.clone()));
        let mut serving = pin!(builder.serve_connection(io, TowerToHyperService::new(service)));
        let mut look = pin!(tokio::time::sleep(limits.head_within));
        let (mut looks, mut is_stopping) = (Looks::default(), false);
        loop {
            tokio::select! {
                // Whoever breaks off knows about it.
                _ = serving.as_mut() => return,
                () = stopping.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    serving.as_mut().graceful_shutdown();
                }
                // Until it is known which HTTP is spoken, and on connections of HTTP/2, nobody else looks at the time.
                () = look.as_mut() => {
                    match looks.judge(&activity) {
                        Verdict::Stays => {}
                        Verdict::IsSentAway => serving.as_mut().graceful_shutdown(),
                        Verdict::IsOver => return,
                        Verdict::IsUnread => {
                            tracing::debug!(?peer, "a connection whose answers nobody read was ended");
                            return;
                        }
                    }
                    look.set(tokio::time::sleep(limits.head_within));
                }
            }
        }
    }
}

fn builder(limits: Limits, protocol: Protocol) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .max_buf_size(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.headers)
        .keep_alive_interval(limits.ping_every)
        .keep_alive_timeout(limits.ping_every);
    match protocol {
        Protocol::Any => builder,
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Extension;
    use axum::body::Body;
    use axum::routing::{get, post};
    use futures::{Stream, StreamExt as _};
    use http::StatusCode;
    use std::collections::BTreeSet;
    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::sync::Mutex;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const NO_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    /// A server that says `here` at `/`, and late at `/late`, counts to ten at `/count`, and lists who is known at `/known`.
    async fn listen(limits: Limits) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = CancellationToken::new();
        let known = Arc::<Mutex<BTreeSet<u16>>>::default();
        let who = move |Extension(peer): Extension<Peer>| async move {
            let Peer::Host(peer) = peer else { return String::new() };
            let mut known = known.lock().unwrap();
            known.insert(peer.port());
            known.len().to_string()
        };
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/known", get(who))
            .route("/late", get(late))
            .route("/refused", post(async || StatusCode::UNAUTHORIZED))
            .route("/begun", post(begun))
            .route("/much", get(async || Body::from_stream(much())))
            .route("/count", get(async || Body::from_stream(count())));
        let stop = stopping.clone();
        #[expect(clippy::disallowed_methods, reason = "it lives as long as the test's runtime")]
        tokio::spawn(async move { serve(listener.into(), router, limits, &[], &stop).await });
        (address, stopping)
    }

    /// Ten digits, each a while after the one before.
    fn count() -> impl Stream<Item = Result<String, Infallible>> + Send {
        futures::stream::iter(0..10).then(async |number: u8| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(number.to_string())
        })
    }

    /// Reads the first part of a body, and wants no more.
    async fn begun(body: Body) -> StatusCode {
        let _ = body.into_data_stream().next().await;
        StatusCode::PAYLOAD_TOO_LARGE
    }

    /// Says something after many looks.
    async fn late() -> &'static str {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        "here"
    }

    /// More than systems keep of what nobody reads, and in parts.
    fn much() -> impl Stream<Item = Result<Vec<u8>, Infallible>> + Send {
        futures::stream::repeat_with(|| Ok(vec![b'x'; 16 * 1024]))
    }

    /// A GET of `path` as the first request of a connection of HTTP/2, its headers in one frame (RFC 7541 §6).
    fn get_by_http_2(path: &str) -> Vec<u8> {
        let length = u8::try_from(path.len()).unwrap();
        let headers = [&[0x82, 0x86, 0x04, length], path.as_bytes(), &[0x41, 1, b'x']].concat();
        let head = [0, 0, u8::try_from(headers.len()).unwrap(), 1, 5, 0, 0, 0, 1];
        [PREFACE, NO_SETTINGS, &head, &headers].concat()
    }

    /// Everything that comes until the other end closes the connection.
    async fn sent_before_the_end(address: SocketAddr, said: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        // Closed with a reset is closed, too.
        let _ = stream.read_to_end(&mut heard).await;
        String::from_utf8_lossy(&heard).into_owned()
    }

    #[tokio::test]
    async fn who_does_not_send_a_request_in_time_keeps_no_connection() {
        let (address, _stopping) =
            listen(Limits { head_within: Duration::from_millis(250), ..Limits::default() }).await;
        let half: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ";
        let one_and_a_half = [b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", half].concat();
        for said in [b"", half, &PREFACE[..16], &[PREFACE, NO_SETTINGS].concat()] {
            let answer = sent_before_the_end(address, said).await;
            assert!(!answer.contains("here"), "{answer}");
        }
        let answer = sent_before_the_end(address, &one_and_a_half).await;
        assert_eq!(answer.matches("\r\n\r\nhere").count(), 1, "{answer}");
    }

    #[tokio::test]
    async fn a_head_of_http_1_may_be_long_and_not_endless() {
        let (address, _stopping) = listen(Limits::default()).await;
        let said =
            |length: usize, end: &str| format!("GET / HTTP/1.1\r\nx-long: {}{end}", "x".repeat(length));
        // As long as HTTP/2 lets headers be.
        let whole = said(32 * 1024, "\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = sent_before_the_end(address, whole.as_bytes()).await;
        assert!(answer.ends_with("here"), "{answer}");
        // Not a byte more than is read, since what is left unread would take the answer along (RFC 9293 §3.6.1).
        let start = said(0, "").len();
        let unfinished = said(Limits::default().head - start, "");
        let answer = sent_before_the_end(address, unfinished.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }

    #[tokio::test]
    async fn a_connection_lives_on_behind_a_body_that_nobody_read() {
        let (address, _stopping) = listen(Limits::default()).await;
        let body = "x".repeat(60_000);
        let last = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        for path in ["/refused", "/begun", "/count", "/nowhere"] {
            let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n");
            let known = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            let chunked =
                format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            let said = [known.as_str(), &chunked, &known, last].concat();
            let answers = sent_before_the_end(address, said.as_bytes()).await;
            assert_eq!(answers.matches("HTTP/1.1 4").count(), 3, "{path}: {answers}");
            assert!(answers.ends_with("here"), "{path}: {answers}");
            assert_eq!(answers.matches("connection: close").count(), 1, "{path}: {answers}");
        }
    }

    #[tokio::test]
    async fn behind_a_body_that_is_too_long_or_late_a_connection_ends_with_the_answer_read() {
        let unread = Patience { bytes: 100_000, within: Duration::from_millis(50), ..Patience::default() };
        let (address, _stopping) = listen(Limits { unread, ..Limits::default() }).await;
        let head = "POST /refused HTTP/1.1\r\nhost: localhost\r\n";
        let much = "x".repeat(4_000_000);
        let long = format!("{head}content-length: {}\r\n\r\n{much}", much.len());
        let chunked =
            format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{much}\r\n0\r\n\r\n", much.len());
        for said in [long, chunked] {
            // Sent to the end before anything is read, as simple clients do.
            let answer = sent_before_the_end(address, said.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close"), "{answer}");
        }
        let said = format!("{head}content-length: 10\r\n\r\nlate");
        let unasked = format!("{head}content-length: 10\r\nexpect: 100-continue\r\n\r\n");
        for said in [said, unasked] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            let mut answer = [0; 512];
            let length = stream.read(&mut answer).await.unwrap();
            let answer = std::str::from_utf8(&answer[..length]).unwrap();
            assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close"), "{answer}");
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "who has gone is not waited for");
        }
    }

    #[tokio::test]
    async fn a_connection_of_http_2_is_told_its_limits() {
        let (address, _stopping) = listen(Limits::default()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[PREFACE, NO_SETTINGS].concat()).await.unwrap();
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head[3], 4, "SETTINGS come first (RFC 9113 §3.4)");
        let mut settings = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        stream.read_exact(&mut settings).await.unwrap();
        let said = |id: u16| {
            let found = settings.chunks(6).find(|setting| setting[..2] == id.to_be_bytes()).unwrap();
            u32::from_be_bytes(found[2..].try_into().unwrap())
        };
        assert_eq!((said(3), said(6)), (256, 32 * 1024), "streams at once, and bytes of headers");
    }

    #[tokio::test]
    async fn an_idle_connection_ends_with_the_server() {
        let (address, stopping) = listen(Limits::default()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 512];
        assert_ne!(stream.read(&mut answer).await.unwrap(), 0);
        stopping.cancel();
        assert_eq!(stream.read(&mut answer).await.unwrap(), 0, "nothing else comes");
    }

    #[tokio::test]
    async fn a_connection_of_http_2_without_an_open_stream_ends_and_one_with_a_stream_does_not() {
        let limits = Limits { head_within: Duration::from_millis(250), ..Limits::default() };
        let (address, _stopping) = listen(limits).await;
        for (path, body) in [("/", "here"), ("/late", "here"), ("/count", "9")] {
            let heard = sent_before_the_end(address, &get_by_http_2(path)).await;
            assert!(heard.contains(body), "{path}: {heard}");
            // GOAWAY (RFC 9113 §6.8) on stream 0: it is told before it ends.
            assert!(heard.contains("\u{7}\0\0\0\0\0"), "{path}: {heard}");
        }
    }

    #[tokio::test]
    async fn who_does_not_read_an_answer_keeps_no_connection() {
        let limits = Limits { head_within: Duration::from_millis(250), ..Limits::default() };
        let (address, _stopping) = listen(limits).await;
        // SETTINGS_INITIAL_WINDOW_SIZE is 0 (RFC 9113 §6.5.2): the head of the answer may come, and nothing of its body.
        let no_window: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
        let asked = get_by_http_2("/");
        let (_, request) = asked.split_at(PREFACE.len() + NO_SETTINGS.len());
        let heard = sent_before_the_end(address, &[PREFACE, no_window, request].concat()).await;
        assert!(!heard.contains("here"), "{heard}");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /much HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        // Nothing is read, so the end shows in writing: a connection that is gone is reset.
        while stream.write_all(b"\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn beyond_the_limit_a_connection_waits_until_another_ends() {
        let (address, _stopping) = listen(Limits { connections: 1, ..Limits::default() }).await;
        let ask = async |stream: &mut TcpStream| {
            stream.write_all(b"GET /known HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        };
        let hear = async |stream: &mut TcpStream| {
            let (mut answer, mut part) = (String::new(), [0; 512]);
            while !answer.contains("\r\n\r\n") {
                let length = stream.read(&mut part).await.unwrap();
                answer.push_str(std::str::from_utf8(&part[..length]).unwrap());
            }
            answer.chars().last().unwrap()
        };
        let mut first = TcpStream::connect(address).await.unwrap();
        ask(&mut first).await;
        assert_eq!(hear(&mut first).await, '1');
        let mut second = TcpStream::connect(address).await.unwrap();
        ask(&mut second).await;
        for _ in 0..50 {
            ask(&mut first).await;
            assert_eq!(hear(&mut first).await, '1', "nobody else is let in");
        }
        drop(first);
        assert_eq!(hear(&mut second).await, '2');
    }
}
