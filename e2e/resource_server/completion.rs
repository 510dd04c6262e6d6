//! Completion of arguments (MCP server/utilities/completion).

use mandate::storage::commit;
use mandate::storage::users::Role;
use mandate::tickets::store::{self, NewTicket};
use mandate::tickets::{Body, Priority, Title};
use serde_json::{Value, json};

use crate::support::mcp::{Answer, BOTH, Mcp, eras, mint};
use crate::support::{START, Server};

async fn complete(client: &Mcp<'_>, reference: &Value, argument: &str, typed: &str) -> Answer {
    let params = json!({ "ref": reference, "argument": { "name": argument, "value": typed } });
    client.ask("completion/complete", params).await
}

fn prompt(name: &str) -> Value {
    json!({ "type": "ref/prompt", "name": name })
}

#[tokio::test]
async fn ids_of_tickets_in_sight_are_completed_newest_first_and_at_most_a_hundred() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let bob = server.add_user("bob", Role::Requester).await.user_id;
    let mut tx = server.app.store.write().await.unwrap();
    let (title, body) = (Title::parse("t").unwrap(), Body::parse("b").unwrap());
    for number in 1..=120 {
        let reporter_id = if number % 50 == 0 { &bob } else { &alice };
        let new = NewTicket { reporter_id, title: &title, body: &body, priority: Priority::Low };
        store::record(&mut tx, new, START).await.unwrap();
    }
    commit(tx).await.unwrap();
    let alice = mint(&server, &alice, "client_1", BOTH).await.token;
    let bob = mint(&server, &bob, "client_1", BOTH).await.token;
    let template = json!({ "type": "ref/resource", "uri": "ticket://{id}" });
    for client in eras(&server, &alice) {
        for reference in [&prompt("summarize_ticket"), &template] {
            let all = complete(&client, reference, "id", "").await.body["result"]["completion"].clone();
            let values = all["values"].as_array().unwrap();
            assert_eq!((values.len(), &values[0], &values[99]), (100, &json!("T-120"), &json!("T-21")));
            assert_eq!((&all["hasMore"], all.get("total")), (&json!(true), None), "not counted");
            let some = complete(&client, reference, "id", "t-11").await;
            assert_eq!(
                some.body["result"]["completion"],
                json!({
                    "values": (110..=119).rev().chain([11]).map(|n| format!("T-{n}")).collect::<Vec<_>>(),
                    "total": 11,
                    "hasMore": false,
                })
            );
            let none = complete(&client, reference, "id", "vpn").await;
            assert_eq!(
                none.body["result"]["completion"],
                json!({ "values": [], "total": 0, "hasMore": false })
            );
        }
    }
    let own = complete(&Mcp::modern(&server, &bob), &template, "id", "T-").await;
    assert_eq!(own.body["result"]["completion"]["values"], json!(["T-100", "T-50"]));
}

#[tokio::test]
async fn statuses_priorities_and_audiences_are_completed_by_their_beginning() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let token = mint(&server, &alice, "client_1", BOTH).await.token;
    for client in eras(&server, &token) {
        for (name, argument, typed, expected) in [
            ("triage_open_tickets", "priority", "", json!(["low", "medium", "high"])),
            ("triage_open_tickets", "priority", "M", json!(["medium"])),
            ("triage_open_tickets", "status", "", json!(["open", "pending"])),
            ("triage_open_tickets", "status", "p", json!(["pending"])),
            ("triage_open_tickets", "limit", "1", json!([])),
            ("summarize_ticket", "audience", "re", json!(["reporter"])),
        ] {
            let answer = complete(&client, &prompt(name), argument, typed).await;
            assert_eq!(answer.body["result"]["completion"]["values"], expected, "{argument} {typed:?}");
        }
    }
}

#[tokio::test]
async fn what_there_is_nothing_to_complete_about_is_a_parameter_error() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let token = mint(&server, &alice, "client_1", BOTH).await.token;
    for client in eras(&server, &token) {
        for (reference, argument, says) in [
            (prompt("nonsense"), "id", "Unknown prompt nonsense"),
            (prompt("summarize_ticket"), "ID", "it takes id, audience"),
            (json!({ "type": "ref/resource", "uri": "ticket://T-1" }), "id", "the only one is ticket://{id}"),
            (json!({ "type": "ref/resource", "uri": "ticket://{id}" }), "number", "it takes id"),
            (json!({ "type": "ref/nonsense", "name": "x" }), "id", "do not fit"),
        ] {
            let answer = complete(&client, &reference, argument, "").await;
            assert_eq!(answer.code(), -32602, "{reference} {argument}: {}", answer.body);
            assert!(answer.body["error"]["message"].as_str().unwrap().contains(says), "{}", answer.body);
        }
        assert_eq!(client.ask("completion/complete", json!({})).await.code(), -32602);
    }
}
