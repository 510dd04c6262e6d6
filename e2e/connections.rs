//! Connections to the server: both versions of HTTP, on one port.

use serde_json::json;

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
