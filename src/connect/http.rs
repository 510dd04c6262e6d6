//! The HTTP client of the bridge, a program on somebody's own machine: it must reach localhost and the intranet, so
//! the guards of the server's client would be wrong here. Its own are: TLS everywhere but on this very machine, no
//! redirect followed, and a limit on everything that is read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder, Response, redirect};
use serde_json::{Map, Value};
use url::{Host, Url};

use super::ConnectError;

/// The longest answer to a question of sign-in, in bytes: metadata, registrations, tokens.
const DOCUMENT_LIMIT: usize = 256 * 1024;
/// How long such an answer may take.
const DOCUMENT_TIME: Duration = Duration::from_secs(30);

/// The two clients, and how far they may reach.
#[derive(Debug)]
pub(super) struct Http {
    near: Client,
    far: Client,
    near_anew: Client,
    far_anew: Client,
    is_local: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// A URL that must not be asked.
    #[error("{0} is not asked: it is neither https nor on this machine")]
    Insecure(String),
    /// Somebody far away sends us to this machine.
    #[error("{0} is not asked: a server elsewhere has no business on this machine")]
    Local(String),
    /// A URL that would send a name and a password along.
    #[error("{0} is not asked: its URL has a user name or a password in it; leave them out")]
    Credentials(String),
    /// Whoever is there cannot prove to be the server.
    #[error("the server's certificate is not trusted ({0}){hint}", hint = hint(.0))]
    Untrusted(String),
    /// Nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// It broke off on the way.
    #[error("{0}")]
    Broken(String),
    /// More than the limit.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// An authority that is not known can be named; what else is wrong with a certificate no authority cures.
fn hint(why: &str) -> &'static str {
    if why.contains("UnknownIssuer") { "; if it should be, name its authority with --ca-file" } else { "" }
}

/// What an endpoint said: its status and, if there is one, its JSON object.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) object: Option<Map<String, Value>>,
}

impl Http {
    /// Prepares the clients for the server at `home`.
    pub(super) fn new(home: &Url, ca_file: Option<&Path>) -> Result<Self, ConnectError> {
        let roots = match ca_file {
            Some(path) => read_ca_file(path)?,
            None => Vec::new(),
        };
        let built = |builder: ClientBuilder| {
            builder
                .tls_certs_merge(roots.clone())
                .build()
                .map_err(|error| ConnectError::Setup(format!("no HTTP client can be made: {error}")))
        };
        Ok(Self {
            near: built(near())?,
            far: built(builder().https_only(true))?,
            near_anew: built(near().pool_max_idle_per_host(0))?,
            far_anew: built(builder().https_only(true).pool_max_idle_per_host(0))?,
            is_local: is_loopback(home),
        })
    }

    /// A request to this URL, if it may be asked.
    pub(super) fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, HttpError> {
        self.check(url)?;
        let client = if is_loopback(url) { &self.near } else { &self.far };
        Ok(client.request(method, url.clone()))
    }

    /// The same on a connection of its own: one that lay idle may be dead, and what is sent on it is then neither
    /// known to be done nor known not to be.
    pub(super) fn request_anew(&self, method: Method, url: &Url) -> Result<RequestBuilder, HttpError> {
        self.check(url)?;
        let client = if is_loopback(url) { &self.near_anew } else { &self.far_anew };
        Ok(client.request(method, url.clone()))
    }

    /// Whether this URL may be asked, or shown to a browser: TLS (OAuth 2.1 §1.5), or a loopback host when the
    /// server itself is on one. None that brings a second kind of authorization along.
    pub(super) fn check(&self, url: &Url) -> Result<(), HttpError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(HttpError::Credentials(shown(url)));
        }
        if is_loopback(url) && !self.is_local {
            return Err(HttpError::Local(shown(url)));
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if is_loopback(url) => Ok(()),
            _ => Err(HttpError::Insecure(shown(url))),
        }
    }

    /// Fetches a document.
    pub(super) async fn get(&self, url: &Url) -> Result<Answer, HttpError> {
        let request = self.request(Method::GET, url)?;
        // Servers of 2025-03-26 choose by it.
        read(request.header("mcp-protocol-version", super::NEWEST_LEGACY)).await
    }

    /// Sends a form.
    pub(super) async fn post_form(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        basic: Option<(String, String)>,
    ) -> Result<Answer, HttpError> {
        let mut request = self.request(Method::POST, url)?.form(form);
        if let Some((user, password)) = basic {
            request = request.basic_auth(user, Some(password));
        }
        read(request).await
    }

    /// Sends a JSON object.
    pub(super) async fn post_json(&self, url: &Url, object: &Value) -> Result<Answer, HttpError> {
        read(self.request(Method::POST, url)?.json(object)).await
    }
}

