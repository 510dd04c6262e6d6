//! `mandate connect`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use url::Url;

use super::Failure;
use super::signals::Stop;
use crate::clock::SystemClock;
use crate::config::folders;
use crate::connect::{self, Identity, Manner, Options, Secret, Wanted};
use crate::oauth::Scopes;
use crate::random::Random;

/// Connect an MCP client that only speaks stdio to an MCP server, and sign in there.
///
/// Messages go between standard input and output and the server. The first time, and when more access is needed, the
/// browser opens; the tokens are kept and refreshed for all bridges to that server. What it has to say to people goes
/// to standard error.
#[derive(Debug, Args)]
#[command(after_help = r#"Example:
  mandate connect https://tickets.example.com/mcp

In the configuration of a client such as Claude Desktop:
  { "mcpServers": { "tickets": { "command": "mandate", "args": ["connect", "https://tickets.example.com/mcp"] } } }

Sign out:
  mandate connect --sign-out https://tickets.example.com/mcp"#)]
pub(super) struct Connect {
    /// The server's MCP endpoint: https, or http on this machine.
    url: Url,
    /// Sign in on another device: for machines without a browser, where the server offers it.
    #[arg(long)]
    device: bool,
    /// Give the tokens back, forget them and end.
    #[arg(long, visible_alias = "forget")]
    sign_out: bool,
    /// Open a browser at this address and end.
    #[arg(long, hide = true)]
    open_page: bool,
    /// Ask for these scopes instead of those that the server names.
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    /// The URL of a client ID metadata document, for servers that support them.
    #[arg(long, value_name = "URL")]
    client_metadata_url: Option<Url>,
    /// A client id that the server's operator gave you; without one the bridge registers itself.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A file whose first line is that client's secret.
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// Whom that secret is for, when it is not the server's own origin.
    #[arg(long, value_name = "URL", requires = "client_secret_file")]
    issuer: Option<String>,
    /// The port of 127.0.0.1 that the browser comes back to, for servers that insist on one.
    #[arg(long, value_name = "PORT")]
    callback_port: Option<u16>,
    /// Where the tokens are kept: the platform's keyring where there is one, else a file that only you can read.
    #[arg(long, value_enum, default_value = "auto")]
    token_store: TokenStore,
    /// A PEM file with further certificates to trust.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// A store as written on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TokenStore {
    /// The keyring where there is one.
    Auto,
    /// The keyring or nothing.
    Keyring,
    /// The file.
    File,
}

impl From<TokenStore> for Wanted {
    fn from(store: TokenStore) -> Self {
        match store {
            TokenStore::Auto => Self::Auto,
            TokenStore::Keyring => Self::Keyring,
            TokenStore::File => Self::File,
        }
    }
}

pub(super) async fn run(command: Connect) -> Result<(), Failure> {
    if command.open_page {
        let opened = connect::open_page(&command.url);
        return opened.then_some(()).ok_or_else(|| Failure::Said("there is no browser".to_owned()));
    }
    let scope = command.scope.as_deref().map(Scopes::parse).transpose();
    let data = folders::user_data().ok_or_else(|| {
        Failure::Said("there is no place for the tokens: set HOME or XDG_DATA_HOME".to_owned())
    })?;
    let identity = Identity {
        metadata_url: command.client_metadata_url,
        client_id: command.client_id,
        client_secret: command.client_secret_file.as_deref().map(read_secret).transpose()?,
        issuer: command.issuer,
    };
    let options = Options {
        url: command.url,
        manner: Manner {
            identity,
            scope: scope.map_err(|error| Failure::Said(format!("--scope: {error}")))?,
            device: command.device,
            callback_port: command.callback_port,
            program: folders::program(),
        },
        store: command.token_store.into(),
        data,
        ca_file: command.ca_file,
    };
    let (clock, random) = (Arc::new(SystemClock), Random::system());
    let done = if command.sign_out {
        connect::sign_out(options, clock, random).await
    } else {
        let mut stop = Stop::listen()?;
        let stop = async {
            stop.asked().await;
        };
        connect::run(options, clock, random, stop).await
    };
    done.map_err(|error| Failure::Said(error.to_string()))
}

fn read_secret(path: &Path) -> Result<Secret, Failure> {
    let wrong = |why: &str| Failure::Said(format!("--client-secret-file: {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { Err(wrong("its first line is empty")) } else { Ok(Secret::new(line)) }
}
