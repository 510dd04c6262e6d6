//! Tools of the revisions with `initialize` that ask the client something while they run.

use rmcp::model::{CallToolRequestParams, CallToolResponse, ClientResult, ServerRequest};
use serde_json::{Value, json};

use crate::fixtures::Context;
use crate::json::{Answer, fault, said, typed};

/// Runs such a tool; `None` when it is none of these.
pub(crate) async fn call(
    request: &CallToolRequestParams,
    context: &Context,
) -> Option<Answer<CallToolResponse>> {
    let argument = |name| request.arguments.as_ref().and_then(|arguments| arguments.get(name));
    let text = |name| argument(name).and_then(Value::as_str).unwrap_or_default();
    let (label, question) = match request.name.as_ref() {
        "test_sampling" => ("LLM response", sampling(text("prompt"))),
        "test_elicitation" => ("User response", elicitation(text("message"), &person())),
        "test_elicitation_sep1034_defaults" => {
            ("Elicitation completed", elicitation("Please check what is filled in", &defaults()))
        }
        "test_elicitation_sep1330_enums" => {
            ("Elicitation completed", elicitation("Please choose", &choices()))
        }
        _ => return None,
    };
    Some(ask(label, question, context).await)
}

async fn ask(label: &str, question: Value, context: &Context) -> Answer<CallToolResponse> {
    let question: ServerRequest = typed(question)?;
    let answer = context.peer.send_request(question).await.map_err(|error| fault(&error))?;
    let answer = match answer {
        ClientResult::CreateMessageResult(answer) => json!(answer.message.content),
        ClientResult::ElicitResult(answer) => json!({ "action": answer.action, "content": answer.content }),
        other => json!(other),
    };
    said(&format!("{label}: {answer}"))
}

fn sampling(prompt: &str) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    json!({
        "method": "sampling/createMessage",
        "params": { "messages": [message], "maxTokens": 100 },
    })
}

fn elicitation(message: &str, schema: &Value) -> Value {
    json!({
        "method": "elicitation/create",
        "params": { "mode": "form", "message": message, "requestedSchema": schema },
    })
}

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "description": "User's response" },
            "email": { "type": "string", "description": "User's email address" },
        },
        "required": ["username", "email"],
    })
}

/// A default for each primitive type (SEP-1034).
fn defaults() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "default": "John Doe" },
            "age": { "type": "integer", "default": 30 },
            "score": { "type": "number", "default": 95.5 },
            "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
            "verified": { "type": "boolean", "default": true },
        },
    })
}

/// Every way to offer a choice (SEP-1330).
fn choices() -> Value {
    let titled = json!([
        { "const": "value1", "title": "First Option" },
        { "const": "value2", "title": "Second Option" },
        { "const": "value3", "title": "Third Option" },
    ]);
    let options = json!(["option1", "option2", "option3"]);
    json!({
        "type": "object",
        "properties": {
            "untitledSingle": { "type": "string", "enum": options },
            "titledSingle": { "type": "string", "oneOf": titled },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": { "type": "array", "items": { "type": "string", "enum": options } },
            "titledMulti": { "type": "array", "items": { "anyOf": titled } },
        },
    })
}
