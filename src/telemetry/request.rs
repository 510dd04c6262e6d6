//! One HTTP request, watched: its span with the names of OpenTelemetry's HTTP conventions, its ids in the log, and
//! how long it took.

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::{Method, StatusCode, Version};
use opentelemetry::trace::TraceContextExt as _;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::ids::Ids;
use super::metrics::{Answered, Exemplar, Metrics};
use super::spans::{self, TRACES};
use super::{Origin, context};
use crate::clock::Stopwatch;

/// How much of a path is told: whoever asks for what is not there can make it long.
const LONGEST_PATH: usize = 200;

/// A request that is being answered. Dropped before its answer, it tells that nobody waits any more.
#[derive(Debug)]
pub struct WatchedRequest {
    span: Span,
    metrics: Metrics,
    method: &'static str,
    route: Option<String>,
    since: Stopwatch,
    exemplar: Option<Exemplar>,
    status: Option<StatusCode>,
}

impl WatchedRequest {
    /// Begins with a request that has just come in, part of its caller's trace where it names one.
    pub fn begin(metrics: &Metrics, origin: Origin<'_>, request: &Request, reference: &str) -> Self {
        let since = Stopwatch::start();
        let method = known(request.method());
        let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
        let path: String = request.uri().path().chars().take(LONGEST_PATH).collect();
        let span = span(request, &path, method, route.as_deref(), origin, reference);
        let caller = context::of_headers(request.headers());
        let callers = caller.as_ref().map(|caller| caller.span().span_context().clone());
        let remote_id = callers.as_ref().and_then(context::trace_id);
        if let Some(caller) = caller {
            // Where nothing is traced there is nothing to join.
            let _ = span.set_parent(caller);
        }
        let own = span.context().span().span_context().clone();
        let trace_id = context::trace_id(&own);
        let exemplar = trace_id.clone().filter(|_| own.is_sampled()).map(Exemplar::of);
        let claimed = callers.filter(|caller| caller.is_sampled() && !own.is_sampled());
        Ids::new(reference, trace_id.or(remote_id), method, &path).claimed_by(claimed).attach(&span);
        Self { span, metrics: metrics.clone(), method, route, since, exemplar, status: None }
    }

    /// The span that answering happens in.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Ends with the answer.
    pub fn end(mut self, response: &Response) {
        self.status = Some(response.status());
    }
}

impl Drop for WatchedRequest {
    fn drop(&mut self) {
        if let Some(status) = self.status {
            self.span.record("http.response.status_code", status.as_u16());
            if status.is_server_error() {
                spans::tell_error(&self.span, status.as_str());
            }
        } else {
            self.span.record("mandate.outcome", "caller_gone");
        }
        let answered = Answered { method: self.method, route: self.route.take(), status: self.status };
        self.metrics.request_answered(answered, self.since.elapsed(), self.exemplar.take());
    }
}

fn span(
    request: &Request,
    path: &str,
    method: &'static str,
    route: Option<&str>,
    origin: Origin<'_>,
    reference: &str,
) -> Span {
    let verb = if method == OTHER { "HTTP" } else { method };
    let name = route.map_or_else(|| verb.to_owned(), |route| format!("{verb} {route}"));
    // At the highest level, so that no log filter takes their ids from the lines.
    tracing::error_span!(
        target: TRACES,
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        url.path = path,
        url.scheme = origin.scheme,
        server.address = origin.host,
        server.port = origin.port,
        network.protocol.version = version(request.version()),
        mandate.reference = reference,
        mandate.outcome = Empty,
    )
}

/// What the conventions call a method that is none of HTTP's own.
const OTHER: &str = "_OTHER";

fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        _ => OTHER,
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}
