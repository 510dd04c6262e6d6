//! What the tools do, and what they are refused.

use rmcp::model::ReadResourceRequestParams;
use serde_json::{Value, json};

use super::program::{Program, call, done, place, refused};
use crate::binary::{Place, Running};
use crate::support::http;

/// The events of the audit log, oldest first, as its own command tells them.
fn audit(place: &Place) -> Vec<Value> {
    let lines = place.done(&["audit", "export"], "");
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_client_of_either_era_lists_and_reads() {
    let place = Place::new().await;
    for modern in [false, true] {
        let mut program = Program::start(&place, "alice", &["--demo"]);
        let client = if modern { program.modern().await } else { program.legacy().await };
        let tools = client.list_all_tools().await.unwrap();
        assert_eq!(tools.len(), 5, "{tools:?}");
        let found = done(&client, "search_tickets", json!({ "query": "printer", "limit": 3 })).await;
        let id = found["tickets"][0]["id"].as_str().unwrap().to_owned();
        let ticket = done(&client, "get_ticket", json!({ "id": id })).await;
        assert_eq!(ticket["id"], json!(id));
        let uri = format!("ticket://{id}");
        let read = client.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap();
        assert!(serde_json::to_string(&read).unwrap().contains(&id), "{read:?}");
        client.cancel().await.unwrap();
        assert_eq!(program.ended().0, Some(0));
    }
}

#[tokio::test]
async fn it_only_reads_unless_it_is_told_otherwise_and_says_how() {
    let place = place().await;
    let ticket = json!({ "title": "No paper", "body": "None at all." });
    let mut program = Program::start(&place, "alice", &[]);
    let client = program.modern().await;
    let (code, text) = refused(&client, "create_ticket", ticket.clone()).await;
    assert_eq!(code, 403);
    assert!(text.contains("--scope tickets:read --scope tickets:write"), "{text}");
    drop(client);
    let mut program = Program::start(&place, "alice", &["--scope", "tickets:write"]);
    let client = program.legacy().await;
    done(&client, "create_ticket", ticket).await;
    let (code, text) = refused(&client, "search_tickets", json!({ "query": "paper" })).await;
    assert!(code == 403 && text.contains("tickets:read"), "writing does not include reading: {text}");
    let events = audit(&place);
    let calls: Vec<_> = events.iter().filter(|event| event["event"] == "tool_call").collect();
    let told = |event: &Value| format!("{} {} {}", event["tool"], event["outcome"], event["client_id"]);
    assert_eq!(
        calls.into_iter().map(told).collect::<Vec<_>>(),
        [
            r#""create_ticket" "refused" "stdio""#,
            r#""create_ticket" "done" "stdio""#,
            r#""search_tickets" "refused" "stdio""#
        ]
    );
}

#[tokio::test]
async fn a_write_is_done_once_and_recorded_with_its_trace() {
    let place = place().await;
    let mut program = Program::start(&place, "bob", &["--write"]);
    let client = program.modern().await;
    let ticket = json!({ "title": "No paper", "body": "None at all.", "idempotency_key": "k-1" });
    let first = done(&client, "create_ticket", ticket.clone()).await;
    let again = call(&client, "create_ticket", ticket.clone()).await.unwrap();
    assert_eq!(again.structured_content.as_ref(), Some(&first));
    assert_eq!(again.meta.unwrap().0["mandate/replayed"], json!(true));
    drop(client);
    // By another process of the same user.
    let mut program = Program::start(&place, "bob", &["--write"]);
    let client = program.legacy().await;
    assert_eq!(done(&client, "create_ticket", ticket).await, first);
    let id = first["id"].clone();
    done(&client, "close_ticket", json!({ "id": id, "resolution": "Bought some." })).await;
    let events = audit(&place);
    let calls: Vec<_> = events.iter().filter(|event| event["event"] == "tool_call").collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(calls[0]["idempotency_key"], "k-1");
    assert!(calls.iter().all(|event| event["reference"].as_str().is_some_and(|id| id.len() > 10)));
    place.done(&["audit", "verify"], "");
}

#[tokio::test]
async fn what_is_logged_of_a_call_carries_the_reference_that_is_recorded() {
    let place = place().await;
    let mut program = Program::start_with(&place, "alice", &["--write"], &[("MANDATE_LOG", "mandate=debug")]);
    let client = program.modern().await;
    done(&client, "create_ticket", json!({ "title": "No paper", "body": "None." })).await;
    client.cancel().await.unwrap();
    let (_, log) = program.ended();
    let event = audit(&place).into_iter().find(|event| event["event"] == "tool_call").unwrap();
    let reference = format!("reference={}", event["reference"].as_str().unwrap());
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&reference)).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| !line.contains("path=")), "{reference}: {log}");
}

#[tokio::test]
async fn a_user_sees_over_stdio_what_they_see_anywhere() {
    let place = place().await;
    let mut alices = Program::start(&place, "alice", &["--write"]);
    let mut bobs = Program::start(&place, "bob", &["--write"]);
    let (alice, bob) = (alices.modern().await, bobs.legacy().await);
    let hers = done(&alice, "create_ticket", json!({ "title": "Hers", "body": "Hers." })).await;
    let his = done(&bob, "create_ticket", json!({ "title": "His", "body": "His." })).await;
    done(&alice, "get_ticket", json!({ "id": his["id"] })).await;
    let hidden = call(&bob, "get_ticket", json!({ "id": hers["id"] })).await.unwrap();
    assert_eq!(hidden.is_error, Some(true), "{hidden:?}");
}

#[tokio::test]
async fn it_works_beside_a_server_on_the_same_store() {
    let place = Place::new().await;
    let _running = Running::start(&place, &["--demo"]);
    let mut program = Program::start(&place, "alice", &["--write"]);
    let client = program.modern().await;
    for number in 0..5 {
        let title = format!("Ticket {number}");
        done(&client, "create_ticket", json!({ "title": title, "body": "Body." })).await;
    }
    let ready = http().get(place.url("/ready")).send().await.unwrap();
    assert!(ready.status().is_success(), "{ready:?}");
}
