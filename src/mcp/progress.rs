//! Progress of a call, told to a client that asked for it with a token (MCP basic/utilities/progress).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::Peer;

use super::context::Context;
use crate::app::App;
use crate::clock::Timestamp;
use crate::tickets::search::Progress;

/// How long nothing is told, at first and between two notices: what is done sooner needs no progress, and its answer
/// no stream.
const QUIET: Duration = Duration::from_millis(500);

/// Tells one client how far its call has come.
#[derive(Debug)]
pub(super) struct Reporter<'a> {
    app: &'a App,
    peer: &'a Peer<RoleServer>,
    token: Option<ProgressToken>,
    told: Mutex<Told>,
}

/// What was told last, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    percent: u32,
    at: Timestamp,
}

impl Told {
    /// What is to be told now, if anything: always more than before, and not too often.
    fn then(self, percent: u32, now: Timestamp) -> Option<Self> {
        (percent > self.percent && now.since(self.at) >= QUIET).then_some(Self { percent, at: now })
    }
}

impl<'a> Reporter<'a> {
    /// Begins to watch a call.
    pub(super) fn new(app: &'a App, context: &'a Context) -> Self {
        let told = Mutex::new(Told { percent: 0, at: app.now() });
        Self { app, peer: &context.peer, token: context.meta.get_progress_token(), told }
    }
}

#[async_trait]
impl Progress for Reporter<'_> {
    async fn reached(&self, percent: u32) {
        let Some(token) = &self.token else { return };
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(next) = told.then(percent, self.app.now()) else { return };
            *told = next;
        }
        let notice = ProgressNotificationParam::new(token.clone(), f64::from(percent)).with_total(100.0);
        // Waits until it is on its way, so that none comes after the answer. A client that is gone needs none.
        let _ = self.peer.notify_progress(notice).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_grows_and_is_told_twice_a_second_at_most() {
        let mut told = Told { percent: 0, at: Timestamp(0) };
        let mut sent = Vec::new();
        for (percent, at) in
            [(5, 0), (10, 499), (10, 500), (10, 1_500), (9, 2_000), (11, 999), (12, 1_100), (50, 1_600)]
        {
            if let Some(next) = told.then(percent, Timestamp(at)) {
                told = next;
                sent.push(percent);
            }
        }
        assert_eq!(sent, [10, 12, 50]);
        assert_eq!(
            Told { percent: 0, at: Timestamp(9_000) }.then(50, Timestamp(1)),
            None,
            "a clock set back"
        );
    }
}
