//! Protected resource metadata (RFC 9728): where clients learn which authorization server to ask.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::app::App;
use crate::oauth::Scopes;
use crate::web::{cors, document};

/// The document at the origin, for clients that try it first or last.
const ROOT: &str = "/.well-known/oauth-protected-resource";
/// The document of the endpoint: its path inserted after the well-known part (RFC 9728 §3.1). The challenge
/// names this one.
const OF_ENDPOINT: &str = "/.well-known/oauth-protected-resource/mcp";

/// The routes of this file. Readable by any origin, since nothing here depends on who asks.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(ROOT, get(document))
        .route(OF_ENDPOINT, get(document))
        .route("/.well-known/oauth-protected-resource/mcp/", get(document))
        .route("/.well-known/oauth-protected-resource/{*other}", any(other))
        .layer(cors::open())
        .with_state(app)
}

/// The absolute URL of the endpoint's document.
pub(super) fn url(app: &App) -> String {
    app.config.public_url.join(OF_ENDPOINT)
}

/// Ours first, because many clients read the first one only.
fn authorization_servers(app: &App) -> Vec<&str> {
    let own = app.config.authorization_server.then(|| app.config.public_url.issuer());
    own.into_iter().chain(app.config.advertised_issuers().map(|issuer| issuer.issuer.as_str())).collect()
}

/// What clients ask for so that their tokens have these scopes: the names of the authorization server that stands first.
pub(super) fn names(app: &App, ours: &Scopes) -> Scopes {
    match app.config.advertised_issuers().next() {
        Some(issuer) if !app.config.authorization_server => issuer.asked_for(ours),
        _ => ours.clone(),
    }
}

async fn document(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    document::respond(&metadata(&app), &headers)
}

/// Nothing else here is protected: clients that ask for another resource must not be led to this one.
async fn other() -> Response {
    let body = json!({ "error": "not_found", "error_description": "no such protected resource here" });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

/// RFC 9728 §2. `resource` is the identifier byte for byte (§3.3). The scopes are the same short list that the
/// authorization server offers for this resource, because some clients read only one of the two.
fn metadata(app: &App) -> Value {
    let public_url = &app.config.public_url;
    json!({
        "resource": public_url.resource().as_str(),
        "authorization_servers": authorization_servers(app),
        "scopes_supported": names(app, &super::operation::scopes(&app.config)).iter().collect::<Vec<_>>(),
        "bearer_methods_supported": ["header"],
        "resource_name": app.config.own.title,
    })
}
