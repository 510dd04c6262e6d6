//! `mandate client add|list|remove|disable|enable`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::Failure;
use super::output::{say, table};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::oauth::client::{self, AuthMethod, ClientKind, ClientMetadata, MetadataRules};
use crate::oauth::secret::ClientSecret;
use crate::oauth::{ClientId, UserId};
use crate::storage::{audit, clients, commit, disabled_clients, grants};

/// Manage clients that are registered by hand.
#[derive(Debug, Subcommand)]
pub(super) enum Client {
    /// Register a client. Its secret, if it gets one, is shown once.
    #[command(
        after_help = "Example:\n  mandate client add --name Reports --redirect-uri https://reports.example/cb"
    )]
    Add {
        /// The name that people see.
        #[arg(long)]
        name: String,
        /// Where its codes may go; can be given several times.
        #[arg(long = "redirect-uri", required = true)]
        redirect_uris: Vec<String>,
        /// How it authenticates.
        #[arg(long, value_enum, default_value = "client_secret_basic")]
        auth_method: Method,
        /// Its id; made up if left out.
        #[arg(long)]
        client_id: Option<String>,
        /// A file with its public keys as a JWK set, for `private_key_jwt`.
        #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
        jwks_file: Option<PathBuf>,
        /// Where its public keys can be fetched, for `private_key_jwt`.
        #[arg(long, value_name = "URL")]
        jwks_uri: Option<String>,
    },
    /// List the registered clients, those that registered themselves included.
    #[command(after_help = "Example:\n  mandate client list")]
    List,
    /// Let a client in no more, whichever way it is known: registered here, by a document of its own, or at another
    /// issuer. What users granted it is refused from the next call on, and nothing can be granted to it.
    #[command(after_help = "Example:\n  mandate client disable acme:reports")]
    Disable {
        /// Which.
        client_id: String,
    },
    /// Let a disabled client in again. Its users connect it anew.
    #[command(after_help = "Example:\n  mandate client enable acme:reports")]
    Enable {
        /// Which.
        client_id: String,
    },
    /// Remove a client. What users granted it is refused from the next call on.
    #[command(after_help = "Example:\n  mandate client remove client_4fB1")]
    Remove {
        /// Which.
        client_id: String,
    },
}

/// An authentication method as written on the command line: the registered names.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Method {
    /// A public client.
    None,
    /// A secret in the Authorization header.
    ClientSecretBasic,
    /// A secret in the form.
    ClientSecretPost,
    /// A signed assertion.
    PrivateKeyJwt,
}

impl From<Method> for AuthMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::None => Self::None,
            Method::ClientSecretBasic => Self::ClientSecretBasic,
            Method::ClientSecretPost => Self::ClientSecretPost,
            Method::PrivateKeyJwt => Self::PrivateKeyJwt,
        }
    }
}

/// How many grants of a client are ended at once.
const GRANTS_AT_ONCE: u32 = 500;
/// Why they end, as recorded.
const REMOVED: &str = "the client was removed";
const DISABLED: &str = "the client was disabled";

pub(super) async fn run(command: Client, app: &App) -> Result<(), Failure> {
    match command {
        Client::Add { name, redirect_uris, auth_method, client_id, jwks_file, jwks_uri } => {
            let mut members = Map::new();
            members.insert("client_name".into(), json!(name));
            members.insert("redirect_uris".into(), json!(redirect_uris));
            members
                .insert("token_endpoint_auth_method".into(), json!(AuthMethod::from(auth_method).as_str()));
            if let Some(uri) = jwks_uri {
                members.insert("jwks_uri".into(), json!(uri));
            }
            if let Some(path) = jwks_file {
                members.insert("jwks".into(), read_jwks(&path)?);
            }
            add(app, &members, client_id).await
        }
        Client::List => list(app).await,
        Client::Disable { client_id } => disable(app, &ClientId::new(client_id)).await,
        Client::Enable { client_id } => enable(app, &ClientId::new(client_id)).await,
        Client::Remove { client_id } => remove(app, &ClientId::new(client_id)).await,
    }
}

async fn add(app: &App, members: &Map<String, Value>, client_id: Option<String>) -> Result<(), Failure> {
    let rules = MetadataRules {
        private_use_schemes: &app.config.clients.private_use_schemes,
        default_auth_method: AuthMethod::ClientSecretBasic,
        further_methods: false,
    };
    let metadata = ClientMetadata::parse(members, rules)?;
    let wanted = members.get("redirect_uris").and_then(Value::as_array).map_or(0, Vec::len);
    if metadata.redirect_uris.len() != wanted {
        return Err(Failure::Said(
            "a redirect URI is not acceptable: use https, http on a loopback host, or an allowed private-use scheme"
                .to_owned(),
        ));
    }
    let client_id = match client_id {
        Some(text) => ClientId::new(own_id(&text)?),
        None => ClientId::issue(&app.random),
    };
    let secret = metadata.token_endpoint_auth_method.uses_secret().then(|| ClientSecret::issue(&app.random));
    let client = client::Client {
        client_id,
        kind: ClientKind::Registered,
        metadata,
        secret_hash: secret.as_ref().map(ClientSecret::hash),
    };
    let event = Event::new(Kind::ClientRegistered, Outcome::Done).client(&client.client_id).detail("by hand");
    let mut tx = app.store.write_patiently().await?;
    if !clients::record(&mut tx, &client, app.now()).await? {
        return Err(Failure::Said(format!("there is already a client {}", client.client_id)));
    }
    audit::record(&mut tx, app.now(), &event);
    commit(tx).await?;
    say(&format!("client_id: {}", client.client_id));
    if let Some(secret) = secret {
        say(&format!("client_secret: {} (shown this once)", secret.reveal()));
    }
    Ok(())
}

