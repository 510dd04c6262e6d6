//! What the operator watches, in numbers. Every label comes from a closed list, or is capped: no caller can make
//! more series than so many.
//!
//! | name | labels | tells |
//! |---|---|---|
//! | `http.server.request.duration` | method, route, status | how long requests take |
//! | `mcp.server.operation.duration` | method, tool, error | how long MCP messages take, and tool calls |
//! | `mandate.tool.errors` | tool, kind | calls that came to nothing, and why |
//! | `mandate.tool.invalid_arguments` | tool | calls whose arguments do not fit the schema |
//! | `mandate.rate_limit.refusals` | client, limit | calls over a limit |
//! | `mandate.authentication.failures` | credential, reason | tokens, clients and passwords that were not good |
//! | `mandate.tokens.issued` | grant type | |
//! | `mandate.refresh.reuse` | outcome | refresh tokens that came again: forgiven, or the grant revoked |
//! | `mandate.consents` | decision | what people said |
//! | `mandate.idempotent.replays` | tool | retries that got the first result |
//! | `db.client.operation.duration` | system, operation, error | statements and Redis commands |
//! | `db.client.connection.wait_time` | pool | how long a statement waits for a connection |
//! | `db.client.connection.count` | pool, state | |
//! | `mandate.streams.open` | kind | |
//! | `mandate.tls.certificate.expiry` | | when the TLS certificate in use ends, in unix time |
//! | `mandate.telemetry.dropped` | signal, reason | what the telemetry back end did not take |
//! | `mandate_build_info` | version, commit | which version runs; only scraped, as the next |
//! | `process_…` | | since when, and what it takes from the system |

mod clients;
mod gauges;
mod instrument;
mod process;
mod scrape;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use opentelemetry::metrics::Meter;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use clients::ClientName;
use clients::ClientNames;
pub use gauges::{Pool, PoolState};
pub use instrument::Exemplar;
use instrument::{About, CALLS, Counter, Desk, Durations, Level, TRIPS, of_calls, of_trips};
pub use process::{Process, most_files};
pub use scrape::serve;

/// The instruments; clones are the same ones.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Mutex<Registry>,
    meter: Option<Meter>,
    clients: ClientNames,
    requests: Durations<3>,
    operations: Durations<3>,
    tool_errors: Counter<2>,
    invalid_arguments: Counter<1>,
    rate_limit_refusals: Counter<2>,
    authentication_failures: Counter<2>,
    tokens_issued: Counter<1>,
    refresh_reuse: Counter<1>,
    consents: Counter<1>,
    replays: Counter<1>,
    statements: Durations<3>,
    waits: Durations<1>,
    streams: Level<1>,
}

/// How a request was answered.
#[derive(Debug)]
pub(super) struct Answered {
    /// From a closed list.
    pub(super) method: &'static str,
    /// The route's pattern, where there is a route.
    pub(super) route: Option<String>,
    /// None when nobody waited for it.
    pub(super) status: Option<StatusCode>,
}

/// What was presented and found wanting.
#[derive(Clone, Copy, Debug)]
pub enum Credential {
    /// An access token, at the MCP endpoint.
    AccessToken,
    /// The name of a client that needs to prove nothing.
    ClientId,
    /// A client's secret.
    ClientSecret,
    /// A client's signed assertion.
    ClientAssertion,
    /// A password.
    Password,
    /// What a provider said of somebody.
    Provider,
}

