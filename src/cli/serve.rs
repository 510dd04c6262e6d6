//! `mandate serve`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::demo::{self, Demo};
use super::greeting::greet;
use super::lasting::{close, watched};
use super::open::open;
use super::signals::{By, Hangup, Stop};
use super::version;
use crate::app::{App, StartError};
use crate::authz::{client_document, housekeeping, known_documents, rotation, setup};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::ephemeral::bus::Notice;
use crate::extension::Checked;
use crate::identity::password;
use crate::server::Listeners;
use crate::server::tls::{self, Tls};
use crate::telemetry::metrics::{self, Process};
use crate::{server, storage};

/// How often it is looked whether the certificate was replaced.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Run the server.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mandate serve --demo")]
pub(super) struct Serve {
    /// Fill an empty database with two users to sign in as, and 200 tickets of theirs and of six more, who are disabled.
    #[arg(long)]
    demo: bool,
}

pub(super) async fn run(
    command: &Serve,
    (config, file): (Config, Option<&Path>),
    program: &Checked,
) -> Result<(), Failure> {
    watched(&config.clone(), Box::pin(serve(command, (config, file), program))).await
}

async fn serve(
    command: &Serve,
    (config, file): (Config, Option<&Path>),
    program: &Checked,
) -> Result<(), Failure> {
    // First of all: a start may take its time, and whoever renews a certificate meanwhile ends no server.
    let (mut stop, hangup) = (Stop::listen()?, Hangup::listen()?);
    let started_at = SystemClock.now();
    let read = super::config::read_from(file);
    if let Some(astray) = config.astray() {
        tracing::warn!("{astray}");
    }
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
    let started = tokio::select! {
        started = Box::pin(start(command, config, program)) => Some(started),
        _ = stop.asked() => None,
    };
    let Some(started) = started else {
        // Nothing is closed: that could wait for the very lock that the start waits for.
        tracing::info!("stopped before it was ready");
        return Ok(());
    };
    let (mut app, greeting) = started?;
    app.preloaded = preloaded;
    app.standing_by = known_documents::all();
    let app = Arc::new(app);
    app.tasks.spawn(stop_on_signal(app.clone(), stop));
    app.tasks.spawn(switch_on_signal(app.clone(), hangup, file.map(Path::to_owned), tls.clone()));
    greet(
        &app,
        program,
        (&listeners.places(), &read),
        greeting.demo.as_ref(),
        greeting.setup_link.as_deref(),
    );
    app.tasks.spawn(rotation::run(app.clone()));
    app.tasks.spawn(housekeeping::run(app.clone()));
    let (version, commit) = (version::NUMBER, version::commit());
    app.metrics.tell_process(Process { version, commit, started: started_at });
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

/// Opens the application and prepares what is said of it. A database that somebody else writes to can keep it waiting.
async fn start(command: &Serve, config: Config, program: &Checked) -> Result<(App, Greeting), Failure> {
    let app = open(config, program).await?;
    match prepare(&app, command).await {
        Ok(greeting) => Ok((app, greeting)),
        Err(failure) => {
            close(&app).await;
            Err(failure)
        }
    }
}

/// What is said of who can sign in.
struct Greeting {
    demo: Option<Demo>,
    setup_link: Option<String>,
}

async fn prepare(app: &App, command: &Serve) -> Result<Greeting, Failure> {
    let demo = if command.demo { Some(demo::prepare(app).await?) } else { None };
    // Without pages nobody can sign in here.
    let is_empty = app.config.authorization_server && app.store.has_no_users().await?;
    let setup_link = if is_empty { Some(setup::issue_link(app).await?) } else { None };
    password::warm_up().await?;
    Ok(Greeting { demo, setup_link })
}

/// On SIGHUP the configuration is read again, and what can be switched while the server runs is. Whoever listens is
/// told that the tools changed. The certificate is read again as well, whether the configuration is good or not.
async fn switch_on_signal(app: Arc<App>, mut hangup: Hangup, file: Option<PathBuf>, tls: Option<Arc<Tls>>) {
    loop {
        tokio::select! {
            () = hangup.heard() => {}
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
}

async fn stop_on_signal(app: Arc<App>, mut stop: Stop) {
    // Whoever stops it by hand does not want to wait for a balancer.
    let delay = tokio::select! {
        by = stop.asked() => match by {
            By::Supervisor => app.config.drain_delay,
            By::Hand => Duration::ZERO,
        },
        () = app.stopping.cancelled() => Duration::ZERO,
    };
    tracing::info!(?delay, "stopping: requests under way are finished first");
    tokio::select! {
        () = app.stop_after(delay) => {}
        () = stop.interrupted() => {}
    }
    app.stop_after(Duration::ZERO).await;
}
