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
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tracing::Instrument as _;

use super::admit::Admission;
use super::challenge::Challenge;
use super::message::Message;
use super::permit::Permit;
use super::principal::{NoToken, Tokens};
use super::refusal::Refusal;
use super::site::Site;
use super::{cors, intake, trail, watch};
use crate::app::App;
use crate::telemetry;
use crate::telemetry::metrics::Credential;

/// The gate and what it leads to.
pub(super) struct Gate<H> {
    app: Arc<App>,
    site: Site,
    tokens: Tokens,
    admission: Admission,
    service: StreamableHttpService<H, NeverSessionManager>,
}

impl<H: ServerHandler + Clone> Gate<H> {
    /// A gate before a stateless MCP service: any replica answers any request, for every revision.
    pub(super) fn new(app: Arc<App>, handler: H) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            // The gate has looked at both, with better rules.
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_max_request_body_bytes(intake::LARGEST_BODY);
        let service = StreamableHttpService::new(
            move || Ok(handler.clone()),
            Arc::new(NeverSessionManager::default()),
            config,
        );
        Self {
            site: Site::new(&app.config),
            tokens: Tokens::new(app.clone()),
            admission: Admission::new(app.clone()),
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
        let token = match telemetry::step("verify").in_scope(|| self.tokens.of(&parts)) {
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
        let trace_id = trail::trace_id(&parts, &message);
        let (permit, standings) = self.admission.admit(&token, &message, trace_id).await?;
        let response = self.pass(parts, body, permit.clone()).await;
        let answered = match permit.fault() {
            Some(error) => Err(Refusal::Fault(message.id, error.clone())),
            None => intake::in_json(response, message.id.as_ref()).await,
        };
        let mut response = answered.unwrap_or_else(|refusal| refusal.respond(&self.app));
        standings.tell(&mut response);
        Ok(response)
    }

    async fn unauthenticated(&self, parts: &Parts, why: NoToken) -> Refusal {
        self.app.metrics.authentication_failed(Credential::AccessToken, why.word());
        match why {
            NoToken::None => Challenge::NoToken.into(),
            NoToken::Unclear(what) => Challenge::Unclear(what).into(),
            NoToken::Bad(reason, token) => {
                self.admission.trail().bad_token(reason, token.as_deref(), parts).await;
                Challenge::BadToken.into()
            }
        }
    }

    async fn pass(&self, mut parts: Parts, body: Bytes, permit: Permit) -> Response {
        let watched = permit.watched().clone();
        parts.extensions.insert(permit);
        // The token has done its work; nothing behind the gate has any use for it.
        parts.headers.remove(header::AUTHORIZATION);
        let request = Request::from_parts(parts, Body::from(body));
        let response = self.service.handle(request).instrument(watched.span()).await.map(Body::new);
        watch::answered(&watched, response).await
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
