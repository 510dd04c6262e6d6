//! A TLS host on this machine that serves the documents and key sets of clients and issuers, and counts who asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use mandate::config::Config;

#[derive(Default)]
struct Pages {
    bodies: BTreeMap<String, String>,
    broken: bool,
    asked: Vec<String>,
}

/// The host.
pub(crate) struct KeyHost {
    port: u16,
    folder: TempDir,
    pages: Arc<Mutex<Pages>>,
    _accepting: JoinSet<()>,
}

impl KeyHost {
    /// Begins to serve; nothing is there yet, so every path is 404.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let acceptor = acceptor(&folder.path().join("ca.pem"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let pages = Arc::<Mutex<Pages>>::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, acceptor, pages.clone()));
        Self { port, folder, pages, _accepting: accepting }
    }

    /// Lets a server trust and reach it.
    pub(crate) fn allow(&self, config: &mut Config) {
        config.outbound.extra_ca_file = Some(self.folder.path().join("ca.pem"));
        config.outbound.allowed_hosts = vec![format!("localhost:{}", self.port)];
    }

    /// Lets a server trust and reach both hosts.
    pub(crate) fn allow_both(&self, other: &Self, config: &mut Config) {
        let read = |host: &Self| std::fs::read_to_string(host.folder.path().join("ca.pem")).unwrap();
        let both = self.folder.path().join("both.pem");
        std::fs::write(&both, format!("{}{}", read(self), read(other))).unwrap();
        config.outbound.extra_ca_file = Some(both);
        config.outbound.allowed_hosts = [self, other].map(|host| format!("localhost:{}", host.port)).to_vec();
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Puts a document at a path.
    pub(crate) fn put(&self, path: &str, body: &Value) {
        self.pages.lock().unwrap().bodies.insert(path.to_owned(), body.to_string());
    }

    /// Answers everything with 500 from now on.
    pub(crate) fn break_down(&self) {
        self.pages.lock().unwrap().broken = true;
    }

    /// Answers as before again.
    pub(crate) fn recover(&self) {
        self.pages.lock().unwrap().broken = false;
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.pages.lock().unwrap().asked.iter().filter(|asked| *asked == path).count()
    }
}

fn acceptor(ca_file: &std::path::Path) -> TlsAcceptor {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    std::fs::write(ca_file, ca.pem()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, pages: Arc<Mutex<Pages>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, acceptor.clone(), pages.clone()));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, pages: Arc<Mutex<Pages>>) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let (status, body) = {
        let mut pages = pages.lock().unwrap();
        pages.asked.push(path.clone());
        match pages.bodies.get(&path) {
            _ if pages.broken => ("500 Internal Server Error", String::new()),
            Some(body) => ("200 OK", body.clone()),
            None => ("404 Not Found", String::new()),
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // The client may have closed already.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}
