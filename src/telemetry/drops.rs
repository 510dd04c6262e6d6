//! Telemetry that cannot be delivered is dropped and counted: nobody who is served ever waits for a back end.
//!
//! Between a request and the thread that sends stands a queue with so many places. Whoever finds it full drops
//! what they have. What was taken and cannot be sent is dropped, too, and once per outage a line says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{BatchLogProcessor, LogBatch, LogExporter, LogProcessor, SdkLogRecord};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};

/// How many spans, and as many log lines, may wait to be sent: the SDK's own queues hold as many.
pub(super) const PLACES: usize = 2048;

/// Everything that was dropped since the process began.
pub(super) static DROPS: Drops =
    Drops { spans: Signal::new("traces"), lines: Signal::new("logs"), rounds: Signal::new("metrics") };

/// What was dropped.
#[derive(Debug)]
pub(super) struct Drops {
    spans: Signal,
    lines: Signal,
    rounds: Signal,
}

impl Drops {
    /// Signal, reason and count, in an order that stays.
    pub(super) fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        let signals = [&self.spans, &self.lines, &self.rounds];
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        signals
            .into_iter()
            .flat_map(|signal| {
                [
                    (signal.name, "queue_full", read(&signal.queue_full)),
                    (signal.name, "not_delivered", read(&signal.not_delivered)),
                ]
            })
            .collect()
    }
}

#[derive(Debug)]
struct Signal {
    name: &'static str,
    queue_full: AtomicU64,
    not_delivered: AtomicU64,
    is_out: AtomicBool,
}

impl Signal {
    const fn new(name: &'static str) -> Self {
        let (queue_full, not_delivered) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { name, queue_full, not_delivered, is_out: AtomicBool::new(false) }
    }

    fn sent(&self, count: usize, result: OTelSdkResult) -> OTelSdkResult {
        match &result {
            Ok(()) => self.is_out.store(false, Ordering::Relaxed),
            Err(error) => {
                self.not_delivered.fetch_add(count as u64, Ordering::Relaxed);
                if !self.is_out.swap(true, Ordering::Relaxed) {
                    let signal = self.name;
                    tracing::warn!(signal, detail = %error, "telemetry is dropped until its back end answers");
                }
            }
        }
        result
    }
}

/// The places of a queue, shared by whoever puts in and whoever takes out.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<AtomicUsize>);

impl Queue {
    fn enter(&self, signal: &Signal) -> bool {
        if self.0.fetch_add(1, Ordering::AcqRel) < PLACES {
            return true;
        }
        self.0.fetch_sub(1, Ordering::AcqRel);
        signal.queue_full.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn leave(&self, count: usize) {
        self.0.fetch_sub(count, Ordering::AcqRel);
    }
}

/// Spans on their way into the queue.
#[derive(Debug)]
pub(super) struct SpansIn {
    /// Where they go.
    pub(super) next: BatchSpanProcessor,
    /// The queue.
    pub(super) queue: Queue,
}

impl SpanProcessor for SpansIn {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.queue.enter(&DROPS.spans) {
            self.next.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// Log lines on their way into the queue.
#[derive(Debug)]
pub(super) struct LinesIn {
    /// Where they go.
    pub(super) next: BatchLogProcessor,
    /// The queue.
    pub(super) queue: Queue,
}

impl LogProcessor for LinesIn {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if self.queue.enter(&DROPS.lines) {
            self.next.emit(record, scope);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// Whatever leaves the queue for the back end.
#[derive(Debug)]
pub(super) struct Out<E> {
    /// Who sends it.
    pub(super) exporter: E,
    /// The queue.
    pub(super) queue: Queue,
}

impl<E: SpanExporter> SpanExporter for Out<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.queue.leave(count);
        DROPS.spans.sent(count, self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Out<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        self.queue.leave(count);
        DROPS.lines.sent(count, self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Metrics wait in no queue: of a round that is lost, the next one tells the sum.
impl<E: PushMetricExporter> PushMetricExporter for Out<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        DROPS.rounds.sent(1, self.exporter.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_the_queue_full_drops_and_counts() {
        let (queue, signal) = (Queue::default(), Signal::new("test"));
        assert_eq!((0..PLACES + 5).filter(|_| queue.enter(&signal)).count(), PLACES);
        assert_eq!(signal.queue_full.load(Ordering::Relaxed), 5);
        queue.leave(2);
        assert_eq!((0..5).filter(|_| queue.enter(&signal)).count(), 2, "there are places again");
    }
}
