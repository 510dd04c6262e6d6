//! What stands in front of a server: a proxy that does its work well but for one thing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::http;
use crate::support::origin::acceptor;

/// What a proxy does wrong. Each part does nothing unless it is set.
#[derive(Clone, Copy)]
pub(crate) struct Meddling {
    /// Answers in the server's place.
    pub(crate) instead: fn(&Parts, &Bytes) -> Option<Response<Body>>,
    /// Which questions are taken and never answered.
    pub(crate) swallows: fn(&Parts) -> bool,
    /// Changes what the server is told.
    pub(crate) request: fn(&mut HeaderMap),
    /// Changes what the server said; streams are passed on as they are, but for their headers.
    pub(crate) response: fn(&Parts, &mut http::response::Parts, &mut Vec<u8>),
    /// Whether streams are kept until they end.
    pub(crate) holds_streams: bool,
    /// How long an answer of the token endpoint is kept.
    pub(crate) delay: Duration,
}

/// Does nothing wrong.
pub(crate) const HONEST: Meddling = Meddling {
    instead: |_, _| None,
    swallows: |_| false,
    request: |_| {},
    response: |_, _, _| {},
    holds_streams: false,
    delay: Duration::ZERO,
};

/// A place where a proxy will be.
pub(crate) struct Front {
    listener: TcpListener,
    folder: Option<tempfile::TempDir>,
    port: u16,
}

/// A running proxy; it ends with this value.
pub(crate) struct Running {
    _serving: JoinSet<()>,
    folder: Option<tempfile::TempDir>,
}

impl Front {
    /// Takes a port, with TLS or without.
    pub(crate) async fn bind(tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, folder: tls.then(|| tempfile::tempdir().unwrap()), port }
    }

    /// The public URL of whatever is behind it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.folder.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.port)
    }

    /// Begins to pass requests on.
    pub(crate) fn serve(self, behind: SocketAddr, meddling: Meddling) -> Running {
        let tls = self.folder.as_ref().map(|folder| {
            // HTTP/2 as any proxy has it.
            acceptor(&folder.path().join("ca.pem"), &["h2", "http/1.1"])
        });
        let mut serving = JoinSet::new();
        let listener = self.listener;
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let tls = tls.clone();
                connections.spawn(async move {
                    match tls {
                        None => connection(stream, behind, meddling).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection(stream, behind, meddling).await;
                            }
                        }
                    }
                });
            }
        });
        Running { _serving: serving, folder: self.folder }
    }
}

impl Running {
    /// The authority that its certificate comes from.
    pub(crate) fn ca_file(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().join("ca.pem"))
    }
}

async fn connection<S>(stream: S, behind: SocketAddr, meddling: Meddling)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = http();
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let client = client.clone();
        async move { Ok::<_, Infallible>(pass(client, request, behind, meddling).await) }
    });
    // The client may go at any time.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn pass(
    client: reqwest::Client,
    request: Request<hyper::body::Incoming>,
    behind: SocketAddr,
    meddling: Meddling,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if (meddling.swallows)(&parts) {
        std::future::pending::<()>().await;
    }
    if let Some(answer) = (meddling.instead)(&parts, &body) {
        return answer;
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = parts.headers.clone();
    if let Some(authority) = parts.uri.authority() {
        headers.insert(header::HOST, HeaderValue::from_str(authority.as_str()).unwrap());
    }
    headers.remove(header::CONTENT_LENGTH);
    (meddling.request)(&mut headers);
    let request = client.request(parts.method.clone(), format!("http://{behind}{path}"));
    let answer = match request.headers(headers).body(body).send().await {
        Ok(answer) => answer,
        Err(error) => return plain(StatusCode::BAD_GATEWAY, &error.to_string()),
    };
    if parts.uri.path() == "/token" {
        tokio::time::sleep(meddling.delay).await;
    }
    let mut head = Response::new(()).into_parts().0;
    head.status = answer.status();
    head.headers = answer.headers().clone();
    head.headers.remove(header::TRANSFER_ENCODING);
    head.headers.remove(header::CONNECTION);
    let is_stream = head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if is_stream && !meddling.holds_streams {
        (meddling.response)(&parts, &mut head, &mut Vec::new());
        let pieces = futures::stream::unfold(answer, |mut answer| async move {
            let piece = answer.chunk().await.ok().flatten()?;
            Some((Ok::<_, Infallible>(piece), answer))
        });
        return Response::from_parts(head, Body::from_stream(pieces));
    }
    let mut body = answer.bytes().await.map(|body| body.to_vec()).unwrap_or_default();
    (meddling.response)(&parts, &mut head, &mut body);
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(body))
}

/// An answer of the proxy's own.
pub(crate) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response
}

/// The same with a header.
pub(crate) fn with(
    mut response: Response<Body>,
    name: &'static str,
    value: impl AsRef<str>,
) -> Response<Body> {
    let value = HeaderValue::from_str(value.as_ref()).unwrap();
    response.headers_mut().insert(HeaderName::from_static(name), value);
    response
}
