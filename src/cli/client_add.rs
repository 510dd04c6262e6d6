//! `mandate client add`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::Failure;
use super::output::say;
use super::user::RoleName;
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::identity::machine;
use crate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata, MetadataRules};
use crate::oauth::secret::ClientSecret;
use crate::oauth::{ClientId, UserId};
use crate::storage::users::Recorded;
use crate::storage::{audit, clients, commit};

/// Register a client, or a machine. Its secret, if it gets one, is shown once.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mandate client add --name Reports --redirect-uri https://reports.example/cb\n\n\
                        Example of a machine:\n  \
                        mandate client add --machine --name 'Nightly report' --role agent --scope tickets:read"
)]
pub(super) struct Add {
    /// The name that people see.
    #[arg(long)]
    name: String,
    /// Where its codes may go; can be given several times.
    #[arg(long = "redirect-uri", required_unless_present = "machine", conflicts_with = "machine")]
    redirect_uris: Vec<String>,
    /// It is a machine: it acts for itself under an account of its own (grant type `client_credentials`), and never for
    /// a person.
    #[arg(long)]
    machine: bool,
    /// What the machine may see; a requester if left out.
    #[arg(long, value_enum, requires = "machine", conflicts_with = "redirect_uris")]
    role: Option<RoleName>,
    /// All that the machine may ask for, separated by spaces: tickets:read, tickets:write, and tokens:mint for a control
    /// plane that mints tokens for others.
    #[arg(long, requires = "machine", required_if_eq("machine", "true"), conflicts_with = "redirect_uris")]
    scope: Option<String>,
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
}

/// An authentication method as written on the command line: the registered names.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Method {
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

pub(super) async fn run(command: Add, app: &App) -> Result<(), Failure> {
    let metadata = metadata(&command, app)?;
    let client_id = match &command.client_id {
        Some(text) => ClientId::new(own_id(text)?),
        None => ClientId::issue(&app.random),
    };
    let secret = metadata.token_endpoint_auth_method.uses_secret().then(|| ClientSecret::issue(&app.random));
    let client = Client {
        client_id,
        kind: if command.machine { ClientKind::Machine } else { ClientKind::Registered },
        metadata,
        secret_hash: secret.as_ref().map(ClientSecret::hash),
    };
    let mut tx = app.store.write_patiently().await?;
    let recorded = if command.machine {
        let role = command.role.unwrap_or(RoleName::Requester);
        machine::register(app, &mut tx, &client, role.into()).await?
    } else if clients::record(&mut tx, &client, app.now()).await? {
        let event = Event::new(Kind::ClientRegistered, Outcome::Done).client(&client.client_id);
        audit::record(&mut tx, app.now(), &event.detail("by hand"));
        Recorded::Yes
    } else {
        Recorded::Taken
    };
    if recorded == Recorded::Taken {
        return Err(Failure::Said(format!("there is already a client {}", client.client_id)));
    }
    commit(tx).await?;
    say(&format!("client_id: {}", client.client_id));
    if let Some(secret) = secret {
        say(&format!("client_secret: {} (shown this once)", secret.reveal()));
    }
    Ok(())
}

fn metadata(command: &Add, app: &App) -> Result<ClientMetadata, Failure> {
    let mut members = Map::new();
    members.insert("client_name".into(), json!(command.name));
    let method = AuthMethod::from(command.auth_method);
    members.insert("token_endpoint_auth_method".into(), json!(method.as_str()));
    if let Some(uri) = &command.jwks_uri {
        members.insert("jwks_uri".into(), json!(uri));
    }
    if let Some(path) = &command.jwks_file {
        members.insert("jwks".into(), read_jwks(path)?);
    }
    if command.machine {
        members.insert("scope".into(), json!(command.scope));
        return Ok(ClientMetadata::parse_machine(&members, &app.config.audiences().every_scope())?);
    }
    members.insert("redirect_uris".into(), json!(command.redirect_uris));
    let rules = MetadataRules {
        private_use_schemes: &app.config.clients.private_use_schemes,
        default_auth_method: AuthMethod::ClientSecretBasic,
        further_methods: false,
    };
    let metadata = ClientMetadata::parse(&members, rules)?;
    if metadata.redirect_uris.len() == command.redirect_uris.len() {
        return Ok(metadata);
    }
    Err(Failure::Said(
        "a redirect URI is not acceptable: use https, http on a loopback host, or an allowed private-use scheme"
            .to_owned(),
    ))
}

/// An id chosen by hand: printable, short, and in no other id's space.
fn own_id(text: &str) -> Result<&str, Failure> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if ClientId::RESERVED.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(Failure::Said(format!(
            "--client-id: {text} is what this server calls a program of its own"
        )));
    }
    if plain && (1..=128).contains(&text.len()) && !text.to_ascii_lowercase().starts_with(UserId::PREFIX) {
        Ok(text)
    } else {
        Err(Failure::Said(
            "--client-id: write 1 to 128 letters, digits, dots, dashes or underscores, not starting with user_"
                .to_owned(),
        ))
    }
}

fn read_jwks(path: &Path) -> Result<Value, Failure> {
    let wrong =
        |why: &dyn std::fmt::Display| Failure::Said(format!("--jwks-file: {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}
