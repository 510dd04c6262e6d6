//! Tools act as the user: equal scopes do not make equal rights.

use mandate::storage::users::Role;
use serde_json::json;

use crate::support::Server;
use crate::support::mcp::{BOTH, Mcp};

#[tokio::test]
async fn two_users_with_equal_scopes_see_different_tickets() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let bob = server.add_user("bob", Role::Requester).await.user_id;
    let carol = server.add_user("carol", Role::Requester).await.user_id;
    let (alice, bob, carol) = (
        Mcp::of(&server, &alice, BOTH).await,
        Mcp::of(&server, &bob, BOTH).await,
        Mcp::of(&server, &carol, BOTH).await,
    );
    let opened = bob.call("create_ticket", json!({ "title": "Bob's printer", "body": "It blinks." })).await;
    assert_eq!(opened.structured()["id"], "T-1");

    for (client, sees) in [(&alice, true), (&bob, true), (&carol, false)] {
        let found = client.call("search_tickets", json!({ "query": "printer" })).await;
        assert_eq!(found.structured()["tickets"].as_array().unwrap().len() == 1, sees);
        let listed = client.ask("resources/list", json!({})).await;
        assert_eq!(listed.body["result"]["resources"].as_array().unwrap().len() == 1, sees);
        let read = client.ask("resources/read", json!({ "uri": "ticket://T-1" })).await;
        assert_eq!(read.body["result"].is_object(), sees, "{}", read.body);
    }
    let (hidden, missing) = (json!({ "id": "T-1" }), json!({ "id": "T-2" }));
    let hidden = carol.call("get_ticket", hidden).await.problem().replace("T-1", "T-2");
    assert_eq!(hidden, carol.call("get_ticket", missing).await.problem(), "hidden and missing read the same");
    for (tool, arguments) in
        [("close_ticket", json!({ "id": "T-1" })), ("comment_ticket", json!({ "id": "T-1", "body": "x" }))]
    {
        assert!(carol.call(tool, arguments).await.problem().contains("T-1 was not found"), "{tool}");
    }
    let ticket = alice.call("get_ticket", json!({ "id": "T-1" })).await;
    assert_eq!(
        (&ticket.structured()["status"], &ticket.structured()["comment_count"]),
        (&json!("open"), &json!(0))
    );
}

#[tokio::test]
async fn a_requester_closes_own_tickets_and_an_agent_any() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let bob = server.add_user("bob", Role::Requester).await.user_id;
    let (alice, bob) = (Mcp::of(&server, &alice, BOTH).await, Mcp::of(&server, &bob, BOTH).await);
    for title in ["one", "two"] {
        bob.call("create_ticket", json!({ "title": title, "body": "b" })).await.structured();
    }
    let closed = bob.call("close_ticket", json!({ "id": "T-1", "resolution": "It was the cable." })).await;
    assert_eq!(closed.structured()["outcome"], "closed");
    assert_eq!(alice.call("close_ticket", json!({ "id": "T-2" })).await.structured()["outcome"], "closed");
    let again = alice.call("close_ticket", json!({ "id": "T-1", "resolution": "Another." })).await;
    assert_eq!(again.structured()["outcome"], "already_closed");
    assert_eq!(again.structured()["closed_at"], closed.structured()["closed_at"]);
    assert!(again.text().contains("nothing changed"));
    let ticket = alice.call("get_ticket", json!({ "id": "T-1" })).await;
    assert_eq!(ticket.structured()["resolution"], "It was the cable.");
    let comment = bob.call("comment_ticket", json!({ "id": "T-1", "body": "Thanks" })).await;
    assert_eq!(comment.structured()["status"], "closed");
    assert!(comment.text().contains("stays closed"));
}
