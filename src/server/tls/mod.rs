//! TLS that ends here (RFC 8446, and RFC 5246 for TLS 1.2), for who runs the server without a proxy in front.
//!
//! The certificate and its key are files that others replace while the server runs: they are read again when they change,
//! and a pair that cannot be used never takes the place of one that can. What a pair is good for is in `pair.rs`, when it
//! is looked at in `watch.rs`.
//!
//! How many handshakes are under way at once has no limit of its own. What one makes us compute is computed in one go, so
//! there are never more at work than there are threads; what it keeps until the client goes on is less than what a
//! connection keeps that speaks. Places for handshakes would be held by whoever begins and says no more, and keep
//! everybody else out. The limits of connections, in all and from one address, and the time for a handshake do not.

pub(crate) mod certificate;
pub mod own;
mod pair;
mod plain;
mod watch;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::clock::Timestamp;
use crate::config::{ConfigError, TlsFiles};
use certificate::Certificate;
use pair::{Fingerprint, Pair, Reader};
pub use watch::watch;

/// With what a TLS connection begins: a record of a handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// Which HTTP is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Whichever the client begins with.
    Any,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, as agreed upon by ALPN (RFC 9113 §3.2).
    Http2,
}

/// The certificate in use, and how connections get it.
pub struct Tls {
    files: TlsFiles,
    reader: Reader,
    current: RwLock<Current>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.files.certificate.display())
    }
}

struct Current {
    pair: Pair,
    /// Of the files as they were when they were last judged, for better or worse.
    judged: Fingerprint,
    /// When they are judged again though they are the same: their certificate is valid from then on.
    again: Option<Timestamp>,
}

/// Why the files are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// If they have changed.
    Changed,
    /// Because somebody asked for it.
    Asked,
}

/// What came of another look at the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// They are as they were.
    Same,
    /// The new pair is in use.
    Taken,
    /// The new pair cannot be used, and the old one stays.
    Kept,
}

impl Tls {
    /// Reads the files. A certificate that has expired, or is not valid yet, is used and warned of: a server that does not
    /// start helps nobody to renew it.
    pub async fn open(files: TlsFiles, now: Timestamp) -> Result<Arc<Self>, ConfigError> {
        let reader = Reader::default();
        let contents = reader.read(&files).await?;
        let (pair, judged) = (Pair::new(&files, &contents)?, contents.fingerprint());
        let Certificate { serial, not_before, not_after } = &pair.certificate;
        let ends = not_after.rfc3339();
        if *not_after <= now {
            tracing::warn!(serial, ends, "the TLS certificate has expired: clients refuse it; renew it");
        } else if *not_before > now {
            let begins = not_before.rfc3339();
            tracing::warn!(
                serial,
                begins,
                "the TLS certificate is not valid yet: clients refuse it until it is"
            );
        } else {
            tracing::info!(serial, ends, "TLS is spoken with this certificate");
        }
        let current = RwLock::new(Current { pair, judged, again: None });
        Ok(Arc::new(Self { files, reader, current }))
    }

    /// When the certificate in use ends.
    pub fn ends(&self) -> Timestamp {
        self.with_current(|current| current.pair.certificate.not_after)
    }

    /// The serial number of the certificate in use, in hexadecimal, as `openssl x509 -serial` writes it.
    pub fn serial(&self) -> String {
        self.with_current(|current| current.pair.certificate.serial.clone())
    }

    /// Looks whether the files have changed, and uses them if they have and can be used.
    pub async fn look(&self, now: Timestamp) -> Renewal {
        self.judge(now, Why::Changed).await
    }

    /// Reads the files again, changed or not, for somebody who asked for it and wants to be told.
    pub async fn reload(&self, now: Timestamp) -> Renewal {
        self.judge(now, Why::Asked).await
    }

    async fn judge(&self, now: Timestamp, why: Why) -> Renewal {
        let contents = self.reader.read(&self.files).await;
        let print = contents.as_ref().map(pair::Contents::fingerprint).unwrap_or_default();
        let is_known =
            |current: &Current| current.judged == print && current.again.is_none_or(|again| now < again);
        if why == Why::Changed && self.with_current(is_known) {
            return Renewal::Same;
        }
        let pair = contents.and_then(|contents| Pair::new(&self.files, &contents));
        let begins = pair.as_ref().ok().map(|pair| pair.certificate.not_before);
        let judged = pair.and_then(|pair| pair.valid(&self.files, now));
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.judged = print;
        current.again = begins.filter(|begins| *begins > now);
        match judged {
            Ok(pair) if pair.is(&current.pair) => {
                let Certificate { serial, not_after, .. } = &pair.certificate;
                tracing::info!(
                    serial,
                    ends = not_after.rfc3339(),
                    "the TLS certificate is the same as before"
                );
                Renewal::Same
            }
            Ok(pair) => {
                let Certificate { serial, not_after, .. } = &pair.certificate;
                tracing::info!(
                    serial,
                    ends = not_after.rfc3339(),
                    "new connections get a new TLS certificate"
                );
                current.pair = pair;
                Renewal::Taken
            }
            Err(error) => {
                let ends = current.pair.certificate.not_after.rfc3339();
                tracing::error!(%error, ends, "the TLS certificate is not replaced: the one in use stays");
                Renewal::Kept
            }
        }
    }

