//! Results keep to the schemas that the tools announce (B4.14).

use mandate::storage::users::Role;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::mcp::{BOTH, Mcp};

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
