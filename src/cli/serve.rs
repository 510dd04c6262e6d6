//! `mandate serve`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::output::say;
use super::{Failure, demo, open};
use crate::app::{App, StartError};
use crate::authz::{client_document, housekeeping, known_documents, rotation, setup};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::ephemeral::bus::Notice;
use crate::extension::Checked;
use crate::identity::password;
use crate::server::Listeners;
use crate::server::tls::{self, Tls};
use crate::telemetry::metrics;
use crate::{server, storage, telemetry};

/// How often it is looked whether the certificate was replaced.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Run the server.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mandate serve --demo")]
pub(super) struct Serve {
    /// Fill an empty database with two users and 200 tickets to play with.
    #[arg(long)]
    demo: bool,
}

pub(super) async fn run(
    command: &Serve,
    (config, file): (Config, Option<PathBuf>),
    program: &Checked,
) -> Result<(), Failure> {
    let telemetry = telemetry::start(&config.log, config.export)?;
    let served = Box::pin(serve(command, (config, file), program)).await;
    if let Err(failure) = &served {
        tracing::error!(detail = %failure, "the server does not run");
    }
    // Also of a server that did not start: its last lines tell the most.
    telemetry.stop().await;
    served
}

async fn serve(
    command: &Serve,
    (config, file): (Config, Option<PathBuf>),
    program: &Checked,
) -> Result<(), Failure> {
    program.surface().check(&config.mcp)?;
    let preloaded = client_document::preload(&config)?;
    let tls = match config.tls.clone() {
        Some(files) => Some(Tls::open(files, SystemClock.now()).await?),
        None => None,
    };
    let listeners = Listeners::bind(&config, tls.as_ref()).await?;
    let scraped = config.metrics_listen;
    let scraped = scraped.map(|address| server::bind_address(&config, "metrics_listen", address));
    let scraped = scraped.transpose()?;
    let _serving = storage::serve_alone(&config.database).map_err(StartError::from)?;
    let mut app = open(config, program).await?;
    app.preloaded = preloaded;
    app.standing_by = known_documents::all();
    let app = Arc::new(app);
    let accounts = if command.demo { demo::prepare(&app).await? } else { Vec::new() };
    // Without pages nobody can sign in here.
    let is_empty = app.config.authorization_server && app.store.has_no_users().await?;
    let setup_link = if is_empty { Some(setup::issue_link(&app).await?) } else { None };
    password::warm_up().await?;
    // Before anybody is told that the server is ready, and may tell it to stop.
    app.tasks.spawn(stop_on_signal(app.clone())?);
    app.tasks.spawn(switch_on_signal(app.clone(), file, tls.clone())?);
    greet(&app, program, &listeners.places(), (command.demo, &accounts), setup_link.as_deref());
    app.tasks.spawn(rotation::run(app.clone()));
    app.tasks.spawn(housekeeping::run(app.clone()));
    if let Some(listener) = scraped {
        let stop = app.stopping.clone().cancelled_owned();
        app.tasks.spawn(metrics::serve(app.metrics.clone(), listener, stop));
    }
    if let Some(tls) = tls {
        let ends = tls.clone();
        app.metrics.watch_certificate(Arc::new(move || ends.ends().unix_seconds()));
        app.tasks.spawn(tls::watch(tls, app.clock.clone(), LOOK_EVERY, app.stopping.clone()));
    }
    let router = server::router_for(&app, program.surface());
    server::serve_router(app, listeners, router).await;
    tracing::info!("stopped");
    Ok(())
}

