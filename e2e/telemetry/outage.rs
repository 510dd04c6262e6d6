//! A telemetry back end that is away, slow or broken costs nothing but counted drops.

use reqwest::StatusCode;
use serde_json::json;

use super::scene::{Watched, dance};
use crate::binary::free_port;
use crate::support::http;
use crate::support::mcp::Mcp;
use crate::support::otlp::{Backend, Manner};

/// Whether what is due is sent at once, so that a test need not wait for it.
const EAGER: [(&str, &str); 4] = [
    ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ("OTEL_BLRP_SCHEDULE_DELAY", "20"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
];

async fn serves_as_ever(endpoint: String, protocol: &str) -> Watched {
    let watched = Watched::start(|command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        command.envs(EAGER);
    })
    .await;
    let danced = dance(&watched.place).await;
    let mcp = Mcp::modern(&watched.place, danced.token());
    for _ in 0..20 {
        mcp.call("search_tickets", json!({ "query": "x" })).await.structured();
    }
    let ready = http().get(watched.place_url("/ready")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    watched
}

async fn until_dropped(watched: &Watched, signal: &str) {
    let start = format!("mandate_telemetry_dropped_total{{signal=\"{signal}\",reason=\"not_delivered\"}} ");
    loop {
        let text = watched.scrape().await;
        let count = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
        if count != "0" {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_back_end_that_is_away_changes_nothing() {
    for protocol in ["http/protobuf", "grpc"] {
        let watched = serves_as_ever(format!("http://127.0.0.1:{}", free_port()), protocol).await;
        for signal in ["traces", "metrics"] {
            until_dropped(&watched, signal).await;
        }
        watched.stop().await;
    }
}

#[tokio::test]
async fn a_back_end_that_fails_or_hangs_changes_nothing() {
    for manner in [Manner::Failing, Manner::Hanging] {
        for protocol in ["http/protobuf", "grpc"] {
            let backend = Backend::start(manner).await;
            let watched = serves_as_ever(backend.url(), protocol).await;
            until_dropped(&watched, "traces").await;
            assert!(backend.calls() > 0);
            // With a back end that does not answer a stop takes its few seconds, and no more.
            watched.stop().await;
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_unless_it_is_asked_for() {
    for change in ["OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=none"] {
        let backend = Backend::start(Manner::Good).await;
        let (variable, value) = change.split_once('=').unwrap();
        let watched = Watched::start(|command| {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url()).env(variable, value);
        })
        .await;
        dance(&watched.place).await;
        watched.stop().await;
        assert!(backend.spans().is_empty(), "{change}");
        assert_eq!(backend.calls() == 0, variable == "OTEL_SDK_DISABLED", "{change}");
    }
    let backend = Backend::start(Manner::Good).await;
    let watched = Watched::start(|command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url()).env("OTEL_TRACES_SAMPLER", "always_off");
    })
    .await;
    dance(&watched.place).await;
    watched.stop().await;
    assert!(backend.spans().is_empty(), "what is not sampled is not sent");
    assert!(!backend.metrics().is_empty());
}
