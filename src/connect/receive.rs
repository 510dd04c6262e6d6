//! What the server sends: one JSON body, or a stream of events. Each message goes on to the client as it came.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::Response;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::bridge::Bridge;
use super::delivery::{Call, Trouble};
use super::http::{HttpError, read_body};
use super::message::{self, Id, Kind, LONGEST, Request};
use super::patience::Patience;
use super::session::Mark;
use super::sse::Parser;
use super::stdio::tell;

/// How long to wait before a stream is continued, unless the server says.
const RETRY: Duration = Duration::from_secs(1);
/// How much of a refusal's body is read.
const REFUSAL: usize = 256 * 1024;

/// Which answers a stream is read for, and what becomes of them.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    /// Whose answers are still to come.
    pub(super) ids: Vec<Id>,
    /// The request of the client, for what is to be learnt from the answer, and its text.
    pub(super) request: Option<(&'a Request, &'a str)>,
    /// Keeps the answer here instead of passing it on.
    pub(super) keep: bool,
    /// The answer that was kept.
    pub(super) kept: Option<String>,
    /// A subscription: whether the client knows that it has begun.
    pub(super) acknowledged: Option<bool>,
}

impl<'a> Waiting<'a> {
    /// For the answer to this request of the client.
    pub(super) fn answer(request: &'a Request, text: &'a str) -> Self {
        Self { request: Some((request, text)), ..Self::all(vec![request.id.clone()]) }
    }

    /// For the answers to a batch; for none, of a stream that has no end of its own.
    pub(super) fn all(ids: Vec<Id>) -> Self {
        Self { ids, request: None, keep: false, kept: None, acknowledged: None }
    }

    /// For the answer to a request of our own.
    pub(super) fn own(id: Id) -> Self {
        Self { keep: true, ..Self::all(vec![id]) }
    }
}

/// How a stream ended.
#[derive(Debug)]
pub(super) enum End {
    /// Everything that was waited for is there.
    Answered,
    /// Before that.
    Broken {
        /// Where to go on, if the server can.
        last_id: Option<String>,
        /// When to.
        retry: Option<Duration>,
        /// Whether anything came at all.
        was_alive: bool,
        /// Whether a message did.
        said_anything: bool,
    },
}

impl Bridge {
    /// Reads a success to its end, and over its breaks as far as the server lets it be continued.
    pub(super) async fn receive(
        &self,
        response: Response,
        waiting: &mut Waiting<'_>,
        mark: Option<&Mark>,
        stop: &CancellationToken,
    ) -> Result<End, Trouble> {
        let mut end = self.read(response, waiting, stop).await?;
        let mut patience = Patience::endless();
        while let (Some(mark), End::Broken { last_id: Some(id), retry, said_anything, .. }) = (mark, &end) {
            if *said_anything {
                patience.renew();
            }
            self.pause(&mut patience, Some(retry.unwrap_or(RETRY)), stop).await?;
            let response = self.deliver(&Call::get(continued(mark, Some(id))), stop).await?;
            if !is_stream(&response) {
                break;
            }
            let mut next = self.read(response, waiting, stop).await?;
            if let End::Broken { last_id: last_id @ None, .. } = &mut next {
                *last_id = Some(id.clone());
            }
            end = next;
        }
        Ok(end)
    }

