//! The user is asked before somebody else's ticket is closed, where their client can ask (B4.12, B4.13).

use std::time::Duration;

use mandate::config::Unconfirmed;
use mandate::oauth::GrantId;
use mandate::storage::grants;
use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::events::{Events, PATIENCE, Session};
use crate::support::mcp::{Answer, BOTH, Mcp, Minted, mint, send, tool_calls};

/// An agent with a grant, and a requester whose ticket is T-1.
struct Scene {
    server: Server,
    agent: Minted,
    requester: Minted,
}

impl Scene {
    async fn set(unconfirmed: Unconfirmed) -> Self {
        let server = Server::start_with(|config| config.mcp.unconfirmed = unconfirmed).await;
        let agent = server.add_user("alice", Role::Agent).await.user_id;
        let requester = server.add_user("bob", Role::Requester).await.user_id;
        let agent = mint(&server, &agent, "client_1", BOTH).await;
        let requester = mint(&server, &requester, "client_1", BOTH).await;
        let scene = Self { server, agent, requester };
        let client = Mcp::modern(&scene.server, &scene.requester.token);
        client.call("create_ticket", json!({ "title": "Printer on fire", "body": "b" })).await.structured();
        scene
    }

    fn agent(&self) -> Mcp<'_> {
        Mcp::modern(&self.server, &self.agent.token)
    }

    async fn status(&self) -> Value {
        let ticket = self.agent().call("get_ticket", json!({ "id": "T-1" })).await;
        ticket.structured()["status"].clone()
    }

    async fn session(&self) -> Session<'_> {
        Session::begin(&self.server, &self.agent.token, json!({ "elicitation": {} })).await
    }
}

/// A call to close a ticket, by a client that can ask.
async fn close(client: &Mcp<'_>, arguments: Value, state: Option<&str>, confirm: Option<Value>) -> Answer {
    let mut params = json!({ "name": "close_ticket", "arguments": arguments });
    if let Some(state) = state {
        params["requestState"] = state.into();
    }
    if let Some(answer) = confirm {
        params["inputResponses"] = json!({ "confirm": answer });
    }
    let mut message = client.message("tools/call", params);
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({ "elicitation": {} });
    let request = client.post().header("mcp-protocol-version", "2026-07-28");
    send(request.header("mcp-method", "tools/call").header("mcp-name", "close_ticket").json(&message)).await
}

fn yes() -> Value {
    json!({ "action": "accept", "content": { "confirm": true } })
}

fn t1() -> Value {
    json!({ "id": "T-1" })
}

