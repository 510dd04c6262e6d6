//! A telemetry back end: takes OTLP over HTTP and gRPC on one port, and keeps what came. Or takes nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::Listener;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::origin::acceptor;

/// How a back end behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes everything.
    Good,
    /// Answers with an error.
    Failing,
    /// Takes requests and never answers.
    Hanging,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<Span>,
    metrics: Vec<Metric>,
    logs: Vec<LogRecord>,
    resources: Vec<BTreeMap<String, String>>,
    bytes: Vec<u8>,
    authorization: Vec<String>,
    calls: usize,
}

/// A running back end.
#[derive(Clone)]
pub(crate) struct Backend {
    url: String,
    manner: Manner,
    kept: Arc<Mutex<Kept>>,
}

impl Backend {
    /// Starts one.
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let backend = Self { url, manner, kept: Arc::default() };
        #[expect(clippy::disallowed_methods, reason = "it lives as long as the test's runtime")]
        tokio::spawn(axum::serve(listener, backend.router()).into_future());
        backend
    }

    /// Starts one behind TLS, under an authority whose certificate is put there.
    pub(crate) async fn start_with_tls(ca_file: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let backend = Self { url, manner: Manner::Good, kept: Arc::default() };
        let tls = Tls { listener, acceptor: acceptor(ca_file, &["h2", "http/1.1"]) };
        #[expect(clippy::disallowed_methods, reason = "it lives as long as the test's runtime")]
        tokio::spawn(axum::serve(tls, backend.router()).into_future());
        backend
    }

    fn router(&self) -> Router {
        let grpc = "/opentelemetry.proto.collector";
        Router::new()
            .route("/v1/traces", post(over_http::<ExportTraceServiceRequest>))
            .route("/v1/metrics", post(over_http::<ExportMetricsServiceRequest>))
            .route("/v1/logs", post(over_http::<ExportLogsServiceRequest>))
            .route(
                &format!("{grpc}.trace.v1.TraceService/Export"),
                post(over_grpc::<ExportTraceServiceRequest>),
            )
            .route(
                &format!("{grpc}.metrics.v1.MetricsService/Export"),
                post(over_grpc::<ExportMetricsServiceRequest>),
            )
            .route(&format!("{grpc}.logs.v1.LogsService/Export"), post(over_grpc::<ExportLogsServiceRequest>))
            .with_state(self.clone())
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Every span.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.lock().unwrap().spans.clone()
    }

    /// Every log line.
    pub(crate) fn logs(&self) -> Vec<LogRecord> {
        self.kept.lock().unwrap().logs.clone()
    }

    /// Every metric, of every round.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.kept.lock().unwrap().metrics.clone()
    }

    /// What the senders say of themselves.
    pub(crate) fn resources(&self) -> Vec<BTreeMap<String, String>> {
        self.kept.lock().unwrap().resources.clone()
    }

    /// Every byte that came, as text.
    pub(crate) fn everything(&self) -> String {
        String::from_utf8_lossy(&self.kept.lock().unwrap().bytes).into_owned()
    }

    /// The `authorization` headers that came.
    pub(crate) fn authorization(&self) -> Vec<String> {
        self.kept.lock().unwrap().authorization.clone()
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.kept.lock().unwrap().calls
    }

    /// Keeps what came, or behaves as it does. Whether it was taken.
    async fn take<M: Keep>(&self, headers: &HeaderMap, message: &[u8]) -> bool {
        {
            let mut kept = self.kept.lock().unwrap();
            kept.calls += 1;
            let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            kept.authorization.extend(authorization);
            if self.manner == Manner::Good {
                kept.bytes.extend_from_slice(message);
                M::decode(message).unwrap().keep(&mut kept);
            }
        }
        if self.manner == Manner::Hanging {
            std::future::pending::<()>().await;
        }
        self.manner == Manner::Good
    }
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            // Whoever does not trust the certificate goes away again.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

trait Keep: prost::Message + Default {
    fn keep(self, kept: &mut Kept);
}

impl Keep for ExportTraceServiceRequest {
    fn keep(self, kept: &mut Kept) {
        for of_resource in self.resource_spans {
            kept.resources.push(attributes(&of_resource.resource.unwrap().attributes));
            kept.spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
}

impl Keep for ExportMetricsServiceRequest {
    fn keep(self, kept: &mut Kept) {
        for of_resource in self.resource_metrics {
            kept.resources.push(attributes(&of_resource.resource.unwrap().attributes));
            kept.metrics.extend(of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
        }
    }
}

impl Keep for ExportLogsServiceRequest {
    fn keep(self, kept: &mut Kept) {
        for of_resource in self.resource_logs {
            kept.resources.push(attributes(&of_resource.resource.unwrap().attributes));
            kept.logs.extend(of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records));
        }
    }
}

/// An id as it is written.
pub(crate) fn hex(id: &[u8]) -> String {
    let write = |text: String, byte: &u8| text + &format!("{byte:02x}");
    id.iter().fold(String::new(), write)
}

/// Attributes with their values as text.
pub(crate) fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    list.iter()
        .map(|attribute| {
            let value = match attribute.value.clone().unwrap().value.unwrap() {
                any_value::Value::StringValue(text) => text,
                any_value::Value::IntValue(number) => number.to_string(),
                any_value::Value::BoolValue(flag) => flag.to_string(),
                other => format!("{other:?}"),
            };
            (attribute.key.clone(), value)
        })
        .collect()
}

async fn over_http<M: Keep>(State(backend): State<Backend>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    if backend.take::<M>(&headers, &body).await {
        ([("content-type", "application/x-protobuf")], Bytes::new()).into_response()
    } else {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// One message in, one out, each behind a byte that says "not compressed" and its length.
async fn over_grpc<M: Keep>(State(backend): State<Backend>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["content-type"], "application/grpc");
    let taken = backend.take::<M>(&headers, &body[5..]).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(if taken { "0" } else { "13" }));
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
    let body = Body::new(body);
    ([("content-type", "application/grpc")], body).into_response()
}
