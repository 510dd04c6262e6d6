//! A JSON-RPC message as far as the gate looks into it, and JSON-RPC errors as HTTP answers.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use rmcp::model::ErrorCode;
use serde_json::{Map, Value, json};

/// One request or notification.
#[derive(Debug)]
pub(super) struct Message {
    /// A string or an integer; a notification has none.
    pub(super) id: Option<Value>,
    /// The method.
    pub(super) method: String,
    /// The parameters; empty when there are none.
    pub(super) params: Map<String, Value>,
}

/// Why a body is no message that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// Not JSON, or nested beyond reason.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON-RPC batches went with revision 2025-06-18.
    #[error("send one message at a time: batches are not accepted")]
    Batch,
    /// An answer of which nobody can say what it answers.
    #[error("a response needs the id of what it answers, and a session in which that was asked")]
    Response,
    /// Something else.
    #[error("the body is not a JSON-RPC 2.0 request or notification")]
    NotAMessage,
    /// `id` is null, a fraction or a structure.
    #[error("id must be a string or an integer")]
    Id,
    /// `params` is not an object.
    #[error("params must be an object")]
    Params,
}

/// What a body holds.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A request or a notification.
    Message(Message),
    /// An answer to something that the server asked, with the id of that.
    Answer(Value, Map<String, Value>),
}

impl Malformed {
    /// The JSON-RPC code.
    pub(super) fn code(self) -> ErrorCode {
        match self {
            Self::NotJson => ErrorCode::PARSE_ERROR,
            Self::Batch | Self::Response | Self::NotAMessage | Self::Id | Self::Params => {
                ErrorCode::INVALID_REQUEST
            }
        }
    }
}

impl Message {
    /// Parses a body; a refusal comes with the id, where that could be read. What the MCP library will read
    /// differently (a member that stands twice, say) does no harm: it then finds no permit for what it wants
    /// to run.
    pub(super) fn parse(body: &[u8]) -> Result<Incoming, (Malformed, Option<Value>)> {
        let mut members = match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => members,
            Ok(Value::Array(_)) => return Err((Malformed::Batch, None)),
            Ok(_) => return Err((Malformed::NotAMessage, None)),
            Err(_) => return Err((Malformed::NotJson, None)),
        };
        let id = match members.remove("id") {
            None => None,
            Some(Value::String(id)) => Some(Value::String(id)),
            Some(Value::Number(id)) if id.is_i64() => Some(Value::Number(id)),
            Some(_) => return Err((Malformed::Id, None)),
        };
        let refuse = |malformed| Err((malformed, id.clone()));
        if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return refuse(Malformed::NotAMessage);
        }
        let answers = members.contains_key("result") || members.contains_key("error");
        let method = match members.remove("method") {
            Some(Value::String(method)) if !answers => method,
            None if answers => {
                let Some(id) = id else { return Err((Malformed::Response, None)) };
                return Ok(Incoming::Answer(id, members));
            }
            _ => return refuse(Malformed::NotAMessage),
        };
        let params = match members.remove("params") {
            None => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return refuse(Malformed::Params),
        };
        Ok(Incoming::Message(Self { id, method, params }))
    }

    /// A message that asks for a stream without naming anything to hear of.
    pub(super) fn listen() -> Self {
        Self { id: None, method: "subscriptions/listen".to_owned(), params: Map::new() }
    }

    /// A message that stands for an answer of the client.
    pub(super) fn response() -> Self {
        Self { id: None, method: String::new(), params: Map::new() }
    }

    /// Whether it belongs to a revision before 2026-07-28, which have sessions.
    pub(super) fn is_legacy(&self) -> bool {
        self.version().is_none()
    }

    /// The protocol version that the message names itself, as those of 2026-07-28 must.
    pub(super) fn version(&self) -> Option<&Value> {
        self.meta("protocolVersion")
    }

    /// What the message says about itself under a name of MCP's own.
    pub(super) fn meta(&self, name: &str) -> Option<&Value> {
        self.params.get("_meta")?.get(format!("io.modelcontextprotocol/{name}"))
    }
}

/// An error as JSON-RPC at HTTP. `id` is left out when it could not be read.
pub(super) fn error(
    status: StatusCode,
    id: Option<&Value>,
    code: ErrorCode,
    message: &str,
    data: Option<Value>,
) -> Response {
    let mut error = json!({ "code": code.0, "message": message });
    if let (Some(data), Value::Object(members)) = (data, &mut error) {
        members.insert("data".into(), data);
    }
    let mut body = json!({ "jsonrpc": "2.0", "error": error });
    if let (Some(id), Value::Object(members)) = (id, &mut body) {
        members.insert("id".into(), id.clone());
    }
    (status, axum::Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_or_notification_is_taken_and_nothing_else() {
        let cases: [(&str, Result<&str, Malformed>); 17] = [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Ok("ping")),
            (r#"{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{}}"#, Ok("tools/list")),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, Ok("notifications/initialized")),
            ("", Err(Malformed::NotJson)),
            ("{", Err(Malformed::NotJson)),
            ("\u{feff}{}", Err(Malformed::NotJson)),
            ("[]", Err(Malformed::Batch)),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, Err(Malformed::Batch)),
            ("7", Err(Malformed::NotAMessage)),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, Err(Malformed::NotAMessage)),
            (r#"{"jsonrpc":"2.0","id":"c:1","result":{}}"#, Ok("an answer")),
            (r#"{"jsonrpc":"2.0","result":{}}"#, Err(Malformed::Response)),
            (r#"{"jsonrpc":"2.0","id":1,"error":{}}"#, Err(Malformed::Response)),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, Err(Malformed::NotAMessage)),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Err(Malformed::Id)),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, Err(Malformed::Id)),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, Err(Malformed::Params)),
        ];
        for (body, expected) in cases {
            let parsed = Message::parse(body.as_bytes());
            let named = |incoming: &Incoming| match incoming {
                Incoming::Message(message) => message.method.clone(),
                Incoming::Answer(..) => "an answer".to_owned(),
            };
            let judged = parsed.as_ref().map(named).map_err(|(why, _)| *why);
            assert_eq!(judged, expected.map(str::to_owned), "{body}");
        }
        let (_, id) = Message::parse(br#"{"jsonrpc":"2.0","id":7,"method":"ping","params":[]}"#).unwrap_err();
        assert_eq!(id, Some(json!(7)), "the id is given back where it can be read");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(Message::parse(deep.as_bytes()).err(), Some((Malformed::NotJson, None)));
    }
}
