//! Configuration: `mandate.toml`, every key overridable by the environment. The only file that reads either.
//!
//! `raw` holds the keys as they are written; here they become types that cannot be wrong, and every refusal
//! names its key and the cure. The environment variable of a key is `MANDATE_` and the key in capitals, tables
//! joined by two underscores: `MANDATE_PUBLIC_URL`, `MANDATE_MCP__WRITES`.

pub mod accounts;
mod audience;
mod export;
pub mod folders;
pub mod issuers;
mod limits;
mod listen;
mod log;
mod mcp;
mod own;
mod parse;
pub mod providers;
mod proxies;
mod public_url;
mod raw;
pub mod reference;
mod resources;
mod shape;
mod source;
mod switch;
mod tls;
mod tokens;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ephemeral::redis::RedisUrl;
use crate::storage::Database;
use crate::telemetry::Export;
pub use crate::telemetry::Log;
pub use audience::{Audience, Audiences};
use issuers::Issuers;
pub use limits::Limits;
pub use listen::{Listen, Listens};
pub use mcp::{ChallengeScopes, Mcp, Unconfirmed};
pub use own::Own;
use parse::{address, database, duration, one_of, redis, schemes};
use providers::{Provider, SignIn};
pub use proxies::TrustedProxy;
pub use public_url::PublicUrl;
use raw::Raw;
pub use resources::{OtherResource, OtherResources};
pub use source::Source;
pub use switch::Switch;
pub use tls::TlsFiles;
pub use tokens::Tokens;

/// A key that cannot be used, in one sentence with the cure.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    key: String,
    problem: String,
}

impl ConfigError {
    /// A refusal of `key`.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }

    /// The file that `key` names cannot be read.
    pub fn unreadable(key: impl Into<String>, path: &Path, error: &std::io::Error) -> Self {
        Self::new(key, format!("{}: {error}; check the path and its permissions", path.display()))
    }
}

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Listens,
    /// The permissions of the Unix sockets among them.
    pub listen_mode: u32,
    /// With which files TLS is spoken; it is not when there are none.
    pub tls: Option<TlsFiles>,
    /// The issuer and the base of every absolute URL: an origin without a trailing slash.
    pub public_url: PublicUrl,
    /// Where durable facts live.
    pub database: Database,
    /// Where perishable state lives; in process when there is none.
    pub redis: Option<RedisUrl>,
    /// The file with the key that seals private keys at rest.
    pub secret_key_file: PathBuf,
    /// Which log lines are written (`tracing` filter directives) and how.
    pub log: Log,
    /// Where metrics are served to be scraped: an address of its own. Nowhere when there is none.
    pub metrics_listen: Option<SocketAddr>,
    /// What is sent to a telemetry back end.
    pub export: Export,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// How long a server that is asked to stop goes on answering while `/ready` says no, so that whoever sends
    /// requests here learns of it first.
    pub drain_delay: Duration,
    /// Lifetimes and the signing algorithm.
    pub tokens: Tokens,
    /// How clients become known.
    pub clients: Clients,
    /// What outgoing requests may reach.
    pub outbound: OutboundKeys,
    /// Whether there is a resource of our own: the MCP endpoint.
    pub resource_server: bool,
    /// What that is called, and its scopes. The program says so.
    pub own: Own,
    /// The resources that others serve and we issue tokens for.
    pub other_resources: OtherResources,
    /// The MCP endpoint.
    pub mcp: Mcp,
    /// How often unauthenticated endpoints may be used.
    pub limits: Limits,
    /// Where people may sign in elsewhere, by name.
    pub providers: BTreeMap<String, Provider>,
    /// The ways to sign in.
    pub sign_in: SignIn,
    /// Whether this is an authorization server, too; else it is a resource server alone.
    pub authorization_server: bool,
    /// Others whose access tokens are taken.
    pub issuers: Issuers,
}

/// How clients become known.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Whether client ID metadata documents are accepted.
    pub metadata_documents: bool,
    /// Whether clients may register themselves.
    pub dynamic_registration: bool,
    /// Private-use redirect schemes that may be registered, exactly.
    pub private_use_schemes: Vec<String>,
    /// A folder of metadata documents that are known without fetching.
    pub preloaded_documents: Option<PathBuf>,
    /// How long a client that registered itself may go unused before it is forgotten.
    pub unused_lifetime: Duration,
}

/// What outgoing requests may reach beyond the public internet.
#[derive(Clone, Debug, Default)]
pub struct OutboundKeys {
    /// PEM certificates that are trusted besides the system's.
    pub extra_ca_file: Option<PathBuf>,
    /// Hosts, as `host` or `host:port`, that may have special-use addresses.
    pub allowed_hosts: Vec<String>,
}

