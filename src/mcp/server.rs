//! How MCP is spoken: revisions 2026-07-28 (stateless) and 2025-11-25 / 2025-06-18 (`initialize`) on the one
//! endpoint, decided for each request and without sessions.

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, DiscoverResult,
    ErrorCode, ErrorData, Implementation, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    MetaObject, PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, ServerCapabilities, ServerConfig, SubscribeRequestParams, SubscriptionFilter,
    UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use serde_json::json;
use tracing::Instrument;

use super::legacy::Session;
use super::permit::Permit;
use super::watch::MOST_WATCHED;
use super::{call, resources, subscriptions, tools};
use crate::app::App;
use crate::storage::StorageError;

/// The revisions that are served, newest first. Older ones need batches or two endpoints.
pub(super) const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V_2026_07_28, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2025_06_18];
/// How long a client may keep what only a new release changes, in milliseconds.
const RELEASE_TTL: u64 = 300_000;
/// Methods that exist here; with these an unreadable request is about its parameters.
const METHODS: [&str; 9] = [
    "initialize",
    "tools/call",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
];
const INSTRUCTIONS: &str = "Tickets of this organisation. You act as the user who connected you and see what they \
    may see. Search before you open a ticket. Reading needs the scope tickets:read; opening, commenting and \
    closing need tickets:write. Send an idempotency_key with writes that you might retry.";

/// The MCP server: one for all requests, cheap to clone.
#[derive(Clone)]
pub(super) struct Server {
    app: Arc<App>,
}

type Context = RequestContext<RoleServer>;

impl Server {
    /// A server over the application.
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

fn implementation() -> Implementation {
    Implementation::new("mandate", env!("CARGO_PKG_VERSION")).with_title("Mandate tickets")
}

/// Whether the request speaks 2026-07-28 or later. Dates compare as texts.
fn is_modern(context: &Context) -> bool {
    context
        .protocol_version()
        .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// Every result of 2026-07-28 says who answers; older results have no such member.
fn sign(meta: &mut Option<MetaObject>, context: &Context) {
    if is_modern(context)
        && let Ok(implementation) = serde_json::to_value(implementation())
    {
        let meta = meta.get_or_insert_default();
        meta.0.insert("io.modelcontextprotocol/serverInfo".to_owned(), implementation);
    }
}

/// What depends on who asks must not be kept for others. Older results have no such members.
fn cached(context: &Context, ttl: u64) -> (Option<u64>, Option<CacheScope>) {
    if is_modern(context) { (Some(ttl), Some(CacheScope::Private)) } else { (None, None) }
}

/// Since 2026-07-28 a client that goes away has cancelled its request (MCP streamable-http, "Cancellation"):
/// what is not committed is rolled back. Before, a lost connection said nothing about the request, so the call
/// is finished, unless the client of a session says that it does not want it.
async fn unless_cancelled<T>(
    context: &Context,
    calling: impl Future<Output = Result<T, ErrorData>>,
) -> Result<T, ErrorData> {
    let only_lost = !is_modern(context) && session(context).is_err();
    if only_lost && context.extensions.get::<http::request::Parts>().is_some() {
        return calling.await;
    }
    tokio::select! {
        biased;
        done = calling => done,
        () = context.ct.cancelled() => Err(ErrorData::internal_error("the client went away", None)),
    }
}

/// The permit: with the request over HTTP, or else beside the message.
fn permit(context: &Context) -> Result<&Permit, ErrorData> {
    let parts = context.extensions.get::<http::request::Parts>();
    parts
        .and_then(|parts| parts.extensions.get::<Permit>())
        .or_else(|| context.extensions.get::<Permit>())
        .ok_or_else(|| ErrorData::internal_error("the request did not come through the gate", None))
}

/// The session, which a subscription of a revision before 2026-07-28 belongs to.
fn session(context: &Context) -> Result<&Session, ErrorData> {
    let parts = context.extensions.get::<http::request::Parts>();
    let session = parts.and_then(|parts| parts.extensions.get::<Session>());
    session.or_else(|| context.extensions.get::<Session>()).ok_or_else(|| {
        let message =
            "subscriptions belong to a session: send the Mcp-Session-Id that initialize was answered with";
        ErrorData::invalid_request(message, None)
    })
}

/// No list here has a second page, so no cursor is one of ours.
fn no_cursor(request: Option<PaginatedRequestParams>) -> Result<(), ErrorData> {
    match request.and_then(|request| request.cursor) {
        None => Ok(()),
        Some(_) => Err(ErrorData::invalid_params("Invalid cursor: this list has one page", None)),
    }
}

pub(super) fn unpermitted() -> ErrorData {
    ErrorData::invalid_request("the request cannot be read the same way twice", None)
}

pub(super) fn fault(permit: &Permit, error: StorageError) -> ErrorData {
    permit.fail(error.into());
    ErrorData::internal_error("the server made an error", None)
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_resources_subscribe()
            .build();
        ServerConfig::new(capabilities).with_server_info(implementation()).with_instructions(INSTRUCTIONS)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&VERSIONS)
    }

