//! Refusals where there is no HTTP: JSON-RPC errors that say what to do, with the codes of the statuses that they
//! would have. Those lie outside of the range that JSON-RPC and MCP keep for themselves.

use rmcp::model::{ErrorCode, ErrorData};
use serde_json::json;

use super::super::challenge::Challenge;
use super::super::refusal::{RATE_LIMITED, Refusal, fault_words, limited_words, streams_words};
use crate::web::reference;

/// The grant has ended.
const ENDED: ErrorCode = ErrorCode(401);
/// The grant does not reach this.
const OUT_OF_REACH: ErrorCode = ErrorCode(403);

/// A refusal as an error. `program` is the name of the one that is to be started otherwise.
pub(super) fn error(refusal: Refusal, program: &str) -> ErrorData {
    match refusal {
        Refusal::Challenge(challenge) | Refusal::OutOfReach(challenge, _) => challenged(&challenge, program),
        Refusal::Protocol { code, message, data, .. } => ErrorData::new(code, message, data),
        Refusal::Limited { name, rate, retry_after, .. } => {
            let (message, data) = limited_words(&name, rate, retry_after);
            ErrorData::new(RATE_LIMITED, message, Some(data))
        }
        Refusal::Fault(_, error) => {
            let (message, data) = fault_words(&error, &reference::current());
            ErrorData::internal_error(message, Some(data))
        }
        Refusal::TooManyStreams(_, most) => {
            let (message, data) = streams_words(most);
            ErrorData::new(RATE_LIMITED, message, Some(data))
        }
        Refusal::TooLarge => {
            ErrorData::invalid_request("a message must have at most 1 MiB; send less at a time", None)
        }
        // Of HTTP alone.
        Refusal::NotHere(_) | Refusal::Method | Refusal::NoSession(_) | Refusal::Stranger => {
            ErrorData::invalid_request("not here", None)
        }
    }
}

fn challenged(challenge: &Challenge, program: &str) -> ErrorData {
    match challenge {
        Challenge::InsufficientScope { needed, granted, .. } => {
            let options: Vec<String> =
                needed.union(granted).iter().map(|scope| format!("--scope {scope}")).collect();
            let message = format!(
                "This needs {}. Start `{program} stdio` with {} to allow it.",
                needed.difference(granted),
                options.join(" ")
            );
            let data = json!({
                "error": "insufficient_scope",
                "scope": needed.to_string(),
                "granted": granted.to_string(),
            });
            ErrorData::new(OUT_OF_REACH, message, Some(data))
        }
        Challenge::NoToken | Challenge::BadToken | Challenge::Unclear(_) => ErrorData::new(
            ENDED,
            format!("Access was taken back. Start `{program} stdio` again to give it anew."),
            Some(json!({ "error": "invalid_token" })),
        ),
    }
}
