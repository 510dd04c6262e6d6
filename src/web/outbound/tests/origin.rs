//! A TLS server that answers each request with bytes the test wrote, however wrong.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use url::Url;

/// What the server does after it has read a request.
pub(super) enum Reply {
    /// Send this and close.
    Bytes(Vec<u8>),
    /// Send this and keep the connection open, silent.
    Hang(Vec<u8>),
}

impl Reply {
    /// A well-formed answer of this status line's rest, header lines and body.
    pub(super) fn http(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n");
        Self::Bytes(format!("{head}{body}").into_bytes())
    }
}

type Script = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

pub(super) struct Origin {
    port: u16,
    scheme: &'static str,
    dir: TempDir,
    requests: Arc<Mutex<Vec<String>>>,
    _accepting: JoinSet<()>,
}

impl Origin {
    /// Serves `https://localhost:<port>` with a certificate of an authority of its own.
    pub(super) async fn tls(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let acceptor = acceptor(&dir.path().join("ca.pem"));
        Self::start("https", Some(acceptor), dir, Arc::new(script)).await
    }

    /// Serves `http://localhost:<port>`.
    pub(super) async fn plain(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        drop(acceptor(&dir.path().join("ca.pem")));
        Self::start("http", None, dir, Arc::new(script)).await
    }

    async fn start(
        scheme: &'static str,
        acceptor: Option<TlsAcceptor>,
        dir: TempDir,
        script: Script,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, acceptor, script, Arc::clone(&requests)));
        Self { port, scheme, dir, requests, _accepting: accepting }
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(super) fn authority(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub(super) fn url(&self, path: &str) -> Url {
        format!("{}://{}{path}", self.scheme, self.authority()).parse().unwrap()
    }

    /// The heads of the requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
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

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    script: Script,
    requests: Arc<Mutex<Vec<String>>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
        connections.spawn(serve(stream, acceptor, script, Arc::clone(&requests)));
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    script: Script,
    requests: Arc<Mutex<Vec<String>>>,
) {
    match acceptor {
        None => answer(stream, script, requests).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, script, requests).await;
            }
        }
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Script,
    requests: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let reply = script(&head);
    requests.lock().unwrap().push(head);
    // The client may have closed already, as it does on a body that is too long.
    match reply {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
            std::future::pending::<()>().await;
        }
    }
}
