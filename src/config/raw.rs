//! The keys as they are written in `mandate.toml` and the environment, with their defaults. The comment of a key is what
//! the reference and the schema say of it.

mod clients;
mod issuers;
mod limits;
mod load;
mod mcp;
pub(super) mod shapes;
mod tokens;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listen;
use super::providers::{RawProvider, RawSignIn};
use super::tls::RawTls;
pub(super) use clients::{Clients, Outbound};
pub(super) use issuers::{ALGORITHMS, RawIssuer};
pub(super) use limits::Limits;
#[cfg(test)]
pub(super) use load::environment;
pub(super) use load::{is_in_environment, is_in_file, load, read};
pub(super) use mcp::{Mcp, Resource};
use shapes::{Address, FilePath, Link, Period, Places};
pub(super) use tokens::Tokens;

/// The configuration of Mandate.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    /// Where to listen: an address and a port, `unix:` and the path of a socket, or a list of both. On this machine alone
    /// by default, where a proxy or a developer is.
    #[serde(deserialize_with = "listen::texts")]
    #[schemars(with = "Places")]
    pub(super) listen: Vec<String>,
    /// Who may connect to the Unix sockets among them: permissions in octal. The server's user and group by default:
    /// with `unix` in `trusted_proxies`, whoever can connect is believed about the addresses of clients.
    #[schemars(extend("enum" = ["0600", "0660", "0666"]))]
    pub(super) listen_mode: String,
    pub(super) tls: RawTls,
    /// The issuer, and what every URL begins with: scheme, host and port of what clients and browsers reach, without a
    /// path. It is `https`, or `http` on localhost. The MCP endpoint is `/mcp` below it. Without this key it is
    /// `http://localhost` with the port of the first `127.0.0.1` or `[::1]` in `listen`, or with 8080.
    #[schemars(with = "Option<Link>")]
    pub(super) public_url: Option<String>,
    /// Where everything durable is kept: `sqlite://` and the path of a file, for one server; or
    /// `postgres://user:password@host/database`, for several replicas, which takes `redis_url` and `secret_key_file` as
    /// well. On a network that is not guarded add `?sslmode=verify-full&sslrootcert=` and the path of the CA's PEM file.
    #[schemars(with = "Link")]
    pub(super) database_url: String,
    /// How many connections each replica opens to PostgreSQL at most. SQLite takes no notice of it.
    #[schemars(range(min = 2, max = 1000))]
    pub(super) database_connections: u32,
    /// Where limits, claims and requests that are under way are kept, so that replicas share them: `redis://host:6379` or
    /// `rediss://user:password@host`; nodes of a cluster are separated by commas. Without it they are kept in the
    /// process, which is for one server on SQLite.
    #[schemars(with = "Option<Link>")]
    pub(super) redis_url: Option<String>,
    /// What every key in Redis begins with, for several installations in one Redis: letters, digits, dots, dashes and
    /// underscores.
    pub(super) redis_prefix: String,
    /// The file with the key that seals private keys at rest and the audit log. It is made where there is none. Without
    /// this key it is `mandate.key` beside the SQLite file; with PostgreSQL it must be named, and hold the same for every
    /// replica.
    #[schemars(with = "Option<FilePath>")]
    pub(super) secret_key_file: Option<PathBuf>,
    /// Which lines are logged to standard error: `error`, `warn`, `info`, `debug`, `trace` or `off`, or `tracing`
    /// directives such as `info,mandate::mcp=debug`. A word alone must be a level.
    pub(super) log: String,
    /// How they are written: readable lines, or one JSON object on each.
    #[schemars(extend("enum" = ["text", "json"]))]
    pub(super) log_format: String,
    /// Where metrics are served to be scraped, such as `127.0.0.1:9090`: an address of its own, that nobody but the
    /// scraper should reach. Without it they are served nowhere.
    #[schemars(with = "Option<Address>")]
    pub(super) metrics_listen: Option<String>,
    /// The proxies before this server, as networks such as `10.0.0.0/8` or single addresses: of them `X-Forwarded-For` is
    /// believed. `unix` stands for whoever connects to a Unix socket; without it all of them are one address. Name no others,
    /// and only proxies that set the header themselves, or callers choose the address that limits count.
    pub(super) trusted_proxies: Vec<String>,
    /// How long after SIGTERM requests are still taken while `/ready` says no: longer than the balancer takes to see
    /// that.
    #[schemars(with = "Period")]
    pub(super) drain_delay: String,
    pub(super) tokens: Tokens,
    pub(super) clients: Clients,
    pub(super) outbound: Outbound,
    /// Whether there is a resource of our own, the MCP endpoint. `off`: an authorization server for the resources of
    /// others alone, which `[resources.<name>]` names.
    #[schemars(extend("enum" = ["on", "off"]))]
    pub(super) resource_server: String,
    /// The resources that others serve and this server issues tokens for, each in a table of its own. Its name, of 1 to
    /// 32 lower-case letters, digits and dashes, is what its server introspects as.
    #[schemars(extend("propertyNames" = { "title": "name", "pattern": "^[a-z0-9-]{1,32}$" }))]
    pub(super) resources: BTreeMap<String, Resource>,
    pub(super) mcp: Mcp,
    pub(super) limits: Limits,
    pub(super) sign_in: RawSignIn,
    /// The OpenID Connect providers that people sign in at, each in a table of its own. Its name, of 1 to 32 lower-case
    /// letters, digits and dashes, stands in the redirect URI: `<public_url>/login/<name>/callback`.
    #[schemars(extend("propertyNames" = { "title": "name", "pattern": "^[a-z0-9-]{1,32}$" }))]
    pub(super) providers: BTreeMap<String, RawProvider>,
    /// Whether this is an authorization server. `off`: others issue the tokens, which `[issuers.<name>]` names.
    #[schemars(extend("enum" = ["on", "off"]))]
    pub(super) authorization_server: String,
    /// Others whose access tokens are taken, each in a table of its own. Its name, of 1 to 32 lower-case letters, digits
    /// and dashes, stands before the ids of its clients.
    #[schemars(extend("propertyNames" = { "title": "name", "pattern": "^[a-z0-9-]{1,32}$" }))]
    pub(super) issuers: BTreeMap<String, RawIssuer>,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:8080".into()],
            listen_mode: "0660".into(),
            tls: RawTls::default(),
            public_url: None,
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
