//! `GET /metrics` on a listener of its own: what is watched is for operators and never on the public one.

use std::future::IntoFuture as _;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::net::TcpListener;

use super::Metrics;

/// OpenMetrics 1.0, the only form that has exemplars.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the metrics until told to stop.
pub async fn serve(metrics: Metrics, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) {
    let router = Router::new().route("/metrics", get(answer)).with_state(metrics);
    tokio::select! {
        served = axum::serve(listener, router).into_future() => if let Err(error) = served {
            tracing::error!(%error, "metrics are not served any more");
        },
        // A scraper that keeps its connection does not keep the server.
        () = stop => {}
    }
}

async fn answer(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPEN_METRICS), (CACHE_CONTROL, "no-store")], metrics.text())
}
