//! What every request's context tells the server, and how answers are marked for the revision that was asked in.

use rmcp::RoleServer;
use rmcp::model::{CacheScope, ErrorData, MetaObject, PaginatedRequestParams, ProtocolVersion};
use rmcp::service::RequestContext;
use serde_json::json;

use super::legacy::Session;
use super::permit::Permit;
use super::surface::Surface;
use crate::storage::StorageError;

/// The context of a request to this server.
pub(super) type Context = RequestContext<RoleServer>;

/// Where lists say which scopes something takes. A client cannot know before it is refused otherwise.
const SCOPES: &str = "mandate/scopes";

/// Whether the request speaks 2026-07-28 or later. Dates compare as texts.
pub(super) fn is_modern(context: &Context) -> bool {
    context
        .protocol_version()
        .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// Every result of 2026-07-28 says who answers; older results have no such member.
pub(super) fn sign(meta: &mut Option<MetaObject>, context: &Context, surface: &Surface) {
    if is_modern(context)
        && let Ok(implementation) = serde_json::to_value(surface.implementation())
    {
        let meta = meta.get_or_insert_default();
        meta.0.insert("io.modelcontextprotocol/serverInfo".to_owned(), implementation);
    }
}

/// What depends on who asks must not be kept for others. Older results have no such members.
pub(super) fn cached(context: &Context, ttl: u64) -> (Option<u64>, Option<CacheScope>) {
    if is_modern(context) { (Some(ttl), Some(CacheScope::Private)) } else { (None, None) }
}

/// Says which scopes something that is listed takes.
pub(super) fn scopes_meta(scopes: &[&str]) -> MetaObject {
    let mut meta = MetaObject::default();
    meta.0.insert(SCOPES.to_owned(), json!(scopes));
    meta
}

/// Since 2026-07-28 a client that goes away has cancelled its request (MCP streamable-http, "Cancellation"):
/// what is not committed is rolled back. Before, a lost connection said nothing about the request, so the call
/// is finished, unless the client of a session says that it does not want it.
pub(super) async fn unless_cancelled<T>(
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
pub(super) fn permit(context: &Context) -> Result<&Permit, ErrorData> {
    let parts = context.extensions.get::<http::request::Parts>();
    parts
        .and_then(|parts| parts.extensions.get::<Permit>())
        .or_else(|| context.extensions.get::<Permit>())
        .ok_or_else(|| ErrorData::internal_error("the request did not come through the gate", None))
}

/// The session, which a subscription of a revision before 2026-07-28 belongs to.
pub(super) fn session(context: &Context) -> Result<&Session, ErrorData> {
    let parts = context.extensions.get::<http::request::Parts>();
    let session = parts.and_then(|parts| parts.extensions.get::<Session>());
    session.or_else(|| context.extensions.get::<Session>()).ok_or_else(|| {
        let message =
            "subscriptions belong to a session: send the Mcp-Session-Id that initialize was answered with";
        ErrorData::invalid_request(message, None)
    })
}

/// No list here has a second page, so no cursor is one of ours.
pub(super) fn no_cursor(request: Option<PaginatedRequestParams>) -> Result<(), ErrorData> {
    if request.and_then(|request| request.cursor).is_none() {
        return Ok(());
    }
    let message = "Invalid cursor: this list has one page. Ask for it without a cursor.";
    Err(ErrorData::invalid_params(message, None))
}

/// Says that the gate let in something other than what the MCP library read.
pub(super) fn unpermitted() -> ErrorData {
    ErrorData::invalid_request("the request cannot be read the same way twice", None)
}

/// Says that we failed, after the permit was told by what.
pub(super) fn fault(permit: &Permit, error: StorageError) -> ErrorData {
    permit.fail(error.into());
    ErrorData::internal_error("the server made an error", None)
}
