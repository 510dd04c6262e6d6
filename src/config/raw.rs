//! The keys as they are written in `mandate.toml` and the environment, with their defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{Config as Layers, ConfigError as LayerError, Environment, File, FileFormat};
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::issuers::RawIssuer;
use super::listen;
use super::providers::{RawProvider, RawSignIn};
use super::tls::RawTls;

/// Keys that hold lists: in the environment their values are separated by commas.
const LISTS: [&str; 4] =
    ["trusted_proxies", "clients.private_use_schemes", "outbound.allowed_hosts", "mcp.allowed_origins"];

/// The schemes of desktop clients seen to register them.
const KNOWN_SCHEMES: [&str; 8] =
    ["cursor", "vscode", "vscode-insiders", "windsurf", "claude", "zed", "raycast", "goose"];

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    /// Where to listen: an address and a port, `unix:` and the path of a socket, or a list of both. On this machine alone
    /// by default, where a proxy or a developer is.
    #[serde(deserialize_with = "listen::texts")]
    pub(super) listen: Vec<String>,
    /// Who may connect to the Unix sockets among them: permissions in octal. The server's user and group by default:
    /// whoever can connect is believed about the addresses of clients.
    pub(super) listen_mode: String,
    pub(super) tls: RawTls,
    pub(super) public_url: String,
    pub(super) database_url: String,
    pub(super) database_connections: u32,
    pub(super) redis_url: Option<String>,
    pub(super) redis_prefix: String,
    pub(super) secret_key_file: Option<PathBuf>,
    pub(super) log: String,
    pub(super) log_format: String,
    pub(super) metrics_listen: Option<String>,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) drain_delay: String,
    pub(super) tokens: Tokens,
    pub(super) clients: Clients,
    pub(super) outbound: Outbound,
    pub(super) resource_server: String,
    pub(super) resources: BTreeMap<String, Resource>,
    pub(super) mcp: Mcp,
    pub(super) limits: Limits,
    pub(super) sign_in: RawSignIn,
    pub(super) providers: BTreeMap<String, RawProvider>,
    /// `on` or `off`.
    pub(super) authorization_server: String,
    pub(super) issuers: BTreeMap<String, RawIssuer>,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:8080".into()],
            listen_mode: "0660".into(),
            tls: RawTls::default(),
            public_url: "http://localhost:8080".into(),
            database_url: "sqlite://./data/mandate.db".into(),
            database_connections: 10,
            redis_url: None,
            redis_prefix: "mandate".into(),
            secret_key_file: None,
            log: "info".into(),
            log_format: "text".into(),
            metrics_listen: None,
            trusted_proxies: Vec::new(),
            drain_delay: "0s".into(),
            tokens: Tokens::default(),
            clients: Clients::default(),
            outbound: Outbound::default(),
            resource_server: "on".into(),
            resources: BTreeMap::new(),
            mcp: Mcp::default(),
            limits: Limits::default(),
            sign_in: RawSignIn::default(),
            providers: BTreeMap::new(),
            authorization_server: "on".into(),
            issuers: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tokens {
    pub(super) access_token_lifetime: String,
    pub(super) refresh_token_lifetime: String,
    pub(super) grant_lifetime: String,
    pub(super) refresh_grace: String,
    pub(super) code_lifetime: String,
    pub(super) minted_lifetime: String,
    pub(super) minted_lifetime_most: String,
    pub(super) signing_algorithm: String,
    pub(super) signing_key_rotation: String,
    pub(super) signing_key_file: Option<PathBuf>,
    pub(super) next_signing_key_file: Option<PathBuf>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            access_token_lifetime: "1h".into(),
            refresh_token_lifetime: "30d".into(),
            grant_lifetime: "365d".into(),
            refresh_grace: "30s".into(),
            code_lifetime: "60s".into(),
            minted_lifetime: "10m".into(),
            minted_lifetime_most: "1h".into(),
            signing_algorithm: "ES256".into(),
            signing_key_rotation: "90d".into(),
            signing_key_file: None,
            next_signing_key_file: None,
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Clients {
    pub(super) metadata_documents: bool,
    pub(super) dynamic_registration: bool,
    pub(super) private_use_schemes: Vec<String>,
    pub(super) preloaded_documents: Option<PathBuf>,
    pub(super) unused_lifetime: String,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            metadata_documents: true,
            dynamic_registration: true,
            private_use_schemes: KNOWN_SCHEMES.map(str::to_owned).to_vec(),
            preloaded_documents: None,
            unused_lifetime: "30d".into(),
        }
    }
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Outbound {
    pub(super) extra_ca_file: Option<PathBuf>,
    pub(super) allowed_hosts: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Mcp {
    pub(super) writes: bool,
    pub(super) challenge_scopes: String,
    pub(super) challenge_includes_granted: bool,
    pub(super) allowed_origins: Vec<String>,
    pub(super) reads_per_minute: u32,
    pub(super) writes_per_minute: u32,
    pub(super) reads_burst: Option<u32>,
    pub(super) writes_burst: Option<u32>,
    /// See `Mcp::unconfirmed`.
    pub(super) unconfirmed: String,
    /// See `Mcp::streams_per_grant`.
    pub(super) streams_per_grant: usize,
    pub(super) tools: BTreeMap<String, Tool>,
}

/// A resource that somebody else serves.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Resource {
    pub(super) uri: String,
    pub(super) title: String,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) scopes: BTreeMap<String, String>,
}

