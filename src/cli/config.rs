//! `mandate config check|reference|schema`.

use std::path::Path;

use clap::Subcommand;

use super::Failure;
use super::output::say;
use crate::app;
use crate::authz::client_document;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, ConfigError, reference};
use crate::extension::Checked;
use crate::server::tls::Tls;
use crate::telemetry;

/// What the file is called everywhere.
const USUAL_FILE: &str = "mandate.toml";

/// Check the configuration, and look up what can be configured.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read the configuration, from the file and the environment, and say what it means.
    ///
    /// The files that it names are read as a start reads them: secrets, certificate and keys, metadata documents.
    /// Nothing is listened on, no database, Redis or other host is asked, and nothing is made or changed. What is wrong
    /// is named in one sentence, with exit code 1.
    #[command(after_help = "Example:\n  mandate config check --config mandate.toml")]
    Check,
    /// Print every key, with its meaning, its default and its variable, as Markdown.
    #[command(after_help = "Example:\n  mandate config reference | less")]
    Reference,
    /// Print the JSON Schema of the configuration file, for editors. In the file they are told of it by a first line
    /// `#:schema ./mandate.schema.json`.
    #[command(after_help = "Example:\n  mandate config schema > mandate.schema.json")]
    Schema,
}

pub(super) async fn run(
    command: &Command,
    (config, file): (impl FnOnce() -> Result<Config, ConfigError>, Option<&Path>),
    program: &Checked,
) -> Result<(), Failure> {
    match command {
        Command::Check => check(&config()?, file, program).await,
        Command::Reference => {
            say(reference::markdown().trim_end());
            Ok(())
        }
        Command::Schema => {
            say(&format!("{:#}", reference::schema()));
            Ok(())
        }
    }
}

/// What `serve` looks at before it listens and opens its stores.
async fn check(config: &Config, file: Option<&Path>, program: &Checked) -> Result<(), Failure> {
    telemetry::init(&config.log)?;
    program.surface().check(&config.mcp)?;
    client_document::preload(config)?;
    let tls = match config.tls.clone() {
        Some(files) => Some(Tls::open(files, SystemClock.now()).await?),
        None => None,
    };
    app::check_files(config)?;
    say("The configuration is good.");
    say("");
    let mut lines = vec![("File", read_from(file))];
    lines.extend(meaning(config));
    lines.extend(tls.map(|tls| ("TLS", format!("with a certificate until {}", tls.ends().rfc3339()))));
    for (name, meaning) in lines {
        say(&format!("  {name:<22} {meaning}"));
    }
    if let Some(astray) = config.astray() {
        say("");
        say(&format!("Warning: {astray}"));
    }
    Ok(())
}

/// Which file the configuration is from, for people.
pub(super) fn read_from(file: Option<&Path>) -> String {
    match file {
        Some(path) => path.display().to_string(),
        None if Path::new(USUAL_FILE).exists() => {
            format!("none; the {USUAL_FILE} in this folder is not read unless --config names it")
        }
        None => "none (give one with --config)".to_owned(),
    }
}

/// What it comes to, without any secret.
fn meaning(config: &Config) -> Vec<(&'static str, String)> {
    let shape = match (config.authorization_server, config.resource_server) {
        (true, true) => "authorization server and MCP endpoint",
        (true, false) => "authorization server alone, for the resources of others",
        (false, _) => "MCP endpoint alone, with the tokens of others",
    };
    let redis = config.redis.as_ref().map_or_else(|| "in process".to_owned(), ToString::to_string);
    let mut lines = vec![
        ("Public URL", config.public_url.issuer().to_owned()),
        ("Shape", shape.to_owned()),
        ("Listens on", config.places().join(", ")),
        ("Database", config.database.to_string()),
        ("Ephemeral store", redis),
        ("Secret key", config.secret_key_file.display().to_string()),
    ];
    if let Some(address) = config.metrics_listen {
        lines.push(("Metrics", address.to_string()));
    }
    let sent = [
        ("traces", config.export.traces),
        ("metrics", config.export.metrics),
        ("log lines", config.export.logs),
    ];
    let sent: Vec<&str> = sent.iter().filter(|(_, how)| how.is_some()).map(|(what, _)| *what).collect();
    if !sent.is_empty() {
        lines.push(("Sent by OTLP", sent.join(", ")));
    }
    if config.authorization_server {
        let passwords = config.sign_in.local_accounts.then(|| "passwords".to_owned());
        let providers =
            config.providers.values().map(|provider| format!("{} ({})", provider.title, provider.issuer));
        let ways: Vec<String> = passwords.into_iter().chain(providers).collect();
        lines.push(("Sign-in", ways.join(", ")));
    }
    lines.extend(config.issuers.iter().map(|issuer| ("Tokens are taken of", issuer.issuer.clone())));
    lines.extend(
        config.other_resources.iter().map(|other| ("Tokens are issued for", other.resource().to_string())),
    );
    lines
}
