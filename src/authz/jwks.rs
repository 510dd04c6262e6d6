//! `GET /jwks` (RFC 7517 §5): the public halves of the signing keys.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use crate::app::App;
use crate::web::document;

/// Answers with every published key.
pub async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    document::respond(&app.keys.jwks(), &headers)
}
