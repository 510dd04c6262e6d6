//! What whoever watches the server is told of an MCP message: who was refused, which tool, and what came of it.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use http_body_util::{BodyExt as _, Collected};
use moka::sync::Cache;
use rmcp::model::ProtocolVersion;
use serde::Deserialize;
use url::Url;

use super::message::Message;
use super::operation::Operation;
use super::permit::Permit;
use super::principal::Verified;
use super::refusal::Refusal;
use super::server;
use super::tools::Outcome;
use crate::app::App;
use crate::oauth::ClientId;
use crate::oauth::client::ClientKind;
use crate::telemetry;
use crate::telemetry::metrics::{ClientName, Credential};

/// Begins to watch a message.
pub(super) fn begin(app: &App, message: &Message, operation: Operation) -> telemetry::Operation {
    let named = message.version().and_then(|version| version.as_str());
    let version = server::VERSIONS.iter().map(ProtocolVersion::as_str).find(|known| Some(*known) == named);
    let asked = telemetry::Asked {
        method: &message.method,
        target: operation.tool(),
        params: &message.params,
        id: message.id.as_ref(),
        version,
    };
    telemetry::Operation::begin(&app.metrics, asked)
}

/// Tells that a message was refused.
pub(super) async fn refused(
    app: &App,
    clients: &Clients,
    token: &Verified,
    watched: &telemetry::Operation,
    refusal: &Refusal,
) {
    watched.fail(refusal.kind());
    match refusal {
        Refusal::Limited { name, .. } => {
            let client = match &token.issuer {
                // Its clients are not ours to name one by one.
                Some(issuer) => Known::Registered(issuer.name.clone()),
                None => clients.find(app, &token.client_id).await,
            };
            app.metrics.rate_limited(client.as_name(), name);
        }
        Refusal::Challenge(_) => app.metrics.authentication_failed(Credential::AccessToken, "grant_ended"),
        _ => {}
    }
}

/// Tells of an error that MCP itself answers with, as far as an answer that is no stream shows it. What came of a
/// tool is told where it is run.
pub(super) async fn answered(watched: &telemetry::Operation, response: Response) -> Response {
    #[derive(Deserialize)]
    struct Answer {
        error: Option<Code>,
    }
    #[derive(Deserialize)]
    struct Code {
        code: i64,
    }
    let content_type = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if watched.is_tool() || !content_type.is_some_and(|name| name.starts_with(b"application/json")) {
        return response;
    }
    let (parts, body) = response.into_parts();
    // It is in memory already. One that breaks off stays broken off.
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    if let Ok(Answer { error: Some(error) }) = serde_json::from_slice(&body) {
        watched.fail_with_code(error.code);
    }
    Response::from_parts(parts, Body::from(body))
}

/// Tells what came of a tool.
pub(super) fn outcome(permit: &Permit, outcome: &Outcome) {
    match outcome {
        Outcome::Answer(_) => {}
        Outcome::Problems(_) => permit.watched().refuse_arguments(),
        Outcome::Unable(_) => permit.watched().fail_as_result("unable"),
    }
}

/// How many clients are known by heart.
const KNOWN_BY_HEART: u64 = 1000;

/// Who those are that were over a limit before. A refusal is there to spare the database, so it asks about each client
/// once.
#[derive(Debug)]
pub(super) struct Clients(Cache<ClientId, Known>);

#[derive(Clone, Debug)]
enum Known {
    Registered(String),
    Host(String),
    Dynamic,
    Unknown,
}

impl Known {
    fn as_name(&self) -> ClientName<'_> {
        match self {
            Self::Registered(id) => ClientName::Registered(id),
            Self::Host(host) => ClientName::Document(host),
            Self::Dynamic => ClientName::Dynamic,
            Self::Unknown => ClientName::Unknown,
        }
    }
}

impl Clients {
    /// Knows nobody yet.
    pub(super) fn new() -> Self {
        Self(Cache::new(KNOWN_BY_HEART))
    }

    /// Who is over a limit. What cannot be found out right now is not worth a failure.
    async fn find(&self, app: &App, client_id: &ClientId) -> Known {
        let host = Url::parse(client_id.as_str()).ok().and_then(|url| url.host_str().map(str::to_owned));
        if let Some(host) = host {
            return Known::Host(host);
        }
        if let Some(known) = self.0.get(client_id) {
            return known;
        }
        let known = match app.store.find_client(client_id).await {
            Ok(Some(row)) if matches!(row.client.kind, ClientKind::Registered | ClientKind::Machine) => {
                Known::Registered(client_id.as_str().to_owned())
            }
            Ok(Some(_)) => Known::Dynamic,
            Ok(None) => Known::Unknown,
            Err(_) => return Known::Unknown,
        };
        self.0.insert(client_id.clone(), known.clone());
        known
    }
}
