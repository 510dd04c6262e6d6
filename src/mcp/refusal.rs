//! Every way in which a request is refused before MCP sees it, and how each leaves the house.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use rmcp::model::ErrorCode;
use serde_json::{Value, json};

use super::challenge::Challenge;
use super::limits::Standings;
use super::message;
use super::site::NotHere;
use crate::app::App;
use crate::ephemeral::{Rate, whole_seconds};
use crate::oauth::Error;
use crate::web::reference;
use crate::web::refusal::{Why, quoted};

/// Says "too many requests" in JSON-RPC: outside of the range that JSON-RPC and MCP keep for themselves.
pub(super) const RATE_LIMITED: ErrorCode = ErrorCode(429);

/// How long to stay away when too many streams are open, in seconds.
const STREAM_WAIT: u64 = 30;

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// 403: meant for another host, or from another origin.
    NotHere(NotHere),
    /// 405.
    Method,
    /// 413.
    TooLarge,
    /// 401 or 400 with a challenge.
    Challenge(Challenge),
    /// 403 without a challenge: the token is good, and no other would help.
    Stranger,
    /// 403 with a challenge, to somebody who is known: with how all limits stand.
    OutOfReach(Challenge, Standings),
    /// 4xx with a JSON-RPC error: a message that MCP cannot be asked with.
    Protocol {
        /// The status.
        status: StatusCode,
        /// Of the request, where it could be read.
        id: Option<Value>,
        /// The JSON-RPC code.
        code: ErrorCode,
        /// What is wrong.
        message: String,
        /// Facts for programs.
        data: Option<Value>,
    },
    /// 429.
    Limited {
        /// Of the request.
        id: Option<Value>,
        /// The limit's name: a class, or a tool.
        name: String,
        /// The limit.
        rate: Rate,
        /// How long to wait.
        retry_after: Duration,
        /// How all limits stand.
        standings: Standings,
    },
    /// 404: a session that is unknown, ended or somebody else's.
    NoSession(Option<Value>),
    /// 429: so many streams of the grant are open, and more there may not be.
    TooManyStreams(Option<Value>, usize),
    /// 503 or 500: our own fault.
    Fault(Option<Value>, Error),
}

impl Refusal {
    /// Why, in one word.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::NotHere(_) => "not_here",
            Self::Method => "method_not_allowed",
            Self::TooLarge => "too_large",
            Self::Challenge(_) => "invalid_token",
            Self::Stranger => "access_denied",
            Self::OutOfReach(..) => "insufficient_scope",
            Self::Protocol { .. } => "invalid_request",
            Self::Limited { .. } => "rate_limited",
            Self::NoSession(_) => "no_session",
            Self::TooManyStreams(..) => "too_many_streams",
            Self::Fault(_, error) => error.code.as_str(),
        }
    }

    /// The answer.
    pub(super) fn respond(self, app: &App) -> Response {
        let why = self.why();
        let mut response = match self {
            Self::NotHere(why) => message::error(
                StatusCode::FORBIDDEN,
                None,
                ErrorCode::INVALID_REQUEST,
                &why.to_string(),
                None,
            ),
            Self::Method => method_not_allowed(),
            Self::TooLarge => message::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                None,
                ErrorCode::INVALID_REQUEST,
                "the body must have at most 1 MiB",
                None,
            ),
            Self::Challenge(challenge) => challenge.respond(app),
            Self::Stranger => stranger(),
            Self::OutOfReach(challenge, standings) => {
                let mut response = challenge.respond(app);
                standings.tell(&mut response);
                response
            }
            Self::Protocol { status, id, code, message, data } => {
                message::error(status, id.as_ref(), code, &message, data)
            }
            Self::Limited { id, name, rate, retry_after, standings } => {
                let mut response = limited(id.as_ref(), &name, rate, retry_after);
                standings.tell(&mut response);
                response
            }
            Self::NoSession(id) => message::error(
                StatusCode::NOT_FOUND,
                id.as_ref(),
                ErrorCode::INVALID_REQUEST,
                "there is no such session: begin a new one with initialize",
                None,
            ),
            Self::TooManyStreams(id, most) => too_many_streams(id.as_ref(), most),
            Self::Fault(id, error) => fault(id.as_ref(), &error),
        };
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, no_store);
        why.mark(&mut response);
        response
    }

    /// What the log is told.
    fn why(&self) -> Why {
        let detail = match self {
            Self::Fault(..) => return Why::Logged,
            Self::Challenge(Challenge::NoToken) => return Why::said("no_token"),
            Self::Challenge(Challenge::Unclear(what)) => Some((*what).to_owned()),
            Self::NotHere(why) => Some(why.to_string()),
            Self::Protocol { message, .. } => Some(quoted(message)),
            Self::Limited { name, .. } => Some(name.clone()),
            _ => None,
        };
        Why::Said { what: self.kind().into(), detail }
    }
}