impl Config {
    /// Reads the file, if one is named, and the environment over it, for a program whose own resource is the tickets.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_for(file, Own::default())
    }

    /// The same for a program with a resource of its own.
    pub fn load_for(file: Option<&Path>, own: Own) -> Result<Self, ConfigError> {
        let config = Self::from_raw(raw::load(file)?, own)?;
        Ok(Self { export: export::from_environment()?, ..config })
    }

    /// The defaults, for tests that then change single fields.
    pub fn defaults() -> Result<Self, ConfigError> {
        Self::defaults_for(Own::default())
    }

    /// The same for a program with a resource of its own.
    pub fn defaults_for(own: Own) -> Result<Self, ConfigError> {
        Self::from_raw(Raw::default(), own)
    }

    /// The resources that tokens are issued for.
    pub fn audiences(&self) -> Audiences<'_> {
        let own = self.resource_server.then(|| Audience::Own {
            resource: self.public_url.resource(),
            own: &self.own,
            writes: &self.mcp.writes,
        });
        Audiences::new(own, &self.other_resources)
    }

    /// What a text says, without the environment; for tests.
    pub fn written(text: &str) -> Result<Self, ConfigError> {
        Self::from_raw(raw::read(text)?, Own::default())
    }

    fn from_raw(raw: Raw, own: Own) -> Result<Self, ConfigError> {
        let database = database(&raw.database_url, raw.database_connections)?;
        let secret_key_file = match (raw.secret_key_file, &database) {
            (Some(file), _) => file,
            (None, Database::Sqlite(file)) => file.with_file_name("mandate.key"),
            (None, Database::Postgres { .. }) => {
                let cure =
                    "name a file that holds the same key for every replica; it is made if there is none";
                return Err(ConfigError::new("secret_key_file", cure));
            }
        };
        let listen = Listens::parse(&raw.listen)?;
        let public_url = match &raw.public_url {
            Some(text) => PublicUrl::parse(text)?,
            None => PublicUrl::of(&listen)?,
        };
        let resource_server =
            one_of("resource_server", &raw.resource_server, &[("on", true), ("off", false)])?;
        let (providers, sign_in) = providers::parse(raw.providers, raw.sign_in)?;
        let config = Self {
            providers,
            sign_in,
            listen,
            listen_mode: listen::mode(&raw.listen_mode)?,
            tls: tls::parse(raw.tls)?,
            metrics_listen: raw.metrics_listen.map(|text| address("metrics_listen", &text)).transpose()?,
            export: Export::default(),
            resource_server,
            other_resources: resources::parse(
                raw.resources,
                resource_server.then(|| public_url.resource()),
                &own.scopes,
            )?,
            redis: redis(raw.redis_url.as_deref(), &raw.redis_prefix, &database)?,
            drain_delay: humantime::parse_duration(&raw.drain_delay)
                .map_err(|error| ConfigError::new("drain_delay", error.to_string()))?,
            secret_key_file,
            log: log::parse(raw.log, &raw.log_format)?,
            trusted_proxies: proxies::parse(&raw.trusted_proxies)?,
            tokens: tokens::parse(&raw.tokens)?,
            clients: Clients {
                metadata_documents: raw.clients.metadata_documents,
                dynamic_registration: raw.clients.dynamic_registration,
                private_use_schemes: schemes(raw.clients.private_use_schemes)?,
                preloaded_documents: raw.clients.preloaded_documents,
                unused_lifetime: duration("clients.unused_lifetime", &raw.clients.unused_lifetime)?,
            },
            outbound: OutboundKeys {
                extra_ca_file: raw.outbound.extra_ca_file,
                allowed_hosts: raw.outbound.allowed_hosts,
            },
            mcp: mcp::parse(raw.mcp)?,
            limits: limits::parse(&raw.limits)?,
            authorization_server: one_of(
                "authorization_server",
                &raw.authorization_server,
                &[("on", true), ("off", false)],
            )?,
            issuers: Issuers::parse(raw.issuers, Some(&public_url), &own.scopes)?,
            public_url,
            database,
            own,
        };
        config.check_shape()?.check_tls()?.check_listen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold() {
        let config = Config::defaults().unwrap();
        assert_eq!(config.public_url.issuer(), "http://localhost:8080");
        assert_eq!(config.public_url.resource().as_str(), "http://localhost:8080/mcp");
        assert_eq!(config.secret_key_file, PathBuf::from("./data/mandate.key"));
        assert!(config.mcp.writes.is_on());
    }

    #[test]
    fn a_wrong_value_is_named_with_its_key() {
        type Change = fn(&mut Raw);
        let cases: [(&str, Change); 19] = [
            ("limits.connections", |raw| raw.limits.connections = 0),
            ("database_url", |raw| raw.database_url = "mysql://x".into()),
            ("tokens.code_lifetime", |raw| raw.tokens.code_lifetime = "11m".into()),
            ("tokens.access_token_lifetime", |raw| raw.tokens.access_token_lifetime = "soon".into()),
            ("tokens.minted_lifetime", |raw| raw.tokens.minted_lifetime = "2h".into()),
            ("tokens.minted_lifetime_most", |raw| raw.tokens.minted_lifetime_most = "0s".into()),
            ("tokens.signing_algorithm", |raw| raw.tokens.signing_algorithm = "HS256".into()),
            ("tokens.signing_key_rotation", |raw| raw.tokens.signing_key_rotation = "59m".into()),
            ("tokens.signing_key_rotation", |raw| raw.tokens.signing_key_rotation = "sometimes".into()),
            ("tokens.next_signing_key_file", |raw| {
                raw.tokens.next_signing_key_file = Some("next.pem".into());
            }),
            ("mcp.challenge_scopes", |raw| raw.mcp.challenge_scopes = "some".into()),
            ("mcp.allowed_origins", |raw| raw.mcp.allowed_origins = vec!["https://a.example/x".into()]),
            ("clients.private_use_schemes", |raw| {
                raw.clients.private_use_schemes = vec!["javascript".into()];
            }),
            ("trusted_proxies", |raw| raw.trusted_proxies = vec!["proxy".into()]),
            ("metrics_listen", |raw| raw.metrics_listen = Some("9090".into())),
            ("resource_server", |raw| raw.resource_server = "no".into()),
            ("resource_server", |raw| raw.resource_server = "off".into()),
            ("authorization_server", |raw| raw.authorization_server = "no".into()),
            ("authorization_server", |raw| raw.authorization_server = "off".into()),
        ];
        for (key, change) in cases {
            let mut raw = Raw::default();
            change(&mut raw);
            let error = Config::from_raw(raw, Own::default()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key}: ")), "{error}");
        }
    }
}
