//! The list of the tools. The first one can be called with no arguments: the header scenarios do that.

use rmcp::model::Tool;
use serde_json::{Value, json};

use crate::json::{Answer, typed};

/// Tools without arguments: name and description.
const PLAIN: [(&str, &str); 23] = [
    ("test_simple_text", "Returns a text"),
    ("test_image_content", "Returns an image"),
    ("test_audio_content", "Returns a sound"),
    ("test_embedded_resource", "Returns a resource"),
    ("test_multiple_content_types", "Returns a text, an image and a resource"),
    ("test_error_handling", "Fails"),
    ("test_tool_with_progress", "Tells of its progress, where the caller asks for that"),
    ("test_tool_with_logging", "Sends three log messages"),
    ("test_logging_tool", "Sends log messages, where the caller asks for them"),
    ("test_elicitation_sep1034_defaults", "Asks the user, with a default in each field"),
    ("test_elicitation_sep1330_enums", "Asks the user to choose, in five ways"),
    ("test_missing_capability", "Needs a client that can sample"),
    ("test_streaming_elicitation", "Needs an answer of the user"),
    ("test_trigger_tool_change", "Tells subscribers that the tools changed"),
    ("test_trigger_prompt_change", "Tells subscribers that the prompts changed"),
    ("test_input_required_result_elicitation", "Asks the user for a name"),
    ("test_input_required_result_sampling", "Asks the model for a capital"),
    ("test_input_required_result_list_roots", "Asks the client for its roots"),
    ("test_input_required_result_request_state", "Asks for a confirmation and remembers that in its state"),
    ("test_input_required_result_multiple_inputs", "Asks user, model and client at once"),
    ("test_input_required_result_multi_round", "Asks twice, one after the other"),
    (
        "test_input_required_result_tampered_state",
        "Asks for a confirmation under a state that must come back",
    ),
    ("test_input_required_result_capabilities", "Asks only for what the client can do"),
];

/// Every tool, in a fixed order.
pub(crate) fn all() -> Answer<Vec<Tool>> {
    let plain = PLAIN.map(|(name, description)| (name, description, json!({ "type": "object" })));
    let all = plain.into_iter().chain(with_arguments());
    all.map(|(name, description, input_schema)| {
        typed(json!({ "name": name, "description": description, "inputSchema": input_schema }))
    })
    .collect()
}

fn with_arguments() -> [(&'static str, &'static str, Value); 4] {
    let one = |name: &str, schema: Value| json!({ "type": "object", "properties": { name: schema }, "required": [name] });
    let text = || json!({ "type": "string" });
    [
        ("test_sampling", "Asks the model", one("prompt", text())),
        ("test_elicitation", "Asks the user", one("message", text())),
        (
            "test_custom_header",
            "Takes an argument that a header repeats",
            one("region", json!({ "type": "string", "x-mcp-header": "Region" })),
        ),
        ("json_schema_2020_12_tool", "Has a schema with every kind of keyword", json_schema_2020_12()),
    ]
}

fn json_schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}
