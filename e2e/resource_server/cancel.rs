//! Going away is cancelling since 2026-07-28 (MCP streamable-http, "Cancellation"; B3.17); before, it was not (B5.7).

use std::pin::pin;

use mandate::storage::users::Role;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::Server;
use crate::support::mcp::{BOTH, Mcp, mint};

const VERSION_2025: &str = "mcp-protocol-version: 2025-11-25\r\n";
const VERSION_2026: &str =
    "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: create_ticket\r\n";

/// Sends a call to `create_ticket` on a connection of its own, or as much of the body as `part` leaves of it.
async fn send(
    server: &Server,
    client: &Mcp<'_>,
    title: &str,
    headers: &str,
    part: impl Fn(&str) -> &str,
) -> TcpStream {
    let params = json!({ "name": "create_ticket", "arguments": { "title": title, "body": "b" } });
    let body = client.message("tools/call", params).to_string();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n{headers}content-length: {}\r\n\r\n{}",
        server.address,
        client.bearer(),
        body.len(),
        part(&body)
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn b3_17_b5_7_a_client_that_goes_away_cancels_its_call_since_2026_07_28_and_not_before() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
    let (modern, legacy) = (Mcp::modern(&server, &token), Mcp::legacy(&server, &token));
    // The first call of a grant is noted by a task that holds the application too.
    modern.ask("tools/list", json!({})).await;
    let idle = server.idle_holders().await;
    let half = send(&server, &legacy, "half", VERSION_2025, |body| &body[..9]).await;
    let request = server.holders(|count| count > idle).await - idle;
    drop(half);
    server.holders(|count| count == idle).await;

    let writing = server.hold_writes().await;
    // Waits before the calls do, so it would give up before they do.
    let mut patience = pin!(server.wait_to_write());
    let going = async {
        let kept = send(&server, &legacy, "kept", VERSION_2025, |body| body).await;
        server.holders(|count| count == idle + request + 1).await;
        let cancelled = send(&server, &modern, "cancelled", VERSION_2026, |body| body).await;
        server.holders(|count| count == idle + 2 * (request + 1)).await;
        drop((kept, cancelled));
        server.holders(|count| count == idle + 1).await;
    };
    tokio::select! {
        biased;
        () = &mut patience => panic!("the cancelled call went on as long as it could"),
        () = going => {}
    }
    drop(writing);
    patience.await;
    server.holders(|count| count == idle).await;
    let found = modern.call("search_tickets", json!({ "query": "*" })).await;
    let titles: Vec<&Value> =
        found.structured()["tickets"].as_array().unwrap().iter().map(|ticket| &ticket["title"]).collect();
    assert_eq!(titles, ["kept"]);
}
