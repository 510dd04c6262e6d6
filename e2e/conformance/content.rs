//! Tools whose answer never changes: one for each kind of content, and one that fails.

use serde_json::{Value, json};

use crate::media::{PNG, WAV};

/// The result of such a tool; `None` when it is none of these.
pub(crate) fn of(name: &str) -> Option<Value> {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let image = json!({ "type": "image", "data": PNG, "mimeType": "image/png" });
    let content = match name {
        "test_simple_text" => json!([text("This is a simple text response for testing.")]),
        "test_image_content" => json!([image]),
        "test_audio_content" => json!([{ "type": "audio", "data": WAV, "mimeType": "audio/wav" }]),
        "test_embedded_resource" => json!([resource(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content."
        )]),
        "test_multiple_content_types" => json!([
            text("Multiple content types test:"),
            image,
            resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
        ]),
        "test_error_handling" => {
            let content = [text("This tool intentionally returns an error for testing")];
            return Some(json!({ "isError": true, "content": content }));
        }
        "test_custom_header" => json!([text("The header says what the body says.")]),
        "json_schema_2020_12_tool" => json!([text("The schema is what this tool is for.")]),
        _ => return None,
    };
    Some(json!({ "content": content }))
}

fn resource(uri: &str, mime_type: &str, text: &str) -> Value {
    json!({ "type": "resource", "resource": { "uri": uri, "mimeType": mime_type, "text": text } })
}
