//! Notices of changed tickets to a client of a revision before 2026-07-28: it subscribes, and hears of them between
//! its answers. The connection is its session. (Since 2026-07-28 a request of its own stands for it.)

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use rmcp::model::ClientRequest;
use tokio::io::AsyncWrite;
use tokio::task::JoinHandle;

use super::super::legacy::{self, Session};
use super::super::principal::Principal;
use super::outlet::Outlet;
use crate::app::App;

/// Tells of what the connection is subscribed to.
pub(super) struct Updates<W> {
    app: Arc<App>,
    session: Session,
    outlet: Arc<Outlet<W>>,
    telling: Option<JoinHandle<()>>,
}

impl<W: AsyncWrite + Send + Unpin + 'static> Updates<W> {
    /// Tells nothing yet.
    pub(super) fn new(app: Arc<App>, outlet: Arc<Outlet<W>>) -> Self {
        Self { session: Session::of_connection(&app), app, outlet, telling: None }
    }

    /// The connection's session.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Begins to tell with the first subscription, and again with the next one after the grant has ended.
    pub(super) async fn follow(&mut self, request: &ClientRequest, principal: &Principal) {
        let subscribes = matches!(request, ClientRequest::SubscribeRequest(_));
        if !subscribes || self.telling.as_ref().is_some_and(|telling| !telling.is_finished()) {
            return;
        }
        let updates = match legacy::follow(&self.app, principal, self.session.clone()).await {
            Ok(Some(updates)) => updates,
            // The one stream of a grant of its own finds a place.
            Ok(None) => return,
            Err(error) => return tracing::warn!(detail = error.detail.as_deref(), "no updates are told"),
        };
        let outlet = self.outlet.clone();
        self.telling = Some(self.app.tasks.spawn(async move {
            let mut updates = pin!(updates);
            while let Some(update) = updates.next().await {
                if outlet.send(update).await.is_err() {
                    return;
                }
            }
        }));
    }
}
