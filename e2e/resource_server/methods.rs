//! MCP 2026-07-28 (B4).

use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::mcp::{BOTH, Mcp, eras, mint};

async fn with_token() -> (Server, String) {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
    (server, token)
}

#[tokio::test]
async fn b4_1_discover_lists_what_is_served_and_nothing_more() {
    let (server, token) = with_token().await;
    let result = Mcp::modern(&server, &token).ask("server/discover", json!({})).await.body["result"].clone();
    assert_eq!(result["supportedVersions"], json!(["2026-07-28", "2025-11-25", "2025-06-18"]));
    assert_eq!(
        result["capabilities"],
        json!({ "tools": { "listChanged": true }, "resources": { "subscribe": true }, "prompts": {}, "completions": {} })
    );
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["cacheScope"], "private");
    assert!(result["ttlMs"].is_u64());
    assert!(result["instructions"].as_str().unwrap().contains("tickets:write"));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "mandate");
}

#[tokio::test]
async fn b4_2_b4_3_every_result_is_complete_signed_and_says_how_long_it_keeps() {
    let (server, token) = with_token().await;
    let client = Mcp::modern(&server, &token);
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    for (method, params, cacheable) in [
        ("tools/list", json!({}), true),
        ("resources/list", json!({}), true),
        ("resources/templates/list", json!({}), true),
        ("resources/read", json!({ "uri": "ticket://T-1" }), true),
        ("prompts/list", json!({}), true),
        ("prompts/get", json!({ "name": "summarize_ticket", "arguments": { "id": "T-1" } }), false),
        (
            "completion/complete",
            json!({
                "ref": { "type": "ref/resource", "uri": "ticket://{id}" },
                "argument": { "name": "id", "value": "" },
            }),
            false,
        ),
        ("tools/call", json!({ "name": "get_ticket", "arguments": { "id": "T-1" } }), false),
    ] {
        let answer = client.ask(method, params).await;
        let result = &answer.body["result"];
        assert_eq!(result["resultType"], "complete", "{method}: {}", answer.body);
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "mandate", "{method}");
        assert_eq!(result["ttlMs"].is_u64(), cacheable, "{method}");
        assert_eq!(result["cacheScope"] == "private", cacheable, "{method}");
        if method == "tools/list" {
            assert!(result["ttlMs"].as_u64() <= Some(60_000), "tools can be switched: {result}");
        }
    }
}

