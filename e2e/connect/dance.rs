//! The first sign-in: the browser dance, what is kept of it, and how it can fail.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::support::stub::{Stub, visit};
use super::support::{Bridge, Machine, allow, decide, mode, parameter};
use crate::support::Server;

const BOTH: &[&str] = &["tickets:read", "tickets:write"];

#[tokio::test]
async fn a_client_that_only_speaks_stdio_signs_in_once_and_works() {
    let server = Server::with_people().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&server.at("/mcp"));
    bridge.send(&super::support::initialize(0));
    let url = machine.sent_to(1).await;
    assert!(url.as_str().starts_with(&server.at("/authorize?")), "{url}");
    assert_eq!(parameter(&url, "code_challenge_method"), "S256");
    assert_eq!(parameter(&url, "resource"), server.at("/mcp"));
    assert!(parameter(&url, "redirect_uri").starts_with("http://127.0.0.1:"));
    assert!(bridge.told().contains(url.as_str()), "{}", bridge.told());
    let page = allow(&server, &url, "alice", BOTH).await;
    assert!(page.contains("Signed in"), "{page}");
    let answer = bridge.answer(&json!(0)).await;
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
    bridge.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    let tools = bridge.ask(1, "tools/list", &json!({})).await;
    assert!(tools["result"]["tools"].as_array().unwrap().len() >= 5, "{tools}");
    let tickets = bridge
        .ask(2, "tools/call", &json!({ "name": "search_tickets", "arguments": { "query": "printer" } }))
        .await;
    assert_eq!(tickets["result"]["isError"], false, "{tickets}");
    assert!(bridge.close().await.success());
    assert_eq!(machine.visited().len(), 1);
}

#[tokio::test]
async fn the_next_bridge_uses_what_is_kept_and_only_its_owner_can_read_it() {
    let server = Server::with_people().await;
    let machine = Machine::new();
    let mut first = machine.connect(&server.at("/mcp"));
    first.send(&super::support::initialize(0));
    allow(&server, &machine.sent_to(1).await, "alice", BOTH).await;
    first.answer(&json!(0)).await;
    let file = machine.token_file();
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let kept = machine.kept();
    let mut second = machine.connect(&server.at("/mcp"));
    let answer = second.call(1, "search_tickets", &json!({ "query": "printer" })).await;
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    assert_eq!(machine.visited().len(), 1);
    for bridge in [&first, &second] {
        for secret in ["access_token", "refresh_token"] {
            assert!(!bridge.told().contains(kept[secret].as_str().unwrap()), "{}", bridge.told());
        }
    }
}

#[tokio::test]
async fn a_person_who_says_no_is_not_asked_again_at_once() {
    let server = Server::with_people().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&server.at("/mcp"));
    bridge.send(&super::support::initialize(0));
    let page = decide(&server, &machine.sent_to(1).await, "alice", "deny", &[]).await;
    assert!(page.contains("Not signed in"), "{page}");
    let answer = bridge.answer(&json!(0)).await;
    assert_eq!(answer["error"]["data"]["reason"], "access_denied", "{answer}");
    bridge.send(&super::support::initialize(1));
    let answer = bridge.answer(&json!(1)).await;
    assert_eq!(answer["error"]["data"]["reason"], "access_denied", "{answer}");
    assert_eq!(machine.visited().len(), 1);
}

#[tokio::test]
async fn a_browser_for_text_gets_neither_the_input_nor_the_output() {
    let stub = Stub::start().await;
    let machine = Machine::new();
    let (eaten, script) = (machine.path("eaten"), machine.path("w3m"));
    let text = format!(
        "#!/bin/sh\necho 'Hello, I am a page.'\ncat > '{}'\n'{}' \"$1\"\n",
        eaten.display(),
        machine.path("browser").display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = machine.command(&["--token-store", "file", &stub.at("/mcp")]);
    command.env("BROWSER", &script);
    let mut bridge = Bridge::start(command);
    bridge.send(&super::support::initialize(0));
    visit(&machine.sent_to(1).await).await;
    assert!(bridge.next().await["result"].is_object(), "nothing comes before the answer");
    assert!(bridge.ask(1, "ping", &json!({})).await["result"].is_object());
    assert_eq!(std::fs::read_to_string(eaten).unwrap(), "");
}
