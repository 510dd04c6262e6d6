//! The headers that repeat what stands in the body of a request of the stateless era (MCP 2026-07-28, Streamable
//! HTTP, "Standard Request Headers" and "Custom Headers from Tool Parameters").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::message::Request;
use super::tools::Tools;

/// How a value is marked that cannot stand in a header as it is.
const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// The headers of a request of the stateless era.
pub(super) fn of(request: &Request, version: &str, tools: &Tools) -> HeaderMap {
    let mut headers = HeaderMap::new();
    put(&mut headers, "mcp-protocol-version", version);
    put(&mut headers, "mcp-method", &request.method);
    if let Some(name) = name(request) {
        put(&mut headers, "mcp-name", &encoded(name));
    }
    if request.method == "tools/call"
        && let (Some(tool), Some(arguments)) = (name(request), request.params.get("arguments"))
    {
        tools.with(tool, |tool| {
            for (path, header) in &tool.headers {
                let value = path.iter().try_fold(arguments, |value, member| value.get(member));
                if let Some(text) = value.and_then(plain) {
                    put(&mut headers, &format!("mcp-param-{header}"), &encoded(&text));
                }
            }
        });
    }
    headers
}

/// What `Mcp-Name` repeats, where there is one.
fn name(request: &Request) -> Option<&str> {
    let member = match request.method.as_str() {
        "tools/call" | "prompts/get" => "name",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => "taskId",
        _ => return None,
    };
    request.params.get(member)?.as_str()
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A value as it may stand in a header ("Value Encoding").
fn encoded(value: &str) -> String {
    let visible = value.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    let framed = value.starts_with(' ') || value.ends_with(' ');
    let marked = value.starts_with(PREFIX) && value.ends_with(SUFFIX);
    if visible && !framed && !marked {
        value.to_owned()
    } else {
        format!("{PREFIX}{}{SUFFIX}", STANDARD.encode(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::message::{Kind, read};
    use serde_json::json;

    #[test]
    fn what_no_header_can_carry_goes_in_base64() {
        for (value, expected) in [
            ("get_ticket", "get_ticket"),
            ("a b", "a b"),
            ("", ""),
            (" a", "=?base64?IGE=?="),
            ("a ", "=?base64?YSA=?="),
            ("\u{e9}", "=?base64?w6k=?="),
            ("a\r\nx: y", "=?base64?YQ0KeDogeQ==?="),
            ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
            ("=?base64?YQ==", "=?base64?YQ=="),
        ] {
            assert_eq!(encoded(value), expected, "{value:?}");
        }
    }

    #[test]
    fn method_name_and_annotated_arguments_are_repeated() {
        let tools = Tools::default();
        tools.learn(&json!({ "tools": [{ "name": "t", "inputSchema": { "type": "object", "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "deep": { "type": "object", "properties": { "n": { "type": "integer", "x-mcp-header": "N" } } },
            "absent": { "type": "boolean", "x-mcp-header": "Absent" },
        } } }] }));
        let text = json!({ "id": 1, "method": "tools/call", "params": {
            "name": "t", "arguments": { "region": "\u{e9}", "deep": { "n": 42 }, "absent": null } } });
        let Some(Kind::Request(request)) = read(&text.to_string()) else { panic!("{text}") };
        let headers = of(&request, "2026-07-28", &tools);
        let listed: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        for pair in [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "t"),
            ("mcp-param-region", "=?base64?w6k=?="),
            ("mcp-param-n", "42"),
        ] {
            assert!(listed.contains(&pair), "{pair:?} in {listed:?}");
        }
        assert_eq!(listed.len(), 5, "{listed:?}");
    }
}
