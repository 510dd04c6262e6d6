//! `mandate doctor`: plays the dance against a public address as real clients do, looks into the stores of this
//! configuration, and says of everything that it finds what cures it.
//!
//! - `outside/`: what clients see, of any MCP server;
//! - `inside/`: what only the operator sees: configuration, files, database, Redis;
//! - `findings`: everything that can be found; `report`: how it is said; `probe`: how servers are asked;
//! - `reach`: who may be asked, and on which way.

mod findings;
mod inside;
mod outside;
mod probe;
mod reach;
mod report;

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use url::Url;

use super::Failure;
use crate::config::{Config, ConfigError};
use report::{Form, Report};

/// The longest token that is read, in bytes.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// Try a server from outside as clients do, and say what is wrong and what cures it.
///
/// Without a URL the configuration's public URL is tried, and its database, Redis and files are looked at, too. It sends
/// only to that address and to what its metadata names, registers one client unless told not to, and prints no token.
/// Ends with 0 when there is no fault.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mandate doctor https://tickets.example.com\n  mandate doctor --config mandate.toml\n  \
                  mandate token mint --user alice --scope tickets:read --for 'a check' | mandate doctor --token-file -"
)]
pub(super) struct Doctor {
    /// An MCP server, with or without the path of its endpoint; of this configuration if left out.
    url: Option<Url>,
    /// A file with an access token, to try calls, too; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Register no client. The page to sign in is then not tried.
    #[arg(long)]
    no_registration: bool,
    /// A PEM file with further certificates to trust.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Say it as one JSON object.
    #[arg(long)]
    json: bool,
}

/// A token; it goes to the MCP endpoint and nowhere else.
#[derive(Clone)]
struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    fn reveal(&self) -> &str {
        &self.0
    }
}

/// What was asked for.
struct Options {
    token: Option<Token>,
    registration: bool,
    /// Whether there is an MCP endpoint at all.
    resource_server: bool,
    ca_file: Option<PathBuf>,
}

/// Runs the checks. Faults are a failure.
pub(super) async fn run(
    command: Doctor,
    config: impl FnOnce() -> Result<Config, ConfigError>,
) -> Result<(), Failure> {
    let (url, config) = if let Some(url) = command.url {
        (checked(url)?, None)
    } else {
        let config = config()?;
        let text = config.public_url.join("/");
        (Url::parse(&text).map_err(|error| Failure::Said(format!("{text}: {error}")))?, Some(config))
    };
    if command.token_file.is_some() && !may_carry_token(&url) {
        return Err(Failure::Said(format!(
            "{}: --token-file would send the token unencrypted: give the https URL, or leave the token out",
            crate::connect::shown(&url)
        )));
    }
    let mut options = Options {
        token: command.token_file.as_deref().map(read_token).transpose()?,
        registration: !command.no_registration,
        resource_server: true,
        ca_file: command.ca_file,
    };
    let form = if command.json { Form::Json } else { Form::Text };
    let mut report = Report::new(form).hiding(options.token.clone());
    if let Some(config) = config {
        options.resource_server = config.resource_server;
        inside::examine(&config, &mut report).await;
    }
    outside::examine(&url, &options, &mut report).await?;
    match report.end(&crate::connect::shown(&url)) {
        0 => Ok(()),
        1 => Err(Failure::Said("there is one fault".to_owned())),
        faults => Err(Failure::Said(format!("there are {faults} faults"))),
    }
}

fn checked(url: Url) -> Result<Url, Failure> {
    let wrong = |why: &str| Err(Failure::Said(format!("{}: {why}", crate::connect::shown(&url))));
    if !matches!(url.scheme(), "https" | "http") {
        return wrong("write a URL like https://tickets.example.com");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("leave the user name and the password out of the URL");
    }
    Ok(url)
}

/// A bearer token crosses a network under TLS alone (RFC 6750 §5.3).
fn may_carry_token(url: &Url) -> bool {
    url.scheme() == "https" || crate::connect::is_loopback(url)
}

fn read_token(path: &Path) -> Result<Token, Failure> {
    let wrong = |why: &str| Failure::Said(format!("--token-file: {}: {why}", path.display()));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LONGEST_TOKEN).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LONGEST_TOKEN).read_to_string(&mut text))
    };
    read.map_err(|error| wrong(&error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("there is no token in it"));
    }
    Ok(Token(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_over_tls_or_stays_on_this_machine() {
        for (url, expected) in [
            ("https://tickets.example.com", true),
            ("https://10.0.0.7:8443/mcp", true),
            ("http://localhost:8080", true),
            ("http://127.0.0.1:8080/mcp", true),
            ("http://tickets.example.com", false),
            ("http://localhost.example.com", false),
            ("http://10.0.0.7:8080", false),
        ] {
            assert_eq!(may_carry_token(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
