//! What the bridge learns of the server's tools from the lists that pass through it: which arguments go into headers
//! too, and which calls may be repeated.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

/// How many tools are remembered. Of those beyond, calls go out as if nothing were known.
const MOST: usize = 10_000;
/// How deep the properties of a schema are looked through.
const DEEPEST: usize = 16;

/// What is known of one tool.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tool {
    /// Paths into the arguments, and the header of each without its prefix.
    pub(super) headers: Vec<(Vec<String>, String)>,
    is_repeatable: bool,
    takes_key: bool,
}

/// Every tool that was listed.
#[derive(Debug, Default)]
pub(super) struct Tools(Mutex<HashMap<String, Tool>>);

impl Tools {
    /// Reads the result of a `tools/list`.
    pub(super) fn learn(&self, result: &Value) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for tool in result.get("tools").and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = tool.get("name").and_then(Value::as_str) else { continue };
            if known.len() < MOST || known.contains_key(name) {
                known.insert(name.to_owned(), Tool::read(tool));
            }
        }
    }

    /// Looks at a tool, if it was listed.
    pub(super) fn with<T>(&self, name: &str, look: impl FnOnce(&Tool) -> T) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).map(look)
    }

    /// Whether this call has the same effect when it is done again: the tool says so, or it takes an
    /// `idempotency_key` and was given one.
    pub(super) fn may_repeat(&self, params: &Value) -> bool {
        let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
        let key = params.get("arguments").and_then(|arguments| arguments.get("idempotency_key"));
        let has_key = key.is_some_and(Value::is_string);
        self.with(name, |tool| tool.is_repeatable || tool.takes_key && has_key).unwrap_or(false)
    }
}

impl Tool {
    fn read(tool: &Value) -> Self {
        let hint = |name: &str| {
            tool.get("annotations").and_then(|hints| hints.get(name)) == Some(&Value::Bool(true))
        };
        let properties = tool.get("inputSchema").and_then(|schema| schema.get("properties"));
        let properties = properties.and_then(Value::as_object);
        Self {
            headers: properties.and_then(annotated).unwrap_or_default(),
            is_repeatable: hint("readOnlyHint") || hint("idempotentHint"),
            takes_key: properties.is_some_and(|properties| properties.contains_key("idempotency_key")),
        }
    }
}

/// The annotated properties; nothing when one annotation is wrong, for then none can be relied on.
fn annotated(properties: &Map<String, Value>) -> Option<Vec<(Vec<String>, String)>> {
    let mut found = Vec::new();
    collect(properties, &mut Vec::new(), &mut found)?;
    let mut seen = HashSet::new();
    found.iter().all(|(_, header)| seen.insert(header.to_ascii_lowercase())).then_some(found)
}

fn collect(
    properties: &Map<String, Value>,
    path: &mut Vec<String>,
    found: &mut Vec<(Vec<String>, String)>,
) -> Option<()> {
    if path.len() >= DEEPEST {
        return Some(());
    }
    for (name, schema) in properties {
        path.push(name.clone());
        if let Some(header) = schema.get("x-mcp-header") {
            let header = header.as_str().filter(|header| is_token(header))?;
            let kind = schema.get("type").and_then(Value::as_str);
            matches!(kind, Some("string" | "integer" | "boolean")).then_some(())?;
            found.push((path.clone(), header.to_owned()));
        }
        if let Some(deeper) = schema.get("properties").and_then(Value::as_object) {
            collect(deeper, path, found)?;
        }
        path.pop();
    }
    Some(())
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn headers(properties: &Value) -> usize {
        Tool::read(&json!({ "name": "t", "inputSchema": { "properties": properties } })).headers.len()
    }

    #[test]
    fn a_wrong_annotation_makes_all_of_them_unknown() {
        let good = json!({ "type": "string", "x-mcp-header": "A" });
        assert_eq!(headers(&json!({ "a": good })), 1);
        for wrong in [
            json!({ "type": "number", "x-mcp-header": "B" }),
            json!({ "x-mcp-header": "B" }),
            json!({ "type": "string", "x-mcp-header": "" }),
            json!({ "type": "string", "x-mcp-header": "B:\r\n" }),
            json!({ "type": "string", "x-mcp-header": 1 }),
            json!({ "type": "string", "x-mcp-header": "a" }),
        ] {
            assert_eq!(headers(&json!({ "a": good, "b": wrong })), 0, "{wrong}");
        }
    }

    #[test]
    fn a_call_is_repeated_only_when_the_tool_says_that_it_may_be() {
        let tools = Tools::default();
        let schema = json!({ "properties": { "idempotency_key": { "type": "string" } } });
        tools.learn(&json!({ "tools": [
            { "name": "read", "annotations": { "readOnlyHint": true } },
            { "name": "same", "annotations": { "idempotentHint": true } },
            { "name": "keyed", "inputSchema": schema },
            { "name": "write", "annotations": { "readOnlyHint": false } },
        ] }));
        let key = json!({ "idempotency_key": "k" });
        for (name, arguments, expected) in [
            ("read", json!({}), true),
            ("same", json!({}), true),
            ("keyed", json!({}), false),
            ("keyed", key.clone(), true),
            ("write", key.clone(), false),
            ("never listed", key, false),
        ] {
            let params = json!({ "name": name, "arguments": arguments });
            assert_eq!(tools.may_repeat(&params), expected, "{params}");
        }
    }
}