/// On SIGHUP the configuration is read again, and what can be switched while the server runs is. Whoever listens is
/// told that the tools changed. The certificate is read again as well, whether the configuration is good or not.
fn switch_on_signal(
    app: Arc<App>,
    file: Option<PathBuf>,
    tls: Option<Arc<Tls>>,
) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let hangup = signal(SignalKind::hangup());
    let mut hangup = hangup.map_err(|error| Failure::Said(format!("signals cannot be heard: {error}")))?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = app.stopping.cancelled() => return,
            }
            if let Some(tls) = &tls {
                tokio::select! {
                    _ = tls.reload(app.now()) => {}
                    () = app.stopping.cancelled() => return,
                }
            }
            match Config::load_for(file.as_deref(), app.config.own.clone()) {
                Ok(config) => {
                    let writes = config.mcp.writes.is_on();
                    let changed = app.config.mcp.writes.set(writes);
                    tracing::info!(
                        changed,
                        "configuration read again: mcp.writes is {writes}; all else but the certificate needs a \
                         restart"
                    );
                    if changed {
                        app.tell(&Notice::ToolsChanged).await;
                    }
                }
                Err(error) => tracing::error!(%error, "configuration not read again; nothing is switched"),
            }
        }
    })
}

fn stop_on_signal(app: Arc<App>) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let hear =
        |kind| signal(kind).map_err(|error| Failure::Said(format!("signals cannot be heard: {error}")));
    let (mut terminate, mut interrupt) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    Ok(async move {
        // Whoever stops it by hand does not want to wait for a balancer.
        let delay = tokio::select! {
            _ = terminate.recv() => app.config.drain_delay,
            _ = interrupt.recv() => Duration::ZERO,
            () = app.stopping.cancelled() => Duration::ZERO,
        };
        tracing::info!(?delay, "stopping: requests under way are finished first");
        tokio::select! {
            () = app.stop_after(delay) => {}
            _ = interrupt.recv() => {}
        }
        app.stop_after(Duration::ZERO).await;
    })
}

fn greet(
    app: &App,
    program: &Checked,
    places: &[String],
    (demo, accounts): (bool, &[demo::Account]),
    setup_link: Option<&str>,
) {
    let config = &app.config;
    let mcp_url = config.resource_server.then(|| config.public_url.resource().as_str());
    let name = if program.is_mandate() { "Mandate" } else { program.title() };
    say(&format!("{name} {} is ready.", program.version()));
    say("");
    if config.authorization_server {
        say(&format!("  Sign in and manage apps   {}", config.public_url.join("/account")));
    } else {
        say("  Authorization server      off: people sign in and connect apps elsewhere");
    }
    for issuer in config.issuers.iter() {
        say(&format!("  Tokens are taken of       {} ({})", issuer.issuer, issuer.name));
    }
    if let Some(mcp_url) = mcp_url {
        say(&format!("  MCP endpoint              {mcp_url}"));
    }
    for other in config.other_resources.iter() {
        let how = if other.may_introspect() { "JWKS, introspection" } else { "JWKS" };
        say(&format!("  Tokens for                {} ({}, {how})", other.resource(), other.name()));
    }
    for place in places {
        say(&format!("  Listening on              {place}"));
    }
    say(&format!("  Database                  {}", config.database));
    say(&format!("  Ephemeral store           {}", app.ephemeral.describe()));
    if let Some(link) = setup_link {
        say("");
        say("  There is no account yet. This link creates the first one; it works once, for an hour:");
        say(&format!("    {link}"));
    }
    if !accounts.is_empty() {
        say("");
        say("  Demo users");
        for account in accounts {
            say(&format!("    {:<8} password {}   {}", account.username, account.password, account.what));
        }
    } else if demo {
        say("");
        say("  The database has accounts of its own already, so nothing was added for the demo.");
    }
    say("");
    if let Some(mcp_url) = mcp_url {
        greet_clients(if program.is_mandate() { "tickets" } else { program.name() }, mcp_url);
    }
}

fn greet_clients(name: &str, mcp_url: &str) {
    say("  Connect a client");
    say(&format!(
        "    Claude Code   claude mcp add --transport http {name} {mcp_url} && claude mcp login {name}"
    ));
    say(&format!("    Codex         codex mcp add {name} --url {mcp_url}"));
    say(&format!(
        "    VS Code       code --add-mcp '{{\"name\":\"{name}\",\"type\":\"http\",\"url\":\"{mcp_url}\"}}'"
    ));
    say(&format!(
        "    Cursor        in ~/.cursor/mcp.json: {{\"mcpServers\":{{\"{name}\":{{\"url\":\"{mcp_url}\"}}}}}}"
    ));
    say("");
}
