//! Who may be asked, and on which way. What a server's metadata names is asked by https alone, and never on this machine
//! unless that server is here itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, ClientBuilder, redirect};
use url::Url;

use super::probe::Trouble;
use crate::cli::Failure;
use crate::connect::{ThisMachine, is_loopback, is_name_of_this_machine, is_this_machine};

/// How far requests go from a home.
#[derive(Debug)]
pub(super) struct Reach {
    /// The origins that were named by whoever asks.
    home: BTreeSet<String>,
    is_local: bool,
    near: Client,
    own: Client,
    foreign: Client,
}

impl Reach {
    /// From the server at `home`, trusting the certificates in `ca_file` besides the system's.
    pub(super) fn new(home: &Url, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let roots = ca_file.map(read_ca_file).transpose()?.unwrap_or_default();
        Ok(Self {
            home: origins_of(home),
            is_local: is_loopback(home),
            near: built(builder().no_proxy().dns_resolver(ThisMachine), &roots)?,
            own: built(builder(), &roots)?,
            foreign: built(builder().dns_resolver(NotHere), &roots)?,
        })
    }

    /// The origins that need no word before they are asked.
    pub(super) fn home(&self) -> BTreeSet<String> {
        self.home.clone()
    }

    /// Who asks this URL, if it may be asked.
    pub(super) fn client(&self, url: &Url) -> Result<&Client, Trouble> {
        match (self.is_local, is_loopback(url)) {
            (true, true) => Ok(&self.near),
            (false, true) => Err(Trouble::Local),
            (true, false) => Ok(&self.own),
            (false, false) if self.home.contains(&url.origin().ascii_serialization()) => Ok(&self.own),
            (false, false) if url.scheme() == "https" => Ok(&self.foreign),
            (false, false) => Err(Trouble::Insecure),
        }
    }
}

/// Looks names up, and knows none that leads to this machine.
struct NotHere;

impl Resolve for NotHere {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let found: Addrs = Box::new(elsewhere(name.as_str(), found)?.into_iter());
            Ok(found)
        })
    }
}

/// One address of this machine among others is enough to refuse. A server that has its very name is refused before it
/// is looked up, so whoever has it here is a proxy that the person named.
fn elsewhere(name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Trouble> {
    let leads_here = found.iter().any(|address| is_this_machine(address.ip()));
    if leads_here && !is_name_of_this_machine(name) { Err(Trouble::Local) } else { Ok(found) }
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

    #[test]
    fn what_a_server_names_is_asked_by_https_and_on_this_machine_only_when_it_is_here() {
        let of = |home: &str| Reach::new(&Url::parse(home).unwrap(), None).unwrap();
        let (far, plain, near) =
            (of("https://t.example/mcp"), of("http://t.example/mcp"), of("http://localhost:8080/mcp"));
        for (target, from_far, from_plain, from_near) in [
            ("https://t.example/token", true, true, true),
            // Where clients are to be sent to https, it is seen whether they are.
            ("http://t.example/mcp", true, true, true),
            ("http://t.example:81/token", false, false, true),
            ("https://as.example/token", true, true, true),
            ("http://as.example/token", false, false, true),
            ("http://10.0.0.7/token", false, false, true),
            ("https://localhost/token", false, false, true),
            ("https://localhost./token", false, false, true),
            ("https://0.0.0.0/token", false, false, true),
            ("https://[::ffff:127.0.0.1]/token", false, false, true),
        ] {
            let target = Url::parse(target).unwrap();
            let asked = [&far, &plain, &near].map(|reach| reach.client(&target).is_ok());
            assert_eq!(asked, [from_far, from_plain, from_near], "{target}");
        }
    }

    #[test]
    fn a_name_that_leads_to_this_machine_is_refused() {
        for (name, addresses, expected) in [
            ("as.example", &["192.0.2.1:0", "[2001:db8::1]:0"][..], true),
            ("as.example", &["192.0.2.1:0", "127.0.0.1:0"], false),
            ("as.example", &["0.0.0.0:0"], false),
            ("as.example", &["[::1]:0"], false),
            ("as.example", &["[::ffff:127.8.8.8]:0"], false),
            ("localhost", &["127.0.0.1:0"], true),
        ] {
            let found = addresses.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(elsewhere(name, found).is_ok(), expected, "{name} {addresses:?}");
        }
    }

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
