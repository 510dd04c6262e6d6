//! A user's client that calls tools through the balancer or at one replica, and takes whatever comes back.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::fleet::Fleet;
use crate::support::browser::Address;
use crate::support::client::Client;
use crate::support::mcp::{Answer, LEGACY, MODERN};

/// How long a client waits for an answer: longer than any may take.
const WAITS_FOR: Duration = Duration::from_secs(20);

/// A client with tokens.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    http: reqwest::Client,
    /// Its id.
    pub(crate) client_id: String,
    /// Its access token.
    pub(crate) access_token: String,
    /// Its refresh token.
    pub(crate) refresh_token: String,
    /// The revision that it speaks.
    pub(crate) version: &'static str,
}

impl Caller {
    /// The whole dance through the balancer: registration, sign-in, consent, tokens.
    pub(crate) async fn connect(fleet: &Fleet, username: &str) -> Self {
        let client = Client::register(fleet).await;
        Self::of(fleet, username, &client).await
    }

    /// The dance of a client that is known.
    pub(crate) async fn of(fleet: &Fleet, username: &str, client: &Client<'_>) -> Self {
        let tokens = client.obtain_tokens(username).await;
        Self::with(fleet, &client.client_id, &tokens)
    }

    /// A client that holds these tokens.
    pub(crate) fn with(fleet: &Fleet, client_id: &str, tokens: &Value) -> Self {
        Self::over(fleet.http.clone(), client_id, tokens)
    }

    /// The same over any connections.
    pub(crate) fn over(http: reqwest::Client, client_id: &str, tokens: &Value) -> Self {
        let token = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Self {
            http,
            client_id: client_id.to_owned(),
            access_token: token("access_token"),
            refresh_token: token("refresh_token"),
            version: MODERN,
        }
    }

    /// The same client speaking the older revision, in which a lost connection is no cancellation.
    pub(crate) fn legacy(mut self) -> Self {
        self.version = LEGACY;
        self
    }

    /// Calls a tool; no answer is an error.
    pub(crate) async fn try_call(
        &self,
        address: &dyn Address,
        tool: &str,
        arguments: &Value,
    ) -> reqwest::Result<Answer> {
        answer(self.request(address, tool, arguments)).await
    }

    /// Calls a tool and must be answered.
    pub(crate) async fn call(&self, address: &dyn Address, tool: &str, arguments: &Value) -> Answer {
        self.try_call(address, tool, arguments).await.unwrap()
    }

    /// The status of a call that reads.
    pub(crate) async fn status(&self, address: &dyn Address) -> StatusCode {
        self.call(address, "search_tickets", &json!({ "query": "x" })).await.status
    }

    /// Uses the refresh token.
    pub(crate) async fn refresh(&self, address: &dyn Address) -> Answer {
        let form = [("grant_type", "refresh_token"), ("refresh_token", self.refresh_token.as_str())];
        self.form(address, "/token", &form).await
    }

    /// Sends a form of this public client.
    pub(crate) async fn form(&self, address: &dyn Address, path: &str, form: &[(&str, &str)]) -> Answer {
        let mut form = form.to_vec();
        form.push(("client_id", &self.client_id));
        answer(self.http.post(address.at(path)).timeout(WAITS_FOR).form(&form)).await.unwrap()
    }

    fn request(&self, address: &dyn Address, tool: &str, arguments: &Value) -> RequestBuilder {
        let mut params = json!({ "name": tool, "arguments": arguments });
        let mut request = self
            .http
            .post(address.at("/mcp"))
            .timeout(WAITS_FOR)
            .bearer_auth(&self.access_token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", self.version);
        if self.version == MODERN {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
            request = request.header("mcp-method", "tools/call").header("mcp-name", tool);
        }
        request.json(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }))
    }
}

/// Sends a request and reads the whole answer.
pub(crate) async fn answer(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await?;
    // What is no JSON comes from the balancer, or is a page.
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, headers, body, before: Vec::new() })
}
