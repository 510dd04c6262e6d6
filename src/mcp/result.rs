//! The result of a tool call, as MCP carries it.

use rmcp::model::{CallToolResult, ContentBlock, MetaObject};
use serde_json::Value;

use super::observe;
use super::permit::Permit;
use super::tools::{Answer, Outcome, Tool};

/// Marks a result that was remembered rather than made now.
const REPLAYED: &str = "mandate/replayed";
/// Says, in seconds, when a call is worth another try.
const RETRY_AFTER: &str = "mandate/retryAfterSeconds";
/// How long to stay away from a call that is in progress, in seconds.
const IN_FLIGHT_WAIT: u64 = 2;

/// What the caller gets. What they can mend themselves is a result that says so, not a protocol error, so that
/// the model sees it (MCP server/tools, "Error Handling").
pub(super) fn result(permit: &Permit, outcome: Outcome, tool: &Tool) -> CallToolResult {
    observe::outcome(permit, &outcome);
    let (text, structured) = match outcome {
        Outcome::Answer(Answer { structured, text }) => (text, Some(structured)),
        Outcome::Problems(problems) => (format!("Arguments of {} to mend:\n{problems}", tool.name), None),
        Outcome::Unable(why) => (why, None),
    };
    let content = vec![ContentBlock::text(text)];
    let mut result = match &structured {
        Some(_) => CallToolResult::success(content),
        None => CallToolResult::error(content),
    };
    result.structured_content = structured;
    result
}

/// Another attempt under the same key is at it: nobody knows yet what comes of it.
pub(super) fn in_flight() -> CallToolResult {
    let text = format!(
        "A call with this idempotency_key is in progress. Try again in {IN_FLIGHT_WAIT} seconds with the same key \
         and the same arguments: you then get its result."
    );
    let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
    result.meta = Some(meta(RETRY_AFTER, IN_FLIGHT_WAIT.into()));
    result
}

/// The result of the attempt that did it.
pub(super) fn replayed(answer: Answer) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text)]);
    result.structured_content = Some(answer.structured);
    result.meta = Some(meta(REPLAYED, Value::Bool(true)));
    result
}

fn meta(name: &str, value: Value) -> MetaObject {
    let mut meta = MetaObject::default();
    meta.0.insert(name.to_owned(), value);
    meta
}
