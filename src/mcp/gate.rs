//! The gate: lets a request in, or answers 401, 403 or 429 before MCP sees it.
//!
//! It reads the body once, names the operation from it (never from a header, which a client can forge) and
//! decides everything that has an HTTP status before any answer begins. What passes carries a [`Permit`], and
//! nothing can be run without one.
//!
//! The order: Host and Origin (403) → method (preflight, 405) → declared size (413) → token (401) → body (413,
//! 415, 400) → grant (401) → scopes (403) → quota (429) → MCP. The grant, the quota and the idempotency key are
//! asked at once, after the body: see `admit.rs` and `entrance.rs`.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Map, Value};
use tracing::Instrument as _;

use super::admit::Admission;
use super::challenge::Challenge;
use super::legacy::{self, Outgoing, Session, Sessions};
use super::message::{Incoming, Malformed, Message};
use super::permit::Permit;
use super::principal::{NoToken, Tokens, Verified};
use super::refusal::Refusal;
use super::site::Site;
use super::surface::Surface;
use super::{cors, intake, observe, trail};
use crate::app::App;
use crate::telemetry;
use crate::telemetry::metrics::Credential;

/// The gate and what it leads to.
pub(super) struct Gate<H> {
    app: Arc<App>,
    site: Site,
    tokens: Tokens,
    admission: Admission,
    sessions: Sessions,
    handler: H,
    service: StreamableHttpService<H, NeverSessionManager>,
}

