//! `mandate stdio`.

use std::sync::Arc;

use clap::Args;

use super::lasting::{close, watched};
use super::open::open;
use super::signals::Stop;
use super::{Failure, demo};
use crate::app::App;
use crate::config::{Config, ConfigError};
use crate::extension::Checked;
use crate::mcp::stdio::{self, LocalGrant};
use crate::oauth::Scopes;
use crate::oauth::scope::{Access, Catalogue};

/// Serve the MCP tools over standard input and output, on behalf of one user.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mandate stdio --user alice --write")]
pub(super) struct Stdio {
    /// On whose behalf. There is no sign-in: whoever may read the database may act for anybody in it.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// A scope to allow; repeat it for several. Without any: those for reading.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Allow reading and writing: every scope that there is.
    #[arg(long, conflicts_with = "scopes")]
    write: bool,
    /// Fill an empty database with two users to sign in as, and 200 tickets of theirs and of six more, who are disabled.
    #[arg(long)]
    demo: bool,
}

pub(super) async fn run(command: &Stdio, config: Config, program: &Checked) -> Result<(), Failure> {
    watched(&config.clone(), Box::pin(open_and_serve(command, config, program))).await
}

async fn open_and_serve(command: &Stdio, config: Config, program: &Checked) -> Result<(), Failure> {
    program.surface().check(&config.mcp)?;
    if !config.resource_server {
        let cure = "it is off, so there are no tools to serve; write on";
        return Err(ConfigError::new("resource_server", cure).into());
    }
    let scopes = scopes(command, &config.own.scopes, config.mcp.writes.is_on())?;
    let app = Arc::new(open(config, program).await?);
    let served = serve(command, &app, scopes, program).await;
    close(&app).await;
    if served.is_ok() {
        tracing::info!("stopped");
    }
    served
}

async fn serve(command: &Stdio, app: &Arc<App>, scopes: Scopes, program: &Checked) -> Result<(), Failure> {
    if command.demo {
        demo::prepare(app).await?;
    }
    app.tasks.spawn(stop_on_signal(app.clone(), Stop::listen()?));
    let grant = LocalGrant::begin(app.clone(), &command.user, scopes).await;
    let grant = Arc::new(grant.map_err(|error| Failure::Said(error.to_string()))?);
    tracing::info!(user = command.user, "serving on standard input and output");
    let (input, output) = rmcp::transport::stdio_pipes();
    stdio::serve_for(app, program.surface(), grant.clone(), (input, output)).await;
    Ok(grant.end().await?)
}

fn scopes(command: &Stdio, ours: &Catalogue, writes: bool) -> Result<Scopes, Failure> {
    let wanted = match command.scopes.as_slice() {
        [] if command.write => ours.names(),
        [] => ours.of_access(Access::Read),
        some => Scopes::of(some.iter().map(String::as_str)),
    };
    let known = ours.offered(writes);
    let unknown = wanted.difference(&known);
    if unknown.is_empty() {
        return Ok(wanted);
    }
    let switched_off = unknown.intersection(&ours.of_access(Access::Write));
    Err(Failure::Said(if writes || switched_off.is_empty() {
        format!("--scope: there is no scope {unknown}; write one of {known}")
    } else {
        format!("--scope: the tools that write are switched off (mcp.writes), so there is no {switched_off}")
    }))
}

async fn stop_on_signal(app: Arc<App>, mut stop: Stop) {
    tokio::select! {
        _ = stop.asked() => {}
        () = app.stopping.cancelled() => {}
    }
    app.stopping.cancel();
}