#[expect(clippy::disallowed_methods, reason = "the bridge is a client program with guards of its own")]
fn builder() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .pool_idle_timeout(Duration::from_secs(30))
        // A stream has no end of its own: a peer that is gone must be noticed.
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("mandate-connect/", env!("CARGO_PKG_VERSION")))
}

/// For this machine alone, whatever a name server says of `localhost` and what is below it (RFC 6761 §6.3).
fn near() -> ClientBuilder {
    builder().no_proxy().dns_resolver(ThisMachine)
}

/// Knows every name as this machine's.
pub(crate) struct ThisMachine;

impl Resolve for ThisMachine {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let found: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
        Box::pin(std::future::ready(Ok(found)))
    }
}

fn read_ca_file(path: &Path) -> Result<Vec<Certificate>, ConnectError> {
    let wrong = |why: String| ConnectError::Setup(format!("--ca-file: {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(wrong("there is no PEM certificate in it".to_owned())),
    }
}

async fn read(request: RequestBuilder) -> Result<Answer, HttpError> {
    let request = request.header(header::ACCEPT, "application/json").timeout(DOCUMENT_TIME);
    let response = request.send().await.map_err(|error| HttpError::of(&error))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_body(response, DOCUMENT_LIMIT).await?;
    let object = serde_json::from_slice(&body).ok();
    Ok(Answer { status, headers, object })
}

/// Counts what arrives and stops at the limit; `Content-Length` is not asked.
pub(crate) async fn read_body(mut response: Response, limit: usize) -> Result<Bytes, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| HttpError::of(&error))? {
        if body.len().saturating_add(chunk.len()) > limit {
            return Err(HttpError::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

impl HttpError {
    /// What became of a request, without its URL: a query may hold what nobody else should see.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        let mut text = String::new();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            text = inner.to_string();
            cause = inner.source();
        }
        if error.is_timeout() {
            "it took too long".clone_into(&mut text);
        }
        match error.is_connect() {
            // To wait would not help.
            true if text.contains("certificate") => Self::Untrusted(text),
            true => Self::Unreachable(text),
            false => Self::Broken(text),
        }
    }
}

/// Whether a URL names this very machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_name_of_this_machine(name),
        Some(Host::Ipv4(address)) => is_this_machine(address.into()),
        Some(Host::Ipv6(address)) => is_this_machine(address.into()),
        None => false,
    }
}

/// Whether a name is this machine's by right (RFC 6761 §6.3), also when it is written with the root's dot.
pub(crate) fn is_name_of_this_machine(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether whoever connects to this address reaches this machine: by loopback, or by the address of none, which systems
/// take for it. IPv4 may be written as IPv6 (RFC 4291 §2.5.5.2).
pub(crate) fn is_this_machine(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

/// A URL as it may be shown: without its query, and without a name and a password.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Where there is no place for them there are none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// The wait that an answer asks for, in whole seconds (RFC 9110 §10.2.3); dates are not understood.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn only_tls_or_this_machine_is_asked_and_this_machine_only_for_a_local_server() {
        let far = Http::new(&url("https://tickets.example/mcp"), None).unwrap();
        let near = Http::new(&url("http://localhost:8080/mcp"), None).unwrap();
        for (target, from_far, from_near) in [
            ("https://as.example/token", true, true),
            ("http://as.example/token", false, false),
            ("http://127.0.0.1:9/token", false, true),
            ("https://user@as.example/token", false, false),
            ("https://user:pass@as.example/token", false, false),
            ("https://localhost/token", false, true),
            ("http://[::1]:9/token", false, true),
            ("https://localhost./token", false, true),
            ("https://a.localhost./token", false, true),
            ("https://0.0.0.0/token", false, true),
            ("https://[::]/token", false, true),
            ("https://[::ffff:127.0.0.1]/token", false, true),
            ("https://[::ffff:0.0.0.0]/token", false, true),
            ("https://localhost.example/token", true, true),
            ("file:///etc/passwd", false, false),
            ("javascript:alert(1)", false, false),
        ] {
            assert_eq!(far.check(&url(target)).is_ok(), from_far, "{target}");
            assert_eq!(near.check(&url(target)).is_ok(), from_near, "{target}");
        }
    }

    #[tokio::test]
    async fn names_of_this_machine_are_not_looked_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let home = url(&format!("http://no-such-name.localhost:{port}/mcp"));
        let http = Http::new(&home, None).unwrap();
        let (asked, heard) = tokio::join!(
            async {
                let request = http.request(Method::GET, &home).unwrap();
                request.timeout(Duration::from_secs(10)).send().await
            },
            async { tokio::time::timeout(Duration::from_secs(10), listener.accept()).await.map(drop) },
        );
        assert!(heard.is_ok(), "nobody came: {asked:?}");
    }

    #[test]
    fn an_error_says_what_happened_and_never_the_query() {
        assert_eq!(shown(&url("https://u:p@a.example/x?code=secret#y")), "https://a.example/x");
    }
}
