//! The gate: lets a request in, or answers 401, 403 or 429 before MCP sees it.
//!
//! It reads the body once, names the operation from it (never from a header, which a client can forge) and
//! decides everything that has an HTTP status before any answer begins. What passes carries a [`Permit`], and
//! nothing can be run without one.
//!
//! The order: Host and Origin (403) → method (preflight, 405) → declared size (413) → token and grant (401) →
//! body (413, 415, 400) → scopes (403) → quota (429) → MCP.

use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use super::challenge::Challenge;
use super::message::Message;
use super::operation::Operation;
use super::principal::{NoPrincipal, Principal, Principals};
use super::refusal::Refusal;
use super::server::Server;
use super::site::Site;
use super::tools::Tool;
use super::trail::Trail;
use super::{cors, intake};
use crate::app::App;
use crate::ephemeral::{Meter, Quota};
use crate::oauth::Error;
use crate::web::reference;

/// Leave for one principal to do one operation, once. Only the gate makes it.
#[derive(Clone, Debug)]
pub(super) struct Permit {
    principal: Principal,
    operation: Operation,
    reference: String,
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
    principals: Principals,
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
            principals: Principals::new(app.clone()),
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
        let principal = match self.principals.of(&parts).await {
            Ok(principal) => principal,
            Err(why) => return Err(self.unauthenticated(why).await),
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
        self.check_scopes(&principal, operation).await?;
        self.check_quota(&principal, operation, &message).await?;
        self.trail.note_use(&principal);
        let permit = Permit { principal, operation, reference: reference::current(), fault: Arc::default() };
        let response = self.pass(parts, body, permit.clone()).await;
        match permit.fault.get() {
            Some(error) => Err(Refusal::Fault(message.id, error.clone())),
            None => intake::in_json(response, message.id.as_ref()).await,
        }
    }

    async fn unauthenticated(&self, why: NoPrincipal) -> Refusal {
        match why {
            NoPrincipal::NoToken => Challenge::NoToken.into(),
            NoPrincipal::Unclear(what) => Challenge::Unclear(what).into(),
            NoPrincipal::Fault(error) => Refusal::Fault(None, error),
            NoPrincipal::BadToken(reason, whose) => {
                self.trail.bad_token(reason, whose.as_deref()).await;
                Challenge::BadToken.into()
            }
        }
    }

    async fn check_scopes(&self, principal: &Principal, operation: Operation) -> Result<(), Refusal> {
        let needed = operation.scopes();
        if needed.is_subset(&principal.scopes) {
            return Ok(());
        }
        self.trail.refused(principal, operation, "insufficient_scope").await;
        Err(Challenge::InsufficientScope { needed, granted: principal.scopes.clone() }.into())
    }

    async fn check_quota(
        &self,
        principal: &Principal,
        operation: Operation,
        message: &Message,
    ) -> Result<(), Refusal> {
        let Some(class) = operation.class() else { return Ok(()) };
        let rate = class.rate(&self.app.config.mcp);
        let meter = Meter::Calls(class.as_str(), principal.client_id.as_str(), principal.user_id.as_str());
        match self.app.ephemeral.quota(meter, rate).await {
            Ok(Quota::Within { .. }) => Ok(()),
            Ok(Quota::Exceeded { retry_after }) => {
                self.trail.refused(principal, operation, "rate_limited").await;
                Err(Refusal::Limited { id: message.id.clone(), class, rate, retry_after })
            }
            Err(error) => Err(Refusal::Fault(message.id.clone(), error.into())),
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
