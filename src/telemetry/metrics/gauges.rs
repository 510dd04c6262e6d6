//! What is looked up when somebody looks: connections, the end of a certificate, and what was dropped.

use std::fmt;
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::telemetry::drops::DROPS;

const CONNECTIONS: &str = "db.client.connection.count";
const CONNECTIONS_HELP: &str = "Connections of a pool";
const CERTIFICATE: &str = "mandate.tls.certificate.expiry";
const CERTIFICATE_HELP: &str = "When the TLS certificate in use ends, in unix time";
const DROPPED: &str = "mandate.telemetry.dropped";
const DROPPED_HELP: &str = "Spans, log lines and rounds of metrics that the telemetry back end did not take";

/// How a pool stands.
#[derive(Clone, Copy, Debug)]
pub struct PoolState {
    /// Connections in use.
    pub used: u32,
    /// Connections that wait to be used.
    pub idle: u32,
}

/// A pool of connections.
#[derive(Clone)]
pub struct Pool {
    /// Its name.
    pub name: &'static str,
    /// How it stands.
    pub state: Arc<dyn Fn() -> PoolState + Send + Sync>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.name)
    }
}

impl Pool {
    fn levels(&self) -> [(&'static str, i64); 2] {
        let state = (self.state)();
        [("used", state.used.into()), ("idle", state.idle.into())]
    }
}

#[derive(Debug)]
struct Pools(Vec<Pool>);

impl Collector for Pools {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let name = CONNECTIONS.replace('.', "_");
        let mut metric = encoder.encode_descriptor(&name, CONNECTIONS_HELP, None, MetricType::Gauge)?;
        for pool in &self.0 {
            for (state, count) in pool.levels() {
                let labels =
                    [("db_client_connection_pool_name", pool.name), ("db_client_connection_state", state)];
                ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// Watches pools of connections.
pub(super) fn register_pools(registry: &mut Registry, meter: Option<&Meter>, pools: Vec<Pool>) {
    if let Some(meter) = meter {
        let sent = pools.clone();
        let gauge = meter.i64_observable_up_down_counter(CONNECTIONS).with_description(CONNECTIONS_HELP);
        // Lives as long as the meter.
        let _ = gauge
            .with_callback(move |observer| {
                for pool in &sent {
                    for (state, count) in pool.levels() {
                        let name = KeyValue::new("db.client.connection.pool.name", pool.name);
                        observer.observe(count, &[name, KeyValue::new("db.client.connection.state", state)]);
                    }
                }
            })
            .build();
    }
    registry.register_collector(Box::new(Pools(pools)));
}

/// A moment in unix seconds.
pub(super) type Moment = Arc<dyn Fn() -> i64 + Send + Sync>;

struct Certificate(Moment);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

impl Collector for Certificate {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let name = CERTIFICATE.replace('.', "_");
        let unit = Some(&Unit::Seconds);
        let metric = encoder.encode_descriptor(&name, CERTIFICATE_HELP, unit, MetricType::Gauge)?;
        ConstGauge::new((self.0)()).encode(metric)
    }
}

/// Watches the end of the certificate.
pub(super) fn register_certificate(registry: &mut Registry, meter: Option<&Meter>, ends: Moment) {
    if let Some(meter) = meter {
        let sent = ends.clone();
        let gauge = meter.i64_observable_gauge(CERTIFICATE).with_description(CERTIFICATE_HELP).with_unit("s");
        // Lives as long as the meter.
        let _ = gauge.with_callback(move |observer| observer.observe(sent(), &[])).build();
    }
    registry.register_collector(Box::new(Certificate(ends)));
}

#[derive(Debug)]
struct Dropped;

impl Collector for Dropped {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let name = DROPPED.replace('.', "_");
        let mut metric = encoder.encode_descriptor(&name, DROPPED_HELP, None, MetricType::Counter)?;
        for (signal, reason, count) in DROPS.counts() {
            let labels = [("signal", signal), ("reason", reason)];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Tells what was dropped.
pub(super) fn register_drops(registry: &mut Registry, meter: Option<&Meter>) {
    if let Some(meter) = meter {
        let counter = meter.u64_observable_counter(DROPPED).with_description(DROPPED_HELP);
        // Lives as long as the meter.
        let _ = counter
            .with_callback(|observer| {
                for (signal, reason, count) in DROPS.counts() {
                    observer
                        .observe(count, &[KeyValue::new("signal", signal), KeyValue::new("reason", reason)]);
                }
            })
            .build();
    }
    registry.register_collector(Box::new(Dropped));
}
