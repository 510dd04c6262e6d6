//! The HTTP server: both halves under one origin, the order of the layers, probes, and the way to stop.
//!
//! HTTP/1.1 and HTTP/2 are spoken on every listener. Where TLS ends here, ALPN says which; where it ends in front of us,
//! HTTP/2 is spoken with prior knowledge (h2c), because a proxy that carries many open streams to us does so best on few
//! connections. So it is on by choice, and limited: so many streams on a connection, so long headers, and a peer that no
//! longer answers loses its connection. Whoever is slow in agreeing upon TLS or in sending the head of a request, sends none, or
//! does not read the answers, loses theirs too, and there are only so many connections at once (`connections::Limits`), and
//! from one address (`room`).

mod activity;
mod connections;
mod files;
mod listeners;
mod room;
mod socket;
pub mod tls;
mod unread;
mod written;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router, middleware};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::app::App;
use crate::authz;
use crate::mcp::{self, Surface};
use crate::web::page::ErrorPage;
use crate::web::{cors, draining, host, not_found, reference};
use connections::Limits;
pub use listeners::{Listeners, bind_address};

/// How long a stop waits for requests that are being answered.
const DRAIN_WITHIN: Duration = Duration::from_secs(25);

/// Every route of a server for tickets. The layers, from the outside: reference and span, draining, the host, panics, headers;
/// then each half's own.
pub fn router(app: &Arc<App>) -> Router {
    router_for(app, &Arc::default())
}

/// The same for an MCP server that offers this.
pub fn router_for(app: &Arc<App>, surface: &Arc<Surface>) -> Router {
    let own = if app.config.resource_server { mcp::router(app, surface) } else { Router::new() };
    router_with(app, own)
}

/// The same with other routes of a resource server.
pub fn router_with(app: &Arc<App>, mcp: Router) -> Router {
    let probes = Router::new().route("/live", get(live)).route("/ready", get(ready)).with_state(app.clone());
    let mut router = if app.config.authorization_server {
        let authz = authz::router(app).with_state(app.clone());
        authz.merge(mcp).merge(probes).fallback(not_found::fallback)
    } else {
        mcp.merge(probes).merge(nothing_else()).fallback(absent)
    };
    if app.config.public_url.is_https() {
        let year = HeaderValue::from_static("max-age=31536000");
        let hsts = HeaderName::from_static("strict-transport-security");
        router = router.layer(SetResponseHeaderLayer::if_not_present(hsts, year));
    }
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(host::layer))
        .layer(middleware::from_fn_with_state(app.clone(), draining::layer))
        .layer(middleware::from_fn_with_state(app.clone(), reference::layer))
}

/// Where there is no authorization server, for browser clients too.
fn nothing_else() -> Router {
    Router::new().route("/.well-known/{*path}", any(absent)).layer(cors::open())
}

/// No page: nobody has any business here but MCP clients.
async fn absent() -> Response {
    not_found::json()
}

/// Serves until the application is told to stop, then lets requests finish.
pub async fn serve(app: Arc<App>, listeners: impl Into<Listeners>) {
    let router = router(&app);
    serve_router(app, listeners, router).await;
}

/// The same with a router that was made for it.
pub async fn serve_router(app: Arc<App>, listeners: impl Into<Listeners>, router: Router) {
    let connections = files::most_connections(app.config.limits.connections, &app.config.database);
    let limits = Limits { connections, ..Limits::default() };
    let late = async {
        app.stopping.cancelled().await;
        tokio::time::sleep(DRAIN_WITHIN).await;
    };
    tokio::select! {
        () = connections::serve(listeners.into(), router, limits, &app.config.trusted_proxies, &app.stopping) => {}
        () = late => tracing::warn!("some requests did not finish in time"),
    }
    app.tasks.close();
    app.tasks.wait().await;
    app.store.close().await;
}

/// `GET /live`: the process answers.
async fn live() -> Json<serde_json::Value> {
    Json(json!({ "status": "live" }))
}

/// `GET /ready`: the process can do its work; 503 while it cannot or is about to stop.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let (database, ephemeral) = tokio::join!(app.store.ping(), app.ephemeral.ping());
    let (database, ephemeral) = (database.is_ok(), ephemeral.is_ok());
    let serving = !app.draining.is_cancelled();
    let status =
        if database && ephemeral && serving { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "database": database, "ephemeral": ephemeral, "serving": serving });
    (status, [(http::header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

// The panic's text stays in the log.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(detail = text, "a handler panicked");
    ErrorPage::fault(reference::current()).logged().into_response()
}
