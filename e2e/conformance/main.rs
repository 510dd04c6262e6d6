//! The fixtures of the official conformance suite behind Mandate's own gate, transport and authorization server.
//!
//! The suite calls tools, prompts and resources with names and answers of its own, which a product does not
//! have. Everything below them is the product: only the MCP server behind the gate is another one.
#![expect(deprecated, reason = "the suite asks for logging, sampling and roots, which leave MCP one day")]

mod ask;
mod content;
mod fixtures;
mod json;
mod media;
mod notify;
mod prompts;
mod resources;
mod rounds;
mod tools;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use mandate::app::App;
use mandate::clock::SystemClock;
use mandate::config::Config;
use mandate::identity::account::{self, Username};
use mandate::identity::password::{self, Password};
use mandate::random::Random;
use mandate::server::Listeners;
use mandate::storage::commit;
use mandate::storage::users::Role;
use mandate::{mcp, server, telemetry};

use fixtures::Fixtures;

/// Who may sign in.
const USER: &str = "alice";

#[derive(Debug, Parser)]
struct Arguments {
    /// The configuration file, as of the product.
    #[arg(long)]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::load(Arguments::parse().config.as_deref())?;
    telemetry::init(&config.log)?;
    let listeners = Listeners::bind(&config, None).await?;
    let app = Arc::new(App::open(config, Arc::new(SystemClock), Random::system()).await?);
    let secret = app.random.id();
    record_user(&app, &secret).await?;
    password::warm_up().await?;
    writeln!(std::io::stdout(), "    {USER:<8} password {secret}")?;
    let fixtures = Fixtures::new(&app.random)?;
    let router = server::router_with(&app, mcp::router_of(&app, fixtures));
    server::serve_router(app, listeners, router).await;
    Ok(())
}

async fn record_user(app: &App, secret: &str) -> Result<(), Box<dyn Error>> {
    let password = Password::chosen(secret)?;
    let user = account::prepare(app, &Username::parse(USER)?, password, Role::Agent)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let mut tx = app.store.write().await?;
    account::record(app, &mut tx, &user).await.map_err(|error| format!("{error:?}"))?;
    Ok(commit(tx).await?)
}