    /// Agrees upon TLS with whoever connected. Nobody is there any more when it comes to nothing.
    pub(super) async fn shake_hands(
        this: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        within: Duration,
    ) -> Option<(TlsStream<TcpStream>, Protocol)> {
        match tokio::time::timeout(within, this.agree(stream)).await {
            Ok(Ok(agreed)) => agreed,
            Ok(Err(error)) => {
                tracing::debug!(%peer, detail = %error, "no TLS was agreed upon");
                None
            }
            Err(_) => {
                tracing::debug!(%peer, "no TLS was agreed upon in time");
                None
            }
        }
    }

    async fn agree(&self, stream: TcpStream) -> io::Result<Option<(TlsStream<TcpStream>, Protocol)>> {
        let mut first = [0];
        match (stream.peek(&mut first).await?, first) {
            (0, _) => return Ok(None),
            (_, [HANDSHAKE]) => {}
            _ => return plain::refuse(stream).await.map(|()| None),
        }
        let stream = TlsAcceptor::from(self.server_config()).accept(stream).await?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(pair::H2) => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok(Some((stream, protocol)))
    }

    fn server_config(&self) -> Arc<ServerConfig> {
        self.with_current(|current| current.pair.config.clone())
    }

    // Whoever panicked while holding the lock had not begun to change anything.
    fn with_current<T>(&self, look: impl FnOnce(&Current) -> T) -> T {
        look(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use rcgen::{CertificateParams, KeyPair, SerialNumber, date_time_ymd};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    const NOW: Timestamp = Timestamp(1_795_392_000_000);

    fn renew(files: &TlsFiles, serial: u8) {
        renew_from(files, serial, 2020);
    }

    fn renew_from(files: &TlsFiles, serial: u8, year: i32) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(vec![serial]));
        params.not_before = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        std::fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
    }

    fn files(folder: &tempfile::TempDir) -> TlsFiles {
        let files =
            TlsFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
        renew(&files, 1);
        files
    }

    #[tokio::test]
    async fn who_is_slow_to_agree_upon_tls_keeps_no_connection() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::open(files(&folder), NOW).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for said in [&b""[..], &[HANDSHAKE], &[HANDSHAKE, 3, 1, 0, 100, 1]] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(said).await.unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            assert!(Tls::shake_hands(&tls, stream, peer, Duration::from_millis(30)).await.is_none());
            // Closed with a reset is closed, too.
            assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
        }
    }

    #[tokio::test]
    async fn many_who_begin_and_say_no_more_do_not_keep_out_who_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::open(files(&folder), NOW).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connect = async |said: &[u8]| {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(said).await.unwrap();
            (client, listener.accept().await.unwrap().0)
        };
        let mut begun = Vec::new();
        for _ in 0..300 {
            let (client, stream) = connect(&[HANDSHAKE, 3, 1]).await;
            stream.readable().await.unwrap();
            let mut waiting = Box::pin(tls.agree(stream));
            assert!(futures::poll!(waiting.as_mut()).is_pending());
            begun.push((client, waiting));
        }
        // A handshake that is none: its end shows that somebody listened.
        let (mut client, stream) = connect(&[HANDSHAKE, 3, 1, 0, 4, 99, 0, 0, 0]).await;
        assert!(tls.agree(stream).await.is_err());
        assert_ne!(client.read(&mut [0]).await.unwrap_or(0), 0, "an alert (RFC 8446 §6)");
    }

    #[tokio::test]
    async fn a_certificate_takes_the_place_of_another_when_it_is_valid() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let tls = Tls::open(files.clone(), NOW).await.unwrap();
        renew_from(&files, 2, 2027);
        let new_year = Timestamp(1_798_761_600_000);
        assert_eq!(tls.look(NOW).await, Renewal::Kept);
        assert_eq!(tls.look(Timestamp(new_year.0 - 1)).await, Renewal::Same, "nothing new to tell");
        assert_eq!((tls.reload(NOW).await, tls.serial().as_str()), (Renewal::Kept, "01"));
        assert_eq!((tls.look(new_year).await, tls.serial().as_str()), (Renewal::Taken, "02"));
        assert_eq!(tls.look(new_year).await, Renewal::Same);
    }

    #[tokio::test]
    async fn files_that_nobody_can_read_keep_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let mut tls = Arc::into_inner(Tls::open(files.clone(), NOW).await.unwrap()).unwrap();
        tls.reader.within = Duration::from_millis(1);
        let hanging = tls.reader.free.clone().acquire_owned().await.unwrap();
        assert_eq!(tls.reload(NOW).await, Renewal::Kept);
        drop(hanging);
        tls.reader.within = Duration::from_mins(1);
        renew(&files, 2);
        assert_eq!((tls.look(NOW).await, tls.serial().as_str()), (Renewal::Taken, "02"));
        std::fs::remove_file(&files.key).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&files.key).status().unwrap().success());
        assert_eq!((tls.look(NOW).await, tls.serial().as_str()), (Renewal::Kept, "02"));
        let refused = Tls::open(files, NOW).await.unwrap_err().to_string();
        assert!(refused.contains("no regular file"), "{refused}");
    }

    #[tokio::test]
    async fn files_that_change_are_noticed_without_being_told() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let tls = Tls::open(files.clone(), NOW).await.unwrap();
        let (stopping, clock) = (CancellationToken::new(), Arc::new(ManualClock::new(NOW)));
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        let watching = tokio::spawn(watch(tls.clone(), clock, Duration::from_millis(5), stopping.clone()));
        assert_eq!(tls.serial(), "01");
        renew(&files, 2);
        while tls.serial() == "01" {
            tokio::task::yield_now().await;
        }
        assert_eq!(tls.serial(), "02");
        stopping.cancel();
        watching.await.unwrap();
    }
}
