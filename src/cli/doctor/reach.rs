//! Who may be asked, and on which way.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, redirect};
use url::Url;

use super::probe::Trouble;
use crate::cli::Failure;
use crate::connect::{ThisMachine, is_loopback};

/// How far requests go from a home.
#[derive(Debug)]
pub(super) struct Reach {
    /// The origins that were named by whoever asks.
    home: BTreeSet<String>,
    is_local: bool,
    near: Client,
    far: Client,
}

impl Reach {
    /// From the server at `home`, trusting the certificates in `ca_file` besides the system's.
    pub(super) fn new(home: &Url, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let roots = ca_file.map(read_ca_file).transpose()?.unwrap_or_default();
        Ok(Self {
            home: origins_of(home),
            is_local: is_loopback(home),
            near: built(builder().no_proxy().dns_resolver(ThisMachine), &roots)?,
            far: built(builder(), &roots)?,
        })
    }

    /// The origins that need no word before they are asked.
    pub(super) fn home(&self) -> BTreeSet<String> {
        self.home.clone()
    }

    /// Who asks this URL, if it may be asked.
    pub(super) fn client(&self, url: &Url) -> Result<&Client, Trouble> {
        if !is_loopback(url) {
            return Ok(&self.far);
        }
        if self.is_local { Ok(&self.near) } else { Err(Trouble::Local) }
    }
}

/// The origin of the URL, and the same host without TLS.
fn origins_of(home: &Url) -> BTreeSet<String> {
    let mut plain = home.clone();
    // Only what is no URL of a host refuses.
    let _ = plain.set_scheme("http");
    [home, &plain].map(|url| url.origin().ascii_serialization()).into()
}

#[expect(clippy::disallowed_methods, reason = "the operator's own program asks what the operator names")]
fn builder() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .tls_info(true)
        .user_agent(concat!("mandate-doctor/", env!("CARGO_PKG_VERSION")))
}

fn built(builder: ClientBuilder, roots: &[Certificate]) -> Result<Client, Failure> {
    let built = builder.tls_certs_merge(roots.to_vec()).build();
    built.map_err(|error| Failure::Said(format!("no request can be made: {error}")))
}

fn read_ca_file(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let wrong = |why: &str| Failure::Said(format!("--ca-file: {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(&error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(wrong("there is no PEM certificate in it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_of_this_machine_are_not_looked_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let home = Url::parse(&format!("http://no-such-name.localhost:{port}/mcp")).unwrap();
        let reach = Reach::new(&home, None).unwrap();
        let (asked, heard) = tokio::join!(
            reach.client(&home).unwrap().get(home.clone()).timeout(Duration::from_secs(10)).send(),
            async {
                // Nobody answers, but somebody came.
                tokio::time::timeout(Duration::from_secs(10), listener.accept()).await.map(drop)
            },
        );
        assert!(heard.is_ok(), "nobody came: {asked:?}");
    }
}
