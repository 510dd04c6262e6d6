//! Being told when a ticket changes: `subscriptions/listen` (B4.11), and the stream of a session before it.

use std::time::Duration;

use mandate::oauth::GrantId;
use mandate::storage::grants;
use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::events::{Events, Session};
use crate::support::mcp::{Answer, BOTH, Mcp, Minted, mint};

const ID: &str = "io.modelcontextprotocol/subscriptionId";

/// An agent and a requester, each with a grant; the tickets T-1 (the agent's) and T-2 (the requester's).
struct Scene {
    server: Server,
    agent: Minted,
    requester: Minted,
}

impl Scene {
    async fn set() -> Self {
        Self::set_with(16).await
    }

    async fn set_with(streams: usize) -> Self {
        let server = Server::start_with(|config| config.mcp.streams_per_grant = streams).await;
        let agent = server.add_user("alice", Role::Agent).await.user_id;
        let requester = server.add_user("bob", Role::Requester).await.user_id;
        let agent = mint(&server, &agent, "client_1", BOTH).await;
        let requester = mint(&server, &requester, "client_1", BOTH).await;
        let scene = Self { server, agent, requester };
        for client in [scene.agent(), scene.requester()] {
            client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
        }
        scene
    }

    fn agent(&self) -> Mcp<'_> {
        Mcp::modern(&self.server, &self.agent.token)
    }

    fn requester(&self) -> Mcp<'_> {
        Mcp::modern(&self.server, &self.requester.token)
    }

    async fn comment(&self, ticket: &str) {
        self.agent().call("comment_ticket", json!({ "id": ticket, "body": "more" })).await.structured();
    }

    async fn revoke(&self, minted: &Minted) {
        let mut tx = self.server.app.store.write().await.unwrap();
        let grant_id = GrantId::new(minted.claims.grant_id.clone());
        assert!(grants::revoke(&mut tx, &grant_id, "test", self.server.app.now()).await.unwrap());
        self.server.app.commit_ending(tx, &[minted.grant()]).await.unwrap();
    }
}

async fn try_listen(client: &Mcp<'_>, uris: &[&str]) -> Result<Events, Box<Answer>> {
    let wanted = json!({ "notifications": { "resourceSubscriptions": uris } });
    Events::open(client.request("subscriptions/listen", wanted)).await
}

/// Opens a stream and reads its acknowledgement.
async fn listen(client: &Mcp<'_>, uris: &[&str]) -> Events {
    let mut events = try_listen(client, uris).await.unwrap_or_else(|answer| panic!("{answer:?}"));
    let first = events.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    events
}

fn updated(uri: &str) -> Value {
    let params = json!({ "uri": uri, "_meta": { ID: 7 } });
    json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params })
}

#[tokio::test]
async fn b4_11_a_stream_begins_with_what_is_honoured_and_tells_of_that_alone() {
    let scene = Scene::set().await;
    let wanted = json!({ "notifications": {
        "resourceSubscriptions": ["ticket://T-1", "ticket://T-007", "file:///etc/passwd", "ticket://T-2"],
        "toolsListChanged": true,
    } });
    let mut events = Events::open(scene.agent().request("subscriptions/listen", wanted)).await.ok().unwrap();
    let acknowledged = events.next().await.unwrap();
    assert_eq!(acknowledged["params"]["_meta"][ID], 7);
    let honoured = &acknowledged["params"]["notifications"];
    assert_eq!(honoured["resourceSubscriptions"], json!(["ticket://T-1", "ticket://T-2"]));
    scene.agent().call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    scene.comment("T-3").await;
    scene.comment("T-2").await;
    assert_eq!(events.next().await.unwrap(), updated("ticket://T-2"));
    scene.agent().call("close_ticket", json!({ "id": "T-1" })).await.structured();
    assert_eq!(events.next().await.unwrap(), updated("ticket://T-1"));
}

#[tokio::test]
async fn nobody_is_told_of_a_ticket_that_they_may_not_see() {
    let scene = Scene::set().await;
    let mut events = listen(&scene.requester(), &["ticket://T-1", "ticket://T-2"]).await;
    scene.comment("T-1").await;
    scene.comment("T-2").await;
    assert_eq!(events.next().await.unwrap(), updated("ticket://T-2"));
}

#[tokio::test]
async fn b4_11_a_stream_ends_with_its_result_when_the_grant_ends_or_the_token_does_or_the_server() {
    let result = |events: Vec<Value>| {
        let [last] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(7), &json!("complete")));
        assert_eq!(last["result"]["_meta"][ID], 7);
    };
    let scene = Scene::set().await;
    let (events, other) = (
        listen(&scene.requester(), &["ticket://T-2"]).await,
        listen(&scene.agent(), &["ticket://T-2"]).await,
    );
    scene.revoke(&scene.requester).await;
    result(events.rest().await);
    scene.server.advance(Duration::from_hours(1));
    // Something happens, by which every open stream looks at the clock.
    let notice = mandate::ephemeral::bus::Notice::TicketChanged { id: "T-2".into() };
    scene.server.app.tell(&notice).await;
    result(other.rest().await);
    let scene = Scene::set().await;
    let events = listen(&scene.agent(), &["ticket://T-2"]).await;
    scene.server.app.stopping.cancel();
    result(events.rest().await);
}