/// An id chosen by hand: printable, short, and in no other id's space.
fn own_id(text: &str) -> Result<&str, Failure> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if plain && (1..=128).contains(&text.len()) && !text.starts_with(UserId::PREFIX) {
        Ok(text)
    } else {
        Err(Failure::Said(
            "--client-id: write 1 to 128 letters, digits, dots, dashes or underscores, not starting with user_"
                .to_owned(),
        ))
    }
}

fn read_jwks(path: &std::path::Path) -> Result<Value, Failure> {
    let wrong =
        |why: &dyn std::fmt::Display| Failure::Said(format!("--jwks-file: {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

async fn list(app: &App) -> Result<(), Failure> {
    let clients = app.store.list_clients().await?;
    let disabled = app.store.list_disabled_clients().await?;
    let state = |client_id: &ClientId| {
        if disabled.iter().any(|(id, _)| id == client_id) { "disabled" } else { "active" }.to_owned()
    };
    let mut rows: Vec<Vec<String>> = clients
        .iter()
        .map(|row| {
            vec![
                row.client.client_id.to_string(),
                row.client.kind.as_str().to_owned(),
                row.client.metadata.token_endpoint_auth_method.as_str().to_owned(),
                state(&row.client.client_id),
                row.last_used_at.rfc3339(),
                row.client.shown_name().chars().filter(|c| !c.is_control()).collect(),
            ]
        })
        .collect();
    // Those of documents and of other issuers are not registered here.
    let others = disabled.iter().filter(|(id, _)| clients.iter().all(|row| row.client.client_id != *id));
    rows.extend(others.map(|(id, _)| {
        let unknown = || "-".to_owned();
        vec![id.to_string(), unknown(), unknown(), state(id), unknown(), String::new()]
    }));
    table(&["CLIENT_ID", "KIND", "AUTH_METHOD", "STATE", "LAST_USED", "NAME"], &rows);
    Ok(())
}

/// Ends the grants first, some at a time: a client may have very many. What a command that broke off left over, the
/// next one ends.
async fn remove(app: &App, client_id: &ClientId) -> Result<(), Failure> {
    let mut ended = end_grants(app, client_id, REMOVED).await?;
    let mut tx = app.store.write_patiently().await?;
    let is_known = clients::remove(&mut tx, client_id).await?;
    if is_known {
        let what = format!("by hand; grants that ended with it: {ended}");
        let event = Event::new(Kind::ClientRemoved, Outcome::Done).client(client_id).detail(what);
        audit::record(&mut tx, app.now(), &event);
    }
    commit(tx).await?;
    // Those that were granted meanwhile.
    ended += end_grants(app, client_id, REMOVED).await?;
    if !is_known && ended == 0 {
        return Err(Failure::Said(format!(
            "there is no client {client_id}; `mandate client list` shows them all"
        )));
    }
    say(&format!("Removed {client_id}. Grants that ended with it: {ended}."));
    Ok(())
}

/// Keeps new grants from being made first, then ends those that there are.
async fn disable(app: &App, client_id: &ClientId) -> Result<(), Failure> {
    if client_id.as_str().is_empty() || !client_id.as_str().bytes().all(|b| (0x20..=0x7e).contains(&b)) {
        return Err(Failure::Said("a client's id is printable ASCII".to_owned()));
    }
    let mut tx = app.store.write_patiently().await?;
    let is_new = disabled_clients::record(&mut tx, client_id, app.now()).await?;
    if is_new {
        let event = Event::new(Kind::ClientDisabled, Outcome::Done).client(client_id);
        audit::record(&mut tx, app.now(), &event);
    }
    commit(tx).await?;
    let ended = end_grants(app, client_id, DISABLED).await?;
    let what = if is_new { "Disabled" } else { "It was disabled already:" };
    say(&format!("{what} {client_id}. Grants that ended with it: {ended}."));
    Ok(())
}

async fn enable(app: &App, client_id: &ClientId) -> Result<(), Failure> {
    let mut tx = app.store.write_patiently().await?;
    if !disabled_clients::remove(&mut tx, client_id).await? {
        return Err(Failure::Said(format!(
            "{client_id} is not disabled; `mandate client list` shows who is"
        )));
    }
    let event = Event::new(Kind::ClientEnabled, Outcome::Done).client(client_id);
    audit::record(&mut tx, app.now(), &event);
    commit(tx).await?;
    say(&format!("Enabled {client_id}. What was granted to it before has ended; its users connect it anew."));
    Ok(())
}

async fn end_grants(app: &App, client_id: &ClientId, because: &str) -> Result<usize, Failure> {
    let mut ended = 0;
    loop {
        let mut tx = app.store.write_patiently().await?;
        let some = grants::revoke_some_of(&mut tx, client_id, because, app.now(), GRANTS_AT_ONCE).await?;
        app.commit_ending(tx, &some).await?;
        if some.is_empty() {
            return Ok(ended);
        }
        ended += some.len();
    }
}