impl<H: ServerHandler + Clone> Gate<H> {
    /// A gate before a stateless MCP service: any replica answers any request, for every revision.
    pub(super) fn new(app: Arc<App>, surface: Arc<Surface>, handler: H) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            // The gate has looked at both, with better rules.
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_max_request_body_bytes(intake::LARGEST_BODY);
        let behind = handler.clone();
        let service = StreamableHttpService::new(
            move || Ok(behind.clone()),
            Arc::new(NeverSessionManager::default()),
            config,
        );
        Self {
            site: Site::new(&app.config),
            tokens: Tokens::new(app.clone()),
            admission: Admission::new(app.clone(), surface),
            sessions: Sessions::new(app.clone()),
            handler,
            app,
            service,
        }
    }

    async fn enter(&self, request: Request) -> Result<Response, Refusal> {
        let in_session = request.headers().contains_key(legacy::HEADER);
        match *request.method() {
            Method::OPTIONS => return Ok(cors::preflight(request.headers())),
            Method::POST => {}
            Method::GET | Method::DELETE if in_session => {}
            _ => return Err(Refusal::Method),
        }
        let (parts, body) = request.into_parts();
        intake::check_length(&parts)?;
        let token = match self.tokens.of(&parts).instrument(telemetry::step("verify")).await {
            Ok(token) => token,
            Err(why) => return Err(self.unauthenticated(&parts, why).await),
        };
        if parts.method != Method::POST {
            return self.session(&parts, &token).await;
        }
        intake::check_content_type(&parts)?;
        let body = intake::read(body).await?;
        match Message::parse(&body) {
            Ok(Incoming::Message(message)) => self.message(parts, &token, message, body).await,
            Ok(Incoming::Answer(id, answer)) => self.answer(&parts, &token, &id, answer).await,
            Err((why, id)) => Err(malformed(why, id)),
        }
    }

    /// A request or a notification.
    async fn message(
        &self,
        parts: Parts,
        token: &Verified,
        message: Message,
        body: Bytes,
    ) -> Result<Response, Refusal> {
        intake::check_version(&parts, &message)?;
        intake::check_log_level(&message)?;
        let is_first = message.method == "initialize";
        let session = match parts.headers.get(legacy::HEADER) {
            Some(id) if message.is_legacy() && !is_first => {
                let known = self.sessions.find(token, id);
                Some(known.ok_or_else(|| Refusal::NoSession(message.id.clone()))?)
            }
            _ => None,
        };
        let trace_id = trail::trace_id(&parts, &message);
        let (mut permit, standings) = self.admission.admit(token, &message, trace_id).await?;
        if permit.is_to_watch() && !message.is_legacy() {
            permit = self.admission.watch(permit, message.id.as_ref()).await?;
        }
        let answered = match session {
            Some(session) => self.converse(parts, body, &permit, session, &message).await,
            None => Ok(self.pass(parts, body, permit.clone()).await),
        };
        let answered = match permit.fault() {
            Some(error) => Err(Refusal::Fault(message.id, error.clone())),
            None => match answered {
                Ok(response) => intake::in_json(response, message.id.as_ref()).await,
                Err(refusal) => Err(refusal),
            },
        };
        let mut response = match answered {
            Ok(response) if is_first => self.sessions.begin(token, &message.params, response).await,
            Ok(response) => response,
            Err(refusal) => refusal.respond(&self.app),
        };
        standings.tell(&mut response);
        Ok(response)
    }

    /// An answer to what a call of a session asked.
    async fn answer(
        &self,
        parts: &Parts,
        token: &Verified,
        id: &Value,
        answer: Map<String, Value>,
    ) -> Result<Response, Refusal> {
        let Some(session) = parts.headers.get(legacy::HEADER) else {
            return Err(malformed(Malformed::Response, None));
        };
        self.sessions.find(token, session).ok_or(Refusal::NoSession(None))?;
        let (permit, _) = self.admission.admit(token, &Message::response(), None).await?;
        match legacy::answered(&self.app, permit.principal(), id, &answer).await {
            Ok(true) => Ok(StatusCode::ACCEPTED.into_response()),
            Ok(false) => Err(malformed(Malformed::Response, None)),
            Err(error) => Err(Refusal::Fault(None, error.into())),
        }
    }

    /// GET and DELETE: the session's own stream, and its end.
    async fn session(&self, parts: &Parts, token: &Verified) -> Result<Response, Refusal> {
        let message = Message::listen();
        intake::check_version(parts, &message)?;
        let session = parts.headers.get(legacy::HEADER).and_then(|id| self.sessions.find(token, id));
        let session = session.ok_or(Refusal::NoSession(None))?;
        if parts.method == Method::DELETE {
            self.sessions.end(&session).await;
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        intake::check_accept(parts, &["text/event-stream"])?;
        let (permit, standings) = self.admission.admit(token, &message, None).await?;
        let opened = legacy::open_stream(&self.app, permit.principal(), session).await;
        let Some(mut response) = opened.map_err(|error| Refusal::Fault(None, error))? else {
            return Err(Refusal::TooManyStreams(None, self.app.config.mcp.streams_per_grant));
        };
        standings.tell(&mut response);
        Ok(response)
    }

    /// A message of a session. Requests are run here, so that they can ask the client; the library takes the others.
    async fn converse(
        &self,
        mut parts: Parts,
        body: Bytes,
        permit: &Permit,
        session: Session,
        message: &Message,
    ) -> Result<Response, Refusal> {
        if message.method == "notifications/cancelled" {
            let told = legacy::cancelled(&self.app, &session, &message.params).await;
            told.map_err(|error| Refusal::Fault(None, error.into()))?;
        }
        if message.id.is_none() {
            return Ok(self.pass(parts, body, permit.clone()).await);
        }
        intake::check_accept(&parts, &["application/json", "text/event-stream"])?;
        admit_parts(&mut parts, permit.clone());
        parts.extensions.insert(session.clone());
        let handler = self.handler.clone();
        let begun = legacy::begin(&self.app, handler, &session, permit.principal(), parts, &body);
        match begun.instrument(permit.watched().span()).await {
            Outgoing::Response(response) => Ok(observe::answered(permit.watched(), response).await),
            Outgoing::Unreadable => Err(malformed(Malformed::NotAMessage, message.id.clone())),
        }
    }

    async fn unauthenticated(&self, parts: &Parts, why: NoToken) -> Refusal {
        if !matches!(why, NoToken::Fault(_)) {
            self.app.metrics.authentication_failed(Credential::AccessToken, why.word());
        }
        match why {
            NoToken::None => Challenge::NoToken.into(),
            NoToken::Unclear(what) => Challenge::Unclear(what).into(),
            NoToken::Bad(reason, token) => {
                self.admission.trail().bad_token(reason, token.as_deref(), parts).await;
                Challenge::BadToken.into()
            }
            NoToken::Stranger(why, client_id) => {
                self.admission.trail().stranger(why, &client_id, parts).await;
                Refusal::Stranger
            }
            NoToken::Fault(error) => Refusal::Fault(None, error),
        }
    }

    async fn pass(&self, mut parts: Parts, body: Bytes, permit: Permit) -> Response {
        let watched = permit.watched().clone();
        admit_parts(&mut parts, permit);
        let request = Request::from_parts(parts, Body::from(body));
        let response = self.service.handle(request).instrument(watched.span()).await.map(Body::new);
        observe::answered(&watched, response).await
    }
}

/// Puts the permit in the place of the token: that has done its work, and nothing behind the gate has any use for it.
fn admit_parts(parts: &mut Parts, permit: Permit) {
    parts.extensions.insert(permit);
    parts.headers.remove(header::AUTHORIZATION);
}

fn malformed(why: Malformed, id: Option<Value>) -> Refusal {
    Refusal::Protocol {
        status: StatusCode::BAD_REQUEST,
        id,
        code: why.code(),
        message: why.to_string(),
        data: None,
    }
}

/// Answers a request to the MCP endpoint.
pub(super) async fn answer<H: ServerHandler + Clone>(
    State(gate): State<Arc<Gate<H>>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let (outcome, origin) = match gate.site.check(&parts) {
        Ok(origin) => (gate.enter(Request::from_parts(parts, body)).await, origin),
        Err(why) => (Err(Refusal::NotHere(why)), None),
    };
    let mut response = outcome.unwrap_or_else(|refusal| refusal.respond(&gate.app));
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    cors::allow(&mut response, origin);
    response
}
