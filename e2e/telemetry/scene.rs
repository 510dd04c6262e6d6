//! The scene of these tests: a running binary that is watched, a user, and a client that does the dance.

use std::process::{Command, Stdio};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::binary::{Place, Running, free_port};
use crate::support::browser::Address as _;
use crate::support::client::Client;
use crate::support::mcp::{Answer, Mcp, send};
use crate::support::otlp::Backend;
use crate::support::{PASSWORD, http};

/// What no telemetry may hold, besides tokens.
pub(super) const TITLE: &str = "Zanzibar printer emits smoke";
/// The same.
pub(super) const QUERY: &str = "zanzibar";

/// A running binary.
pub(super) struct Watched {
    /// Where it is.
    pub(super) place: Place,
    /// Itself.
    pub(super) running: Running,
    metrics_port: u16,
}

impl Watched {
    /// Starts with `alice`, metrics to be scraped, and whatever else is changed about the command.
    pub(super) async fn start(change: impl FnOnce(&mut Command)) -> Self {
        let place = Place::new().await;
        place.done(&["user", "add", "alice", "--role", "agent"], &format!("{PASSWORD}\n"));
        let metrics_port = free_port();
        let mut command = place.command(&["serve"]);
        command.stderr(Stdio::null()).env("MANDATE_METRICS_LISTEN", format!("127.0.0.1:{metrics_port}"));
        change(&mut command);
        let running = Running::wait_for(&mut command);
        Self { place, running, metrics_port }
    }

    /// The same, with everything sent there.
    pub(super) async fn sending_to(backend: &Backend, protocol: &str) -> Self {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20collector".to_owned()),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test".to_owned()),
        ];
        Self::start(|command| {
            command.envs(variables);
        })
        .await
    }

    /// A URL of the public listener.
    pub(super) fn place_url(&self, path: &str) -> String {
        self.place.at(path)
    }

    /// What a scraper gets.
    pub(super) async fn scrape(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics_port);
        let answer = http().get(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(content_type.starts_with("application/openmetrics-text"), "{content_type}");
        answer.text().await.unwrap()
    }

    /// Stops it, after which everything is sent.
    pub(super) async fn stop(self) {
        self.running.terminate();
        // The back end lives on this thread's runtime and must be able to take what is sent last.
        let ended = tokio::task::spawn_blocking(move || self.running.exit_code());
        assert_eq!(ended.await.unwrap(), Some(0));
    }
}

/// What a client holds after the dance, none of which telemetry may hold.
pub(super) struct Danced {
    /// The code.
    pub(super) code: String,
    /// The first tokens.
    pub(super) tokens: Value,
    /// Those after a refresh.
    pub(super) refreshed: Value,
    /// Of the client.
    pub(super) client_id: String,
}

impl Danced {
    /// The newest access token.
    pub(super) fn token(&self) -> &str {
        self.refreshed["access_token"].as_str().unwrap()
    }

    /// Everything that opens something.
    pub(super) fn secrets(&self) -> Vec<String> {
        let mut secrets = vec![self.code.clone()];
        for tokens in [&self.tokens, &self.refreshed] {
            for name in ["access_token", "refresh_token"] {
                secrets.push(tokens[name].as_str().unwrap().to_owned());
            }
        }
        // The signature alone is as good as the token to whoever has the rest.
        secrets.push(self.token().rsplit('.').next().unwrap().to_owned());
        secrets
    }
}

/// Registers, is allowed, gets tokens and refreshes them once.
pub(super) async fn dance(place: &Place) -> Danced {
    let client = Client::register(place).await;
    let code = client.obtain_code("alice", &["tickets:read", "tickets:write"]).await;
    let (status, tokens) = client.redeem(&code).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let (status, refreshed) = client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{refreshed}");
    Danced { code, tokens, refreshed, client_id: client.client_id }
}

/// Ten calls, of which one is a replay and two are mistakes.
pub(super) async fn ten_calls(mcp: &Mcp<'_>) {
    let new = json!({ "title": TITLE, "body": format!("{TITLE}, says {PASSWORD}"), "idempotency_key": "k1" });
    let made = mcp.call("create_ticket", new.clone()).await;
    let id = made.structured()["id"].clone();
    assert!(id.is_string(), "{}", made.body);
    let again = mcp.call("create_ticket", new).await;
    assert_eq!(again.body["result"]["_meta"]["mandate/replayed"], true, "{}", again.body);
    for _ in 0..3 {
        mcp.call("search_tickets", json!({ "query": QUERY })).await.structured();
    }
    mcp.call("get_ticket", json!({ "id": id })).await.structured();
    mcp.call("comment_ticket", json!({ "id": id, "body": TITLE })).await.structured();
    mcp.call("close_ticket", json!({ "id": id, "resolution": TITLE })).await.structured();
    mcp.call("get_ticket", json!({ "id": "T-999999" })).await.problem();
    mcp.call("search_tickets", json!({ "query": QUERY, "limit": 99 })).await.problem();
}

/// One call with this `traceparent` in the header, and this one in the message.
pub(super) async fn call_within(mcp: &Mcp<'_>, header: Option<&str>, meta: Option<&str>) -> Answer {
    let mut params = json!({ "name": "search_tickets", "arguments": { "query": QUERY } });
    if let Some(meta) = meta {
        params["_meta"]["traceparent"] = meta.into();
    }
    let mut request = mcp.post().header("mcp-protocol-version", crate::support::mcp::MODERN);
    request = request.header("mcp-method", "tools/call").header("mcp-name", "search_tickets");
    if let Some(header) = header {
        request = request.header("traceparent", header).header("tracestate", "vendor=1");
    }
    send(request.json(&mcp.message("tools/call", params))).await
}
