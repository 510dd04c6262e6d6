//! How MCP is spoken: revisions 2026-07-28 (stateless) and 2025-11-25 / 2025-06-18 (`initialize`) on the one
//! endpoint, decided for each request and without sessions.

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::ServerHandler;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult,
    CustomRequest, CustomResult, DiscoverResult, ErrorCode, ErrorData, GetPromptRequestParams,
    GetPromptResponse, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, ServerCapabilities, ServerConfig, SubscribeRequestParams, SubscriptionFilter,
    UnsubscribeRequestParams,
};
use rmcp::service::SubscriptionContext;
use serde_json::json;
use tracing::Instrument;

use super::context::{
    Context, cached, fault, is_modern, no_cursor, permit, session, sign, unless_cancelled, unpermitted,
};
use super::progress::Reporter;
use super::prompts::Values;
use super::surface::Surface;
use super::tools::Tool;
use super::watch::MOST_WATCHED;
use super::{call, completion, prompts, resources, subscriptions};
use crate::app::App;

/// The revisions that are served, newest first. Older ones need batches or two endpoints.
pub(super) const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V_2026_07_28, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2025_06_18];
/// How long a client may keep what only a new release changes, in milliseconds.
const RELEASE_TTL: u64 = 300_000;
/// How long a client may keep the list of tools. Those that write can be switched while the server runs: who listens is
/// told at once, all others call a tool that is gone, or miss one, for no longer than this.
const TOOLS_TTL: u64 = 60_000;
/// How long a client may keep tickets and lists of them: somebody may change them at any moment, and only who listens
/// is told. So what is kept is old already.
const TICKETS_TTL: u64 = 0;
/// Methods that exist here; with these an unreadable request is about its parameters.
const METHODS: [&str; 12] = [
    "initialize",
    "tools/call",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    "prompts/list",
    "prompts/get",
    "completion/complete",
];

/// Methods that begin so have to do with tickets only.
const OF_TICKETS: [&str; 3] = ["resources/", "prompts/", "completion/"];

/// The MCP server: one for all requests, cheap to clone.
#[derive(Clone)]
pub(super) struct Server {
    app: Arc<App>,
    surface: Arc<Surface>,
}

impl Server {
    /// A server over the application that offers this.
    pub(super) fn new(app: Arc<App>, surface: Arc<Surface>) -> Self {
        Self { app, surface }
    }

    /// Whether there is such a method here.
    fn has(&self, method: &str) -> bool {
        METHODS.contains(&method)
            && (self.surface.has_tickets() || !OF_TICKETS.iter().any(|of| method.starts_with(of)))
    }

    /// Says that a method does not exist where it has only to do with tickets and there are none.
    fn needs_tickets(&self) -> Result<(), ErrorData> {
        if self.surface.has_tickets() { Ok(()) } else { Err(not_found()) }
    }
}

fn not_found() -> ErrorData {
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "Method not found", None)
}

