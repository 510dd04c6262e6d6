//! Being told when a ticket changes, in either era.

use serde_json::{Value, json};

use super::program::{Lines, Program, place};
use crate::support::mcp::MODERN;

fn request(id: i64, method: &str, mut params: Value, modern: bool) -> Value {
    if modern {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    }
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn call(lines: &mut Lines, id: i64, tool: &str, arguments: &Value, modern: bool) {
    let params = json!({ "name": tool, "arguments": arguments });
    lines.write(&request(id, "tools/call", params, modern).to_string());
}

/// Reads until everything wanted was said, in whichever order.
fn read_until(lines: &mut Lines, wanted: &[&dyn Fn(&Value) -> bool]) -> Vec<Value> {
    let mut open: Vec<_> = wanted.to_vec();
    let mut read = Vec::new();
    while !open.is_empty() {
        let message = lines.read().unwrap();
        open.retain(|is_it| !is_it(&message));
        read.push(message);
    }
    read
}

fn answer(id: i64) -> impl Fn(&Value) -> bool {
    move |message| message["id"] == id && message.get("result").is_some()
}

fn updated(uri: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["method"] == "notifications/resources/updated" && message["params"]["uri"] == uri
}

#[tokio::test]
async fn a_client_of_either_era_hears_that_a_ticket_changed() {
    for modern in [false, true] {
        let place = place().await;
        let mut program = Program::start(&place, "alice", &["--write"]);
        let mut lines = program.lines();
        if !modern {
            lines.initialize();
        }
        let ticket = json!({ "title": "No paper", "body": "None." });
        call(&mut lines, 1, "create_ticket", &ticket, modern);
        let created = lines.read().unwrap();
        assert_eq!(created["result"]["structuredContent"]["id"], "T-1", "{created}");
        if modern {
            let wanted = json!({ "notifications": { "resourceSubscriptions": ["ticket://T-1"] } });
            let acknowledged = lines.ask(&request(2, "subscriptions/listen", wanted, true));
            assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged", "{acknowledged}");
        } else {
            let subscribed =
                lines.ask(&request(2, "resources/subscribe", json!({ "uri": "ticket://T-1" }), false));
            assert_eq!(subscribed["result"], json!({}), "{subscribed}");
        }
        call(&mut lines, 3, "comment_ticket", &json!({ "id": "T-1", "body": "Still none." }), modern);
        read_until(&mut lines, &[&answer(3), &updated("ticket://T-1")]);
        if modern {
            lines.write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#);
        } else {
            lines.ask(&request(4, "resources/unsubscribe", json!({ "uri": "ticket://T-1" }), false));
        }
        call(&mut lines, 5, "comment_ticket", &json!({ "id": "T-1", "body": "Really." }), modern);
        let heard = read_until(&mut lines, &[&answer(5)]);
        assert!(!heard.iter().any(updated("ticket://T-1")), "not any more: {heard:?}");
        lines.close();
        let rest: Vec<Value> = std::iter::from_fn(|| lines.read()).collect();
        assert!(!rest.iter().any(updated("ticket://T-1")), "{rest:?}");
        assert_eq!(program.ended().0, Some(0));
    }
}

#[tokio::test]
async fn an_open_subscription_keeps_nothing_from_ending() {
    let place = place().await;
    let mut program = Program::start(&place, "alice", &[]);
    let mut lines = program.lines();
    let wanted = json!({ "notifications": { "resourceSubscriptions": ["ticket://T-1"] } });
    lines.ask(&request(1, "subscriptions/listen", wanted, true));
    program.signal("-TERM");
    assert_eq!(program.ended().0, Some(0));
}