/// A limit of one tool, besides that of its class.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    pub(super) per_minute: u32,
    pub(super) burst: Option<u32>,
}

impl Default for Mcp {
    fn default() -> Self {
        Self {
            writes: true,
            challenge_scopes: "read".into(),
            challenge_includes_granted: true,
            allowed_origins: Vec::new(),
            reads_per_minute: 120,
            writes_per_minute: 20,
            reads_burst: None,
            writes_burst: None,
            unconfirmed: "proceed".into(),
            streams_per_grant: 16,
            tools: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) authorizations_per_minute: u32,
    pub(super) token_requests_per_minute: u32,
    pub(super) registrations_per_hour: u32,
    pub(super) document_fetches_per_minute: u32,
    pub(super) introspections_per_minute: u32,
    pub(super) requests_at_once: usize,
    /// How many connections may be open at once, on all listeners together; further ones wait until one ends. Never more
    /// than the process may open files. Many thousands by default: an open stream is a connection, and costs little.
    pub(super) connections: usize,
}

// Hosted clients share few addresses, so the buckets are big: they stop floods, not users.
impl Default for Limits {
    fn default() -> Self {
        Self {
            authorizations_per_minute: 120,
            token_requests_per_minute: 1200,
            registrations_per_hour: 1000,
            document_fetches_per_minute: 120,
            introspections_per_minute: 6000,
            requests_at_once: 1024,
            connections: 10_000,
        }
    }
}

/// Reads the file and the environment over it.
pub(super) fn load(file: Option<&Path>) -> Result<Raw, ConfigError> {
    let mut environment = Environment::with_prefix("MANDATE")
        .prefix_separator("_")
        .separator("__")
        .try_parsing(true)
        .list_separator(",");
    for key in LISTS {
        environment = environment.with_list_parse_key(key);
    }
    let mut layers = Layers::builder();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::new("--config", format!("{}: {error}", path.display())))?;
        let file = File::from_str(&text, FileFormat::Toml);
        // Built alone first, so that what is no TOML is said of the file.
        Layers::builder().add_source(file.clone()).build().map_err(|error| {
            ConfigError::new("--config", format!("{}: {}", path.display(), one_line(&error.to_string())))
        })?;
        layers = layers.add_source(file);
    }
    layers.add_source(environment).build().and_then(Layers::try_deserialize).map_err(explain)
}

/// Reads a text as a file is read, without the environment.
pub(super) fn read(text: &str) -> Result<Raw, ConfigError> {
    let layers = Layers::builder().add_source(File::from_str(text, FileFormat::Toml));
    layers.build().and_then(Layers::try_deserialize).map_err(explain)
}

/// A parser's message without the lines that draw the place: its first line says where, its last one what.
fn one_line(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    lines.next_back().map_or_else(|| first.to_owned(), |last| format!("{first}: {last}"))
}

fn explain(error: LayerError) -> ConfigError {
    match error {
        LayerError::Type { key: Some(key), unexpected, expected, .. } => {
            ConfigError::new(key, format!("{unexpected} stands where {expected} is expected"))
        }
        LayerError::At { key: Some(key), error, .. } => ConfigError::new(key, error.to_string()),
        other => ConfigError::new("configuration", other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn keys(value: &Value, prefix: &str, found: &mut Vec<String>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            if value.is_object() {
                keys(value, &format!("{prefix}{name}."), found);
            } else {
                found.push(format!("{prefix}{name}"));
            }
        }
    }

    /// The defaults, with one entry in each table whose entries have names.
    fn full() -> Raw {
        let mut raw = Raw::default();
        raw.mcp.tools.insert("<tool>".into(), Tool { per_minute: 1, burst: None });
        raw.providers.insert("<name>".into(), RawProvider::default());
        raw
    }

    #[test]
    fn the_readme_lists_every_key() {
        let readme = include_str!("../../README.md");
        let mut all = Vec::new();
        keys(&serde_json::to_value(full()).unwrap(), "", &mut all);
        assert!(all.len() > 50, "{all:?}");
        for key in all {
            assert!(readme.contains(&format!("`{key}`")), "README.md does not list {key}");
        }
    }
}
