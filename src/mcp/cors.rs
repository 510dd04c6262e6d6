//! CORS of the MCP endpoint: for allowed origins only, and without credentials, since a bearer token is sent
//! by the page itself and no cookie is looked at.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// What a page may send, besides `Mcp-Param-*`. A wildcard would not cover `Authorization`.
const ALLOWED: &str = "Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Method, Mcp-Name, \
                       Mcp-Session-Id, Last-Event-ID, DPoP, traceparent, tracestate";
/// What a page may read: without the challenge it could not begin to sign in.
const EXPOSED: &str = "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, DPoP-Nonce, Retry-After, \
                       RateLimit, RateLimit-Policy, X-Reference-Id";
/// How long a browser may keep the answer, in seconds: the most that browsers honour.
const MAX_AGE: &str = "7200";

/// Answers a preflight, before any authentication.
pub(super) fn preflight(request: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    let mut allowed = vec![ALLOWED];
    allowed.extend(parameters_asked_for(request));
    if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    response
}

/// There is no wildcard for the start of a header's name, so the `Mcp-Param-*` names that a page asks for are
/// repeated to it.
fn parameters_asked_for(request: &HeaderMap) -> Vec<&str> {
    let asked = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).and_then(|value| value.to_str().ok());
    let is_parameter = |name: &&str| {
        name.len() <= 128
            && name.to_ascii_lowercase().starts_with("mcp-param-")
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    asked.unwrap_or_default().split(',').map(str::trim).filter(is_parameter).take(32).collect()
}

/// Lets the page at an allowed origin read the answer.
pub(super) fn allow(response: &mut Response, origin: Option<HeaderValue>) {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mcp_params_are_repeated() {
        let mut request = HeaderMap::new();
        let asked = "mcp-param-region, X-Evil, Mcp-Param-a b, MCP-PARAM-Priority, mcp-parametric, cookie";
        request.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static(asked));
        assert_eq!(parameters_asked_for(&request), ["mcp-param-region", "MCP-PARAM-Priority"]);
    }
}
