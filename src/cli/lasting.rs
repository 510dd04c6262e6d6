//! What is around a command that serves until it is stopped.

use super::Failure;
use crate::app::App;
use crate::config::Config;
use crate::telemetry;

/// Serves, with telemetry around it.
pub(super) async fn watched(
    config: &Config,
    serving: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    // The complaint at the end goes to standard error, too: in readable lines it would stand there twice.
    let is_read_elsewhere = config.log.json || config.export.logs.is_some();
    let telemetry = telemetry::start(&config.log, config.export)?;
    let served = serving.await;
    if let Err(failure) = &served
        && is_read_elsewhere
    {
        tracing::error!(detail = %failure, "the server does not run");
    }
    // Also of a server that did not start: its last lines tell the most.
    telemetry.stop().await;
    served
}

/// Ends what was opened, once nobody is served any more.
pub(super) async fn close(app: &App) {
    app.stopping.cancel();
    app.tasks.close();
    app.tasks.wait().await;
    app.store.close().await;
}
