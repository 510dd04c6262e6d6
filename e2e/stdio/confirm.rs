//! The user is asked before somebody else's ticket is closed, over the pipes as over HTTP.

use serde_json::{Value, json};

use super::program::{Lines, Program, done, place};
use crate::binary::Place;
use crate::support::mcp::MODERN;

/// A place with a ticket of bob's, T-1, and alice's program, who may close it.
async fn scene(setting: &str) -> (Place, Program) {
    let place = place().await;
    let mut bobs = Program::start(&place, "bob", &["--write"]);
    let bob = bobs.modern().await;
    done(&bob, "create_ticket", json!({ "title": "Printer on fire", "body": "b" })).await;
    bob.cancel().await.unwrap();
    let program =
        Program::start_with(&place, "alice", &["--write"], &[("MANDATE_MCP__UNCONFIRMED", setting)]);
    (place, program)
}

fn call(id: i64, tool: &str) -> Value {
    let params = json!({ "name": tool, "arguments": { "id": "T-1" } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
}

/// The same of 2026-07-28, by a client that can do this.
fn modern(id: i64, tool: &str, capabilities: &Value) -> Value {
    let mut message = call(id, tool);
    let meta = &mut message["params"]["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
    meta["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
    message
}

fn yes() -> Value {
    json!({ "action": "accept", "content": { "confirm": true } })
}

/// Calls to close the ticket; the id of the question that comes before the answer.
fn asked(lines: &mut Lines, id: i64) -> Value {
    let question = lines.ask(&call(id, "close_ticket"));
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let message = question["params"]["message"].as_str().unwrap();
    assert!(message.contains("Printer on fire") && message.contains("bob"), "{message}");
    question["id"].clone()
}

fn answer(question: &Value, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": question, "result": result })
}

fn status(answer: &Value) -> &Value {
    &answer["result"]["structuredContent"]["status"]
}

fn text(answer: &Value) -> &str {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    answer["result"]["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn before_2026_07_28_the_client_is_asked_while_the_call_waits() {
    let (_place, mut program) = scene("refuse").await;
    let mut lines = program.lines();
    lines.initialize_with(&json!({ "elicitation": {} }));
    let question = asked(&mut lines, 1);
    let declined = lines.ask(&answer(&question, &json!({ "action": "decline" })));
    assert!(declined["id"] == 1 && text(&declined).contains("did not"), "{declined}");
    assert_eq!(status(&lines.ask(&call(2, "get_ticket"))), "open");
    let question = asked(&mut lines, 3);
    let closed = lines.ask(&answer(&question, &yes()));
    assert_eq!(
        (&closed["id"], &closed["result"]["structuredContent"]["outcome"]),
        (&json!(3), &json!("closed"))
    );
    lines.close();
    assert_eq!(program.ended().0, Some(0));
}

#[tokio::test]
async fn an_answer_to_a_call_that_was_cancelled_does_nothing() {
    let (_place, mut program) = scene("proceed").await;
    let mut lines = program.lines();
    lines.initialize_with(&json!({ "elicitation": {} }));
    let question = asked(&mut lines, 1);
    lines.write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    lines.write(&answer(&question, &yes()).to_string());
    let ticket = lines.ask(&call(2, "get_ticket"));
    assert!(ticket["id"] == 2 && status(&ticket) == "open", "{ticket}");
    let another = asked(&mut lines, 3);
    assert_ne!(another, question);
    let closed = lines.ask(&answer(&another, &yes()));
    assert_eq!(closed["result"]["structuredContent"]["outcome"], "closed", "{closed}");
}

#[tokio::test]
async fn since_2026_07_28_the_question_is_the_result_and_the_answer_comes_with_the_next_call() {
    let (_place, mut program) = scene("refuse").await;
    let mut lines = program.lines();
    let can = json!({ "elicitation": {} });
    let asked = lines.ask(&modern(1, "close_ticket", &can));
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let again = |id, answer: Value| {
        let mut message = modern(id, "close_ticket", &can);
        message["params"]["requestState"] = asked["result"]["requestState"].clone();
        message["params"]["inputResponses"] = json!({ "confirm": answer });
        message
    };
    let declined = lines.ask(&again(2, json!({ "action": "decline" })));
    assert!(text(&declined).contains("did not"), "{declined}");
    assert_eq!(status(&lines.ask(&modern(3, "get_ticket", &can))), "open");
    let closed = lines.ask(&again(4, yes()));
    assert_eq!(closed["result"]["structuredContent"]["outcome"], "closed", "{closed}");
}

#[tokio::test]
async fn who_cannot_be_asked_goes_on_or_not_as_it_is_configured() {
    for (setting, closed) in [("refuse", false), ("proceed", true)] {
        let (place, mut program) = scene(setting).await;
        let mut lines = program.lines();
        let answer = lines.ask(&modern(1, "close_ticket", &json!({})));
        drop(lines);
        if closed {
            assert_eq!(answer["result"]["structuredContent"]["outcome"], "closed", "{answer}");
            continue;
        }
        assert!(text(&answer).contains("elicitation"), "{answer}");
        let settings = [("MANDATE_MCP__UNCONFIRMED", setting)];
        let mut program = Program::start_with(&place, "alice", &["--write"], &settings);
        let mut lines = program.lines();
        lines.initialize();
        let answer = lines.ask(&call(1, "close_ticket"));
        assert!(text(&answer).contains("elicitation"), "{answer}");
    }
}
