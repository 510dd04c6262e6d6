//! A request and its answer, in either era, and what the bridge itself must ask for it.

use http::HeaderMap;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::bridge::Bridge;
use super::delivery::{AWAY, Call, Trouble, note};
use super::discovery;
use super::http::shown;
use super::mcp_headers;
use super::message::{self, Id, Kind, Request};
use super::patience::Patience;
use super::receive::{End, Refusal, Waiting};
use super::session::Mark;
use super::stdio::tell;

/// How many pages of a list of tools are read.
const PAGES: usize = 50;

/// Requests that change nothing when they are done twice, besides the lists.
const READING: [&str; 12] = [
    "initialize",
    "ping",
    "server/discover",
    "completion/complete",
    "logging/setLevel",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "tasks/get",
    "tasks/result",
    "tasks/cancel",
];

impl Bridge {
    /// A request and its answer.
    pub(super) async fn ask(
        &self,
        request: &Request,
        text: &str,
        stop: &CancellationToken,
    ) -> Result<(), Trouble> {
        let version = request.modern_version();
        let is_initialize = request.method == "initialize";
        if version.is_none() && !is_initialize {
            stop.run_until_cancelled(self.session.ready()).await.ok_or(Trouble::Cancelled)?;
        }
        let is_repeatable = self.is_repeatable(request);
        let mut patience = Patience::of(AWAY);
        let (mut reopened, mut listed) = (false, false);
        loop {
            let mark = self.session.mark();
            let headers = match version {
                Some(version) => mcp_headers::of(request, version, &self.tools),
                None if is_initialize => HeaderMap::new(),
                None => mark.headers(),
            };
            let response = self.deliver(&Call::post(text, headers, is_repeatable), stop).await?;
            if response.status().is_success() {
                let mut waiting = Waiting::answer(request, text);
                let session = version.is_none().then_some(&mark).filter(|_| !is_initialize);
                if let End::Answered = self.receive(response, &mut waiting, session, stop).await? {
                    return Ok(());
                }
                let trouble = Trouble::OutcomeUnknown("the stream ended".to_owned());
                if !is_repeatable {
                    return Err(trouble);
                }
                self.pause(&mut patience, None, stop).await?.then_some(()).ok_or(trouble)?;
                continue;
            }
            let refusal =
                stop.run_until_cancelled(Refusal::read(response)).await.ok_or(Trouble::Cancelled)?;
            if version.is_none() && mark.has_id() && !is_initialize && !reopened && refusal.is_about_session()
            {
                self.reopen(&mark, stop).await?;
                self.session.stream_known().await;
                reopened = true;
            } else if version.is_some()
                && refusal.code() == Some(-32020)
                && request.method == "tools/call"
                && !listed
            {
                // Some argument belongs into a header, and the tool was never listed ("Custom Headers from Tool
                // Parameters").
                self.list_tools(request, stop).await?;
                listed = true;
            } else {
                if refusal.may_be_elsewhere()
                    && let Some(endpoint) = discovery::named_endpoint(&self.http, &self.url).await
                {
                    let (here, status) = (shown(&self.url), refusal.status);
                    let said = format!(
                        "there is no MCP endpoint at {here} ({status}); its metadata names {endpoint}"
                    );
                    return Err(Trouble::Odd(said));
                }
                self.output.send(refusal.answer(&request.id)).await;
                return Ok(());
            }
        }
    }

    /// Whether a request can be sent again although it may have been done: what only reads, and what says so.
    fn is_repeatable(&self, request: &Request) -> bool {
        match request.method.as_str() {
            "tools/call" => self.tools.may_repeat(&request.params),
            method => READING.contains(&method) || method.ends_with("/list"),
        }
    }

    /// Several messages at once (2025-03-26).
    pub(super) async fn batch(&self, ids: Vec<Id>, text: &str) {
        if self.ending.run_until_cancelled(self.session.ready()).await.is_none() {
            return;
        }
        let mark = self.session.mark();
        let call = Call::post(text, mark.headers(), false);
        let mut waiting = Waiting::all(ids.clone());
        let done = async {
            let response = self.deliver(&call, &self.ending).await?;
            if !response.status().is_success() {
                return Err(Trouble::Odd(format!("the server answers {}", response.status())));
            }
            if ids.is_empty() {
                return Ok(End::Answered);
            }
            self.receive(response, &mut waiting, Some(&mark), &self.ending).await
        };
        let trouble = match done.await {
            Ok(End::Answered) | Err(Trouble::Cancelled) => return,
            Ok(End::Broken { .. }) => Trouble::OutcomeUnknown("the stream ended".to_owned()),
            Err(trouble) => trouble,
        };
        for id in &waiting.ids {
            self.output.send(trouble.refusal(id)).await;
        }
    }

