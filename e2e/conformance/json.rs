//! Fixtures are written as the JSON that they are on the wire, and read into the library's types.

use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult, ResultType};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What a handler of MCP answers.
pub(crate) type Answer<T> = Result<T, ErrorData>;

/// Reads a fixture.
pub(crate) fn typed<T: DeserializeOwned>(value: Value) -> Answer<T> {
    serde_json::from_value(value).map_err(|error| fault(&error))
}

/// The result of a tool that says one sentence.
pub(crate) fn said(text: &str) -> Answer<CallToolResponse> {
    result(json!({ "content": [{ "type": "text", "text": text }] }))
}

/// The result of a tool.
pub(crate) fn result(value: Value) -> Answer<CallToolResponse> {
    let mut result: CallToolResult = typed(value)?;
    result.result_type = Some(ResultType::COMPLETE);
    Ok(result.into())
}

/// What went wrong here, as MCP says it.
pub(crate) fn fault(error: &dyn std::error::Error) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}
