//! The resources: a text, a picture, one to watch, and a template.

use rmcp::ErrorData;
use rmcp::model::{ReadResourceResult, Resource, ResourceTemplate};
use serde_json::json;

use crate::json::{Answer, typed};
use crate::media::PNG;

/// The list.
pub(crate) fn list() -> Answer<Vec<Resource>> {
    typed(json!([
        { "uri": "test://static-text", "name": "static-text", "description": "A text", "mimeType": "text/plain" },
        {
            "uri": "test://static-binary",
            "name": "static-binary",
            "description": "A picture",
            "mimeType": "image/png",
        },
        {
            "uri": "test://watched-resource",
            "name": "watched-resource",
            "description": "Something to watch",
            "mimeType": "text/plain",
        },
    ]))
}

/// The templates.
pub(crate) fn templates() -> Answer<Vec<ResourceTemplate>> {
    typed(json!([{
        "uriTemplate": "test://template/{id}/data",
        "name": "template",
        "description": "Data with an id",
        "mimeType": "application/json",
    }]))
}

/// Reads one.
pub(crate) fn read(uri: &str) -> Answer<ReadResourceResult> {
    let text = |text: &str| json!({ "uri": uri, "mimeType": "text/plain", "text": text });
    let contents = match uri {
        "test://static-text" => text("This is the content of the static text resource."),
        "test://static-binary" => json!({ "uri": uri, "mimeType": "image/png", "blob": PNG }),
        "test://watched-resource" => text("Nothing has changed yet."),
        _ => {
            let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
            let id = id.filter(|id| !id.is_empty() && !id.contains('/'));
            let id = id.ok_or_else(|| {
                ErrorData::resource_not_found("Resource not found", Some(json!({ "uri": uri })))
            })?;
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            json!({ "uri": uri, "mimeType": "application/json", "text": data.to_string() })
        }
    };
    Ok(ReadResourceResult::new(typed(json!([contents]))?))
}
