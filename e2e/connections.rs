//! Connections to the server: both versions of HTTP, on one port.

use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::Server;
use crate::support::mcp::{BOTH, Mcp, mint};
use mandate::storage::users::Role;

#[tokio::test]
async fn a_proxy_may_speak_http_2_and_a_client_http_1() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let minted = mint(&server, &user.user_id, "client_1", BOTH).await;
    let mcp = Mcp::modern(&server, &minted.token);
    #[expect(clippy::disallowed_methods, reason = "this is the client")]
    let builder = reqwest::Client::builder;
    let one = builder().http1_only().build().unwrap();
    let two = builder().http2_prior_knowledge().build().unwrap();
    for (client, version) in [(one, http::Version::HTTP_11), (two, http::Version::HTTP_2)] {
        let request = mcp.request("tools/list", json!({})).build().unwrap();
        let answer = client.execute(request).await.unwrap();
        assert_eq!((answer.status(), answer.version()), (reqwest::StatusCode::OK, version));
        let body = answer.text().await.unwrap();
        assert!(body.contains("search_tickets"), "{body}");
    }
}

/// Sends this over one connection and returns all that comes until its end, and nothing where it was reset.
async fn over_one_connection(server: &Server, said: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.map(|_| heard).unwrap_or_default()
}

/// The statuses of answers, in their order.
fn statuses(heard: &str) -> Vec<u16> {
    let lines = heard.split("HTTP/1.1 ").skip(1);
    lines.map(|rest| rest.get(..3).and_then(|status| status.parse().ok()).unwrap()).collect()
}

#[tokio::test]
async fn a_connection_lives_on_behind_a_refusal_however_much_of_the_request_was_not_read() {
    let server = Server::start().await;
    let host = server.address;
    let body = "x".repeat(60_000);
    let length = body.len();
    let last = format!("GET /live HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    for (head, status) in [
        ("POST /mcp HTTP/1.1\r\nauthorization: Bearer stale\r\ncontent-type: application/json", 401),
        ("POST /mcp HTTP/1.1\r\norigin: https://evil.example", 403),
        ("PUT /mcp HTTP/1.1", 405),
        ("POST /token HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded", 413),
        ("POST /register HTTP/1.1\r\ncontent-type: application/json", 413),
        ("POST /introspect HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded", 413),
        ("POST /jwks HTTP/1.1", 405),
        ("POST /nowhere HTTP/1.1", 404),
    ] {
        let refused = format!("{head}\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n{body}");
        let heard = over_one_connection(&server, &[refused.as_str(), &refused, &last].concat()).await;
        assert_eq!(statuses(&heard), [status, status, 200], "{head}: {heard}");
    }
    // Too much to be read for nobody: the answer arrives, and says that the connection ends.
    let length = 3_000_000;
    let too_much = "POST /mcp HTTP/1.1\r\nauthorization: Bearer stale\r\ncontent-type: application/json";
    let refused =
        format!("{too_much}\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(length));
    let heard = over_one_connection(&server, &refused).await;
    assert_eq!(statuses(&heard), [413], "{heard}");
    assert!(heard.contains("connection: close"), "{heard}");
}

#[tokio::test]
async fn a_request_names_one_host_and_that_of_its_target_counts() {
    let server = Server::start().await;
    let ours = format!("localhost:{}", server.address.port());
    let post = |target: &str, hosts: &[&str]| {
        let hosts: Vec<_> = hosts.iter().map(|host| format!("host: {host}\r\n")).collect();
        let hosts = hosts.concat();
        format!("POST {target} HTTP/1.1\r\n{hosts}connection: close\r\ncontent-length: 2\r\n\r\n{{}}")
    };
    for (said, expected) in [
        (post("/mcp", &[&ours]), 401),
        (post("/mcp", &["evil.example"]), 403),
        (post("/mcp", &[&ours, "evil.example"]), 400),
        (post("/mcp", &["evil.example", &ours]), 400),
        (post("/mcp", &[]), 400),
        (post("http://evil.example/mcp", &[&ours]), 403),
        (post(&format!("http://{ours}/mcp"), &["evil.example"]), 401),
        ("GET /live HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), 400),
        ("GET /live HTTP/1.0\r\n\r\n".to_owned(), 200),
    ] {
        let heard = over_one_connection(&server, &said).await;
        let heard = heard.replace("HTTP/1.0 ", "HTTP/1.1 ");
        assert_eq!(statuses(&heard), [expected], "{said}: {heard}");
    }
    #[expect(clippy::disallowed_methods, reason = "this is the client")]
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for (host, expected) in [(ours.as_str(), StatusCode::OK), ("evil.example", StatusCode::BAD_REQUEST)] {
        let answer = client.get(server.at("/live")).header("host", host).send().await.unwrap();
        assert_eq!((answer.status(), answer.version()), (expected, http::Version::HTTP_2), "{host}");
    }
}
