//! A public JSON document: metadata and key sets. Cacheable for a while, the same for everybody.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::keys::ring::JWKS_KEPT;
use crate::oauth::secret::SecretHash;

/// How long others may keep it: short, so that a changed setting is seen soon. Keys are published for longer before
/// they sign.
const MAX_AGE: Duration = JWKS_KEPT;

/// Answers with the document, or 304 when the caller has it already.
pub fn respond(document: &Value, request: &HeaderMap) -> Response {
    let body = document.to_string();
    let etag = format!("\"{}\"", SecretHash::of(&body).as_str());
    let cache = format!("public, max-age={}", MAX_AGE.as_secs());
    let known = request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let headers = [(header::CACHE_CONTROL, cache), (header::ETAG, etag.clone())];
    if known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == etag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