    /// A message that is not answered.
    pub(super) async fn tell_server(&self, text: &str, version: Option<&str>) {
        let mut headers = self.session.mark().headers();
        if let (Some(version), Some(Kind::Notification { method, .. })) = (version, message::read(text)) {
            let like = Request { id: Id::own(""), method, params: Value::Null };
            headers = mcp_headers::of(&like, version, &self.tools);
        }
        match self.deliver(&Call::post(text, headers, true), &self.ending).await {
            Ok(response) if !response.status().is_success() => {
                tell(&format!("the server answers {} to a notification", response.status()));
            }
            Ok(_) | Err(Trouble::Cancelled) => {}
            Err(trouble) => note("a notification was not delivered", &trouble),
        }
    }

    /// The server has lost the session: opens another as the client did, who need not know (Streamable HTTP, "Session
    /// Management").
    pub(super) async fn reopen(&self, lost: &Mark, stop: &CancellationToken) -> Result<(), Trouble> {
        let one = self.session.reopening.lock();
        let _one = stop.run_until_cancelled(one).await.ok_or(Trouble::Cancelled)?;
        if !self.session.mark().is(lost) {
            return Ok(());
        }
        let gone = || Trouble::Odd("the server does not know the session".to_owned());
        let (initialize, initialized) = self.session.beginning().ok_or_else(gone)?;
        let mut again: Value = serde_json::from_str(&initialize).unwrap_or_default();
        let id = json!(format!("mandate-connect-{}", self.random.id()));
        if let Some(member) = again.get_mut("id") {
            *member = id.clone();
        }
        let (headers, answer) = self.ask_ourselves(&again, HeaderMap::new(), stop).await?;
        let result = message::result_of(&answer);
        let version = result.get("protocolVersion").and_then(Value::as_str).ok_or_else(gone)?;
        self.session.begin(&headers, Some(version), &initialize);
        if let Some(initialized) = initialized {
            let call = Call::post(&initialized, self.session.mark().headers(), true);
            self.deliver(&call, stop).await?;
        }
        tell("the server had lost the session; another one is open");
        Ok(())
    }

    /// Learns which arguments go into headers.
    async fn list_tools(&self, like: &Request, stop: &CancellationToken) -> Result<(), Trouble> {
        let meta = like.params.get("_meta").cloned().unwrap_or_default();
        let version = like.modern_version().unwrap_or_default();
        let mut cursor = Value::Null;
        for _ in 0..PAGES {
            let mut params = json!({ "_meta": meta });
            if let (Some(object), Value::String(_)) = (params.as_object_mut(), &cursor) {
                object.insert("cursor".into(), cursor);
            }
            let id = format!("mandate-connect-{}", self.random.id());
            let message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list", "params": params });
            let Some(Kind::Request(request)) = message::read(&message.to_string()) else { return Ok(()) };
            let headers = mcp_headers::of(&request, version, &self.tools);
            let (_, answer) = self.ask_ourselves(&message, headers, stop).await?;
            let mut result = message::result_of(&answer);
            self.tools.learn(&result);
            cursor = result.get_mut("nextCursor").map(Value::take).unwrap_or_default();
            if cursor.is_null() {
                break;
            }
        }
        Ok(())
    }

    /// A request of the bridge itself: the headers and the text of its answer.
    async fn ask_ourselves(
        &self,
        message: &Value,
        headers: HeaderMap,
        stop: &CancellationToken,
    ) -> Result<(HeaderMap, String), Trouble> {
        let text = message.to_string();
        let Some(Kind::Request(request)) = message::read(&text) else {
            return Err(Trouble::Odd("no request".to_owned()));
        };
        let response = self.deliver(&Call::post(&text, headers, true), stop).await?;
        if !response.status().is_success() {
            return Err(Trouble::Odd(format!("the server answers {}", response.status())));
        }
        let headers = response.headers().clone();
        let mut waiting = Waiting::own(request.id);
        self.read(response, &mut waiting, stop).await?;
        let answer = waiting.kept.ok_or_else(|| Trouble::Odd("the server does not answer".to_owned()))?;
        Ok((headers, answer))
    }
}