/// 403 to somebody who has signed in elsewhere and has no account here. No client can cure that, so none is sent to
/// sign in again.
fn stranger() -> Response {
    let description =
        "You have signed in, but you have no account here. Ask the people who run this server for one.";
    let body = json!({
        "error": "access_denied", "error_description": description, "reference": reference::current(),
    });
    (StatusCode::FORBIDDEN, axum::Json(body)).into_response()
}

/// 405 without a challenge, so that no client takes it for a reason to sign in.
fn method_not_allowed() -> Response {
    let mut response = message::error(
        StatusCode::METHOD_NOT_ALLOWED,
        None,
        ErrorCode::INVALID_REQUEST,
        "send MCP messages with POST; GET and DELETE need the Mcp-Session-Id of a session",
        None,
    );
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

fn limited(id: Option<&Value>, name: &str, rate: Rate, retry_after: Duration) -> Response {
    let (message, data) = limited_words(name, rate, retry_after);
    let mut response = message::error(StatusCode::TOO_MANY_REQUESTS, id, RATE_LIMITED, &message, Some(data));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(retry_after)));
    response
}

/// What is said to who called too often, and the same for programs.
pub(super) fn limited_words(name: &str, rate: Rate, retry_after: Duration) -> (String, Value) {
    let seconds = whole_seconds(retry_after);
    let (count, per, burst) = (rate.count, rate.per.as_secs(), rate.burst);
    let message = format!(
        "Too many calls: {count} {name} calls in {per} seconds are allowed to one user through one client, {burst} \
         of them at once. Try again in {seconds} seconds."
    );
    let data = json!({
        "retry_after_seconds": seconds,
        "limit": count,
        "per_seconds": per,
        "burst": burst,
        "class": name,
    });
    (message, data)
}

/// What is said to who has too many streams open, and the same for programs.
pub(super) fn streams_words(most: usize) -> (String, Value) {
    let message = format!("{most} streams are open under this grant, which is the limit. Close one first.");
    (message, json!({ "limit": most, "class": "streams" }))
}

fn too_many_streams(id: Option<&Value>, most: usize) -> Response {
    let (message, data) = streams_words(most);
    let mut response = message::error(StatusCode::TOO_MANY_REQUESTS, id, RATE_LIMITED, &message, Some(data));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(STREAM_WAIT));
    response
}

fn fault(id: Option<&Value>, error: &Error) -> Response {
    let (message, data) = fault_words(error, &reference::current());
    let away = error.code == crate::oauth::ErrorCode::TemporarilyUnavailable;
    let status = if away { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
    let mut response = message::error(status, id, ErrorCode::INTERNAL_ERROR, &message, Some(data));
    if let Some(seconds) = error.retry_after.or(away.then_some(2)) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What is said of a fault of ours, and the same for programs. Why goes to the log.
pub(super) fn fault_words(error: &Error, reference: &str) -> (String, Value) {
    let code = error.code.as_str();
    tracing::error!(code, detail = error.detail.as_deref(), reference, "mcp request failed");
    let message = format!("{} (reference {reference})", error.description);
    (message, json!({ "error": code, "reference": reference }))
}

impl From<Challenge> for Refusal {
    fn from(challenge: Challenge) -> Self {
        Self::Challenge(challenge)
    }
}
