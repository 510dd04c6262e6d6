//! The website of somebody else: a TLS server on loopback with a certificate authority of its own, whose answers
//! the test sets for each path.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use mandate::config::Config;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What stands at each path, as it goes over the wire, and the heads of the requests so far.
#[derive(Default)]
struct Site {
    answers: Mutex<BTreeMap<String, String>>,
    requests: Mutex<Vec<String>>,
    is_broken: AtomicBool,
}

/// A running website, `https://localhost:<port>`.
pub(crate) struct Origin {
    port: u16,
    folder: tempfile::TempDir,
    site: Arc<Site>,
    _accepting: JoinSet<()>,
}

impl Origin {
    /// Starts with nothing to give: 404 everywhere.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let acceptor = acceptor(&folder.path().join("ca.pem"), &[]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let site = Arc::<Site>::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, acceptor, site.clone()));
        Self { port, folder, site, _accepting: accepting }
    }

    /// Lets a server trust this site's certificate and reach it on loopback.
    pub(crate) fn trust(&self, config: &mut Config) {
        config.outbound.extra_ca_file = Some(self.folder.path().join("ca.pem"));
        config.outbound.allowed_hosts = vec![self.host()];
    }

    /// Lets a server trust and reach both of these sites.
    pub(crate) fn trust_both(&self, other: &Self, config: &mut Config) {
        let read = |site: &Self| std::fs::read_to_string(site.folder.path().join("ca.pem")).unwrap();
        let both = self.folder.path().join("both.pem");
        std::fs::write(&both, format!("{}{}", read(self), read(other))).unwrap();
        config.outbound.extra_ca_file = Some(both);
        config.outbound.allowed_hosts = vec![self.host(), other.host()];
    }

    /// Host and port.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The absolute URL of a path.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("https://{}{path}", self.host())
    }

    /// Sets what stands at `path`: the rest of the status line, header lines with their ends, and the body.
    pub(crate) fn answer(&self, path: &str, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}");
        let text = format!("{head}\r\n{body}");
        self.site.answers.lock().unwrap().insert(path.to_owned(), text);
    }

    /// A good metadata document for the client at `path`: a website of this origin that also runs on loopback.
    pub(crate) fn document(&self, path: &str) -> Value {
        json!({
            "client_id": self.at(path),
            "client_name": "Document client",
            "redirect_uris": [self.at("/cb"), "http://127.0.0.1/callback", "http://localhost/callback"],
        })
    }

    /// Publishes a document at `path`.
    pub(crate) fn publish(&self, path: &str, headers: &str, document: &Value) {
        self.answer(path, "200 OK", headers, &document.to_string());
    }

    /// Answers everything with 500 from now on.
    pub(crate) fn break_down(&self) {
        self.site.is_broken.store(true, Ordering::Relaxed);
    }

    /// Answers as before again.
    pub(crate) fn recover(&self) {
        self.site.is_broken.store(false, Ordering::Relaxed);
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.requests().iter().filter(|head| path_of(head) == path).count()
    }

    /// The heads of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.site.requests.lock().unwrap().clone()
    }
}

/// TLS for `localhost` that speaks these protocols, under an authority whose certificate is put there.
pub(crate) fn acceptor(ca_file: &std::path::Path, protocols: &[&str]) -> TlsAcceptor {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    std::fs::write(ca_file, ca.pem()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

fn path_of(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, site: Arc<Site>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, acceptor.clone(), site.clone()));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, site: Arc<Site>) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let empty = |status: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let answer = site.answers.lock().unwrap().get(path_of(&head)).cloned();
    let answer = if site.is_broken.load(Ordering::Relaxed) {
        empty("500 Internal Server Error")
    } else {
        answer.unwrap_or_else(|| empty("404 Not Found"))
    };
    site.requests.lock().unwrap().push(head);
    // The client may have closed already, as it does on a body that is too long.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
