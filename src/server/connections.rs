//! Connections: how long one may be silent, and how much it may ask for at once.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// What one connection may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long it may take until the head of the next request is there, counted from its beginning or from the answer
    /// before. Longer than the minute for which balancers keep idle connections: one that we close first may be
    /// about to carry a request.
    pub(super) head_within: Duration,
    /// How many requests and streams there may be at once on a connection of HTTP/2. Proxies open another one for more.
    pub(super) streams: u32,
    /// How long the headers of a request of HTTP/2 may be, in bytes.
    pub(super) headers: u32,
    /// How often the other end of a connection of HTTP/2 is asked whether it is there, and how long it has to say so.
    pub(super) ping_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (head_within, ping_every) = (Duration::from_secs(75), Duration::from_secs(20));
        Self { head_within, streams: 256, headers: 32 * 1024, ping_every }
    }
}

/// Takes connections until it is told to stop, then lets each finish what it has begun.
pub(super) async fn serve(
    mut listener: TcpListener,
    router: Router,
    limits: Limits,
    stopping: &CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let (io, address) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = stopping.cancelled() => break,
        };
        let answering = answer(io, address, router.clone(), limits, stopping.clone());
        connections.spawn(answering);
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn answer(
    io: TcpStream,
    address: SocketAddr,
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
) {
    let begun = CancellationToken::new();
    let service = {
        let begun = begun.clone();
        tower::service_fn(move |mut request: Request<Incoming>| {
            begun.cancel();
            request.extensions_mut().insert(ConnectInfo(address));
            router.clone().oneshot(request)
        })
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head_within);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.headers)
        .keep_alive_interval(limits.ping_every)
        .keep_alive_timeout(limits.ping_every);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service)));
    // Until it is known which HTTP is spoken, nobody else looks at the time.
    let mut silent = pin!(tokio::time::sleep(limits.head_within));
    let (mut is_silent, mut is_stopping) = (true, false);
    loop {
        tokio::select! {
            // Whoever breaks off knows about it.
            _ = serving.as_mut() => return,
            () = stopping.cancelled(), if !is_stopping => {
                is_stopping = true;
                serving.as_mut().graceful_shutdown();
            }
            () = silent.as_mut(), if is_silent => {
                is_silent = false;
                if !begun.is_cancelled() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const NO_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    async fn listen(limits: Limits) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stopping, router) = (CancellationToken::new(), Router::new().route("/", get(async || "here")));
        let stop = stopping.clone();
        #[expect(clippy::disallowed_methods, reason = "it lives as long as the test's runtime")]
        tokio::spawn(async move { serve(listener, router, limits, &stop).await });
        (address, stopping)
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
            listen(Limits { head_within: Duration::from_millis(50), ..Limits::default() }).await;
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
}
