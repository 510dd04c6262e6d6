//! The reference id of a request: it stands in every error that a person or client sees and in the logs.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use tracing::Instrument;

use super::refusal;
use crate::app::App;
use crate::telemetry::WatchedRequest;

tokio::task_local! {
    static REFERENCE: String;
}

/// The reference of the request that this task answers; `-` outside of one.
pub fn current() -> String {
    REFERENCE.try_with(Clone::clone).unwrap_or_else(|_| "-".to_owned())
}

/// Answers a request that has this reference.
pub async fn scope<F: Future>(reference: String, answer: F) -> F::Output {
    REFERENCE.scope(reference, answer).await
}

/// Gives each request its reference and watches it; its log lines and its trace carry the reference.
pub async fn layer(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let reference = app.random.id();
    let watched = WatchedRequest::begin(&app.metrics, app.config.public_url.origin(), &request, &reference);
    let header = HeaderValue::from_str(&reference).ok();
    let answer = REFERENCE.scope(reference, async move {
        let response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), "answered");
        refusal::log(&response);
        response
    });
    let mut response = answer.instrument(watched.span()).await;
    watched.end(&response);
    if let Some(header) = header {
        response.headers_mut().insert("x-reference-id", header);
    }
    response
}
