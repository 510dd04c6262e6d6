//! Whoever renews certificates does not tell us: we look.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Tls;
use crate::clock::Clock;

/// Looks at the files this often, until it is told to stop. Their contents are compared, so it does not matter whether a
/// file was written over, renamed into place, or reached by a link that now leads elsewhere.
pub async fn watch(tls: Arc<Tls>, clock: Arc<dyn Clock>, every: Duration, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stopping.cancelled() => return,
        }
        tokio::select! {
            _ = tls.look(clock.now()) => {}
            () = stopping.cancelled() => return,
        }
    }
}
