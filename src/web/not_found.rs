//! What does not exist: JSON wherever clients probe for `.well-known`, a page everywhere else.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Uri, header};
use serde_json::json;

use super::page::ErrorPage;

/// The JSON answer. Not to be kept: a client must not remember that something was missing.
pub fn json() -> Response {
    let body = json!({ "error": "not_found", "error_description": "there is nothing here" });
    let mut response = (StatusCode::NOT_FOUND, Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Answers for every route that does not exist.
pub async fn fallback(uri: Uri) -> Response {
    if uri.path().contains("/.well-known/") { json() } else { ErrorPage::not_found().into_response() }
}
