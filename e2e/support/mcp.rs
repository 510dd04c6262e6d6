//! An MCP client as the wire sees it: one POST at a time, in either era.

use std::time::Duration;

use http::header::AUTHORIZATION;
use mandate::ephemeral::admission::GrantKey;
use mandate::oauth::claims::AccessTokenClaims;
use mandate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata};
use mandate::oauth::{Authentication, ClientId, GrantId, RedirectUri, Scopes, UserId};
use mandate::storage::audit::AuditRow;
use mandate::storage::commit;
use mandate::storage::grants::{self, Grant};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::browser::Address;
use super::schema::Judge;
use super::{Server, http};

/// The newest revision that is served with `initialize`.
pub(crate) const LEGACY: &str = "2025-11-25";
/// The revision before.
pub(crate) const OLDER: &str = "2025-06-18";
/// The stateless era.
pub(crate) const MODERN: &str = "2026-07-28";
/// Both scopes.
pub(crate) const BOTH: &str = "tickets:read tickets:write";

/// A grant and what its tokens say.
pub(crate) struct Minted {
    /// The claims, for tests that change them.
    pub(crate) claims: AccessTokenClaims,
    /// A token that says so.
    pub(crate) token: String,
}

impl Minted {
    /// Names the grant to whoever ends it.
    pub(crate) fn grant(&self) -> GrantKey {
        GrantKey { user_id: self.claims.sub.clone(), grant_id: self.claims.grant_id.clone() }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: http::HeaderMap,
    /// The body as JSON, or the last message of a stream; null when there is none.
    pub(crate) body: Value,
    /// What came before it, on a stream.
    pub(crate) before: Vec<Value>,
}

impl Answer {
    /// A header as text; empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The JSON-RPC error's code.
    pub(crate) fn code(&self) -> i64 {
        self.body["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error in {}", self.body))
    }

    /// The text of a tool's result.
    pub(crate) fn text(&self) -> &str {
        self.body["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_else(|| panic!("no text in {}", self.body))
    }

    /// The structured content of a tool's result, which must not be an error.
    pub(crate) fn structured(&self) -> &Value {
        assert_eq!(self.body["result"]["isError"], false, "{}", self.body);
        &self.body["result"]["structuredContent"]
    }

    /// The text of a result that must be an error for the model.
    pub(crate) fn problem(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.body["result"]["isError"], true, "{}", self.body);
        self.text()
    }
}

/// Records a live grant of a user to a client and signs a token for it.
pub(crate) async fn mint(server: &Server, user_id: &UserId, client_id: &str, scope: &str) -> Minted {
    let app = &server.app;
    let now = app.now();
    let grant = Grant {
        grant_id: GrantId::issue(&app.random),
        user_id: user_id.clone(),
        client: client(client_id),
        redirect_uri: RedirectUri::stored("http://127.0.0.1/callback"),
        resource: app.config.public_url.resource().as_str().to_owned(),
        scopes: Scopes::parse(scope).unwrap(),
        authentication: Authentication::at(now),
        created_at: now,
        expires_at: now.plus(Duration::from_hours(24 * 365)),
        activated_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    let mut tx = app.store.write().await.unwrap();
    grants::record(&mut tx, &grant).await.unwrap();
    grants::activate(&mut tx, &grant.grant_id, now).await.unwrap();
    commit(tx).await.unwrap();
    let claims = AccessTokenClaims {
        iss: app.config.public_url.issuer().to_owned(),
        sub: user_id.as_str().to_owned(),
        aud: grant.resource.clone(),
        client_id: client_id.to_owned(),
        scope: scope.to_owned(),
        jti: app.random.id(),
        iat: now.unix_seconds(),
        exp: now.unix_seconds() + 3600,
        auth_time: Some(now.unix_seconds()),
        acr: None,
        amr: Vec::new(),
        grant_id: grant.grant_id.as_str().to_owned(),
    };
    Minted { token: app.keys.sign(&claims, now).unwrap(), claims }
}

fn client(client_id: &str) -> Client {
    Client {
        client_id: ClientId::new(client_id),
        kind: ClientKind::Dynamic,
        metadata: ClientMetadata {
            client_name: Some("Test".into()),
            redirect_uris: vec![RedirectUri::stored("http://127.0.0.1/callback")],
            ..ClientMetadata::unsaid(AuthMethod::None)
        },
        secret_hash: None,
    }
}

/// An MCP client that speaks one revision with one token.
pub(crate) struct Mcp<'a> {
    server: &'a dyn Address,
    token: String,
    version: &'static str,
}

