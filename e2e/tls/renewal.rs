//! A certificate is replaced while the server runs.

use mandate::server::tls::Renewal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Authority, Secure, connect, replace, shown};

async fn ask(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let mut part = [0; 1024];
        let length = stream.read(&mut part).await.unwrap();
        assert_ne!(length, 0, "it ended: {answer}");
        answer.push_str(std::str::from_utf8(&part[..length]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn new_connections_get_the_new_certificate_and_open_ones_go_on() {
    let secure = Secure::start().await;
    // One client, which could resume what it had begun.
    let rules = secure.authority.trusted();
    let mut open = connect(secure.port(), rules.clone()).await.unwrap();
    ask(&mut open).await;
    assert_eq!(secure.tls.look(secure.now()).await, Renewal::Same);
    secure.authority.renew(0x2a, 2091);
    assert_eq!(secure.tls.look(secure.now()).await, Renewal::Taken);
    assert_eq!(
        (secure.tls.serial().as_str(), secure.tls.ends().rfc3339().as_str()),
        ("2A", "2091-01-02T00:00:00Z")
    );
    let mut new = connect(secure.port(), rules).await.unwrap();
    assert_ne!(shown(&open), shown(&new));
    for stream in [&mut open, &mut new] {
        ask(stream).await;
    }
    assert_eq!(secure.tls.reload(secure.now()).await, Renewal::Same);
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_is_kept_out_and_told_once() {
    let secure = Secure::start().await;
    let (files, other) = (secure.authority.files(), Authority::new());
    let good = connect(secure.port(), secure.authority.trusted()).await.unwrap();
    let (certificate, key) = secure.authority.issue(2, 2091);
    let (_, foreign_key) = other.issue(3, 2091);
    let (expired, its_key) = secure.authority.issue(4, 2020);
    for (certificate, key) in [
        (certificate.as_str(), foreign_key.as_str()),
        ("", &key),
        (&certificate[..200], &key),
        (&certificate, ""),
        (&certificate, &key.replace("PRIVATE", "ENCRYPTED PRIVATE")),
        (&key, &certificate),
        (&expired, &its_key),
    ] {
        replace(&files.certificate, certificate);
        replace(&files.key, key);
        assert_eq!(secure.tls.look(secure.now()).await, Renewal::Kept, "{certificate}");
        assert_eq!(secure.tls.look(secure.now()).await, Renewal::Same, "nothing new to tell");
        assert_eq!(secure.tls.reload(secure.now()).await, Renewal::Kept, "told to who asks");
    }
    std::fs::remove_file(&files.key).unwrap();
    assert_eq!(secure.tls.look(secure.now()).await, Renewal::Kept);
    let again = connect(secure.port(), secure.authority.trusted()).await.unwrap();
    assert_eq!(shown(&again), shown(&good));
    replace(&files.certificate, &certificate);
    replace(&files.key, &key);
    assert_eq!(secure.tls.look(secure.now()).await, Renewal::Taken);
}
