//! Messages keep to the schemas of their revision (B3 to B5), and results to those that the tools announce (B4.14).

use mandate::storage::users::Role;
use serde_json::{Value, json};

use crate::support::mcp::{BOTH, Mcp, eras, mint, send};
use crate::support::{Server, schema};

/// Every request that is served with one answer, which [`send`] checks as all others.
fn requests() -> Vec<(&'static str, Value)> {
    let call = |name: &str, arguments: Value| ("tools/call", json!({ "name": name, "arguments": arguments }));
    let prompt =
        |name: &str, arguments: Value| ("prompts/get", json!({ "name": name, "arguments": arguments }));
    let template = json!({ "type": "ref/resource", "uri": "ticket://{id}" });
    vec![
        call("create_ticket", json!({ "title": "t", "body": "b" })),
        call("comment_ticket", json!({ "id": "T-1", "body": "c", "idempotency_key": "k" })),
        call("comment_ticket", json!({ "id": "T-1", "body": "c", "idempotency_key": "k" })),
        call("search_tickets", json!({ "query": "*" })),
        call("search_tickets", json!({})),
        call("get_ticket", json!({ "id": "T-1" })),
        call("get_ticket", json!({ "id": "T-99" })),
        call("nonsense", json!({})),
        ("tools/list", json!({})),
        ("tools/list", json!({ "cursor": "bogus" })),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({ "uri": "ticket://T-1" })),
        ("resources/read", json!({ "uri": "ticket://T-99" })),
        ("prompts/list", json!({})),
        prompt("triage_open_tickets", json!({})),
        prompt("summarize_ticket", json!({ "id": "T-1" })),
        prompt("summarize_ticket", json!({})),
        ("completion/complete", json!({ "ref": template, "argument": { "name": "id", "value": "" } })),
        call("close_ticket", json!({ "id": "T-1" })),
        ("nonsense", json!({})),
    ]
}

#[tokio::test]
async fn every_answer_is_as_the_schema_of_its_revision_has_it() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
    let mut checked = 0;
    for client in eras(&server, &token) {
        for (method, params) in requests() {
            let answer = client.ask(method, params).await;
            checked += usize::from(answer.body.is_object());
        }
        let greeting = if client.is_modern() { "server/discover" } else { "ping" };
        client.ask(greeting, json!({})).await;
        let info = json!({ "name": "t", "version": "1" });
        let version = if client.is_modern() { "2025-11-25" } else { client.version() };
        let hello = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": info });
        client.ask("initialize", hello).await;
        for body in ["", "[]", "{}", r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#] {
            send(client.post().header("mcp-protocol-version", client.version()).body(body)).await;
        }
    }
    assert_eq!(checked, 3 * requests().len());
}

#[test]
fn a_message_that_is_not_as_the_schema_has_it_is_found() {
    let Some(modern) = schema::of("2026-07-28") else { return };
    let listed = |tool: Value| {
        let result =
            json!({ "resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [tool] });
        json!({ "jsonrpc": "2.0", "id": 1, "result": result })
    };
    let good = listed(json!({ "name": "t", "inputSchema": { "type": "object" } }));
    assert_eq!(modern.problems("tools/list", &good), [""; 0]);
    for tool in [
        json!({ "inputSchema": { "type": "object" } }),
        json!({ "name": null, "inputSchema": { "type": "object" } }),
        json!({ "name": "t", "title": null, "inputSchema": { "type": "object" } }),
        json!({ "name": "t", "inputSchema": { "type": "array" } }),
    ] {
        assert!(!modern.problems("tools/list", &listed(tool.clone())).is_empty(), "{tool}");
    }
    for (member, value) in
        [("ttlMs", json!(-1)), ("cacheScope", json!("shared")), ("resultType", json!(null))]
    {
        let mut bad = good.clone();
        bad["result"][member] = value;
        assert!(!modern.problems("tools/list", &bad).is_empty(), "{member}");
    }
    let notice = json!({ "jsonrpc": "2.0", "method": "notifications/nonsense", "params": {} });
    assert!(!modern.problems("tools/call", &notice).is_empty());
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Checks a value against those keywords of JSON Schema that the tools use; a keyword that is not known here is a
/// failure, so that nothing goes unchecked unnoticed.
fn check(schema: &Value, value: &Value, path: &str) {
    for (keyword, rule) in schema.as_object().unwrap() {
        let members = || value.as_object().unwrap_or_else(|| panic!("{path}: {value}"));
        let holds = match keyword.as_str() {
            "$schema" | "description" => true,
            "type" => {
                rule == type_of(value)
                    || rule.as_array().is_some_and(|all| all.contains(&json!(type_of(value))))
            }
            "const" => rule == value,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_i64() >= rule.as_i64(),
            "maxItems" => value.as_array().unwrap().len() as u64 <= rule.as_u64().unwrap(),
            "required" => {
                rule.as_array().unwrap().iter().all(|name| members().contains_key(name.as_str().unwrap()))
            }
            "additionalProperties" => {
                *rule == json!(false) && members().keys().all(|name| schema["properties"].get(name).is_some())
            }
            "properties" => {
                for (name, member) in members() {
                    check(&rule[name], member, &format!("{path}.{name}"));
                }
                true
            }
            "items" => {
                value.as_array().unwrap().iter().for_each(|item| check(rule, item, &format!("{path}[]")));
                true
            }
            "pattern" => {
                let prefix = rule.as_str().unwrap().strip_prefix('^').unwrap().strip_suffix("\\d+$").unwrap();
                value
                    .as_str()
                    .unwrap()
                    .strip_prefix(prefix)
                    .is_some_and(|digits| digits.parse::<u32>().is_ok())
            }
            "format" => {
                assert_eq!(rule, "date-time", "{path}");
                value
                    .as_str()
                    .is_none_or(|text| text.len() == 20 && text.starts_with("20") && text.ends_with('Z'))
            }
            other => panic!("{path}: the keyword {other} is not checked"),
        };
        assert!(holds, "{path}: {keyword} {rule} does not hold for {value}");
    }
}

#[tokio::test]
async fn b4_14_results_conform_to_the_output_schema_and_say_it_in_text_too() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let client = Mcp::of(&server, &user.user_id, BOTH).await;
    let listed = client.ask("tools/list", json!({})).await.body;
    let schema = |tool: &str| {
        let tools = listed["result"]["tools"].as_array().unwrap();
        &tools.iter().find(|listed| listed["name"] == tool).unwrap()["outputSchema"]
    };
    for (tool, arguments) in [
        ("create_ticket", json!({ "title": "t", "body": "b" })),
        ("comment_ticket", json!({ "id": "T-1", "body": "c" })),
        ("get_ticket", json!({ "id": "T-1" })),
        ("search_tickets", json!({ "query": "*" })),
        ("close_ticket", json!({ "id": "T-1", "resolution": "r" })),
        ("close_ticket", json!({ "id": "T-1" })),
        ("get_ticket", json!({ "id": "T-1" })),
        ("search_tickets", json!({ "query": "nothing of the kind" })),
    ] {
        let answer = client.call(tool, arguments).await;
        check(schema(tool), answer.structured(), tool);
        assert!(!answer.text().is_empty(), "{tool}");
    }
}

#[tokio::test]
async fn b4_14_no_schema_refers_to_another_document() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let client = Mcp::of(&server, &user.user_id, BOTH).await;
    let listed = client.ask("tools/list", json!({})).await.body.to_string();
    for word in ["$ref", "$dynamicRef", "$id"] {
        assert!(!listed.contains(&format!("\"{word}\"")), "{word}");
    }
}
