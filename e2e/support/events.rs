//! Streams of server-sent events, and sessions of the revisions that have them.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::browser::Address;
use super::http;
use super::mcp::{Answer, LEGACY, Mcp, read, send};
use super::schema::Judge;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An open stream.
pub(crate) struct Events {
    response: reqwest::Response,
    judge: Judge,
    unread: Vec<u8>,
}

impl Events {
    /// Opens a stream; what is answered without one comes back as it is.
    pub(crate) async fn open(request: RequestBuilder) -> Result<Self, Box<Answer>> {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let judge = Judge::of(&request);
        let response = client.execute(request).await.unwrap();
        let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["x-accel-buffering"], "no");
            return Ok(Self { response, judge, unread: Vec::new() });
        }
        Err(Box::new(read(response).await))
    }

    /// The next message; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let reading = async {
            loop {
                if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                    let event: Vec<u8> = self.unread.drain(..end + 2).collect();
                    let text = String::from_utf8(event).unwrap();
                    let data: String = text.lines().filter_map(|line| line.strip_prefix("data:")).collect();
                    if !data.trim().is_empty() {
                        let message = serde_json::from_str(&data).unwrap();
                        self.judge.check(&message);
                        return Some(message);
                    }
                    continue;
                }
                match self.response.chunk().await.unwrap() {
                    Some(bytes) => self.unread.extend_from_slice(&bytes),
                    None => return None,
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the stream stays silent")
    }

    /// Everything up to the end.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(message) = self.next().await {
            all.push(message);
        }
        all
    }
}

/// What one client of 2025-11-25 began with `initialize`.
pub(crate) struct Session<'a> {
    server: &'a dyn Address,
    bearer: String,
    /// Its id.
    pub(crate) id: String,
}

impl<'a> Session<'a> {
    /// Begins one.
    pub(crate) async fn begin(server: &'a dyn Address, token: &str, capabilities: Value) -> Self {
        let client = Mcp::legacy(server, token);
        let params = json!({
            "protocolVersion": LEGACY,
            "capabilities": capabilities,
            "clientInfo": { "name": "t", "version": "1" },
        });
        let answer = send(client.post().json(&client.message("initialize", params))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let session =
            Self { server, bearer: client.bearer(), id: answer.header("mcp-session-id").to_owned() };
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(session.post(&initialized).await.status, StatusCode::ACCEPTED);
        session
    }

    /// The same session at another replica, or for another token.
    pub(crate) fn at<'b>(&self, server: &'b dyn Address, bearer: &str) -> Session<'b> {
        Session { server, bearer: bearer.to_owned(), id: self.id.clone() }
    }

    /// A request with any method.
    pub(crate) fn request(&self, method: http::Method) -> RequestBuilder {
        http()
            .request(method, self.server.at("/mcp"))
            .header("authorization", &self.bearer)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", LEGACY)
            .header("mcp-session-id", &self.id)
    }

    /// A message of this session, not sent yet.
    pub(crate) fn message(&self, id: u64, method: &str, params: &Value) -> RequestBuilder {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.request(http::Method::POST).json(&message)
    }

    /// Sends any message.
    pub(crate) async fn post(&self, message: &Value) -> Answer {
        send(self.request(http::Method::POST).json(message)).await
    }

    /// Sends a request.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Answer {
        send(self.message(7, method, &params)).await
    }

    /// Calls a tool.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// Opens the session's own stream.
    pub(crate) async fn listen(&self) -> Result<Events, Box<Answer>> {
        Events::open(self.request(http::Method::GET)).await
    }
}