/// An open stream; dropping it says that it is closed.
#[derive(Debug)]
pub struct OpenStream {
    metrics: Metrics,
    kind: &'static str,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.metrics.0.streams.change(-1, [self.kind.into()]);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Instruments at zero. They are sent by OTLP where that was started before.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let meter = super::otlp::meter();
        let mut desk = Desk { registry: &mut registry, meter: meter.clone() };
        let desk = &mut desk;
        let inner = Inner {
            requests: Durations::new(desk, REQUESTS, CALLS, of_calls),
            operations: Durations::new(desk, OPERATIONS, CALLS, of_calls),
            tool_errors: Counter::new(desk, TOOL_ERRORS),
            invalid_arguments: Counter::new(desk, INVALID_ARGUMENTS),
            rate_limit_refusals: Counter::new(desk, RATE_LIMIT_REFUSALS),
            authentication_failures: Counter::new(desk, AUTHENTICATION_FAILURES),
            tokens_issued: Counter::new(desk, TOKENS_ISSUED),
            refresh_reuse: Counter::new(desk, REFRESH_REUSE),
            consents: Counter::new(desk, CONSENTS),
            replays: Counter::new(desk, REPLAYS),
            statements: Durations::new(desk, STATEMENTS, TRIPS, of_trips),
            waits: Durations::new(desk, WAITS, TRIPS, of_trips),
            streams: Level::new(desk, STREAMS),
            clients: ClientNames::default(),
            meter,
            registry: Mutex::default(),
        };
        gauges::register_drops(&mut registry, inner.meter.as_ref());
        *inner.registry.lock().unwrap_or_else(PoisonError::into_inner) = registry;
        Self(Arc::new(inner))
    }

    /// Everything as `OpenMetrics` text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Whoever panicked while holding the lock was registering one whole instrument.
        let registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }

    /// Watches pools of connections; to be called once.
    pub fn watch_pools(&self, pools: Vec<Pool>) {
        let mut registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        gauges::register_pools(&mut registry, self.0.meter.as_ref(), pools);
    }

    /// Watches the end of the TLS certificate in use, in unix seconds; to be called once.
    pub fn watch_certificate(&self, ends: Arc<dyn Fn() -> i64 + Send + Sync>) {
        let mut registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        gauges::register_certificate(&mut registry, self.0.meter.as_ref(), ends);
    }

    /// Tells of the process that this is; to be called once.
    pub fn tell_process(&self, process: Process) {
        let mut registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        process::register(&mut registry, process);
    }

    pub(super) fn request_answered(&self, answered: Answered, took: Duration, exemplar: Option<Exemplar>) {
        let status = answered.status.map(|status| status.as_str().to_owned()).unwrap_or_default();
        let route = answered.route.unwrap_or_default();
        self.0.requests.measure(took, [answered.method.into(), route.into(), status.into()], exemplar);
    }

    pub(super) fn operation_ended(
        &self,
        method: &'static str,
        tool: Option<&'static str>,
        error_type: Option<&str>,
        elapsed: Duration,
        exemplar: Option<Exemplar>,
    ) {
        let error_type = error_type.unwrap_or_default().to_owned();
        let labels = [method.into(), tool.unwrap_or_default().into(), error_type.into()];
        self.0.operations.measure(elapsed, labels, exemplar);
    }

    pub(super) fn tool_failed(&self, tool: &'static str, kind: &str) {
        self.0.tool_errors.count([tool.into(), kind.to_owned().into()]);
    }

    pub(super) fn arguments_refused(&self, tool: &'static str) {
        self.0.invalid_arguments.count([tool.into()]);
    }

    /// A call over this limit, which is the name of a class or of a tool.
    pub fn rate_limited(&self, client: ClientName<'_>, limit: &str) {
        self.0.rate_limit_refusals.count([self.0.clients.label(client), limit.to_owned().into()]);
    }

    /// A credential that was not good: why, in one word of ours.
    pub fn authentication_failed(&self, credential: Credential, reason: &'static str) {
        let credential = match credential {
            Credential::AccessToken => "access_token",
            Credential::ClientId => "client_id",
            Credential::ClientSecret => "client_secret",
            Credential::ClientAssertion => "client_assertion",
            Credential::Password => "password",
            Credential::Provider => "provider",
        };
        self.0.authentication_failures.count([credential.into(), reason.into()]);
    }

    /// Tokens of this grant type, one of ours.
    pub fn tokens_issued(&self, grant_type: &'static str) {
        self.0.tokens_issued.count([grant_type.into()]);
    }

    /// A refresh token came again a moment after it was used, and got its successor.
    pub fn refresh_forgiven(&self) {
        self.0.refresh_reuse.count(["forgiven".into()]);
    }

    /// A refresh token came again later or from elsewhere, and its grant is revoked.
    pub fn refresh_reused(&self) {
        self.0.refresh_reuse.count(["revoked".into()]);
    }

    /// Somebody allowed a client something.
    pub fn consent_allowed(&self) {
        self.0.consents.count(["allowed".into()]);
    }

    /// Somebody said no.
    pub fn consent_denied(&self) {
        self.0.consents.count(["denied".into()]);
    }

    pub(super) fn replayed(&self, tool: &'static str) {
        self.0.replays.count([tool.into()]);
    }

    /// A stream is open for as long as the result lives. `kind` is one of ours.
    pub fn stream_opened(&self, kind: &'static str) -> OpenStream {
        self.0.streams.change(1, [kind.into()]);
        OpenStream { metrics: self.clone(), kind }
    }

    pub(super) fn statement_ended(
        &self,
        system: &'static str,
        operation: &'static str,
        failed: bool,
        took: Duration,
    ) {
        let error = if failed { "_OTHER" } else { "" };
        self.0.statements.measure(took, [system.into(), operation.into(), error.into()], None);
    }

    pub(super) fn connection_obtained(&self, pool: &'static str, took: Duration) {
        self.0.waits.measure(took, [pool.into()], None);
    }
}

