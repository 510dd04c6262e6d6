//! A JSON-RPC message (JSON-RPC 2.0 §4) as far as the bridge must understand it. Its text is passed on as it came,
//! so that no member is lost that only the two ends know.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The longest message in either direction, in bytes.
pub(super) const LONGEST: usize = 16 * 1024 * 1024;

/// Where a request of the stateless era names its revision (MCP 2026-07-28, `_meta`).
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// The id of a request: a number or a text, byte for byte.
#[derive(Clone, Debug)]
pub(super) struct Id(Box<RawValue>);

impl Id {
    /// An id of our own, for what the bridge asks by itself.
    pub(super) fn own(text: &str) -> Self {
        Self(serde_json::value::to_raw_value(text).unwrap_or_default())
    }

    /// The id as a value.
    pub(super) fn value(&self) -> Value {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }

    /// As it is written.
    pub(super) fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get() || self.value() == other.value()
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) id: Id,
    pub(super) method: String,
    pub(super) params: Value,
}

impl Request {
    /// The revision of a request of the stateless era; nothing for one of a session.
    pub(super) fn modern_version(&self) -> Option<&str> {
        modern_version(&self.params)
    }
}

fn modern_version(params: &Value) -> Option<&str> {
    params.get("_meta")?.get(VERSION)?.as_str()
}

/// What a message is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// It is to be answered.
    Request(Request),
    /// It is not.
    Notification {
        /// What happened.
        method: String,
        /// The revision, in the stateless era.
        version: Option<String>,
        /// The request that nobody waits for any more.
        cancels: Option<Id>,
    },
    /// The answer to a request of the other side.
    Response {
        /// Whose.
        id: Option<Id>,
        /// Whether it is a result.
        is_result: bool,
    },
    /// Several messages (2025-03-26); the ids of the requests among them.
    Batch(Vec<Id>),
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(default)]
    id: Option<Box<RawValue>>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// What this text is; nothing when it is no JSON-RPC message.
pub(super) fn read(text: &str) -> Option<Kind> {
    if text.trim_start().starts_with('[') {
        let heads: Vec<Head<'_>> = serde_json::from_str(text).ok()?;
        let requests = heads.into_iter().filter(|head| head.method.is_some());
        return Some(Kind::Batch(requests.filter_map(|head| head.id.map(Id)).collect()));
    }
    let head: Head<'_> = serde_json::from_str(text).ok()?;
    let params =
        || -> Value { head.params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default() };
    match (head.method, head.id) {
        (Some(method), Some(id)) => {
            Some(Kind::Request(Request { id: Id(id), method: method.into_owned(), params: params() }))
        }
        (Some(method), None) => {
            let params = params();
            let cancels = params.get("requestId").filter(|_| method == "notifications/cancelled");
            Some(Kind::Notification {
                version: modern_version(&params).map(str::to_owned),
                cancels: cancels.and_then(|id| serde_json::value::to_raw_value(id).ok()).map(Id),
                method: method.into_owned(),
            })
        }
        (None, id) if head.result.is_some() || head.error.is_some() => {
            Some(Kind::Response { id: id.map(Id), is_result: head.result.is_some() })
        }
        (None, _) => None,
    }
}

/// A message on one line: outside of strings JSON takes a space for a line break, and in them there is none.
pub(super) fn one_line(text: String) -> String {
    let text = if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text };
    let trimmed = text.trim();
    if trimmed.len() == text.len() { text } else { trimmed.to_owned() }
}

/// Why a request got no answer from the server, for the client's log and its model.
pub(super) fn refusal(id: &Id, reason: &str, message: &str) -> String {
    // -32603 is the one code of JSON-RPC 2.0 §5.1 that fits what is neither the caller's nor the server's word.
    let error = json!({ "code": -32603, "message": message, "data": { "reason": reason } });
    with_error(id, &error)
}

/// The server's own error under the id of the request: some servers answer with `null`, which nobody waits for.
pub(super) fn with_error(id: &Id, error: &Value) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.as_str())
}

/// That a line from the client cannot be understood.
pub(super) fn parse_error(message: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32700, "message": message } }).to_string()
}

/// A member of a message's `result`.
pub(super) fn result_of(text: &str) -> Value {
    let mut message: Value = serde_json::from_str(text).unwrap_or_default();
    message.get_mut("result").map(Value::take).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_by_its_members() {
        let name = |text: &str| match read(text) {
            Some(Kind::Request(request)) => format!("request {} {}", request.method, request.id.as_str()),
            Some(Kind::Notification { method, cancels, .. }) => {
                format!(
                    "notification {method} {}",
                    cancels.map(|id| id.as_str().to_owned()).unwrap_or_default()
                )
            }
            Some(Kind::Response { id, is_result }) => format!("response {} {is_result}", id.is_some()),
            Some(Kind::Batch(ids)) => format!("batch {}", ids.len()),
            None => "nothing".to_owned(),
        };
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request ping 1"),
            (r#"{"id":"a\u0062","method":"x","params":{"y":[]},"extra":{}}"#, r#"request x "a\u0062""#),
            (
                r#"{"method":"notifications/cancelled","params":{"requestId":7}}"#,
                "notification notifications/cancelled 7",
            ),
            (r#"{"method":"notifications/initialized"}"#, "notification notifications/initialized "),
            (r#"{"id":1,"result":{}}"#, "response true true"),
            (r#"{"id":null,"error":{"code":1,"message":"x"}}"#, "response false false"),
            (r#" [{"id":1,"method":"a"},{"method":"b"},{"id":2,"result":{}}]"#, "batch 1"),
            ("{}", "nothing"),
            ("<html>", "nothing"),
            (r#"{"id":1,"method":7}"#, "nothing"),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
    }

    #[test]
    fn ids_are_equal_by_value_and_written_as_they_came() {
        let id = |text: &str| Id(RawValue::from_string(text.to_owned()).unwrap());
        assert_eq!(id(r#""ab""#), id(r#""a\u0062""#));
        assert_ne!(id("1"), id(r#""1""#));
        assert_eq!(refusal(&id("12345678901234567890"), "x", "y").find("12345678901234567890"), Some(22));
    }

    #[test]
    fn a_message_goes_out_on_one_line() {
        assert_eq!(one_line("{\r\n  \"a\": 1\n}\n".to_owned()), "{    \"a\": 1 }");
    }

    #[test]
    fn the_stateless_era_names_its_revision_in_each_request() {
        let text = r#"{"id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let Some(Kind::Request(request)) = read(text) else { panic!("{text}") };
        assert_eq!(request.modern_version(), Some("2026-07-28"));
    }
}
