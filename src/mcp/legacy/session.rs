//! Session ids: sealed, for one user through one client (MCP 2025-11-25 transports, "Session Management").

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Response};
use http_body_util::BodyExt;
use moka::sync::Cache;
use rmcp::model::{
    ClientCapabilities, ElicitationCapability, FormElicitationCapability, Implementation,
    InitializeRequestParams, ProtocolVersion, RootsCapabilities, SamplingCapability,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::app::App;
use crate::ephemeral::Place;
use crate::keys::SealError;
use crate::mcp::principal::Verified;
use crate::oauth::secret::SecretHash;

/// The header that carries the id.
pub(in crate::mcp) const HEADER: HeaderName = HeaderName::from_static("mcp-session-id");
/// The longest id that is looked at, in bytes. Ours have about 200.
const LONGEST: usize = 1_024;
/// How many ended sessions are remembered. They are forgotten without harm: a session is no right.
const REMEMBERED: u64 = 20_000;

/// What is sealed into an id.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    version: String,
    elicitation: bool,
    sampling: bool,
    roots: bool,
}

/// What a client said of itself when it began.
#[derive(Clone, Debug)]
pub(in crate::mcp) struct Session {
    /// Names the session where others may see it.
    pub(in crate::mcp) key: String,
    /// The revision that was agreed on, and what the client can do.
    pub(in crate::mcp) client: InitializeRequestParams,
}

impl Session {
    /// The one session of a connection that has no others. What its client said of itself, the library knows.
    pub(in crate::mcp) fn of_connection(app: &App) -> Self {
        Self { key: app.random.id(), client: InitializeRequestParams::default() }
    }
}

/// Begins sessions, and knows them again.
pub(in crate::mcp) struct Sessions {
    app: Arc<App>,
    ended: Cache<String, ()>,
}

impl Sessions {
    /// Knows every session that was begun with the same key file.
    pub(in crate::mcp) fn new(app: Arc<App>) -> Self {
        Self { app, ended: Cache::new(REMEMBERED) }
    }

    /// Adds an id to the answer of an `initialize` that succeeded.
    pub(in crate::mcp) async fn begin(
        &self,
        token: &Verified,
        asked: &Map<String, Value>,
        response: Response<axum::body::Body>,
    ) -> Response<axum::body::Body> {
        let (mut parts, body) = response.into_parts();
        // Made in this process a moment ago: it cannot fail, nor be large.
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let version = answer.get("result").and_then(|result| result.get("protocolVersion")?.as_str());
        if let Some(version) = version
            && let Ok(id) = self.issue(token, asked, version)
            && let Ok(id) = HeaderValue::from_str(&id)
        {
            parts.headers.insert(HEADER, id);
        }
        Response::from_parts(parts, body.into())
    }

    fn issue(
        &self,
        token: &Verified,
        asked: &Map<String, Value>,
        version: &str,
    ) -> Result<String, SealError> {
        let can = |what: &str| {
            asked.get("capabilities").and_then(|all| all.get(what)).is_some_and(Value::is_object)
        };
        // A client that can be sent to a page only, without forms, cannot be asked what we ask.
        let elicitation = asked.get("capabilities").and_then(|all| all.get("elicitation"));
        let forms =
            elicitation.is_some_and(|modes| modes.get("form").is_some() || modes.get("url").is_none());
        let sealed = Sealed {
            version: version.to_owned(),
            elicitation: can("elicitation") && forms,
            sampling: can("sampling"),
            roots: can("roots"),
        };
        let plain = serde_json::to_vec(&sealed).map_err(|_| SealError::Unsealable)?;
        self.app.keys.sealing.seal(&purpose(token), &plain, &self.app.random)
    }

    /// The session of an id, if it was begun by the same user through the same client, and not ended.
    pub(in crate::mcp) fn find(&self, token: &Verified, id: &HeaderValue) -> Option<Session> {
        let id = id.to_str().ok().filter(|id| id.len() <= LONGEST)?;
        let plain = self.app.keys.sealing.open(&purpose(token), id).ok()?;
        let sealed: Sealed = serde_json::from_slice(&plain).ok()?;
        let key = SecretHash::of(id).as_str().to_owned();
        if self.ended.contains_key(&key) {
            return None;
        }
        let version = serde_json::from_value::<ProtocolVersion>(sealed.version.clone().into()).ok()?;
        let client = InitializeRequestParams::new(sealed.capabilities(), Implementation::default());
        Some(Session { key, client: client.with_protocol_version(version) })
    }

    /// Ends a session and what it is subscribed to.
    pub(in crate::mcp) async fn end(&self, session: &Session) {
        self.ended.insert(session.key.clone(), ());
        let place = Place::Subscriptions(&session.key);
        for uri in self.app.ephemeral.holders(place).await.unwrap_or_default() {
            // What stays behind runs out by itself.
            let _ = self.app.ephemeral.leave(place, &uri).await;
        }
    }
}

impl Sealed {
    fn capabilities(&self) -> ClientCapabilities {
        let mut capabilities = ClientCapabilities::default();
        let form = ElicitationCapability::new().with_form(FormElicitationCapability::default());
        capabilities.elicitation = self.elicitation.then_some(form);
        capabilities.sampling = self.sampling.then(SamplingCapability::default);
        capabilities.roots = self.roots.then(RootsCapabilities::default);
        capabilities
    }
}

/// What an id is sealed for, so that nobody else's token opens it.
fn purpose(token: &Verified) -> String {
    serde_json::json!(["mcp session", token.user_id.as_str(), token.client_id.as_str()]).to_string()
}
