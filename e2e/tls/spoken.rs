//! What is spoken to whom.

use http::Version;
use mandate::server::tls::own;
use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, SupportedProtocolVersion};

use super::{Authority, Secure, connect};
use crate::support::browser::Address as _;
use crate::support::client::{Client, claims};
use crate::support::mcp::Mcp;

#[tokio::test]
async fn both_versions_of_http_are_spoken_as_alpn_says() {
    let secure = Secure::start().await;
    let client = || secure.authority.client();
    for (client, version) in [(client().http1_only(), Version::HTTP_11), (client(), Version::HTTP_2)] {
        let answer = client.build().unwrap().get(secure.at("/ready")).send().await.unwrap();
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    }
    let named = |protocols: &[&str]| {
        let mut rules = secure.authority.trusted();
        rules.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        connect(secure.port(), rules)
    };
    for (protocols, agreed) in
        [(vec![], None), (vec!["http/1.1"], Some(&b"http/1.1"[..])), (vec!["http/1.1", "h2"], Some(b"h2"))]
    {
        let stream = named(&protocols).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed, "{protocols:?}");
    }
    assert!(named(&["spdy/3"]).await.is_err(), "RFC 7301 §3.2");
}

#[tokio::test]
async fn who_agrees_upon_no_protocol_speaks_http_1() {
    let secure = Secure::start().await;
    let mut stream = connect(secure.port(), secure.authority.trusted()).await.unwrap();
    stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"status\":\"live\"}"), "{answer}");
}

#[tokio::test]
async fn the_whole_dance_goes_over_tls() {
    let secure = Secure::start().await;
    secure.server.add_user("alice", Role::Agent).await;
    let client = Client::register(&secure).await;
    let tokens = client.obtain_tokens("alice").await;
    let claims = claims(&tokens["access_token"]);
    assert_eq!(claims["iss"], secure.server.url);
    assert!(secure.server.url.starts_with("https://localhost:"));
    let mcp = Mcp::modern(&secure.server, tokens["access_token"].as_str().unwrap());
    let request = mcp.request("tools/list", json!({})).build().unwrap();
    let answer = secure.http().execute(request).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    assert!(answer.text().await.unwrap().contains("search_tickets"));
    let (status, _) = client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn who_speaks_plain_http_is_told_to_speak_https() {
    let secure = Secure::start().await;
    // More than is read in one go: the answer comes nevertheless.
    let long =
        format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 20000\r\n\r\n{}", "x".repeat(20_000));
    for said in ["GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &long] {
        let mut stream = TcpStream::connect(("127.0.0.1", secure.port())).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    }
}

fn only(authority: &Authority, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let trusted = authority.trusted();
    let builder = ClientConfig::builder_with_provider(trusted.crypto_provider().clone());
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    let mut roots = tokio_rustls::rustls::RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

#[tokio::test]
async fn tls_is_1_2_or_1_3() {
    let secure = Secure::start().await;
    for (version, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let stream = connect(secure.port(), only(&secure.authority, version)).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(spoken));
    }
    // A ClientHello of TLS 1.1 (RFC 4346 §7.4.1.2): 32 bytes of chance, no session, one suite, no compression. It names a
    // signature algorithm, so that nothing is wrong with it but its age.
    let extensions = [0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    let body = [&[3, 2][..], &[7; 32], &[0, 0, 2, 0xc0, 0x13, 1, 0], &extensions].concat();
    let length = u8::try_from(body.len()).unwrap();
    let hello = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
    let mut stream = TcpStream::connect(("127.0.0.1", secure.port())).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!((answer[0], &answer[5..]), (21, &[2, 70][..]), "a fatal alert: protocol_version");
}

#[tokio::test]
async fn whoever_asks_our_own_listener_takes_no_certificate_but_ours() {
    let (secure, other) = (Secure::start().await, Authority::new());
    other.renew(1, 2090);
    connect(secure.port(), own::client(&secure.authority.files()).await.unwrap()).await.unwrap();
    assert!(connect(secure.port(), own::client(&other.files()).await.unwrap()).await.is_err());
}
