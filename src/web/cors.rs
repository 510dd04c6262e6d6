//! CORS for what browser clients call directly. Never on pages or at `/authorize` (OAuth 2.1 §3.1).

use std::time::Duration;

use http::{HeaderName, Method, header};
use tower_http::cors::{Any, CorsLayer};

/// Any origin may read metadata and call the token, registration and revocation endpoints: none of them looks
/// at cookies. The headers are listed one by one, because a wildcard never covers `Authorization`.
pub fn open() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::OPTIONS])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT,
            HeaderName::from_static("dpop"),
            HeaderName::from_static("mcp-protocol-version"),
        ])
        .expose_headers([
            header::WWW_AUTHENTICATE,
            header::RETRY_AFTER,
            HeaderName::from_static("x-reference-id"),
        ])
        .max_age(Duration::from_secs(7200))
}
