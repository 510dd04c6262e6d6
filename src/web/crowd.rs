//! How many requests are under way at once. When a database or another host is slow, requests would pile up
//! until memory ends; the one that comes too many is told to come back instead.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::web::reference;

/// Room for so many requests, and the application that says when it is about to stop.
#[derive(Clone, Debug)]
pub struct Crowd {
    app: Arc<App>,
    room: Arc<Semaphore>,
}

impl Crowd {
    /// As much room as is configured.
    pub fn new(app: Arc<App>) -> Self {
        let room = Arc::new(Semaphore::new(app.config.limits.requests_at_once));
        Self { app, room }
    }
}

/// Answers 503 where there is no room. While the server drains, every answer asks the caller to close its
/// connection, so that none is open when the server stops listening.
pub async fn layer(State(crowd): State<Crowd>, request: Request, next: Next) -> Response {
    // The probes answer in any crowd: they are how somebody finds out.
    let is_probe = matches!(request.uri().path(), "/live" | "/ready");
    let room = crowd.room.try_acquire();
    let mut response = if room.is_ok() || is_probe { next.run(request).await } else { crowded() };
    if crowd.app.draining.is_cancelled() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn crowded() -> Response {
    tracing::warn!("a request was turned away: too many are under way");
    let text = format!("The server is busy, try again shortly. Reference: {}\n", reference::current());
    let retry_after = [(header::RETRY_AFTER, HeaderValue::from_static("2"))];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, text).into_response()
}
