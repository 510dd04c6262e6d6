//! What is not offered: no requests to the client, no streams, no sessions. What depends on them cannot go wrong,
//! and these tests fail on the day that one of them is offered without its rules.

use mandate::storage::users::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::mcp::{BOTH, Mcp, mint, send, tool_calls};
use crate::support::{Server, at_most, http};

/// Everything that succeeds, in an order in which it does.
fn everything(modern: bool) -> Vec<(&'static str, Value)> {
    let call = |name: &str, arguments: Value| ("tools/call", json!({ "name": name, "arguments": arguments }));
    let greeting = if modern { "server/discover" } else { "ping" };
    vec![
        (greeting, json!({})),
        ("tools/list", json!({})),
        call("create_ticket", json!({ "title": "t", "body": "b" })),
        call("comment_ticket", json!({ "id": "T-1", "body": "c" })),
        call("search_tickets", json!({ "query": "*" })),
        call("get_ticket", json!({ "id": "T-1" })),
        call("close_ticket", json!({ "id": "T-1" })),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({ "uri": "ticket://T-1" })),
    ]
}

#[tokio::test]
async fn b3_14_b3_18_b4_9_b4_10_a_client_gets_its_answer_and_is_asked_and_told_nothing_else() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
    for (modern, client) in [(true, Mcp::modern(&server, &token)), (false, Mcp::legacy(&server, &token))] {
        for (method, mut params) in everything(modern) {
            params["_meta"] = json!({ "progressToken": "p" });
            if modern {
                params["_meta"]["io.modelcontextprotocol/logLevel"] = json!("debug");
            }
            let answer = client.ask(method, params).await;
            assert_eq!(answer.status, StatusCode::OK, "{method}: {}", answer.body);
            assert_eq!(answer.header("content-type"), "application/json", "{method}: no stream");
            let members: Vec<&str> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, ["id", "jsonrpc", "result"], "{method}");
            assert_eq!(answer.body["id"], 7, "{method}");
        }
    }
}

#[tokio::test]
async fn b4_12_b4_13_no_input_is_asked_for_and_answers_that_nobody_asked_for_change_nothing() {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let client = Mcp::of(&server, &user.user_id, BOTH).await;
    for (method, mut params) in everything(true) {
        if ["tools/call", "resources/read"].contains(&method) {
            params["inputResponses"] =
                json!({ "confirm": { "action": "accept", "content": { "ok": true } } });
            params["requestState"] = json!("forged");
        }
        let answer = client.ask(method, params).await;
        assert_eq!(answer.body["result"]["resultType"], "complete", "{method}: {}", answer.body);
        for member in ["inputRequests", "requestState"] {
            assert!(answer.body["result"].get(member).is_none(), "{method} {member}");
        }
    }
}

#[tokio::test]
async fn b3_15_every_error_code_is_one_that_its_revision_defines() {
    let server = Server::start_with(|config| config.mcp.write_rate = at_most(1)).await;
    let user = server.add_user("alice", Role::Agent).await;
    let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
    let (modern, legacy) = (Mcp::modern(&server, &token), Mcp::legacy(&server, &token));
    modern.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    for (client, defined) in [
        (&modern, &[-32700, -32600, -32601, -32602, -32603, -32020, -32021, -32022, 429][..]),
        (&legacy, &[-32700, -32600, -32601, -32602, -32603, -32002, -32022, 429]),
    ] {
        let mut answers = vec![
            client.ask("nonsense", json!({})).await,
            client.ask("prompts/get", json!({ "name": "x" })).await,
            client.ask("completion/complete", json!({})).await,
            client.ask("tools/list", json!({ "cursor": "bogus" })).await,
            client.ask("tools/call", json!({ "name": "nonsense" })).await,
            client.ask("tools/call", json!({ "name": "get_ticket", "arguments": [] })).await,
            client.ask("tools/call", json!({})).await,
            client.ask("resources/read", json!({ "uri": "ticket://T-99" })).await,
            client.ask("resources/read", json!({})).await,
            client.call("create_ticket", json!({ "title": "t", "body": "b" })).await,
        ];
        let version = |version: &'static str| client.post().header("mcp-protocol-version", version);
        let list = client.message("tools/list", json!({}));
        answers.push(send(version("2099-01-01").header("mcp-method", "tools/list").json(&list)).await);
        for body in ["", "[]", "{}", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#] {
            answers.push(send(client.post().body(body)).await);
        }
        for answer in answers {
            assert!(defined.contains(&answer.code()), "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn b5_10_the_two_endpoints_of_2024_11_05_do_not_exist() {
    let server = Server::start().await;
    for (method, path) in [(Method::GET, "/sse"), (Method::POST, "/messages"), (Method::POST, "/message")] {
        let request = http().request(method.clone(), server.at(path)).header("accept", "text/event-stream");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::NOT_FOUND, "{method} {path}");
    }
}

#[tokio::test]
async fn b2_10_a_token_leaves_no_trace_behind_the_gate() {
    let server = Server::start_with(|config| config.mcp.write_rate = at_most(2)).await;
    let user = server.add_user("alice", Role::Agent).await;
    let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
    let signature = token.rsplit('.').next().unwrap();
    let client = Mcp::modern(&server, &token);
    for (method, params) in everything(true) {
        let answer = client.ask(method, params).await;
        assert!(!format!("{answer:?}").contains(signature), "{method}");
    }
    let events = tool_calls(&server).await;
    assert_eq!(events.len(), 3, "two writes and a refusal");
    assert!(!format!("{events:?}").contains(signature));
}
