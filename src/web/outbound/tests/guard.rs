//! Who is asked, and how.

use std::io::ErrorKind;
use std::net::TcpListener;

use super::super::target::Refusal;
use super::super::transport::Transport;
use super::super::{Order, OutboundSetupError, Validators};
use super::origin::Reply;
use super::*;

fn hello() -> Reply {
    Reply::http("200 OK", "Content-Type: application/json; charset=utf-8\r\n", r#"{"a":1}"#)
}

#[tokio::test]
async fn a_listed_host_with_a_trusted_certificate_is_fetched() {
    let origin = Origin::tls(|_| hello()).await;
    let document = get(&origin).await.unwrap();
    assert_eq!(document.body, r#"{"a":1}"#);
    assert_eq!(document.media_type().as_deref(), Some("application/json"));
}

#[tokio::test]
async fn a_listed_loopback_host_may_be_http() {
    let origin = Origin::plain(|_| hello()).await;
    assert_eq!(get(&origin).await.unwrap().body, r#"{"a":1}"#);
}

#[tokio::test]
async fn the_request_says_no_more_than_it_must() {
    let origin = Origin::tls(|_| hello()).await;
    get(&origin).await.unwrap();
    let head = origin.requests().remove(0).to_ascii_lowercase();
    let mut lines: Vec<_> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "get / http/1.1");
    let mut names: Vec<_> = lines.iter().map(|line| line.split(':').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
    assert!(head.contains("accept: application/json\r\n"));
    assert!(head.contains("accept-encoding: identity\r\n"));
}

#[tokio::test]
async fn no_redirect_is_followed() {
    for code in [301, 302, 303, 307, 308] {
        let origin =
            Origin::tls(move |_| Reply::http(&format!("{code} Elsewhere"), "Location: /elsewhere\r\n", ""))
                .await;
        assert_eq!(get(&origin).await.unwrap_err(), status(code));
        assert_eq!(origin.requests().len(), 1);
    }
}

#[tokio::test]
async fn only_status_200_is_a_document() {
    for code in [201, 202, 203, 206, 304, 400, 403, 404, 500, 503] {
        let origin = Origin::tls(move |_| Reply::http(&format!("{code} X"), "", "")).await;
        assert_eq!(get(&origin).await.unwrap_err(), status(code));
        assert_eq!(origin.requests().len(), 1, "no retry");
    }
}

#[tokio::test]
async fn a_host_that_is_not_listed_is_refused_without_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let outbound = Outbound::new(OutboundPolicy {
        allowed_hosts: vec![format!("localhost:{}", port ^ 1).parse().unwrap()],
        ..OutboundPolicy::default()
    })
    .unwrap();
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "localhost."] {
        let url: Url = format!("https://{host}:{port}/").parse().unwrap();
        let error = outbound.get(wanted(&url)).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused(_)), "{host}: {error:?}");
    }
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_refused_without_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let transport = Transport::new(OutboundPolicy::default()).unwrap();
    let order = Order {
        url: format!("https://localhost:{port}/").parse().unwrap(),
        accept: "*/*",
        limit_bytes: LIMIT,
        validators: Validators::default(),
    };
    // Past the rules on URLs, as if the name were an innocent one.
    let error = transport.exchange(Reach::Public, &order).await.unwrap_err();
    assert!(matches!(&error, FetchError::Refused(Refusal::Address(ip)) if ip.is_loopback()), "{error:?}");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let origin = Origin::tls(|_| hello()).await;
    let policy = OutboundPolicy { extra_ca_file: None, ..listing(&origin) };
    let outbound = Outbound::new(policy).unwrap();
    let error = outbound.get(wanted(&origin.url("/"))).await.unwrap_err();
    assert!(error.detail().contains("UnknownIssuer"), "{}", error.detail());
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let origin = Origin::tls(|_| hello()).await;
    let policy = OutboundPolicy { allowed_hosts: vec!["127.0.0.1".parse().unwrap()], ..listing(&origin) };
    let outbound = Outbound::new(policy).unwrap();
    let mut url = origin.url("/");
    url.set_host(Some("127.0.0.1")).unwrap();
    let error = outbound.get(wanted(&url)).await.unwrap_err();
    assert!(error.detail().contains("not valid for name"), "{}", error.detail());
    assert!(origin.requests().is_empty());
}

#[test]
fn a_bad_ca_file_is_named_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let setup = |path: &std::path::Path| {
        let extra_ca_file = Some(path.to_owned());
        Outbound::new(OutboundPolicy { extra_ca_file, ..OutboundPolicy::default() }).unwrap_err()
    };
    let missing = setup(&path);
    assert!(matches!(missing, OutboundSetupError::CaFileUnreadable { .. }));
    assert!(missing.to_string().contains("ca.pem cannot be read"), "{missing}");
    std::fs::write(&path, "not a certificate").unwrap();
    let empty = setup(&path);
    assert!(matches!(empty, OutboundSetupError::CaFileWithoutCertificate { .. }));
    assert!(empty.to_string().contains("ca.pem holds no PEM certificate"), "{empty}");
}