/// Whether a method that exists here exists in that era. What 2026-07-28 removed is then not found, whether its
/// parameters can be read or not.
fn is_of_era(method: &str, modern: bool) -> bool {
    match method {
        "subscriptions/listen" => modern,
        "initialize" | "resources/subscribe" | "resources/unsubscribe" => !modern,
        _ => true,
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let tools = ServerCapabilities::builder().enable_tools().enable_tool_list_changed();
        let capabilities = if self.surface.has_tickets() {
            tools
                .enable_resources()
                .enable_resources_subscribe()
                .enable_prompts()
                .enable_completions()
                .build()
        } else {
            tools.build()
        };
        ServerConfig::new(capabilities)
            .with_server_info(self.surface.implementation())
            .with_instructions(self.surface.instructions())
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
        let offered = self.surface.offered(&self.app.config.mcp).map(Tool::listed).collect();
        let mut result = ListToolsResult::with_all_items(offered);
        (result.ttl_ms, result.cache_scope) = cached(&context, TOOLS_TTL);
        sign(&mut result.meta, &context, &self.surface);
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let permit = permit(&context)?;
        let reporter = Reporter::new(&self.app, &context);
        let calling = call::call(&self.app, permit, request, &context, &reporter);
        let calling = calling.instrument(permit.watched().span());
        let mut response = Box::pin(unless_cancelled(&context, calling)).await?;
        match &mut response {
            CallToolResponse::Complete(result) => sign(&mut result.meta, &context, &self.surface),
            CallToolResponse::InputRequired(result) => sign(&mut result.meta, &context, &self.surface),
            _ => {}
        }
        Ok(response)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        self.needs_tickets()?;
        no_cursor(request)?;
        let permit = permit(&context)?;
        let principal = permit.for_resources().ok_or_else(unpermitted)?;
        let listed = resources::list(&self.app, principal).await.map_err(|error| fault(permit, error))?;
        let mut result = ListResourcesResult::with_all_items(listed);
        (result.ttl_ms, result.cache_scope) = cached(&context, TICKETS_TTL);
        sign(&mut result.meta, &context, &self.surface);
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        self.needs_tickets()?;
        no_cursor(request)?;
        let mut result = ListResourceTemplatesResult::with_all_items(vec![resources::template()]);
        (result.ttl_ms, result.cache_scope) = cached(&context, RELEASE_TTL);
        sign(&mut result.meta, &context, &self.surface);
        Ok(result)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.needs_tickets()?;
        let permit = permit(&context)?;
        let principal = permit.for_resources().ok_or_else(unpermitted)?;
        let found = resources::read(&self.app, principal, &request.uri).await;
        let found = found.map_err(|error| fault(permit, error))?;
        let contents = found.ok_or_else(|| resources::not_found(&request.uri))?;
        let mut result = ReadResourceResult::new(vec![contents]);
        (result.ttl_ms, result.cache_scope) = cached(&context, TICKETS_TTL);
        sign(&mut result.meta, &context, &self.surface);
        Ok(result.into())
    }

    /// What is heard of: tools that are switched, and tickets by their URIs, as many as one stream watches. Whether the
    /// principal may see one is asked when it changes, so nothing is told by what is accepted.
    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let uris = requested.resource_subscriptions.iter().flatten();
        let named = |uri: &&String| resources::ticket_of(uri).is_some_and(|id| resources::uri(id) == **uri);
        let tickets = uris.filter(named).take(MOST_WATCHED).cloned();
        let lists = SubscriptionFilter::builder().tools_list_changed();
        Some(if self.surface.has_tickets() {
            lists.resource_subscriptions(tickets).build()
        } else {
            lists.build()
        })
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
        self.needs_tickets()?;
        let permit = permit(&context)?;
        let principal = permit.for_resources().ok_or_else(unpermitted)?;
        subscriptions::subscribe(&self.app, permit, principal, session(&context)?, &request.uri).await
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        self.needs_tickets()?;
        let permit = permit(&context)?;
        permit.for_resources().ok_or_else(unpermitted)?;
        subscriptions::unsubscribe(&self.app, permit, session(&context)?, &request.uri).await
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        self.needs_tickets()?;
        no_cursor(request)?;
        let mut result = ListPromptsResult::with_all_items(prompts::listed());
        (result.ttl_ms, result.cache_scope) = cached(&context, RELEASE_TTL);
        sign(&mut result.meta, &context, &self.surface);
        Ok(result)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        self.needs_tickets()?;
        let permit = permit(&context)?;
        let Some((principal, prompt)) = permit.for_prompt(&request.name) else {
            return Err(prompts::unknown(&request.name));
        };
        let got = prompt.get(&self.app, principal, request.arguments).await;
        let mut result = got.map_err(|error| fault(permit, error))??;
        sign(&mut result.meta, &context, &self.surface);
        Ok(result.into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: Context,
    ) -> Result<CompleteResult, ErrorData> {
        self.needs_tickets()?;
        let typed = request.argument.value.as_str();
        let completion = match completion::values(&request)? {
            Values::Words(all) => completion::words(&all(), typed),
            Values::Number => completion::words(&[], typed),
            Values::TicketIds => {
                let permit = permit(&context)?;
                let principal = permit.for_completion().ok_or_else(unpermitted)?;
                let found = completion::ticket_ids(&self.app, principal, typed).await;
                found.map_err(|error| fault(permit, error))?
            }
        };
        let mut result = CompleteResult::new(completion);
        sign(&mut result.meta, &context, &self.surface);
        Ok(result)
    }

    /// The MCP library hands over here whatever it cannot read as a request that it knows.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: Context,
    ) -> Result<CustomResult, ErrorData> {
        let method = request.method.as_str();
        if self.has(method) && is_of_era(method, is_modern(&context)) {
            let data = json!({ "method": request.method });
            return Err(ErrorData::invalid_params("the parameters do not fit the method", Some(data)));
        }
        Err(not_found())
    }
}
