//! How the tests of this folder ask: whole answers, the rules that hold for each of them, and what came of it.

use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::client::{Client, VERIFIER};
use crate::support::{Server, http};
use mandate::storage::users::Role;

/// Both scopes of the resource.
pub(super) const BOTH: [&str; 2] = ["tickets:read", "tickets:write"];

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: StatusCode,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body as text.
    pub(super) text: String,
    /// The body as JSON; `null` when it is none.
    pub(super) body: Value,
}

impl Answer {
    /// A header as text; empty when it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// A member of the body as text; empty when it is missing.
    pub(super) fn text_of(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }

    /// What holds for every answer of the token endpoint (OAuth 2.1 §3.2.3, §3.2.4; A0.10, A4.1).
    fn well_formed(&self) -> &Self {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
        let members = self.body.as_object().unwrap_or_else(|| panic!("no JSON object: {self:?}"));
        assert!(members.values().all(|value| !value.is_null()), "{self:?}");
        self
    }

    /// Checks that tokens were given.
    #[track_caller]
    pub(super) fn granted(&self) -> &Self {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.well_formed()
    }

    /// Checks that it is a refusal with this status and code, and with nothing that a refusal must not carry.
    #[track_caller]
    pub(super) fn refused(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.status.as_u16(), self.text_of("error")), (status, code), "{self:?}");
        // OAuth 2.1 §3.2.4 fixes the characters of a description.
        let legal = |b: u8| (0x20..=0x7e).contains(&b) && b != b'"' && b != b'\\';
        let description = self.text_of("error_description");
        assert!(!description.is_empty() && description.bytes().all(legal), "{self:?}");
        for token in ["access_token", "refresh_token", "description", "uri"] {
            assert!(self.body.get(token).is_none(), "{self:?}");
        }
        self.well_formed()
    }
}

/// Sends a request.
pub(super) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, text, body }
}

/// Posts a form.
pub(super) async fn post(server: &Server, path: &str, form: &[(&str, &str)]) -> Answer {
    send(http().post(server.at(path)).form(form)).await
}

/// Posts a form to the token endpoint.
pub(super) async fn token(server: &Server, form: &[(&str, &str)]) -> Answer {
    post(server, "/token", form).await
}

/// The form that redeems a code for a public client, with `changes` replacing or adding parameters.
pub(super) async fn redeem(
    client: &Client<'_>,
    server: &Server,
    code: &str,
    changes: &[(&str, &str)],
) -> Answer {
    let base = [
        ("grant_type", "authorization_code"),
        ("client_id", client.client_id.as_str()),
        ("code", code),
        ("code_verifier", VERIFIER),
    ];
    token(server, &changed(&base, changes)).await
}

/// The form that refreshes for a public client, with `changes` replacing or adding parameters.
pub(super) async fn refresh(
    client: &Client<'_>,
    server: &Server,
    refresh_token: &str,
    changes: &[(&str, &str)],
) -> Answer {
    let base = [
        ("grant_type", "refresh_token"),
        ("client_id", client.client_id.as_str()),
        ("refresh_token", refresh_token),
    ];
    token(server, &changed(&base, changes)).await
}

fn changed<'a>(base: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = base.to_vec();
    form.retain(|(name, _)| !changes.iter().any(|(change, _)| change == name));
    form.extend(changes.iter().copied());
    form
}

/// A code that a signed-in browser brings back for `client`.
pub(super) async fn code(browser: &mut Browser<'_>, client: &Client<'_>, changes: &[(&str, &str)]) -> String {
    code_for(browser, client, changes, &BOTH).await
}

/// As [`code`], with these boxes ticked.
pub(super) async fn code_for(
    browser: &mut Browser<'_>,
    client: &Client<'_>,
    changes: &[(&str, &str)],
    scopes: &[&str],
) -> String {
    let (path, page) = browser.open_consent(&client.authorize(changes), "alice").await;
    browser.decide(&path, &page, "allow", scopes).await.answer()["code"].clone()
}

/// What an MCP call with this access token is answered with: 200 while it holds, 401 when it does not.
pub(super) async fn call(server: &Server, access_token: &str) -> u16 {
    let initialize = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        },
    });
    let request = http().post(server.at("/mcp")).bearer_auth(access_token).json(&initialize);
    let request = request.header("accept", "application/json, text/event-stream");
    send(request).await.status.as_u16()
}

/// One row of the audit log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Audited {
    /// What happened.
    pub(super) event: String,
    /// What came of it.
    pub(super) outcome: String,
    /// Under which grant.
    pub(super) grant_id: String,
    /// More about it.
    pub(super) detail: String,
}

/// The audit log's events of one kind, oldest first.
pub(super) async fn audited(server: &Server, event: &str) -> Vec<Audited> {
    let events = server.app.store.list_audit_events(None, 10_000).await.unwrap();
    let of_kind = events.into_iter().filter(|row| row.event == event);
    of_kind
        .map(|row| Audited {
            event: row.event,
            outcome: row.outcome,
            grant_id: row.grant_id.unwrap_or_default(),
            detail: row.detail.unwrap_or_default(),
        })
        .collect()
}

/// A server with a changed configuration and the accounts `alice` and `bob`.
pub(super) async fn people_on(change: impl FnOnce(&mut mandate::config::Config)) -> Server {
    let server = Server::start_with(change).await;
    server.add_user("alice", Role::Agent).await;
    server.add_user("bob", Role::Requester).await;
    server
}
