//! Traces, metrics and log lines on their way to a back end by OTLP, over HTTP or gRPC. Endpoints, headers,
//! sampling and intervals are those of the standard variables, which the exporters read themselves.
//!
//! Sending happens on threads of its own: the HTTP client is the blocking one, because those threads have no
//! runtime. The gRPC channel runs on the server's runtime and must be made there.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::logs::LoggerProvider as _;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, Protocol as Wire, SpanExporter, WithExportConfig as _,
    WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder as LogBatches, BatchLogProcessor, SdkLogger, SdkLoggerProvider,
};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder as SpanBatches, BatchSpanProcessor, SdkTracer, SdkTracerProvider,
};

use super::drops::{LinesIn, Out, PLACES, Queue, SpansIn};
use super::sampling::Sampling;
use super::{Export, InitError, Protocol};

/// The instrumentation scope of everything that is ours, and the service's name unless `OTEL_SERVICE_NAME` or
/// `OTEL_RESOURCE_ATTRIBUTES` gives another.
const NAME: &str = "mandate";
/// How long a stop waits for what is still to be sent.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// The meter of this process, where metrics are sent.
static METER: OnceLock<Meter> = OnceLock::new();

/// The meter that measurements are sent by, if they are.
pub(super) fn meter() -> Option<Meter> {
    METER.get().cloned()
}

/// What sends.
#[derive(Debug, Default)]
pub(super) struct Providers {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
    logs: Option<SdkLoggerProvider>,
}

impl Providers {
    /// Starts whatever is to be sent.
    pub(super) fn start(export: Export) -> Result<Self, InitError> {
        let wrong = |error: ExporterBuildError| InitError::new("OTEL_EXPORTER_OTLP", error);
        // Who records nothing needs nobody to send it, and no span is described for a sampler that never takes one.
        let sampling = Sampling::from_environment();
        let traced = export.traces.filter(|_| sampling.records_anything());
        let providers = Self {
            traces: traced.map(|protocol| traces(protocol, sampling)).transpose().map_err(wrong)?,
            metrics: export.metrics.map(metrics).transpose().map_err(wrong)?,
            logs: export.logs.map(logs).transpose().map_err(wrong)?,
        };
        if let Some(metrics) = &providers.metrics {
            // Of several starts in one process the first one's meter stays: there is one process to measure.
            let _ = METER.set(metrics.meter(NAME));
        }
        Ok(providers)
    }

    /// What makes spans.
    pub(super) fn tracer(&self) -> Option<SdkTracer> {
        self.traces.as_ref().map(|provider| provider.tracer(NAME))
    }

    /// What takes log lines.
    pub(super) fn logger(&self) -> Option<SdkLogger> {
        self.logs.as_ref().map(|provider| provider.logger(NAME))
    }

    /// Sends what is left, for as long as a stop may take; the rest is lost.
    pub(super) async fn stop(self) {
        let Self { traces, metrics, logs } = self;
        let stopping = [
            traces
                .map(|traces| std::thread::spawn(move || traces.shutdown_with_timeout(STOP_WITHIN).is_ok())),
            metrics.map(|metrics| {
                std::thread::spawn(move || metrics.shutdown_with_timeout(STOP_WITHIN).is_ok())
            }),
            logs.map(|logs| std::thread::spawn(move || logs.shutdown_with_timeout(STOP_WITHIN).is_ok())),
        ];
        // Threads, not tasks: the runtime would wait for tasks that block, however long they take.
        let done = || stopping.iter().flatten().all(std::thread::JoinHandle::is_finished);
        let mut waited = Duration::ZERO;
        while !done() && waited < STOP_WITHIN {
            tokio::time::sleep(LOOKS_EVERY).await;
            waited += LOOKS_EVERY;
        }
    }
}

/// How often a stop looks whether all is sent.
const LOOKS_EVERY: Duration = Duration::from_millis(10);

/// Unless the environment names the service, we do.
fn resource() -> Resource {
    let detected = Resource::builder().build();
    let named = detected
        .get(&"service.name".into())
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let builder = Resource::builder();
    let builder = if named { builder } else { builder.with_service_name(NAME) };
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = if detected.get(&"service.version".into()).is_some() {
        builder
    } else {
        builder.with_attribute(version)
    };
    builder.build()
}

fn tls() -> ClientTlsConfig {
    ClientTlsConfig::new().with_enabled_roots()
}

fn traces(protocol: Protocol, sampling: Sampling) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder();
    let exporter = match protocol {
        Protocol::Grpc => exporter.with_tonic().with_tls_config(tls()).build()?,
        Protocol::Http => exporter.with_http().with_protocol(Wire::HttpBinary).build()?,
    };
    let queue = Queue::default();
    let next = BatchSpanProcessor::new(
        Out { exporter, queue: queue.clone() },
        SpanBatches::default().with_max_queue_size(PLACES).build(),
    );
    Ok(SdkTracerProvider::builder()
        .with_resource(resource())
        .with_sampler(sampling)
        .with_span_processor(SpansIn { next, queue })
        .build())
}

fn logs(protocol: Protocol) -> Result<SdkLoggerProvider, ExporterBuildError> {
    let exporter = LogExporter::builder();
    let exporter = match protocol {
        Protocol::Grpc => exporter.with_tonic().with_tls_config(tls()).build()?,
        Protocol::Http => exporter.with_http().with_protocol(Wire::HttpBinary).build()?,
    };
    let queue = Queue::default();
    let next = BatchLogProcessor::builder(Out { exporter, queue: queue.clone() })
        .with_batch_config(LogBatches::default().with_max_queue_size(PLACES).build())
        .build();
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource())
        .with_log_processor(LinesIn { next, queue })
        .build())
}

fn metrics(protocol: Protocol) -> Result<SdkMeterProvider, ExporterBuildError> {
    let exporter = MetricExporter::builder();
    let exporter = match protocol {
        Protocol::Grpc => exporter.with_tonic().with_tls_config(tls()).build()?,
        Protocol::Http => exporter.with_http().with_protocol(Wire::HttpBinary).build()?,
    };
    let reader = PeriodicReader::builder(Out { exporter, queue: Queue::default() }).build();
    Ok(SdkMeterProvider::builder().with_resource(resource()).with_reader(reader).build())
}
