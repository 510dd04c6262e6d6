//! Being told when a ticket changes: `subscriptions/listen` since 2026-07-28, and before that
//! `resources/subscribe` with the stream of the session (`legacy/stream.rs`).

use futures::FutureExt as _;
use rmcp::model::ErrorData;
use rmcp::service::SubscriptionContext;

use super::legacy::{self, Session};
use super::permit::Permit;
use super::principal::Principal;
use super::resources;
use super::watch::{MOST_WATCHED, Seen, Watch};
use crate::app::App;
use crate::oauth::Error;

/// Tells of what was subscribed to, until it is over.
pub(super) async fn tell(mut watch: Watch, context: &SubscriptionContext) {
    let uris = context.accepted().resource_subscriptions.iter().flatten();
    let wanted = uris.filter_map(|uri| resources::ticket_of(uri)).collect();
    let lists = context.accepted().tools_list_changed == Some(true);
    loop {
        let telling = async {
            match watch.next(&wanted).await {
                Seen::Changed(id) => Some(context.sink().notify_resource_updated(resources::uri(id)).boxed()),
                Seen::ToolsChanged if lists => Some(context.sink().notify_tool_list_changed().boxed()),
                Seen::ToolsChanged | Seen::Resubscribed => Some(async { Ok(()) }.boxed()),
                Seen::Ended => None,
            }
        };
        let Some(telling) = telling.await else { return };
        // What nobody reads ends, so that nobody holds a place without being looked at.
        if !matches!(tokio::time::timeout(legacy::READ_WITHIN, telling).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Subscribes a session to a ticket that the principal may see.
pub(super) async fn subscribe(
    app: &App,
    permit: &Permit,
    principal: &Principal,
    session: &Session,
    uri: &str,
) -> Result<(), ErrorData> {
    let found = resources::read(app, principal, uri).await.map_err(|error| fail(permit, error.into()))?;
    let id = found.and(resources::ticket_of(uri)).ok_or_else(|| resources::not_found(uri))?;
    match legacy::subscribe(app, session, &resources::uri(id)).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message =
                format!("this session has {MOST_WATCHED} subscriptions, which is the limit: end one first");
            Err(ErrorData::invalid_params(message, None))
        }
        Err(error) => Err(fail(permit, error)),
    }
}

/// Ends a subscription, if there is one.
pub(super) async fn unsubscribe(
    app: &App,
    permit: &Permit,
    session: &Session,
    uri: &str,
) -> Result<(), ErrorData> {
    let Some(id) = resources::ticket_of(uri) else { return Ok(()) };
    legacy::unsubscribe(app, session, &resources::uri(id)).await.map_err(|error| fail(permit, error))
}

fn fail(permit: &Permit, error: Error) -> ErrorData {
    permit.fail(error);
    ErrorData::internal_error("the server made an error", None)
}