impl<'a> Mcp<'a> {
    /// A client of 2026-07-28.
    pub(crate) fn modern(server: &'a dyn Address, token: &str) -> Self {
        Self { server, token: token.to_owned(), version: MODERN }
    }

    /// A client of 2025-11-25.
    pub(crate) fn legacy(server: &'a dyn Address, token: &str) -> Self {
        Self { server, token: token.to_owned(), version: LEGACY }
    }

    /// A client of 2025-06-18.
    pub(crate) fn older(server: &'a dyn Address, token: &str) -> Self {
        Self { server, token: token.to_owned(), version: OLDER }
    }

    /// A user's client of 2026-07-28 with this scope.
    pub(crate) async fn of(server: &'a Server, user_id: &UserId, scope: &str) -> Self {
        Self::modern(server, &mint(server, user_id, "client_1", scope).await.token)
    }

    /// The revision that it speaks.
    pub(crate) fn version(&self) -> &'static str {
        self.version
    }

    /// Whether it speaks 2026-07-28.
    pub(crate) fn is_modern(&self) -> bool {
        self.version == MODERN
    }

    /// The `Authorization` header of this client.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// A request to the endpoint with this client's headers and token, without a body.
    pub(crate) fn post(&self) -> RequestBuilder {
        post(self.server).header(AUTHORIZATION, self.bearer())
    }

    /// A message of this client's revision.
    pub(crate) fn message(&self, method: &str, mut params: Value) -> Value {
        if self.version == MODERN {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
    }

    /// Sends a request as this client's revision wants it.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Answer {
        send(self.request(method, params)).await
    }

    /// The request that this client's revision wants, not sent yet.
    pub(crate) fn request(&self, method: &str, params: Value) -> RequestBuilder {
        let named = ["name", "uri", "taskId"].map(|member| params[member].as_str());
        let name = named.into_iter().flatten().next().map(str::to_owned);
        let message = self.message(method, params);
        let mut request = self.post().header("mcp-protocol-version", self.version);
        if self.version == MODERN {
            request = request.header("mcp-method", method);
            request = match name {
                Some(name) => request.header("mcp-name", name),
                None => request,
            };
        }
        request.json(&message)
    }

    /// Calls a tool.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }
}

/// A client of each revision.
pub(crate) fn eras<'a>(server: &'a dyn Address, token: &str) -> [Mcp<'a>; 3] {
    [Mcp::modern(server, token), Mcp::legacy(server, token), Mcp::older(server, token)]
}

/// A POST to the endpoint with the headers that every client sends.
pub(crate) fn post(server: &dyn Address) -> RequestBuilder {
    post_to(server, "/mcp")
}

/// The same to this spelling of the endpoint.
pub(crate) fn post_to(server: &dyn Address, path: &str) -> RequestBuilder {
    http()
        .post(server.at(path))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
}

/// Sends any request. What comes back is as its revision has it, where the schemas are at hand.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let judge = Judge::of(&request);
    let answer = read(client.execute(request).await.unwrap()).await;
    answer.before.iter().chain([&answer.body]).for_each(|message| judge.check(message));
    answer
}

/// Reads an answer to its end.
pub(crate) async fn read(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let json =
        |text: &str| serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {status} {text}"));
    let is_stream = headers.get("content-type").is_some_and(|value| value == "text/event-stream");
    let mut messages: Vec<Value> = if is_stream {
        text.lines().filter_map(|line| line.strip_prefix("data: ")).map(json).collect()
    } else if text.is_empty() {
        Vec::new()
    } else {
        vec![json(&text)]
    };
    let body = messages.pop().unwrap_or_default();
    Answer { status, headers, body, before: messages }
}

/// The tool calls of the audit log, oldest first.
pub(crate) async fn tool_calls(server: &Server) -> Vec<AuditRow> {
    let events = server.app.store.list_audit_events(None, 10_000).await.unwrap();
    events.into_iter().filter(|event| event.event == "tool_call").collect()
}
