//! Tests of your own tools: a [`Bench`] is your program over an empty database, and a [`Caller`] is somebody's app that
//! calls its tools. Each call goes the whole way that it goes in production: token, grant, scopes, limits, schema,
//! idempotency key, transaction and audit log.
//!
//! ```no_run
//! # use mandate::extension::{Extension, Program};
//! # fn program() -> Program { Program::new("notes", "Notes", "1") }
//! use mandate::extension::Role;
//! use mandate::extension::testing::Bench;
//! use serde_json::json;
//!
//! # async fn test() {
//! let bench = Bench::of(program()).await.unwrap();
//! let alice = bench.caller("alice", Role::Agent, &["notes:write"]).await.unwrap();
//! let added = alice.call("add_note", json!({ "text": "Buy milk" })).await.unwrap();
//! assert_eq!(added.structured()["text"], "Buy milk");
//! # }
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::Program;
use crate::app::App;
use crate::authz::minting::{self, Minter, Order, Whom};
use crate::clock::{Clock as _, ManualClock, SystemClock};
use crate::config::Config;
use crate::identity::account::{self, Username};
use crate::random::Random;
use crate::server;
use crate::storage::users::Role;
use crate::storage::{Database, commit};

/// The revision of MCP that is spoken.
const VERSION: &str = "2026-07-28";

/// A program over an empty SQLite database in a folder of its own, which is gone with it. Nothing listens on a port. The
/// configuration is what it is when nobody writes one.
#[derive(Debug)]
pub struct Bench {
    app: Arc<App>,
    routes: Router,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

/// Somebody's app with a token, which lives for as long as `tokens.minted_lifetime` says. It cannot ask its user
/// anything, so what a tool asks them is answered by `mcp.unconfirmed`.
#[derive(Debug)]
pub struct Caller<'a> {
    bench: &'a Bench,
    token: String,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// It was done.
    Done {
        /// The result as data.
        structured: Value,
        /// The result as text.
        text: String,
    },
    /// It was not done, and the model reads why: its arguments to mend, or what [`Failure::unable`](super::Failure::unable)
    /// says.
    Unable(String),
    /// It was not let in, or it failed by a fault. Of a fault only the log knows more: whatever subscribes to `tracing`.
    Refused {
        /// The HTTP status: 403 where a scope is missing, 429 over a limit, 500 of a fault.
        status: u16,
        /// What was said.
        body: Value,
    },
}

impl Called {
    /// The result as data; null where it was not done.
    pub fn structured(&self) -> &Value {
        match self {
            Self::Done { structured, .. } => structured,
            Self::Unable(_) | Self::Refused { .. } => &Value::Null,
        }
    }
}

/// Why something cannot be tested, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(String);

fn trouble(what: &str) -> impl FnOnce(String) -> Trouble {
    move |why| Trouble(format!("{what}: {why}"))
}

/// What went wrong, in words.
fn words(error: impl fmt::Display) -> String {
    error.to_string()
}

impl Bench {
    /// Checks the program and opens its database, with the tables of its extensions.
    pub async fn of(program: Program) -> Result<Self, Trouble> {
        let program = program.check().map_err(words).map_err(trouble("the program"))?;
        let folder = tempfile::tempdir().map_err(words).map_err(trouble("a folder"))?;
        let config = Config::defaults_for(program.own().clone());
        let mut config = config.map_err(words).map_err(trouble("the configuration"))?;
        config.database = Database::Sqlite(folder.path().join("test.db"));
        config.secret_key_file = folder.path().join("test.key");
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let app = App::open(config, clock.clone(), Random::system()).await;
        let app = Arc::new(app.map_err(words).map_err(trouble("the database"))?);
        program.prepare(&app.store, app.now()).await.map_err(words).map_err(trouble("the tables"))?;
        let routes = server::router_for(&app, program.surface());
        Ok(Self { app, routes, clock, _folder: folder })
    }

    /// An app of this user that was allowed these scopes. The user has an account from now on, if they had none: with
    /// this role.
    pub async fn caller(&self, username: &str, role: Role, scopes: &[&str]) -> Result<Caller<'_>, Trouble> {
        let name = Username::parse(username).map_err(words).map_err(trouble("the user"))?;
        self.add(&name, role).await.map_err(trouble("the user"))?;
        let order = Order {
            whom: Whom::User(name.as_str()),
            scope: &scopes.join(" "),
            resources: Vec::new(),
            lifetime: None,
            purpose: None,
        };
        let minted = minting::mint(&self.app, &Minter::operator("a test"), &order).await;
        let minted = minted.map_err(|error| match error.detail {
            Some(detail) => format!("{}: {detail}", error.description),
            None => error.description.to_owned(),
        });
        let minted = minted.map_err(trouble("the scopes"))?;
        Ok(Caller { bench: self, token: minted.issued.access_token().to_owned() })
    }

    async fn add(&self, name: &Username, role: Role) -> Result<(), String> {
        let user = account::without_password(&self.app, name, role);
        let mut tx = self.app.store.write().await.map_err(words)?;
        // Where there is such a user already, they stay as they are.
        account::record(&self.app, &mut tx, &user).await.map_err(|error| error.description.to_owned())?;
        commit(tx).await.map_err(words)
    }

    /// Lets time go by: `now` of whatever is called afterwards is so much later.
    pub fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }
}

impl Caller<'_> {
    /// Calls a tool, over the routes of the server.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Called, Trouble> {
        let (status, body) = self.ask(tool, arguments).await.map_err(trouble("the call"))?;
        let result = body.get("result").cloned().unwrap_or_default();
        let text = result.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(match result.get("isError").and_then(Value::as_bool) {
            Some(true) => Called::Unable(text),
            Some(false) => {
                let structured = result.get("structuredContent").cloned().unwrap_or_default();
                Called::Done { structured, text }
            }
            None => Called::Refused { status, body },
        })
    }

    async fn ask(&self, tool: &str, arguments: Value) -> Result<(u16, Value), String> {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let public_url = &self.bench.app.config.public_url;
        let request = Request::builder()
            .method(Method::POST)
            .uri(public_url.resource().as_str())
            .header(HOST, public_url.authority())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", VERSION)
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
            .body(Body::from(message.to_string()))
            .map_err(words)?;
        let response = self.bench.routes.clone().oneshot(request).await.map_err(words)?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(words)?.to_bytes();
        Ok((status, serde_json::from_slice(&body).map_err(words)?))
    }
}

#[cfg(test)]
pub(crate) mod tests;
