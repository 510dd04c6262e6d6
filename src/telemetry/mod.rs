//! How the server is seen from outside: log lines, traces and metrics. The only part that names OpenTelemetry.
//!
//! | file | what |
//! |---|---|
//! | `lines` | log lines on standard error, and by OTLP |
//! | `request`, `operation`, `stores`, `spans` | the spans of an HTTP request, of an MCP message, and below them |
//! | `ids` | reference and trace id of a request, for its lines |
//! | `context` | the caller's trace |
//! | `metrics` | what is counted and measured, scraped or sent |
//! | `otlp`, `drops` | sending, and what becomes of what cannot be sent |
//!
//! Nothing that a caller wrote stands in a span or a label, but for the path of the request. No tokens, codes,
//! verifiers, titles, bodies, search texts or user names: who wants those reads the audit log.

mod context;
mod drops;
mod ids;
mod lines;
pub mod metrics;
mod operation;
mod otlp;
mod request;
mod spans;
mod stores;

use tracing::Metadata;
use tracing::subscriber::Interest;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use ids::Ids;
use lines::Lines;
pub use metrics::Metrics;
pub use operation::{Asked, Operation};
use otlp::Providers;
pub use request::WatchedRequest;
pub use spans::{message, note, step};
pub use stores::StoreWatch;

/// Always below what is asked for: strangers can make the certificate check complain at will, and the MCP library
/// tells of each request three times, of a refused one with what its caller wrote. What OpenTelemetry cannot
/// deliver is counted, and said once per outage.
const QUIET: &str = "rustls_platform_verifier=off,sqlx=warn,rmcp=error,opentelemetry=off";

/// Log settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Filter directives such as `info` or `info,mandate=debug`.
    pub filter: String,
    /// JSON lines instead of readable ones.
    pub json: bool,
}

/// What is sent to a telemetry back end, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// Spans.
    pub traces: Option<Protocol>,
    /// Metrics.
    pub metrics: Option<Protocol>,
    /// Log lines.
    pub logs: Option<Protocol>,
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `http/protobuf`.
    Http,
    /// `grpc`.
    Grpc,
}

/// Where the server is reached, as its spans tell it.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host.
    pub host: &'a str,
    /// The port.
    pub port: Option<u16>,
}

/// Telemetry that cannot start: the key that is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct InitError {
    key: &'static str,
    problem: String,
}

impl InitError {
    fn new(key: &'static str, problem: impl std::fmt::Display) -> Self {
        Self { key, problem: format!("{problem}") }
    }
}

/// Telemetry that is under way.
#[derive(Debug)]
pub struct Telemetry(Providers);

impl Telemetry {
    /// Sends what is left. Takes a few seconds at most.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// Starts log lines, and nothing else.
pub fn init(log: &Log) -> Result<(), InitError> {
    subscribe(log, &Providers::default())
}

/// Starts log lines and whatever is sent. To be called on the runtime, before [`Metrics::new`].
pub fn start(log: &Log, export: Export) -> Result<Telemetry, InitError> {
    let providers = Providers::start(export)?;
    subscribe(log, &providers)?;
    Ok(Telemetry(providers))
}

/// The trace that whatever runs now belongs to, where there is one.
pub fn trace_id() -> Option<String> {
    Ids::of(&tracing::Span::current())?.trace_id.map(|id| id.to_string())
}

fn subscribe(log: &Log, providers: &Providers) -> Result<(), InitError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", log.filter)).map_err(|error| {
        InitError::new("log", format!("{error}; write it like info or info,mandate=debug"))
    })?;
    let lines = Lines::new(log.json, providers.logger());
    let started = match providers.tracer() {
        None => Registry::default().with(filter).with(lines).try_init(),
        Some(tracer) => {
            let spans = tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_filter(OurSpans);
            Registry::default().with(spans).with(lines.with_filter(filter)).try_init()
        }
    };
    started.map_err(|error| InitError::new("log", error))
}

/// Lets spans for traces through and no others, nor any event: log lines are no part of a trace.
///
/// Asked anew for each span. Whoever asks whether something would be logged, and then does not log it, as the
/// database driver does, leaves the answer behind on its thread; a span that is let through without being asked
/// about would take that answer for its own, and be lost.
struct OurSpans;

impl<S> Filter<S> for OurSpans {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        metadata.is_span() && metadata.target() == spans::TRACES
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let ours = metadata.is_span() && metadata.target() == spans::TRACES;
        if ours { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}
