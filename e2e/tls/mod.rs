//! TLS that ends in the server: what is spoken, how certificates are replaced, and what the binary says.

mod binary;
mod renewal;
mod spoken;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mandate::app::App;
use mandate::clock::{Clock as _, Timestamp};
use mandate::config::{PublicUrl, TlsFiles};
use mandate::server::Listeners;
use mandate::server::tls::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SerialNumber, date_time_ymd,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::browser::Address;
use crate::support::{START, Server};

/// An authority that issues certificates for `localhost`, and the files where the last one lies.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), issuer }
    }

    /// A certificate of this number that ends in this year, and its key, both in PEM.
    pub(crate) fn issue(&self, serial: u8, year: i32) -> (String, String) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(vec![serial]));
        params.not_after = date_time_ymd(year, 1, 2);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Issues such a pair and puts it into the files.
    pub(crate) fn renew(&self, serial: u8, year: i32) {
        let (certificate, key) = self.issue(serial, year);
        let files = self.files();
        replace(&files.certificate, &certificate);
        replace(&files.key, &key);
    }

    pub(crate) fn files(&self) -> TlsFiles {
        let at = |name: &str| self.folder.path().join(name);
        TlsFiles { certificate: at("tls.crt"), key: at("tls.key") }
    }

    /// How a client that trusts this authority connects.
    pub(crate) fn trusted(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
    }

    /// A client of HTTP that trusts this authority alone.
    #[expect(clippy::disallowed_methods, reason = "this is the client")]
    pub(crate) fn client(&self) -> reqwest::ClientBuilder {
        let root = reqwest::Certificate::from_der(self.issuer.der()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([root]);
        builder.no_proxy().redirect(reqwest::redirect::Policy::none())
    }
}

/// Puts a file into place at once, as those who renew certificates do.
pub(crate) fn replace(path: &Path, text: &str) {
    let beside = PathBuf::from(format!("{}.new", path.display()));
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

/// A connection with these rules.
pub(crate) async fn connect(port: u16, rules: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    TlsConnector::from(Arc::new(rules)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// The certificate that the other end has shown.
pub(crate) fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// A server that speaks TLS with the authority's files.
struct Secure {
    server: Server,
    authority: Authority,
    tls: Arc<Tls>,
}

impl Secure {
    /// Starts with certificate 1.
    async fn start() -> Self {
        let authority = Authority::new();
        authority.renew(1, 2090);
        let tls = Tls::open(authority.files(), START).await.unwrap();
        let server = Server::start_listening(
            |config| {
                let port = config.listen.ports().next().unwrap();
                config.public_url = PublicUrl::parse(&format!("https://localhost:{port}")).unwrap();
            },
            |_: &mut App| {},
            async |listener, _| Listeners::tls(listener, tls.clone()),
        )
        .await;
        Self { server, authority, tls }
    }

    fn port(&self) -> u16 {
        self.server.address.port()
    }

    fn now(&self) -> Timestamp {
        self.server.clock.now()
    }
}

impl Address for Secure {
    fn at(&self, path: &str) -> String {
        self.server.at(path)
    }

    fn http(&self) -> reqwest::Client {
        self.authority.client().build().unwrap()
    }
}