/// The state of a call that is answered with a question.
fn state(answer: &Answer) -> String {
    let result = &answer.body["result"];
    assert_eq!(result["resultType"], "input_required", "{}", answer.body);
    assert!(result.get("ttlMs").is_none() && result.get("content").is_none());
    let question = &result["inputRequests"]["confirm"];
    assert_eq!(
        (&question["method"], &question["params"]["mode"]),
        (&json!("elicitation/create"), &json!("form"))
    );
    let message = question["params"]["message"].as_str().unwrap();
    assert!(
        message.contains("T-1") && message.contains("Printer on fire") && message.contains("bob"),
        "{message}"
    );
    assert_eq!(question["params"]["requestedSchema"]["properties"]["confirm"]["type"], "boolean");
    result["requestState"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn b4_12_closing_somebody_elses_ticket_asks_first_and_is_done_with_the_answer() {
    let scene = Scene::set(Unconfirmed::Refuse).await;
    let agent = scene.agent();
    let state = state(&close(&agent, t1(), None, None).await);
    assert_eq!(scene.status().await, "open");
    let done = close(&agent, t1(), Some(&state), Some(yes())).await;
    assert_eq!(done.structured()["outcome"], "closed");
    let again = close(&agent, t1(), None, None).await;
    assert_eq!(again.structured()["outcome"], "already_closed", "there is nothing to ask about");
    agent.call("create_ticket", json!({ "title": "own", "body": "b" })).await.structured();
    let own = close(&agent, json!({ "id": "T-2" }), None, None).await;
    assert_eq!(own.structured()["outcome"], "closed", "the own one is nobody else's");
}

#[tokio::test]
async fn b4_12_a_no_changes_nothing_and_a_missing_answer_is_asked_for_again() {
    let scene = Scene::set(Unconfirmed::Proceed).await;
    let agent = scene.agent();
    let first = state(&close(&agent, t1(), None, None).await);
    for no in [
        json!({ "action": "decline" }),
        json!({ "action": "cancel" }),
        json!({ "action": "accept", "content": { "confirm": false } }),
    ] {
        let answer = close(&agent, t1(), Some(&first), Some(no)).await;
        assert!(answer.problem().contains("did not"), "{}", answer.text());
    }
    state(&close(&agent, t1(), Some(&first), None).await);
    state(&close(&agent, t1(), Some(&first), Some(json!("nonsense"))).await);
    assert_eq!(scene.status().await, "open");
    let refused = tool_calls(&scene.server).await.into_iter().filter(|event| event.outcome == "refused");
    assert_eq!(refused.count(), 3, "each no is written down");
}

#[tokio::test]
async fn b4_12_d22_a_state_is_for_one_deed_of_one_principal_and_runs_out() {
    let scene = Scene::set(Unconfirmed::Proceed).await;
    let agent = scene.agent();
    let asked = state(&close(&agent, t1(), None, None).await);
    let user = scene.server.app.store.find_user_by_name("alice").await.unwrap().unwrap().user_id;
    let other_grant = mint(&scene.server, &user, "client_1", BOTH).await;
    let other_client = mint(&scene.server, &user, "client_2", BOTH).await;
    let mut tampered = asked.clone();
    tampered.replace_range(10..11, if &asked[10..11] == "A" { "B" } else { "A" });
    let resolved = json!({ "id": "T-1", "resolution": "smuggled in" });
    for (token, arguments, state) in [
        (&scene.agent.token, resolved, asked.as_str()),
        (&other_grant.token, t1(), &asked),
        (&other_client.token, t1(), &asked),
        (&scene.agent.token, t1(), &tampered),
        (&scene.agent.token, t1(), "x"),
        (&scene.agent.token, t1(), ""),
    ] {
        let client = Mcp::modern(&scene.server, token);
        let answer = close(&client, arguments, Some(state), Some(yes())).await;
        assert_eq!(answer.code(), -32602, "{}", answer.body);
    }
    scene.server.advance(Duration::from_mins(6));
    state(&close(&agent, t1(), Some(&asked), Some(yes())).await);
    assert_eq!(scene.status().await, "open");
}

#[tokio::test]
async fn who_cannot_be_asked_goes_on_or_not_as_it_is_configured() {
    for (unconfirmed, closed) in [(Unconfirmed::Proceed, true), (Unconfirmed::Refuse, false)] {
        let scene = Scene::set(unconfirmed).await;
        let session =
            Session::begin(&scene.server, &scene.agent.token, json!({ "elicitation": { "url": {} } })).await;
        let answer = session.call("close_ticket", t1()).await;
        if closed {
            assert_eq!(answer.structured()["outcome"], "closed");
        } else {
            assert!(answer.problem().contains("elicitation"));
            let answer = scene.agent().call("close_ticket", t1()).await;
            assert!(answer.problem().contains("elicitation"));
        }
    }
}

#[tokio::test]
async fn an_idempotency_key_outlives_the_question() {
    let scene = Scene::set(Unconfirmed::Proceed).await;
    let agent = scene.agent();
    let arguments = json!({ "id": "T-1", "idempotency_key": "k" });
    let asked = state(&close(&agent, arguments.clone(), None, None).await);
    let done = close(&agent, arguments.clone(), Some(&asked), Some(yes())).await;
    assert_eq!(done.structured()["outcome"], "closed");
    let again = close(&agent, arguments, None, None).await;
    assert_eq!(again.structured()["outcome"], "closed", "the first result, without another question");
    assert_eq!(again.body["result"]["_meta"]["mandate/replayed"], true);
}

async fn ask(session: &Session<'_>) -> (Events, Value) {
    ask_about(session, 7, "T-1").await
}

/// A call with this id to close this ticket: its stream, and the id of the question.
async fn ask_about(session: &Session<'_>, id: u64, ticket: &str) -> (Events, Value) {
    let call = json!({ "name": "close_ticket", "arguments": { "id": ticket } });
    let request = session.message(id, "tools/call", &call);
    let mut events = Events::open(request).await.unwrap_or_else(|answer| panic!("{answer:?}"));
    let question = events.next().await.unwrap();
    assert_eq!(question["method"], "elicitation/create");
    assert!(question["params"]["message"].as_str().unwrap().contains("Printer on fire"));
    (events, question["id"].clone())
}

#[tokio::test]
async fn before_2026_07_28_the_client_of_a_session_is_asked_while_the_call_waits() {
    let scene = Scene::set(Unconfirmed::Refuse).await;
    let session = scene.session().await;
    let (mut events, id) = ask(&session).await;
    let answer = json!({ "jsonrpc": "2.0", "id": id, "result": yes() });
    let bob = Session::begin(&scene.server, &scene.requester.token, json!({})).await;
    assert_eq!(bob.post(&answer).await.status, StatusCode::ACCEPTED, "and is nobody's answer");
    assert_eq!(scene.status().await, "open");
    assert_eq!(session.post(&answer).await.status, StatusCode::ACCEPTED);
    let result = events.next().await.unwrap();
    assert_eq!(
        (&result["id"], &result["result"]["structuredContent"]["outcome"]),
        (&json!(7), &json!("closed"))
    );
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn access_that_was_taken_back_while_the_user_was_asked_does_nothing_any_more() {
    let scene = Scene::set(Unconfirmed::Proceed).await;
    let session = scene.session().await;
    let (mut events, id) = ask(&session).await;
    let mut tx = scene.server.app.store.write().await.unwrap();
    let grant_id = GrantId::new(scene.agent.claims.grant_id.clone());
    grants::revoke(&mut tx, &grant_id, "test", scene.server.app.now()).await.unwrap();
    scene.server.app.commit_ending(tx, &[scene.agent.grant()]).await.unwrap();
    let user = scene.server.app.store.find_user_by_name("alice").await.unwrap().unwrap().user_id;
    let next = mint(&scene.server, &user, "client_1", BOTH).await;
    let next = session.at(&scene.server, &format!("Bearer {}", next.token));
    let answer = json!({ "jsonrpc": "2.0", "id": id, "result": yes() });
    assert_eq!(next.post(&answer).await.status, StatusCode::ACCEPTED);
    let result = events.next().await.unwrap();
    assert_eq!(result["result"]["isError"], true, "{result}");
    let ticket = next.call("get_ticket", t1()).await;
    assert_eq!(ticket.structured()["status"], "open");
}

#[tokio::test]
async fn nothing_waits_for_a_client_that_went_away_when_it_was_asked() {
    let scene = Scene::set(Unconfirmed::Proceed).await;
    let session = scene.session().await;
    let (events, _) = ask(&session).await;
    drop(events);
    tokio::time::timeout(PATIENCE, scene.server.idle_holders()).await.expect("a call waits for nobody");
    assert_eq!(scene.status().await, "open");
    let (_events, _) = ask(&session).await;
    scene.server.app.stopping.cancel();
    tokio::time::timeout(PATIENCE, scene.server.idle_holders()).await.expect("a stop waits for an answer");
}

#[tokio::test]
async fn b5_7_a_call_of_a_session_can_be_cancelled_by_its_client() {
    let scene = Scene::set(Unconfirmed::Proceed).await;
    let requester = Mcp::modern(&scene.server, &scene.requester.token);
    for _ in 0..2 {
        let ticket = json!({ "title": "Printer on fire", "body": "again" });
        requester.call("create_ticket", ticket).await.structured();
    }
    let (session, other) = (scene.session().await, scene.session().await);
    let (cancelled, _) = ask_about(&session, 41, "T-1").await;
    let (mut kept, kept_id) = ask_about(&session, 42, "T-2").await;
    let (mut others, others_id) = ask_about(&other, 41, "T-3").await;
    let params = json!({ "requestId": 41 });
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
    assert_eq!(session.post(&cancel).await.status, StatusCode::ACCEPTED);
    assert_eq!(cancelled.rest().await, Vec::<Value>::new(), "what is cancelled has no answer");
    for (session, id, events) in [(&session, kept_id, &mut kept), (&other, others_id, &mut others)] {
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": yes() });
        assert_eq!(session.post(&answer).await.status, StatusCode::ACCEPTED);
        let result = events.next().await.unwrap();
        assert_eq!(result["result"]["structuredContent"]["outcome"], "closed", "{result}");
    }
    assert_eq!(scene.status().await, "open");
}