    async fn discover(&self, _: Context) -> Result<DiscoverResult, ErrorData> {
        let mut result = DiscoverResult::from_server_info(VERSIONS.to_vec(), self.get_info());
        result.ttl_ms = RELEASE_TTL;
        result.cache_scope = CacheScope::Private;
        Ok(result)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        no_cursor(request)?;
        let offered = tools::offered(&self.app.config.mcp).map(tools::Tool::listed).collect();
        let mut result = ListToolsResult::with_all_items(offered);
        (result.ttl_ms, result.cache_scope) = cached(&context, RELEASE_TTL);
        sign(&mut result.meta, &context);
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let permit = permit(&context)?;
        let name = permit.for_tool(&request.name).map_or("unknown", |(_, tool)| tool.name);
        let span = tracing::info_span!(
            "tools/call",
            otel.name = format!("tools/call {name}"),
            tool = name,
            reference = permit.reference(),
        );
        let calling = call::call(&self.app, permit, request).instrument(span);
        let mut result = unless_cancelled(&context, calling).await?;
        sign(&mut result.meta, &context);
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        no_cursor(request)?;
        let permit = permit(&context)?;
        let principal = permit.for_resources().ok_or_else(unpermitted)?;
        let listed = resources::list(&self.app, principal).await.map_err(|error| fault(permit, error))?;
        let mut result = ListResourcesResult::with_all_items(listed);
        (result.ttl_ms, result.cache_scope) = cached(&context, 0);
        sign(&mut result.meta, &context);
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        no_cursor(request)?;
        let mut result = ListResourceTemplatesResult::with_all_items(vec![resources::template()]);
        (result.ttl_ms, result.cache_scope) = cached(&context, RELEASE_TTL);
        sign(&mut result.meta, &context);
        Ok(result)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let permit = permit(&context)?;
        let principal = permit.for_resources().ok_or_else(unpermitted)?;
        let found = resources::read(&self.app, principal, &request.uri).await;
        let found = found.map_err(|error| fault(permit, error))?;
        let contents = found.ok_or_else(|| resources::not_found(&request.uri))?;
        let mut result = ReadResourceResult::new(vec![contents]);
        (result.ttl_ms, result.cache_scope) = cached(&context, 0);
        sign(&mut result.meta, &context);
        Ok(result.into())
    }

    /// What is heard of: tickets by their URIs, as many as one stream watches. Whether the principal may see one is
    /// asked when it changes, so nothing is told by what is accepted.
    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let uris = requested.resource_subscriptions.iter().flatten();
        let named = |uri: &&String| resources::ticket_of(uri).is_some_and(|id| resources::uri(id) == **uri);
        let tickets = uris.filter(named).take(MOST_WATCHED).cloned();
        Some(SubscriptionFilter::builder().resource_subscriptions(tickets).build())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let watch = permit(context.request_context())?.take_watch().ok_or_else(unpermitted)?;
        let told = subscriptions::tell(watch, &context);
        tokio::select! {
            () = context.cancelled() => {}
            () = self.app.stopping.cancelled() => {}
            () = told => {}
        }
        Ok(())
    }

    async fn subscribe(&self, request: SubscribeRequestParams, context: Context) -> Result<(), ErrorData> {
        let permit = permit(&context)?;
        let principal = permit.for_resources().ok_or_else(unpermitted)?;
        subscriptions::subscribe(&self.app, permit, principal, session(&context)?, &request.uri).await
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        let permit = permit(&context)?;
        permit.for_resources().ok_or_else(unpermitted)?;
        subscriptions::unsubscribe(&self.app, permit, session(&context)?, &request.uri).await
    }

    /// The MCP library hands over here whatever it cannot read as a request that it knows.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: Context,
    ) -> Result<CustomResult, ErrorData> {
        let is_known = METHODS.contains(&request.method.as_str());
        if is_known && (is_modern(&context) || request.method != "subscriptions/listen") {
            let data = json!({ "method": request.method });
            return Err(ErrorData::invalid_params("the parameters do not fit the method", Some(data)));
        }
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "Method not found", None))
    }
}
