//! `mandate healthcheck`.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use reqwest::{Client, ClientBuilder, StatusCode, Url, redirect};

use super::Failure;
use super::output::say;
use crate::config::{Config, Listen, TlsFiles};
use crate::server::tls::own;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ask a server on this machine whether it is ready. Says `ready` and ends with 0 when it is.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mandate healthcheck\n  mandate healthcheck --url http://127.0.0.1:8080/live"
)]
pub(super) struct Healthcheck {
    /// What to ask, instead of `/ready` wherever this configuration listens.
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
}

pub(super) async fn run(command: Healthcheck, config: Config) -> Result<(), Failure> {
    if let Some(url) = command.url {
        ask(client(), &url, &url).await?;
    } else {
        ask_all(&config).await?;
    }
    say("ready");
    Ok(())
}

async fn ask_all(config: &Config) -> Result<(), Failure> {
    for listen in &config.listen {
        match listen {
            Listen::Tcp(address) => {
                let address = here(*address);
                let url = ready(config.tls.as_ref().map_or("http", |_| "https"), &address)?;
                let client = match &config.tls {
                    Some(files) => over_tls(files, address.ip()).await?,
                    None => client(),
                };
                ask(client, &url, &url).await?;
            }
            // The name stands for nothing: whoever answers is whoever the file leads to.
            Listen::Unix(path) => {
                ask(client().unix_socket(path.as_path()), &ready("http", &"localhost")?, listen).await?;
            }
        }
    }
    Ok(())
}

async fn ask(client: ClientBuilder, url: &Url, named: &dyn Display) -> Result<(), Failure> {
    let client = built(client)?;
    let refused = |why: &dyn Display| Failure::Said(format!("{named} is not ready: {why}"));
    let answer = client.get(url.clone()).send().await.map_err(|error| refused(&source(&error)))?;
    match answer.status() {
        StatusCode::OK => Ok(()),
        status => Err(refused(&status)),
    }
}

/// The address at which a server that listens there answers on its own machine.
fn here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

fn ready(scheme: &str, host: &dyn Display) -> Result<Url, Failure> {
    let text = format!("{scheme}://{host}/ready");
    Url::parse(&text).map_err(|error| Failure::Said(format!("{text}: {error}")))
}

/// The certificate is for the public URL and not for this address, so its name says nothing here. On loopback nobody else
/// can answer, and the file may have changed a moment ago; elsewhere it must be the certificate of the configuration.
async fn over_tls(files: &TlsFiles, ip: IpAddr) -> Result<ClientBuilder, Failure> {
    if ip.is_loopback() {
        return Ok(client().tls_danger_accept_invalid_certs(true));
    }
    Ok(client().tls_backend_preconfigured(own::client(files).await?))
}

#[expect(
    clippy::disallowed_methods,
    reason = "it asks our own listener, which the guarded client would refuse"
)]
fn client() -> ClientBuilder {
    Client::builder().timeout(PATIENCE).no_proxy().redirect(redirect::Policy::none())
}

fn built(client: ClientBuilder) -> Result<Client, Failure> {
    client.build().map_err(|error| Failure::Said(format!("no request can be made: {error}")))
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
            assert_eq!(ready("http", &here(listen.parse().unwrap())).ok().unwrap().as_str(), url);
        }
    }
}
