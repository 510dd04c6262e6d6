//! The MCP server of the fixtures: it hands each request to the file that knows it.

use std::borrow::Cow;
use std::sync::Arc;

use mandate::random::Random;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, GetPromptRequestParams,
    GetPromptResponse, Implementation, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams,
    ReadResourceResponse, RequestStateCodec, RequestStateError, ServerCapabilities, ServerConfig,
    SetLevelRequestMethod, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool,
    UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::broadcast;

use crate::json::{Answer, result};
use crate::{ask, content, notify, prompts, resources, rounds, tools};

/// What a request comes with.
pub(crate) type Context = RequestContext<RoleServer>;

/// As the product serves them.
const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V_2026_07_28, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2025_06_18];

/// A list that has changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// That of the tools.
    Tools,
    /// That of the prompts.
    Prompts,
}

/// The server: cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fixtures {
    seal: Arc<RequestStateCodec>,
    changes: broadcast::Sender<Change>,
}

impl Fixtures {
    /// A server with a new key for its request states.
    pub(crate) fn new(random: &Random) -> Result<Self, RequestStateError> {
        let seal = RequestStateCodec::try_new(random.bytes::<32>())?;
        Ok(Self { seal: Arc::new(seal), changes: broadcast::Sender::new(16) })
    }

    /// Tells whoever listens.
    pub(crate) fn tell(&self, change: Change) {
        // Nobody has to listen.
        let _ = self.changes.send(change);
    }
}

/// Whether the request speaks 2026-07-28 or later. Dates compare as texts.
pub(crate) fn is_modern(context: &Context) -> bool {
    let modern = ProtocolVersion::V_2026_07_28;
    context.protocol_version().is_some_and(|version| version.as_str() >= modern.as_str())
}

impl ServerHandler for Fixtures {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        let implementation = Implementation::new("mandate-conformance", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(capabilities).with_server_info(implementation)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&VERSIONS)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::all().ok()?.into_iter().find(|tool| tool.name == name)
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: Context) -> Answer<ListToolsResult> {
        Ok(ListToolsResult::with_all_items(tools::all()?))
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: Context) -> Answer<CallToolResponse> {
        if let Some(content) = content::of(&request.name) {
            return result(content);
        }
        if let Some(answer) = notify::call(self, &request.name, &context).await {
            return answer;
        }
        if let Some(answer) = rounds::call(&request, &context, &self.seal) {
            return answer;
        }
        match ask::call(&request, &context).await {
            Some(answer) => answer,
            None => Err(ErrorData::invalid_params("there is no such tool", None)),
        }
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Answer<ListResourcesResult> {
        Ok(ListResourcesResult::with_all_items(resources::list()?))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Answer<ListResourceTemplatesResult> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()?))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Answer<ReadResourceResponse> {
        resources::read(&request.uri).map(ReadResourceResponse::from)
    }

    async fn subscribe(&self, request: SubscribeRequestParams, _: Context) -> Answer<()> {
        resources::read(&request.uri).map(drop)
    }

    async fn unsubscribe(&self, request: UnsubscribeRequestParams, _: Context) -> Answer<()> {
        resources::read(&request.uri).map(drop)
    }

    async fn list_prompts(&self, _: Option<PaginatedRequestParams>, _: Context) -> Answer<ListPromptsResult> {
        Ok(ListPromptsResult::with_all_items(prompts::list()?))
    }

    async fn get_prompt(&self, request: GetPromptRequestParams, _: Context) -> Answer<GetPromptResponse> {
        prompts::get(&request)
    }

    async fn complete(&self, request: CompleteRequestParams, _: Context) -> Answer<CompleteResult> {
        prompts::complete(&request.r#ref, &request.argument.value).map(CompleteResult::new)
    }

    /// A level of its own for each request came with 2026-07-28, and this method went.
    async fn set_level(&self, _: SetLevelRequestParams, context: Context) -> Answer<()> {
        if is_modern(&context) { Err(ErrorData::method_not_found::<SetLevelRequestMethod>()) } else { Ok(()) }
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Answer<()> {
        let mut changes = self.changes.subscribe();
        loop {
            let change = tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            // What was not asked for is not sent, and a stream that is gone ends by being cancelled.
            let _ = match change {
                Ok(Change::Tools) => context.sink().notify_tool_list_changed().await,
                Ok(Change::Prompts) => context.sink().notify_prompt_list_changed().await,
                Err(_) => return Ok(()),
            };
        }
    }
}
