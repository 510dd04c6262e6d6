//! The gate: lets a request in, or answers 401, 403 or 429 before MCP sees it.
//!
//! It reads the body once, names the operation from it (never from a header, which a client can forge) and
//! decides everything that has an HTTP status before any answer begins. What passes carries a [`Permit`], and
//! nothing can be run without one.
//!
//! The order: Host and Origin (403) → method (preflight, 405) → declared size (413) → token (401) → body (413,
//! 415, 400) → grant (401) → scopes (403) → quota (429) → MCP. The grant, the quota and the idempotency key are
//! asked at once, after the body: see `entrance.rs`.

use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use super::challenge::Challenge;
use super::entrance::{self, Entrance};
use super::limits::Standings;
use super::message::Message;
use super::once::{Asked, Claimed};
use super::operation::Operation;
use super::principal::{NoToken, Principal, Tokens, Verified};
use super::refusal::Refusal;
use super::server::Server;
use super::site::Site;
use super::tools::Tool;
use super::trail::{self, Trail};
use super::{cors, intake};
use crate::app::App;
use crate::audit::reason;
use crate::oauth::Error;
use crate::web::reference;

/// Leave for one principal to do one operation, once. Only the gate makes it.
#[derive(Clone, Debug)]
pub(super) struct Permit {
    principal: Principal,
    operation: Operation,
    claim: Option<Arc<Claimed>>,
    reference: String,
    trace_id: Option<String>,
    fault: Arc<OnceLock<Error>>,
}

impl Permit {
    /// The principal and the tool, if this is leave to run the tool of this name.
    pub(super) fn for_tool(&self, name: &str) -> Option<(&Principal, &'static Tool)> {
        match self.operation {
            Operation::Tool(tool) if tool.name == name => Some((&self.principal, tool)),
            _ => None,
        }
    }

    /// The principal, if this is leave to read tickets as resources.
    pub(super) fn for_resources(&self) -> Option<&Principal> {
        matches!(self.operation, Operation::Resource).then_some(&self.principal)
    }

    /// The request's reference. The tasks of the MCP library do not carry it.
    pub(super) fn reference(&self) -> &str {
        &self.reference
    }

    /// The trace that the caller says the request belongs to.
    pub(super) fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// The attempt at a deed that the call is, if it names an idempotency key.
    pub(super) fn claim(&self) -> Option<&Claimed> {
        self.claim.as_deref()
    }

    /// Says that the operation failed by our own fault: the gate then answers 503 or 500, not MCP.
    pub(super) fn fail(&self, error: Error) {
        // Of several faults the first is the cause.
        let _ = self.fault.set(error);
    }
}

/// The gate and what it leads to.
pub(super) struct Gate {
    app: Arc<App>,
    site: Site,
    tokens: Tokens,
    trail: Trail,
    service: StreamableHttpService<Server, NeverSessionManager>,
}

impl Gate {
    /// A gate before a stateless MCP service: any replica answers any request, for every revision.
    pub(super) fn new(app: Arc<App>) -> Self {
        let server = Server::new(app.clone());
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            // The gate has looked at both, with better rules.
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_max_request_body_bytes(intake::LARGEST_BODY);
        let service = StreamableHttpService::new(
            move || Ok(server.clone()),
            Arc::new(NeverSessionManager::default()),
            config,
        );
        Self {
            site: Site::new(&app.config),
            tokens: Tokens::new(app.clone()),
            trail: Trail::new(app.clone()),
            app,
            service,
        }
    }

    async fn enter(&self, request: Request) -> Result<Response, Refusal> {
        match *request.method() {
            Method::OPTIONS => return Ok(cors::preflight(request.headers())),
            Method::POST => {}
            _ => return Err(Refusal::Method),
        }
        let (parts, body) = request.into_parts();
        intake::check_length(&parts)?;
        let token = match self.tokens.of(&parts) {
            Ok(token) => token,
            Err(why) => return Err(self.unauthenticated(&parts, why).await),
        };
        intake::check_content_type(&parts)?;
        let body = intake::read(body).await?;
        let message = Message::parse(&body).map_err(|(why, id)| Refusal::Protocol {
            status: StatusCode::BAD_REQUEST,
            id,
            code: why.code(),
            message: why.to_string(),
            data: None,
        })?;
        intake::check_version(&parts, &message)?;
        let operation = Operation::of(&message, &self.app.config.mcp);
        let trace_id = trail::trace_id(&parts, &message);
        let (permit, standings) = self.admit(&token, operation, &message, trace_id).await?;
        self.trail.note_use(&permit.principal);
        let response = self.pass(parts, body, permit.clone()).await;
        let answered = match permit.fault.get() {
            Some(error) => Err(Refusal::Fault(message.id, error.clone())),
            None => intake::in_json(response, message.id.as_ref()).await,
        };
        let mut response = answered.unwrap_or_else(|refusal| refusal.respond(&self.app));
        standings.tell(&mut response);
        Ok(response)
    }

    async fn unauthenticated(&self, parts: &Parts, why: NoToken) -> Refusal {
        match why {
            NoToken::None => Challenge::NoToken.into(),
            NoToken::Unclear(what) => Challenge::Unclear(what).into(),
            NoToken::Bad(reason, token) => {
                self.trail.bad_token(reason, token.as_deref(), parts).await;
                Challenge::BadToken.into()
            }
        }
    }

    /// Grant (401), scopes (403) and quota (429).
    async fn admit(
        &self,
        token: &Verified,
        operation: Operation,
        message: &Message,
        trace_id: Option<String>,
    ) -> Result<(Permit, Standings), Refusal> {
        let needed = operation.scopes();
        let reaches = needed.is_subset(&token.scopes);
        // What the token does not reach counts against no limit and claims nothing: scopes come before the quota.
        let wanted = if reaches { operation } else { Operation::Protocol };
        let asked = match wanted {
            Operation::Tool(tool) => Asked::of(tool, &message.params),
            _ => None,
        };
        let entrance = entrance::ask(&self.app, token, wanted, asked).await;
        let by = trail::By { token, operation, params: &message.params, trace_id: trace_id.as_deref() };
        match entrance.map_err(|error| Refusal::Fault(message.id.clone(), error))? {
            Entrance::Ended => {
                self.trail.refused(by, reason::GRANT_ENDED).await;
                Err(Challenge::BadToken.into())
            }
            Entrance::Limited { name, rate, retry_after, standings } => {
                self.trail.refused(by, reason::RATE_LIMITED).await;
                Err(Refusal::Limited { id: message.id.clone(), name, rate, retry_after, standings })
            }
            Entrance::Open { principal, standings, .. }
                if !reaches || !needed.is_subset(&principal.scopes) =>
            {
                self.trail.refused(by, reason::INSUFFICIENT_SCOPE).await;
                let granted = principal.scopes;
                Err(Refusal::OutOfReach(Challenge::InsufficientScope { needed, granted }, standings))
            }
            Entrance::Open { principal, standings, claim } => {
                let reference = reference::current();
                let fault = Arc::default();
                Ok((Permit { principal, operation, claim, reference, trace_id, fault }, standings))
            }
        }
    }

    async fn pass(&self, mut parts: Parts, body: Bytes, permit: Permit) -> Response {
        parts.extensions.insert(permit);
        // The token has done its work; nothing behind the gate has any use for it.
        parts.headers.remove(header::AUTHORIZATION);
        let request = Request::from_parts(parts, Body::from(body));
        self.service.handle(request).await.map(Body::new)
    }
}

/// Answers a request to the MCP endpoint.
pub(super) async fn answer(State(gate): State<Arc<Gate>>, request: Request) -> Response {
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
