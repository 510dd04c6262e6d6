//! A certificate and its key: read, and judged whether they can be used. What is wrong is told without a word of what the
//! files hold.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Semaphore;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{Error as TlsError, ServerConfig};

use super::certificate::Certificate;
use crate::clock::Timestamp;
use crate::config::{ConfigError, TlsFiles};

/// HTTP/2 in ALPN (RFC 9113 §3.2).
pub(super) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";
/// The largest file that is read, in bytes. A chain of four certificates has about 8000.
const LARGEST_FILE: u64 = 1024 * 1024;
/// How long reading both files may take.
const READ_WITHIN: Duration = Duration::from_secs(10);
const CERTIFICATE_FILE: &str = "tls.certificate_file";
const KEY_FILE: &str = "tls.key_file";

/// What the files hold.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Tells contents apart without keeping them. The default is of none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<u8>);

impl Contents {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let both = [&self.certificate, &self.key];
        Fingerprint(both.map(|contents| digest(&SHA256, contents).as_ref().to_vec()).concat())
    }
}

/// Reads the files, one look at a time: a file system that hangs holds one thread, however often it is looked.
pub(super) struct Reader {
    pub(super) free: Arc<Semaphore>,
    /// How long a look may take.
    pub(super) within: Duration,
}

impl Default for Reader {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(1)), within: READ_WITHIN }
    }
}

impl Reader {
    /// Reads both files.
    pub(super) async fn read(&self, files: &TlsFiles) -> Result<Contents, ConfigError> {
        let (free, wanted) = (self.free.clone(), files.clone());
        let reading = async {
            let turn = free.acquire_owned().await;
            let read = tokio::task::spawn_blocking(move || {
                let read = read(&wanted);
                drop(turn);
                read
            });
            read.await
        };
        match tokio::time::timeout(self.within, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => Err(ConfigError::new(CERTIFICATE_FILE, format!("it cannot be read: {error}"))),
            Err(_) => {
                let (certificate, key) = (files.certificate.display(), files.key.display());
                let problem = format!(
                    "{certificate} and {key} are not read within {:?}; see whether their file system answers",
                    self.within
                );
                Err(ConfigError::new(CERTIFICATE_FILE, problem))
            }
        }
    }
}

fn read(files: &TlsFiles) -> Result<Contents, ConfigError> {
    Ok(Contents {
        certificate: read_file(CERTIFICATE_FILE, &files.certificate)?,
        key: read_file(KEY_FILE, &files.key)?,
    })
}

fn read_file(key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let named = path.display();
    let failed = |error: std::io::Error| {
        let problem = format!("{named}: {error}; write the path of a file that this server's user may read");
        ConfigError::new(key, problem)
    };
    // Whoever opens a pipe waits for somebody to write.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(ConfigError::new(key, format!("{named} is no regular file; name a PEM file")));
    }
    let mut contents = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut contents).map_err(failed)?;
    if contents.len() as u64 > LARGEST_FILE {
        return Err(ConfigError::new(key, format!("{named} is larger than 1 MiB; name a PEM file")));
    }
    Ok(contents)
}

/// A pair that belongs together.
pub(super) struct Pair {
    /// How connections are made with it. Each pair has its own: no session that was begun with another is resumed.
    pub(super) config: Arc<ServerConfig>,
    /// The server's own certificate.
    pub(super) certificate: Certificate,
    chain: Vec<CertificateDer<'static>>,
}

impl Pair {
    /// Judges what the files hold.
    pub(super) fn new(files: &TlsFiles, contents: &Contents) -> Result<Self, ConfigError> {
        let chain = chain(&files.certificate, &contents.certificate)?;
        let key = private_key(&files.key, &contents.key)?;
        let provider = Arc::new(default_provider());
        let certified = CertifiedKey::from_der(chain.clone(), key, &provider).map_err(|error| match error {
            TlsError::InconsistentKeys(_) => ConfigError::new(
                KEY_FILE,
                format!(
                    "{} is not the key of the first certificate in {}; name files that were issued together, and put the \
                     server's own certificate first",
                    files.key.display(),
                    files.certificate.display()
                ),
            ),
            TlsError::InvalidCertificate(_) => unreadable(&files.certificate),
            _ => ConfigError::new(
                KEY_FILE,
                format!(
                    "{} holds no key that TLS can use; make one on P-256 or P-384, an Ed25519 key, or an RSA key of 2048 \
                     bits or more",
                    files.key.display()
                ),
            ),
        })?;
        let own = chain.first().and_then(|own| Certificate::read(own));
        let certificate = own.ok_or_else(|| unreadable(&files.certificate))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new(CERTIFICATE_FILE, format!("TLS cannot be spoken: {error}")))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        Ok(Self { config: Arc::new(config), certificate, chain })
    }

    /// Judges whether it may take the place of a pair in use: it must be valid at this moment.
    pub(super) fn valid(self, files: &TlsFiles, now: Timestamp) -> Result<Self, ConfigError> {
        let Certificate { not_before, not_after, .. } = &self.certificate;
        let named = files.certificate.display();
        let problem = if *not_after <= now {
            format!("the certificate in {named} has expired at {}; renew it", not_after.rfc3339())
        } else if *not_before > now {
            let begins = not_before.rfc3339();
            format!(
                "the certificate in {named} is not valid before {begins}; it is taken then, if the clock is right"
            )
        } else {
            return Ok(self);
        };
        Err(ConfigError::new(CERTIFICATE_FILE, problem))
    }

    /// The server's own certificate, in DER.
    pub(super) fn own(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }

    /// Whether its certificates are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

fn unreadable(path: &Path) -> ConfigError {
    let problem =
        format!("the first certificate in {} is none that TLS can use; have it issued anew", path.display());
    ConfigError::new(CERTIFICATE_FILE, problem)
}

fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let cure = "write the server's certificate in PEM (-----BEGIN CERTIFICATE-----) and below it those that lead to a root";
    let wrong = |what: &str| ConfigError::new(CERTIFICATE_FILE, format!("{} {what}; {cure}", path.display()));
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if chain.is_empty() => Err(wrong("holds no certificate")),
        Ok(chain) => Ok(chain),
        Err(_) => Err(wrong("is no whole PEM file")),
    }
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, ConfigError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let what = match error {
            PemError::NoItemsFound if pem.windows(9).any(|word| word == b"ENCRYPTED") => {
                "holds an encrypted key"
            }
            PemError::NoItemsFound => "holds no private key",
            _ => "is no whole PEM file",
        };
        let cure = "write the key in PEM and not encrypted, as `openssl pkey -in FILE` does";
        ConfigError::new(KEY_FILE, format!("{} {what}; {cure}", path.display()))
    })
}