#[tokio::test]
async fn b4_4_tools_are_listed_in_the_same_order_every_time() {
    let (server, token) = with_token().await;
    let client = Mcp::modern(&server, &token);
    let first = client.ask("tools/list", json!({})).await.body;
    assert_eq!(first, client.ask("tools/list", json!({})).await.body);
    let names: Vec<&Value> =
        first["result"]["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["search_tickets", "get_ticket", "create_ticket", "comment_ticket", "close_ticket"]);
}

#[tokio::test]
async fn b4_5_an_unknown_tool_is_a_protocol_error_and_bad_arguments_are_not() {
    let (server, token) = with_token().await;
    for client in [Mcp::modern(&server, &token), Mcp::legacy(&server, &token)] {
        for name in ["drop_tickets", "", "Search_Tickets"] {
            let answer = client.call(name, json!({})).await;
            assert_eq!(answer.code(), -32602, "{name:?}: {}", answer.body);
        }
        assert!(client.call("get_ticket", json!({})).await.problem().contains("id: is required"));
        let answer = client.ask("tools/call", json!({ "name": "get_ticket", "arguments": [] })).await;
        assert_eq!(answer.code(), -32602, "{}", answer.body);
    }
}

#[tokio::test]
async fn b4_7_a_resource_that_is_not_there_is_an_error_with_its_uri_in_each_eras_code() {
    let (server, token) = with_token().await;
    for (client, code) in [(Mcp::modern(&server, &token), -32602), (Mcp::legacy(&server, &token), -32002)] {
        for uri in ["ticket://T-99", "ticket://nonsense", "file:///etc/passwd", "ticket://T-1/"] {
            let answer = client.ask("resources/read", json!({ "uri": uri })).await;
            assert_eq!(answer.code(), code, "{uri}: {}", answer.body);
            assert_eq!(answer.body["error"]["data"]["uri"], uri);
        }
    }
}

#[tokio::test]
async fn b4_8_an_invalid_cursor_is_a_parameter_error() {
    let (server, token) = with_token().await;
    for client in [Mcp::modern(&server, &token), Mcp::legacy(&server, &token)] {
        for method in ["tools/list", "resources/list", "resources/templates/list", "prompts/list"] {
            let answer = client.ask(method, json!({ "cursor": "bogus" })).await;
            assert_eq!(answer.code(), -32602, "{method}");
            assert_eq!(answer.status, StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn b4_8_a_log_level_that_does_not_exist_is_a_parameter_error() {
    let (server, token) = with_token().await;
    let modern = Mcp::modern(&server, &token);
    let ask = async |method: &str, mut params: Value, level: Value| {
        params["_meta"]["io.modelcontextprotocol/logLevel"] = level;
        modern.ask(method, params).await
    };
    for (method, params) in [
        ("tools/list", json!({})),
        ("server/discover", json!({})),
        ("tools/call", json!({ "name": "search_tickets", "arguments": { "query": "*" } })),
    ] {
        for level in [json!("verbose"), json!("DEBUG"), json!(""), json!(3), json!(null)] {
            let answer = ask(method, params.clone(), level.clone()).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, -32602), "{method} {level}");
            assert_eq!(answer.body["id"], 7);
        }
        for level in ["debug", "emergency"] {
            assert_eq!(
                ask(method, params.clone(), json!(level)).await.status,
                StatusCode::OK,
                "{method} {level}"
            );
        }
    }
    let older = Mcp::legacy(&server, &token);
    let params = json!({ "_meta": { "io.modelcontextprotocol/logLevel": "verbose" } });
    assert_eq!(
        older.ask("tools/list", params).await.status,
        StatusCode::OK,
        "older revisions know no such member"
    );
}

#[tokio::test]
async fn lists_say_which_scopes_are_needed() {
    let (server, token) = with_token().await;
    for client in eras(&server, &token) {
        let tools = client.ask("tools/list", json!({})).await.body["result"]["tools"].clone();
        for tool in tools.as_array().unwrap() {
            let reads = ["search_tickets", "get_ticket"].contains(&tool["name"].as_str().unwrap());
            let scopes = if reads { json!(["tickets:read"]) } else { json!(["tickets:write"]) };
            assert_eq!(tool["_meta"], json!({ "mandate/scopes": scopes }));
        }
        let templates = client.ask("resources/templates/list", json!({})).await;
        let template = &templates.body["result"]["resourceTemplates"][0];
        assert_eq!(template["_meta"]["mandate/scopes"], json!(["tickets:read"]));
    }
}

#[tokio::test]
async fn a_ticket_is_a_json_resource_with_a_template_and_the_newest_are_listed() {
    let (server, token) = with_token().await;
    let client = Mcp::modern(&server, &token);
    for number in 1..=25 {
        let arguments = json!({ "title": format!("Ticket {number}"), "body": "b" });
        client.call("create_ticket", arguments).await;
        server.advance(std::time::Duration::from_secs(10));
    }
    client.call("comment_ticket", json!({ "id": "T-25", "body": "c".repeat(5_000) })).await.structured();
    let templates = client.ask("resources/templates/list", json!({})).await;
    let template = &templates.body["result"]["resourceTemplates"][0];
    assert_eq!(
        (&template["uriTemplate"], &template["mimeType"]),
        (&json!("ticket://{id}"), &json!("application/json"))
    );
    let listed = client.ask("resources/list", json!({})).await;
    let listed = listed.body["result"]["resources"].as_array().unwrap().clone();
    assert_eq!((listed.len(), &listed[0]["uri"]), (20, &json!("ticket://T-25")));
    let read = client.ask("resources/read", json!({ "uri": "ticket://T-25" })).await;
    let contents = &read.body["result"]["contents"][0];
    assert_eq!(
        (&contents["uri"], &contents["mimeType"]),
        (&json!("ticket://T-25"), &json!("application/json"))
    );
    let ticket: Value = serde_json::from_str(contents["text"].as_str().unwrap()).unwrap();
    assert_eq!((&ticket["id"], &ticket["title"]), (&json!("T-25"), &json!("Ticket 25")));
    assert_eq!(ticket["comments"][0]["body"].as_str().unwrap().len(), 5_000, "in full");
}