const REQUESTS: About<3> = About {
    name: "http.server.request.duration",
    labels: &["http.request.method", "http.route", "http.response.status_code"],
    help: "How long HTTP requests take",
};
const OPERATIONS: About<3> = About {
    name: "mcp.server.operation.duration",
    labels: &["mcp.method.name", "gen_ai.tool.name", "error.type"],
    help: "How long MCP messages take, tool calls among them",
};
const TOOL_ERRORS: About<2> = About {
    name: "mandate.tool.errors",
    labels: &["tool", "kind"],
    help: "Tool calls that came to nothing, and why",
};
const INVALID_ARGUMENTS: About<1> = About {
    name: "mandate.tool.invalid_arguments",
    labels: &["tool"],
    help: "Tool calls whose arguments do not fit the schema",
};
const RATE_LIMIT_REFUSALS: About<2> =
    About { name: "mandate.rate_limit.refusals", labels: &["client", "limit"], help: "Calls over a limit" };
const AUTHENTICATION_FAILURES: About<2> = About {
    name: "mandate.authentication.failures",
    labels: &["credential", "reason"],
    help: "Access tokens, clients and passwords that were not good",
};
const TOKENS_ISSUED: About<1> =
    About { name: "mandate.tokens.issued", labels: &["grant_type"], help: "Token answers" };
const REFRESH_REUSE: About<1> = About {
    name: "mandate.refresh.reuse",
    labels: &["outcome"],
    help: "Refresh tokens that were used before: forgiven, or the grant revoked",
};
const CONSENTS: About<1> =
    About { name: "mandate.consents", labels: &["decision"], help: "What people said to a client" };
const REPLAYS: About<1> = About {
    name: "mandate.idempotent.replays",
    labels: &["tool"],
    help: "Retries that got the result of the first attempt",
};
const STATEMENTS: About<3> = About {
    name: "db.client.operation.duration",
    labels: &["db.system.name", "db.operation.name", "error.type"],
    help: "How long the database and Redis take",
};
const WAITS: About<1> = About {
    name: "db.client.connection.wait_time",
    labels: &["db.client.connection.pool.name"],
    help: "How long a statement waits for a connection",
};
const STREAMS: About<1> = About { name: "mandate.streams.open", labels: &["kind"], help: "Open streams" };

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[test]
    fn the_end_of_the_certificate_is_told_as_it_is_at_that_moment() {
        let (metrics, ends) = (Metrics::new(), Arc::new(AtomicI64::new(17)));
        assert!(!metrics.text().contains("certificate"), "without TLS there is none");
        let told = ends.clone();
        metrics.watch_certificate(Arc::new(move || told.load(Ordering::SeqCst)));
        ends.store(1_800_000_000, Ordering::SeqCst);
        let text = metrics.text();
        assert!(text.contains("\nmandate_tls_certificate_expiry_seconds 1800000000\n"), "{text}");
    }

    #[test]
    fn a_stream_is_open_for_as_long_as_somebody_holds_it() {
        let metrics = Metrics::new();
        let open = |text: &str| {
            text.lines().find(|line| line.starts_with("mandate_streams_open{")).map(str::to_owned)
        };
        let first = metrics.stream_opened("listen");
        let second = metrics.stream_opened("listen");
        drop(first);
        assert_eq!(open(&metrics.text()).as_deref(), Some("mandate_streams_open{kind=\"listen\"} 1"));
        drop(second);
        assert_eq!(open(&metrics.text()).as_deref(), Some("mandate_streams_open{kind=\"listen\"} 0"));
    }
}
