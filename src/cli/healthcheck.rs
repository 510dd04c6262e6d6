//! `mandate healthcheck`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use reqwest::{Client, StatusCode, Url, redirect};

use super::Failure;
use crate::config::Config;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ask a server on this machine whether it is ready. Ends with 0 when it is.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mandate healthcheck\n  mandate healthcheck --url http://127.0.0.1:8080/live"
)]
pub(super) struct Healthcheck {
    /// What to ask, instead of `/ready` where this configuration listens.
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
}

pub(super) async fn run(command: Healthcheck, config: Config) -> Result<(), Failure> {
    let url = match command.url {
        Some(url) => url,
        None => own(config.listen)?,
    };
    let refused = |why: &dyn std::fmt::Display| Failure::Said(format!("{url} is not ready: {why}"));
    let answer = client()?.get(url.clone()).send().await.map_err(|error| refused(&source(&error)))?;
    match answer.status() {
        StatusCode::OK => Ok(()),
        status => Err(refused(&status)),
    }
}

/// Where a server that listens there answers on its own machine.
fn own(listen: SocketAddr) -> Result<Url, Failure> {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let text = format!("http://{}/ready", SocketAddr::new(ip, listen.port()));
    Url::parse(&text).map_err(|error| Failure::Said(format!("{text}: {error}")))
}

#[expect(
    clippy::disallowed_methods,
    reason = "it asks our own listener, which the guarded client would refuse"
)]
fn client() -> Result<Client, Failure> {
    Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|error| Failure::Said(format!("no request can be made: {error}")))
}

/// The cause at the bottom: what reqwest says itself repeats the URL.
fn source(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_this_machine() {
        for (listen, url) in [
            ("0.0.0.0:8080", "http://127.0.0.1:8080/ready"),
            ("[::]:80", "http://[::1]/ready"),
            ("10.1.2.3:8080", "http://10.1.2.3:8080/ready"),
        ] {
            assert_eq!(own(listen.parse().unwrap()).ok().unwrap().as_str(), url);
        }
    }
}
