//! Instruments that are read in two ways: scraped as OpenMetrics, and sent by OTLP. OpenTelemetry's SDK keeps no
//! exemplars and `prometheus_client` sends nothing, so each measurement goes to both; the second only where it
//! is sent at all. One name and one set of labels serve both: dots become underscores where they are scraped.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{self as otel, Meter};
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter as Scraped;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as ScrapedGauge;
use prometheus_client::registry::{Registry, Unit};

/// A label's value; an empty one is left out.
pub(super) type Word = Cow<'static, str>;

/// What is measured: its name, its labels, and a sentence.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<const N: usize> {
    /// The name, with dots and without a unit.
    pub(super) name: &'static str,
    /// The names of its labels.
    pub(super) labels: &'static [&'static str; N],
    /// What it tells.
    pub(super) help: &'static str,
}

impl<const N: usize> About<N> {
    fn scraped_name(&self) -> String {
        self.name.replace('.', "_")
    }

    fn labelled(&self, values: [Word; N]) -> Labels<N> {
        Labels { names: self.labels, values }
    }
}

/// One series: values for all labels.
#[derive(Clone, Debug)]
struct Labels<const N: usize> {
    names: &'static [&'static str; N],
    values: [Word; N],
}

impl<const N: usize> Labels<N> {
    fn present(&self) -> impl Iterator<Item = (&'static str, &Word)> {
        self.names.iter().copied().zip(&self.values).filter(|(_, value)| !value.is_empty())
    }

    fn attributes(&self) -> Vec<KeyValue> {
        self.present().map(|(name, value)| KeyValue::new(name, value.clone())).collect()
    }
}

// The names belong to the instrument and are the same for all of its series.
impl<const N: usize> PartialEq for Labels<N> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl<const N: usize> Eq for Labels<N> {}

impl<const N: usize> Hash for Labels<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.values.hash(state);
    }
}

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> fmt::Result {
        let present: Vec<_> =
            self.present().map(|(name, value)| (name.replace('.', "_"), &**value)).collect();
        EncodeLabelSet::encode(&present, encoder)
    }
}

/// Where instruments are registered: always to be scraped, and with a meter where measurements are sent.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    /// What is scraped.
    pub(super) registry: &'a mut Registry,
    /// What is sent.
    pub(super) meter: Option<Meter>,
}

/// Counts.
#[derive(Debug)]
pub(super) struct Counter<const N: usize> {
    about: About<N>,
    scraped: Family<Labels<N>, Scraped>,
    sent: Option<otel::Counter<u64>>,
}

impl<const N: usize> Counter<N> {
    /// A counter at zero.
    pub(super) fn new(desk: &mut Desk<'_>, about: About<N>) -> Self {
        let scraped = Family::default();
        desk.registry.register(about.scraped_name(), about.help, scraped.clone());
        let sent = desk.meter.as_ref();
        let sent = sent.map(|meter| meter.u64_counter(about.name).with_description(about.help).build());
        Self { about, scraped, sent }
    }

    /// Counts one more.
    pub(super) fn count(&self, values: [Word; N]) {
        let labels = self.about.labelled(values);
        self.scraped.get_or_create(&labels).inc();
        if let Some(sent) = &self.sent {
            sent.add(1, &labels.attributes());
        }
    }
}

/// How many there are at present.
#[derive(Debug)]
pub(super) struct Level<const N: usize> {
    about: About<N>,
    scraped: Family<Labels<N>, ScrapedGauge>,
    sent: Option<otel::UpDownCounter<i64>>,
}

impl<const N: usize> Level<N> {
    /// A level of zero.
    pub(super) fn new(desk: &mut Desk<'_>, about: About<N>) -> Self {
        let scraped = Family::default();
        desk.registry.register(about.scraped_name(), about.help, scraped.clone());
        let sent = desk.meter.as_ref();
        let sent =
            sent.map(|meter| meter.i64_up_down_counter(about.name).with_description(about.help).build());
        Self { about, scraped, sent }
    }

    /// So many more, or fewer.
    pub(super) fn change(&self, by: i64, values: [Word; N]) {
        let labels = self.about.labelled(values);
        self.scraped.get_or_create(&labels).inc_by(by);
        if let Some(sent) = &self.sent {
            sent.add(by, &labels.attributes());
        }
    }
}

/// Leads from a measurement to a trace in which it was made.
#[derive(Clone, Debug)]
pub struct Exemplar([(&'static str, String); 1]);

impl Exemplar {
    /// The trace of this id, which is recorded.
    pub(in super::super) fn of(trace_id: String) -> Self {
        Self([("trace_id", trace_id)])
    }
}

type Measured = HistogramWithExemplars<[(&'static str, String); 1]>;

/// How long things take.
#[derive(Debug)]
pub(super) struct Durations<const N: usize> {
    about: About<N>,
    scraped: Family<Labels<N>, Measured, fn() -> Measured>,
    sent: Option<otel::Histogram<f64>>,
}

impl<const N: usize> Durations<N> {
    /// Nothing measured yet; `bounds` are those of the buckets of `made`, in seconds.
    pub(super) fn new(
        desk: &mut Desk<'_>,
        about: About<N>,
        bounds: &'static [f64],
        made: fn() -> Measured,
    ) -> Self {
        let scraped = Family::new_with_constructor(made);
        desk.registry.register_with_unit(about.scraped_name(), about.help, Unit::Seconds, scraped.clone());
        let sent = desk.meter.as_ref().map(|meter| {
            let histogram = meter.f64_histogram(about.name).with_description(about.help).with_unit("s");
            histogram.with_boundaries(bounds.to_vec()).build()
        });
        Self { about, scraped, sent }
    }

    /// Measures one.
    pub(super) fn measure(&self, took: Duration, values: [Word; N], exemplar: Option<Exemplar>) {
        let labels = self.about.labelled(values);
        let seconds = took.as_secs_f64();
        self.scraped.get_or_create(&labels).observe(seconds, exemplar.map(|exemplar| exemplar.0), None);
        if let Some(sent) = &self.sent {
            sent.record(seconds, &labels.attributes());
        }
    }
}

/// Buckets for whole requests and calls, in seconds.
pub(super) const CALLS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Buckets for round trips to a store, in seconds.
pub(super) const TRIPS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// An empty histogram with the buckets of [`CALLS`].
pub(super) fn of_calls() -> Measured {
    Measured::new(CALLS.iter().copied())
}

/// An empty histogram with the buckets of [`TRIPS`].
pub(super) fn of_trips() -> Measured {
    Measured::new(TRIPS.iter().copied())
}
