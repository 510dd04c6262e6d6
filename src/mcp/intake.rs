//! The form of a request and of an answer: sizes, media types, versions. What MCP's library would refuse in its
//! own words is refused here in JSON-RPC, or put into it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rmcp::model::{ErrorCode, ProtocolVersion};
use serde_json::{Value, json};

use super::message::{self, Message};
use super::refusal::Refusal;
use super::server;
use crate::oauth::error::server_error;

/// The largest body, in bytes.
pub(super) const LARGEST_BODY: usize = 1 << 20;
/// How long a body may take to arrive.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// The levels of RFC 5424, as MCP writes them.
const LOG_LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
/// How many characters of what a caller sent are repeated to them.
const REPEATED: usize = 64;

/// Checks the declared size of the body, before anything is read of it.
pub(super) fn check_length(parts: &Parts) -> Result<(), Refusal> {
    let declared = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match declared.and_then(|length| length.parse::<usize>().ok()) {
        Some(length) if length > LARGEST_BODY => Err(Refusal::TooLarge),
        _ => Ok(()),
    }
}

/// Reads the body, which may lie about its size and take its time.
pub(super) async fn read(body: Body) -> Result<Bytes, Refusal> {
    let reading = Limited::new(body, LARGEST_BODY).collect();
    let broken = |status, message: &str| Refusal::Protocol {
        status,
        id: None,
        code: ErrorCode::PARSE_ERROR,
        message: message.into(),
        data: None,
    };
    match tokio::time::timeout(READ_WITHIN, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Ok(Err(_)) => Err(broken(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(broken(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

/// Checks that the body says it is JSON.
pub(super) fn check_content_type(parts: &Parts) -> Result<(), Refusal> {
    let named = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = named.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::Protocol {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        id: None,
        code: ErrorCode::INVALID_REQUEST,
        message: "send Content-Type: application/json".into(),
        data: None,
    })
}

/// Checks that the caller takes every form that the answer may have.
pub(super) fn check_accept(parts: &Parts, forms: &[&str]) -> Result<(), Refusal> {
    let named = parts.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<&str> = named.flat_map(|value| value.split(',')).filter_map(acceptable).collect();
    if forms.iter().all(|form| accepted.iter().any(|name| name.eq_ignore_ascii_case(form))) {
        return Ok(());
    }
    Err(Refusal::Protocol {
        status: StatusCode::NOT_ACCEPTABLE,
        id: None,
        code: ErrorCode::INVALID_REQUEST,
        message: format!("send Accept: {}", forms.join(", ")),
        data: None,
    })
}

/// The media type of a range, unless its weight says that it is not wanted (RFC 9110 §12.4.2).
fn acceptable(range: &str) -> Option<&str> {
    let mut parts = range.split(';').map(str::trim);
    let essence = parts.next()?;
    let mut weights = parts.filter_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let unwanted = weights.any(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0));
    (!unwanted).then_some(essence)
}

/// A version that only the header names must be one that is served (MCP 2025-11-25 transports, "Protocol
/// Version Header"). What a message of 2026-07-28 names itself is compared by the MCP library, and `initialize`
/// negotiates.
pub(super) fn check_version(parts: &Parts, message: &Message) -> Result<(), Refusal> {
    check_initialize(message)?;
    if message.version().is_some() || message.method == "initialize" {
        return Ok(());
    }
    let Some(header) = parts.headers.get("mcp-protocol-version") else { return Ok(()) };
    let named = header.to_str().unwrap_or_default();
    if server::VERSIONS.iter().any(|version| version.as_str() == named) {
        return Ok(());
    }
    let supported: Vec<&str> = server::VERSIONS.iter().map(ProtocolVersion::as_str).collect();
    let requested: String = named.chars().take(REPEATED).collect();
    Err(Refusal::Protocol {
        status: StatusCode::BAD_REQUEST,
        id: message.id.clone(),
        code: ErrorCode::UNSUPPORTED_PROTOCOL_VERSION,
        message: "Unsupported protocol version".into(),
        data: Some(json!({ "requested": requested, "supported": supported })),
    })
}

/// What log messages a request of 2026-07-28 wants of itself. None are ever sent, but a level that does not exist is
/// refused (MCP server/utilities/logging, "Error Handling").
pub(super) fn check_log_level(message: &Message) -> Result<(), Refusal> {
    let Some(level) = message.meta("logLevel").filter(|_| message.version().is_some()) else { return Ok(()) };
    if level.as_str().is_some_and(|level| LOG_LEVELS.contains(&level)) {
        return Ok(());
    }
    Err(Refusal::Protocol {
        status: StatusCode::BAD_REQUEST,
        id: message.id.clone(),
        code: ErrorCode::INVALID_PARAMS,
        message: format!("Invalid log level: it must be one of {}", LOG_LEVELS.join(", ")),
        data: None,
    })
}

/// Messages of 2026-07-28 know no `initialize`.
pub(super) fn check_initialize(message: &Message) -> Result<(), Refusal> {
    let version = message.version().and_then(Value::as_str);
    if message.method != "initialize" || version < Some(ProtocolVersion::V_2026_07_28.as_str()) {
        return Ok(());
    }
    Err(Refusal::Protocol {
        status: StatusCode::NOT_FOUND,
        id: message.id.clone(),
        code: ErrorCode::METHOD_NOT_FOUND,
        message: "Method not found".into(),
        data: None,
    })
}

/// Where the MCP library refuses in plain text, the sentence goes out as a JSON-RPC error instead: clients of
/// 2026-07-28 take any other 4xx for a sign of an older server.
pub(super) async fn in_json(response: Response, id: Option<&Value>) -> Result<Response, Refusal> {
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if status.is_success() || content_type.is_some_and(|name| name.starts_with(b"application/json")) {
        return Ok(response);
    }
    let text = response.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let text = String::from_utf8_lossy(text.as_deref().unwrap_or_default()).into_owned();
    if status.is_server_error() {
        return Err(Refusal::Fault(id.cloned(), server_error("the server made an error").detail(text)));
    }
    // Only its parser answers 415 here: the type was checked before.
    let (status, text) = match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (StatusCode::BAD_REQUEST, "the body is not a message that MCP knows".to_owned())
        }
        other => (other, text),
    };
    Ok(message::error(status, id, ErrorCode::INVALID_REQUEST, &text, None))
}
