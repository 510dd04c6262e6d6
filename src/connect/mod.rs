//! `mandate connect`: the bridge for MCP clients that only speak stdio. It is a client of any conforming MCP server, and
//! shares nothing with the server in this binary but the vocabulary of OAuth, the clock and the randomness.
//!
//! What lives where, in the order of a message's way:
//! - `stdio`, `message`: lines in and out, and what the bridge must understand of them;
//! - `bridge`, `streams`: requests under way, and what has no end of its own;
//! - `exchange`, `delivery`, `receive`, `sse`, `session`, `mcp_headers`, `tools`: streamable HTTP of either era;
//! - `login`, `turn`, `grant`, `respite`: which token to use, and what to do when there is none that would do;
//! - `challenge`, `discovery`, `client`, `dance`, `callback`, `device`, `token_endpoint`, `exchanges`: how a sign-in is done;
//! - `record`, `store`: what is kept of it;
//! - `http`, `patience`: how servers are asked, and how long they may be away.

mod bridge;
mod callback;
mod challenge;
mod client;
mod dance;
mod delivery;
mod device;
mod discovery;
mod exchange;
mod exchanges;
mod grant;
mod http;
mod login;
mod mcp_headers;
mod message;
mod patience;
mod receive;
mod record;
mod respite;
mod session;
mod sse;
mod stdio;
mod store;
mod streams;
mod token_endpoint;
mod tools;
mod turn;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

// What another client in this binary need not write a second time.
pub(crate) use challenge::Challenge;
pub use client::Identity;
pub use dance::open_page;
pub(crate) use discovery::{at, canonical, resource_places, server_places};
pub(crate) use http::{
    HttpError, ThisMachine, is_loopback, is_name_of_this_machine, is_this_machine, read_body, shown,
};
pub use login::Manner;
pub use record::Secret;
pub(crate) use sse::Parser;
pub use store::Wanted;

use bridge::Bridge;
use http::Http;
use login::{Login, LoginError};
use stdio::tell;

use crate::clock::Clock;
use crate::random::Random;

/// The newest revision with sessions.
const NEWEST_LEGACY: &str = "2025-11-25";
/// How long the last messages to the client may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What to connect to, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The MCP endpoint.
    pub url: Url,
    /// How to sign in.
    pub manner: Manner,
    /// Where to keep the tokens.
    pub store: Wanted,
    /// The folder for data of this user's programs.
    pub data: PathBuf,
    /// Further certificates to trust, as a PEM file.
    pub ca_file: Option<PathBuf>,
}

/// Why there is no bridge: one sentence with the cure.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An option does not work.
    #[error("{0}")]
    Setup(String),
}

impl From<LoginError> for ConnectError {
    fn from(error: LoginError) -> Self {
        Self::Setup(error.to_string())
    }
}

async fn open(
    options: Options,
    clock: Arc<dyn Clock>,
    random: Arc<Random>,
) -> Result<(Arc<Http>, Arc<Login>), ConnectError> {
    if !matches!(options.url.scheme(), "https" | "http") {
        let said = format!("{}: write a URL like https://tickets.example.com/mcp", shown(&options.url));
        return Err(ConnectError::Setup(said));
    }
    let http = Arc::new(Http::new(&options.url, options.ca_file.as_deref())?);
    http.check(&options.url).map_err(|error| ConnectError::Setup(error.to_string()))?;
    let place = (options.data.as_path(), options.store);
    let login = Login::open(http.clone(), options.url, options.manner, place, (clock, random)).await?;
    Ok((http, Arc::new(login)))
}

/// Runs the bridge until standard input is closed, the client is gone, or `stop` is done.
///
/// # Errors
/// Says what is wrong with the options or the place for the tokens. What goes wrong later is told to the client.
pub async fn run(
    options: Options,
    clock: Arc<dyn Clock>,
    random: Random,
    stop: impl Future<Output = ()>,
) -> Result<(), ConnectError> {
    let (url, random) = (options.url.clone(), Arc::new(random));
    let mut stop = std::pin::pin!(stop);
    // A keyring may ask its owner first.
    let (http, login) = tokio::select! {
        opened = open(options, clock, random.clone()) => opened?,
        () = &mut stop => return Ok(()),
    };
    let (output, written) = stdio::output();
    let mut lines = stdio::lines();
    let bridge = Bridge::new(http, url, login, output.clone(), random);
    let reading = async {
        while let Some(line) = lines.recv().await {
            bridge.take(line).await;
        }
        bridge.finish().await;
    };
    tokio::select! {
        () = reading => {}
        () = output.closed() => {}
        () = &mut stop => {}
    }
    bridge.end().await;
    drop((bridge, output));
    let _ = tokio::time::timeout(LAST_WORDS, written).await;
    Ok(())
}

/// Gives the tokens of an endpoint back to who issued them and forgets them.
///
/// # Errors
/// Says why they cannot be reached or forgotten.
pub async fn sign_out(options: Options, clock: Arc<dyn Clock>, random: Random) -> Result<(), ConnectError> {
    let url = http::shown(&options.url);
    let (_, login) = open(options, clock, Arc::new(random)).await?;
    let place = login.describe_store();
    if login.sign_out().await? {
        tell(&format!("Signed out of {url}. Its tokens are gone from {place}."));
    } else {
        tell(&format!("There are no tokens of {url} in {place}."));
    }
    Ok(())
}
