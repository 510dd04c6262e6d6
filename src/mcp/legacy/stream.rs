//! The stream that a client opens with GET (MCP 2025-11-25 transports, "Listening for Messages from the Server"): it
//! tells of the tickets that the session is subscribed to, and when tools are switched.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use futures::Stream;
use rmcp::model::{
    ResourceUpdatedNotification, ResourceUpdatedNotificationParam, ServerJsonRpcMessage, ServerNotification,
    ToolListChangedNotification,
};

use tokio::sync::mpsc;

use super::{Session, events};
use crate::app::App;
use crate::ephemeral::Place;
use crate::mcp::principal::Principal;
use crate::mcp::resources;
use crate::mcp::watch::{MOST_WATCHED, Opening, Seen, Watch};
use crate::oauth::Error;
use crate::tickets::TicketId;

/// How long what a session is subscribed to is kept without a stream.
const KEPT: Duration = Duration::from_hours(24);

/// How many messages may wait to be read.
const WAITING: usize = 16;
/// How long a message may wait to be read.
pub(in crate::mcp) const READ_WITHIN: Duration = Duration::from_secs(30);

struct Open {
    app: Arc<App>,
    session: Session,
    watch: Watch,
    wanted: BTreeSet<TicketId>,
}

/// Opens the stream; `None` when the grant has too many open.
pub(in crate::mcp) async fn open(
    app: &Arc<App>,
    principal: &Principal,
    session: Session,
) -> Result<Option<Response>, Error> {
    Ok(follow(app, principal, session).await?.map(events))
}

/// What the stream tells, whichever way it goes.
pub(in crate::mcp) async fn follow(
    app: &Arc<App>,
    principal: &Principal,
    session: Session,
) -> Result<Option<impl Stream<Item = ServerJsonRpcMessage> + Send + use<>>, Error> {
    let watch = match Watch::open(app, principal, Some(session.key.clone())).await? {
        Opening::Open(watch) => *watch,
        Opening::Full => return Ok(None),
    };
    let mut open = Open { app: app.clone(), session, watch, wanted: BTreeSet::new() };
    open.read_wanted().await;
    open.keep_wanted().await;
    let (messages, unread) = mpsc::channel(WAITING);
    // By itself, so that a stream that nobody reads ends in time, too.
    app.tasks.spawn(open.tell(messages));
    Ok(Some(futures::stream::unfold(unread, |mut unread| async move {
        let message = unread.recv().await?;
        Some((message, unread))
    })))
}

impl Open {
    /// Until it is over, or nobody reads.
    async fn tell(mut self, messages: mpsc::Sender<ServerJsonRpcMessage>) {
        loop {
            let message = tokio::select! {
                message = self.next() => message,
                () = messages.closed() => None,
            };
            let Some(message) = message else { return };
            if messages.send_timeout(message, READ_WITHIN).await.is_err() {
                return;
            }
        }
    }

    async fn next(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            let seen = tokio::select! {
                seen = self.watch.next(&self.wanted) => seen,
                () = self.app.stopping.cancelled() => return None,
            };
            match seen {
                Seen::Ended => return None,
                Seen::Resubscribed => self.read_wanted().await,
                Seen::ToolsChanged => {
                    let changed = ToolListChangedNotification::default();
                    return Some(ServerJsonRpcMessage::notification(
                        ServerNotification::ToolListChangedNotification(changed),
                    ));
                }
                Seen::Changed(id) => {
                    let params = ResourceUpdatedNotificationParam::new(resources::uri(id));
                    let updated = ResourceUpdatedNotification::new(params);
                    return Some(ServerJsonRpcMessage::notification(
                        ServerNotification::ResourceUpdatedNotification(updated),
                    ));
                }
            }
        }
    }

    /// Reads anew what the session is subscribed to. What cannot be read stays as it was.
    async fn read_wanted(&mut self) {
        let place = Place::Subscriptions(&self.session.key);
        let Ok(uris) = self.app.ephemeral.holders(place).await else { return };
        self.wanted = uris.iter().filter_map(|uri| resources::ticket_of(uri)).collect();
    }

    /// Keeps what the session is subscribed to from running out.
    async fn keep_wanted(&self) {
        let place = Place::Subscriptions(&self.session.key);
        for id in &self.wanted {
            // Should this fail, it runs out a day after it was asked for.
            let _ = self.app.ephemeral.hold(place, &resources::uri(*id), MOST_WATCHED, KEPT).await;
        }
    }
}

/// Subscribes a session to a URI; `false` when it is subscribed to too many.
pub(in crate::mcp) async fn subscribe(app: &App, session: &Session, uri: &str) -> Result<bool, Error> {
    let place = Place::Subscriptions(&session.key);
    if !app.ephemeral.hold(place, uri, MOST_WATCHED, KEPT).await? {
        return Ok(false);
    }
    tell(app, session).await?;
    Ok(true)
}

/// Ends a subscription.
pub(in crate::mcp) async fn unsubscribe(app: &App, session: &Session, uri: &str) -> Result<(), Error> {
    app.ephemeral.leave(Place::Subscriptions(&session.key), uri).await?;
    tell(app, session).await
}

async fn tell(app: &App, session: &Session) -> Result<(), Error> {
    let notice = crate::ephemeral::bus::Notice::Subscribed { session: session.key.clone() };
    Ok(app.ephemeral.publish(&notice).await?)
}