#[tokio::test]
async fn a_stream_of_tickets_takes_the_scope_to_read_them() {
    let scene = Scene::set().await;
    let user = scene.server.app.store.find_user_by_name("alice").await.unwrap().unwrap();
    let writer = mint(&scene.server, &user.user_id, "client_2", "tickets:write").await;
    let writer = Mcp::modern(&scene.server, &writer.token);
    let refused = try_listen(&writer, &["ticket://T-1"]).await.err().unwrap();
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.header("www-authenticate").contains("tickets:read"));
    assert!(
        Events::open(writer.request("subscriptions/listen", json!({ "notifications": {} }))).await.is_ok()
    );
}

#[tokio::test]
async fn so_many_streams_are_open_under_one_grant_and_a_closed_one_makes_room() {
    let scene = Scene::set_with(2).await;
    let first = listen(&scene.agent(), &["ticket://T-1"]).await;
    let session = Session::begin(&scene.server, &scene.agent.token, json!({})).await;
    let second = session.listen().await.ok().unwrap();
    let refused = try_listen(&scene.agent(), &["ticket://T-1"]).await.err().unwrap();
    assert_eq!((refused.status, refused.code()), (StatusCode::TOO_MANY_REQUESTS, 429));
    assert_eq!((refused.header("retry-after"), &refused.body["id"]), ("30", &json!(7)));
    assert_eq!(session.listen().await.err().unwrap().status, StatusCode::TOO_MANY_REQUESTS);
    listen(&scene.requester(), &["ticket://T-2"]).await;
    for open in [first, second] {
        drop(open);
        let patience = std::pin::pin!(tokio::time::sleep(crate::support::events::PATIENCE));
        let room = async { while try_listen(&scene.agent(), &["ticket://T-1"]).await.is_err() {} };
        tokio::select! {
            () = room => {}
            () = patience => panic!("a closed stream keeps its place"),
        }
    }
}

#[tokio::test]
async fn a_slow_reader_hears_of_every_ticket_and_keeps_nobody_waiting() {
    let scene = Scene::set().await;
    let mut events = listen(&scene.agent(), &["ticket://T-1", "ticket://T-2"]).await;
    for _ in 0..3_000 {
        let notice = mandate::ephemeral::bus::Notice::TicketChanged { id: "T-1".into() };
        scene.server.app.tell(&notice).await;
    }
    scene.comment("T-2").await;
    while events.next().await.unwrap() != updated("ticket://T-2") {}
}

#[tokio::test]
async fn before_2026_07_28_a_session_hears_of_what_it_subscribed_to_on_its_own_stream() {
    let scene = Scene::set().await;
    let session = Session::begin(&scene.server, &scene.requester.token, json!({})).await;
    let other = Session::begin(&scene.server, &scene.requester.token, json!({})).await;
    let changed = |uri: &str| json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } });
    let subscribe = async |uri: &str| session.ask("resources/subscribe", json!({ "uri": uri })).await;
    assert_eq!(subscribe("ticket://T-2").await.body["result"], json!({}));
    for unseen in ["ticket://T-1", "ticket://T-99", "file:///etc/passwd"] {
        assert_eq!(subscribe(unseen).await.code(), -32002, "{unseen}");
    }
    let mut events = session.listen().await.ok().unwrap();
    let mut others = other.listen().await.ok().unwrap();
    scene.comment("T-2").await;
    assert_eq!(events.next().await.unwrap(), changed("ticket://T-2"));

    let own = scene.requester().call("create_ticket", json!({ "title": "t", "body": "b" })).await;
    assert_eq!(own.structured()["id"], "T-3");
    assert_eq!(subscribe("ticket://T-3").await.body["result"], json!({}));
    let gone = session.ask("resources/unsubscribe", json!({ "uri": "ticket://T-2" })).await;
    assert_eq!(gone.body["result"], json!({}));
    scene.comment("T-2").await;
    scene.comment("T-3").await;
    assert_eq!(events.next().await.unwrap(), changed("ticket://T-3"));
    scene.revoke(&scene.requester).await;
    assert_eq!(events.next().await, None);
    assert_eq!(others.next().await, None, "it had subscribed to nothing");
}

#[tokio::test]
async fn before_2026_07_28_subscriptions_need_a_session() {
    let scene = Scene::set().await;
    let client = Mcp::legacy(&scene.server, &scene.agent.token);
    let answer = client.ask("resources/subscribe", json!({ "uri": "ticket://T-1" })).await;
    assert_eq!(answer.code(), -32600);
    assert!(answer.body["error"]["message"].as_str().unwrap().contains("Mcp-Session-Id"));
}

#[tokio::test]
async fn whoever_listens_is_told_when_tools_are_switched() {
    let scene = Scene::set().await;
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let mut modern = Events::open(scene.agent().request("subscriptions/listen", wanted)).await.ok().unwrap();
    assert_eq!(modern.next().await.unwrap()["params"]["notifications"], json!({ "toolsListChanged": true }));
    let session = Session::begin(&scene.server, &scene.agent.token, json!({})).await;
    let mut legacy = session.listen().await.ok().unwrap();
    let tools = async || {
        let listed = scene.agent().ask("tools/list", json!({})).await;
        listed.body["result"]["tools"].as_array().unwrap().len()
    };
    assert_eq!(tools().await, 5);
    assert!(scene.server.app.config.mcp.writes.set(false));
    scene.server.app.tell(&mandate::ephemeral::bus::Notice::ToolsChanged).await;
    for events in [&mut modern, &mut legacy] {
        assert_eq!(events.next().await.unwrap()["method"], "notifications/tools/list_changed");
    }
    assert_eq!(tools().await, 2);
    let gone = scene.agent().call("create_ticket", json!({ "title": "t", "body": "b" })).await;
    assert_eq!(gone.code(), -32602);
}