    /// Reads one body.
    pub(super) async fn read(
        &self,
        response: Response,
        waiting: &mut Waiting<'_>,
        stop: &CancellationToken,
    ) -> Result<End, Trouble> {
        if is_stream(&response) {
            return self.read_stream(response, waiting, stop).await;
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = stop.run_until_cancelled(read_body(response, LONGEST)).await.ok_or(Trouble::Cancelled)?;
        let body = match body {
            Ok(body) => body,
            Err(HttpError::TooLong(limit)) => return Err(too_long(limit)),
            Err(_) => {
                return Ok(End::Broken { last_id: None, retry: None, was_alive: true, said_anything: false });
            }
        };
        let text = std::str::from_utf8(&body).ok().filter(|text| message::read(text).is_some());
        match text {
            Some(text) => {
                self.pass(text.to_owned(), waiting, &headers).await;
                Ok(End::Answered)
            }
            None => Err(Trouble::Odd(format!("the server answers {status} without a JSON-RPC message"))),
        }
    }

    async fn read_stream(
        &self,
        mut response: Response,
        waiting: &mut Waiting<'_>,
        stop: &CancellationToken,
    ) -> Result<End, Trouble> {
        let headers = response.headers().clone();
        let (mut last_id, mut retry) = (None, None);
        let (mut was_alive, mut said_anything) = (false, false);
        let mut parser = Parser::new(LONGEST);
        let is_endless = waiting.ids.is_empty();
        loop {
            let piece = stop.run_until_cancelled(response.chunk()).await.ok_or(Trouble::Cancelled)?;
            let Ok(Some(piece)) = piece else {
                return Ok(End::Broken { last_id, retry, was_alive, said_anything });
            };
            let events = parser.push(&piece).map_err(|error| Trouble::Odd(error.to_string()))?;
            for event in events {
                was_alive = true;
                last_id = event.id.or(last_id);
                retry = event.retry.or(retry);
                if !event.data.is_empty() {
                    said_anything = true;
                    self.pass(event.data, waiting, &headers).await;
                }
                if waiting.ids.is_empty() && !is_endless {
                    return Ok(End::Answered);
                }
            }
        }
    }

    /// Passes a message on, and learns from it.
    async fn pass(&self, text: String, waiting: &mut Waiting<'_>, headers: &HeaderMap) {
        match message::read(&text) {
            None => return tell("the server sent something that is no JSON-RPC message; it is left out"),
            Some(Kind::Batch(_)) => waiting.ids.clear(),
            Some(Kind::Notification { method, .. })
                if method == "notifications/subscriptions/acknowledged" && waiting.acknowledged.is_some() =>
            {
                if waiting.acknowledged.replace(true) == Some(true) {
                    return self.make_up_for(waiting).await;
                }
            }
            Some(Kind::Response { id: None, is_result: false }) if waiting.ids.len() == 1 => {
                let error = serde_json::from_str::<Value>(&text).unwrap_or_default();
                let error = error.get("error").cloned().unwrap_or_default();
                if let Some(id) = waiting.ids.pop() {
                    return self.give(message::with_error(&id, &error), waiting).await;
                }
            }
            Some(Kind::Response { id: Some(id), is_result }) if waiting.ids.contains(&id) => {
                waiting.ids.retain(|waited| *waited != id);
                if is_result {
                    self.learn(&text, waiting, headers);
                }
                return self.give(text, waiting).await;
            }
            Some(_) => {}
        }
        self.output.send(text).await;
    }

    /// Hands over an answer, unless it is for us.
    async fn give(&self, text: String, waiting: &mut Waiting<'_>) {
        if waiting.keep || waiting.acknowledged == Some(true) {
            waiting.kept = Some(text);
        } else {
            self.output.send(text).await;
        }
    }

    fn learn(&self, text: &str, waiting: &Waiting<'_>, headers: &HeaderMap) {
        let Some((request, asked)) = waiting.request else { return };
        match request.method.as_str() {
            "initialize" => {
                let result = message::result_of(text);
                let version = result.get("protocolVersion").and_then(Value::as_str);
                self.session.begin(headers, version, asked);
            }
            "tools/list" => self.tools.learn(&message::result_of(text)),
            _ => {}
        }
    }

    /// After a gap in a subscription: what was subscribed to may have changed meanwhile, so it is said to have.
    async fn make_up_for(&self, waiting: &Waiting<'_>) {
        let Some((request, _)) = waiting.request else { return };
        let wanted =
            request.params.get("notifications").and_then(|wanted| wanted.get("resourceSubscriptions"));
        for uri in wanted.and_then(Value::as_array).into_iter().flatten() {
            let update = json!({
                "jsonrpc": "2.0",
                "method": "notifications/resources/updated",
                "params": { "uri": uri, "_meta": {
                    "io.modelcontextprotocol/subscriptionId": request.id.value() } },
            });
            self.output.send(update.to_string()).await;
        }
    }
}

/// What a refusal says: its status and its JSON-RPC error, if it has one.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: Option<Value>,
}

impl Refusal {
    /// Reads it.
    pub(super) async fn read(response: Response) -> Self {
        let status = response.status();
        let body = read_body(response, REFUSAL).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let error = body.get("error").filter(|error| error.is_object() && error.get("code").is_some());
        Self { status, error: error.cloned() }
    }

    /// The JSON-RPC code.
    pub(super) fn code(&self) -> Option<i64> {
        self.error.as_ref()?.get("code")?.as_i64()
    }

    /// Whether it means that the session is not known (any more): 404 (Streamable HTTP, "Session Management"). Older
    /// servers say 400 and speak of a session.
    pub(super) fn is_about_session(&self) -> bool {
        let said = self.error.as_ref().and_then(|error| error.get("message")).and_then(Value::as_str);
        let speaks_of_it = said.is_some_and(|message| message.to_ascii_lowercase().contains("session"));
        match self.status {
            // A method that is not known is 404 as well, with this code.
            StatusCode::NOT_FOUND => self.code() != Some(-32601),
            StatusCode::BAD_REQUEST => speaks_of_it,
            _ => false,
        }
    }

    /// Whether nobody here may speak MCP: nothing is at this address, or something that takes no messages.
    pub(super) fn may_be_elsewhere(&self) -> bool {
        self.error.is_none() && matches!(self.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
    }

    /// What the client is told.
    pub(super) fn answer(&self, id: &Id) -> String {
        match &self.error {
            Some(error) => message::with_error(id, error),
            None => Trouble::Odd(format!("the server answers {}", self.status)).refusal(id),
        }
    }
}

/// Whether a body is a stream of events.
pub(super) fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    response.status().is_success() && essence.eq_ignore_ascii_case("text/event-stream")
}

/// The headers that continue a session's stream after an event.
pub(super) fn continued(mark: &Mark, last_id: Option<&str>) -> HeaderMap {
    let mut headers = mark.headers();
    let id = last_id.and_then(|id| HeaderValue::from_str(id).ok());
    headers.extend(id.map(|id| (HeaderName::from_static("last-event-id"), id)));
    headers
}

fn too_long(limit: usize) -> Trouble {
    Trouble::Odd(format!("the server's answer is longer than {limit} bytes"))
}
