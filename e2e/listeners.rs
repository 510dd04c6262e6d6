//! Where the server listens: Unix sockets, several places at once, and how many connections there may be.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use mandate::config::{Config, TrustedProxy};
use mandate::server::Listeners;
use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::binary::{Place, Running, complaint, ended, free_port};
use crate::support::{Server, at_most, http};

#[expect(clippy::disallowed_methods, reason = "this is the proxy")]
fn over(socket: &Path) -> reqwest::Client {
    reqwest::Client::builder().unix_socket(socket).build().unwrap()
}

/// The binary on its port and on two sockets.
fn on_three(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.command(arguments);
    command.env("MANDATE_LISTEN", format!("127.0.0.1:{},unix:a.sock, unix:b.sock", place.port));
    command
}

#[tokio::test]
async fn a_proxy_on_a_unix_socket_is_believed_by_choice_and_one_that_says_nothing_is_one_address() {
    for (trusted, is_believed) in [(vec![TrustedProxy::Unix], true), (vec![], false)] {
        proxy_on_a_unix_socket(trusted, is_believed).await;
    }
}

async fn proxy_on_a_unix_socket(trusted: Vec<TrustedProxy>, is_believed: bool) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("m.sock");
    let server = Server::start_listening(
        |config| {
            config.trusted_proxies = trusted;
            config.listen =
                Config::written(&format!("listen = \"unix:{}\"", socket.display())).unwrap().listen;
            config.limits.register = at_most(1);
        },
        |_| {},
        async |_, config| Listeners::bind(config, None).await.unwrap(),
    )
    .await;
    let metadata = json!({
        "client_name": "Test client",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "none",
    });
    let register = async |forwarded: Option<&str>| {
        let request = over(&socket).post(server.at("/register")).json(&metadata);
        let request =
            forwarded.iter().fold(request, |request, value| request.header("x-forwarded-for", *value));
        request.send().await.unwrap().status()
    };
    if !is_believed {
        assert_eq!(register(Some("203.0.113.1")).await, StatusCode::CREATED);
        for forwarded in [Some("203.0.113.2"), None] {
            assert_eq!(register(forwarded).await, StatusCode::TOO_MANY_REQUESTS, "{forwarded:?}");
        }
        return;
    }
    for forwarded in [Some("203.0.113.1"), Some("198.51.100.7, 203.0.113.2"), None] {
        assert_eq!(register(forwarded).await, StatusCode::CREATED, "{forwarded:?}");
    }
    for forwarded in [Some("203.0.113.1"), Some("203.0.113.2"), None, Some("unknown")] {
        assert_eq!(register(forwarded).await, StatusCode::TOO_MANY_REQUESTS, "{forwarded:?}");
    }
    assert_eq!(
        register(Some("198.51.100.7")).await,
        StatusCode::CREATED,
        "what a client wrote is not looked at"
    );
}

#[tokio::test]
async fn all_listeners_answer_and_all_end_with_the_server() {
    let place = Place::new().await;
    let running = Running::wait_for(on_three(&place, &["serve", "--demo"]).stderr(Stdio::null()));
    for listed in
        [format!("127.0.0.1:{}\n", place.port), "unix:a.sock\n".to_owned(), "unix:b.sock\n".to_owned()]
    {
        assert!(running.said.contains(&format!("Listening on              {listed}")), "{}", running.said);
    }
    assert_eq!(http().get(place.url("/ready")).send().await.unwrap().status(), StatusCode::OK);
    for name in ["a.sock", "b.sock"] {
        let mode = std::fs::metadata(place.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let answer = over(&place.path(name)).get(place.url("/ready")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert!(ended(&mut on_three(&place, &["healthcheck"]), "").status.success());
    // Under way on a socket when the server is told to stop: it is answered.
    let mut under_way = UnixStream::connect(place.path("a.sock")).unwrap();
    let body = "grant_type=refresh_token&client_id=client_unknown";
    let head = format!(
        "POST /token HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    under_way.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; 25];
    under_way.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    running.terminate();
    while place.path("a.sock").exists() || place.path("b.sock").exists() {
        std::thread::yield_now();
    }
    under_way.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    under_way.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 401"), "{answer}");
    assert_eq!(running.exit_code(), Some(0));
    let refused = complaint(&ended(place.command(&["healthcheck"]).env("MANDATE_LISTEN", "unix:a.sock"), ""));
    assert!(refused.starts_with("unix:a.sock is not ready: "), "{refused}");
}

#[tokio::test]
async fn a_socket_of_a_dead_server_is_taken_over_and_one_of_a_living_is_not() {
    let (place, other) = (Place::new().await, Place::new().await);
    let socket = place.path("m.sock");
    let named = format!("unix:{}", socket.display());
    let start = |place: &Place| {
        let mut command = place.command(&["serve"]);
        command.env("MANDATE_LISTEN", &named).env("MANDATE_LISTEN_MODE", "0600").stderr(Stdio::null());
        command
    };
    let mut running = Running::wait_for(&mut start(&place));
    let refused = complaint(&ended(start(&other).stderr(Stdio::piped()), ""));
    assert!(
        refused.starts_with("listen: ") && refused.contains("another server listens there; stop it"),
        "{refused}"
    );
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    assert!(socket.exists(), "it could not remove it");
    let _running = Running::wait_for(&mut start(&other));
    let answer = over(&socket).get(other.url("/live")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn beyond_the_limit_of_connections_the_next_one_waits_and_is_answered() {
    let server = Server::start_with(|config| config.limits.connections = 1).await;
    let connect = || TcpStream::connect(server.address);
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    };
    let hear = async |stream: &mut TcpStream| {
        let mut answer = String::new();
        while !answer.ends_with('}') {
            let mut part = [0; 1024];
            let length = stream.read(&mut part).await.unwrap();
            assert_ne!(length, 0, "it ended: {answer}");
            answer.push_str(std::str::from_utf8(&part[..length]).unwrap());
        }
    };
    let (mut first, mut second) = (connect().await.unwrap(), connect().await.unwrap());
    ask(&mut second).await;
    for _ in 0..50 {
        ask(&mut first).await;
        hear(&mut first).await;
    }
    let nothing = second.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock, "it waits");
    drop(first);
    hear(&mut second).await;
}

#[test]
fn a_port_that_the_system_chose_is_told_at_the_start() {
    let place = Place::on_a_file();
    let mut command = place.command(&["serve"]);
    let running = Running::wait_for(command.env("MANDATE_LISTEN", "127.0.0.1:0").stderr(Stdio::null()));
    let address = running.word_after("Listening on");
    assert!(std::net::TcpStream::connect(address).is_ok(), "{address}");
}

#[test]
fn one_server_serves_a_file_and_commands_and_stdio_may_use_it_beside() {
    let place = Place::on_a_file();
    let second = || {
        let mut command = place.command(&["serve"]);
        command.env("MANDATE_LISTEN", format!("127.0.0.1:{}", free_port()));
        command
    };
    let running = Running::start(&place, &["--demo"]);
    let refused = complaint(&ended(&mut second(), ""));
    assert!(
        refused.starts_with("database_url: another server serves this file")
            && refused.contains("PostgreSQL and Redis"),
        "{refused}"
    );
    assert!(ended(&mut place.command(&["user", "list"]), "").status.success());
    assert!(ended(&mut place.command(&["stdio", "--user", "alice"]), "").status.success());
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
    let _next = Running::wait_for(second().stderr(Stdio::null()));
}
