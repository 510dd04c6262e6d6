//! Whom the bridge believes, and how it becomes known there.

use serde_json::{Value, json};

use super::support::stub::{Stub, visit};
use super::support::{Machine, allow, initialize, modern, parameter, until};
use crate::support::Server;
use crate::support::browser::{Browser, Loaded};

/// What the client is told when the stub's documents are changed like this.
async fn refusal(changes: &[(&'static str, Value)]) -> String {
    let stub = Stub::start().await;
    for (member, value) in changes {
        stub.change(member, value.clone());
    }
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.send(&initialize(0));
    let answer = bridge.answer(&json!(0)).await;
    assert_eq!(machine.visited().len(), 0, "{answer}");
    assert_eq!(stub.seen("POST /register").len(), 0, "{answer}");
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn who_cannot_be_believed_gets_no_browser_and_no_registration() {
    for (changes, said) in [
        (vec![("code_challenge_methods_supported", Value::Null)], "PKCE"),
        (vec![("code_challenge_methods_supported", json!(["plain"]))], "PKCE"),
        (vec![("issuer", json!("https://evil.example"))], "is the metadata of https://evil.example"),
        (vec![("resource", json!("https://evil.example/mcp"))], "another resource"),
        (vec![("token_endpoint", Value::Null)], "token_endpoint"),
        (vec![("authorization_servers", json!(["http://as.example"]))], "neither https nor on this machine"),
        (
            vec![("authorization_endpoint", Value::Null), ("registration_endpoint", Value::Null)],
            "--client-id",
        ),
    ] {
        let message = refusal(&changes).await;
        assert!(message.contains(said), "{changes:?}: {message}");
    }
}

#[tokio::test]
async fn a_page_that_is_no_https_page_is_not_opened() {
    let stub = Stub::start().await;
    stub.change("authorization_endpoint", json!("file:///etc/passwd"));
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.send(&initialize(0));
    let answer = bridge.answer(&json!(0)).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("neither https"), "{answer}");
    assert_eq!(machine.visited().len(), 0);
}

#[tokio::test]
async fn an_answer_from_another_server_is_not_taken() {
    let stub = Stub::start().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.send(&initialize(0));
    let url = machine.sent_to(1).await;
    let (back, state) = (parameter(&url, "redirect_uri"), parameter(&url, "state"));
    let http = crate::support::http();
    for (query, status) in [("code=x&state=guessed".to_owned(), 400), (format!("code=x&state={state}"), 200)]
    {
        let response = http.get(format!("{back}?{query}")).send().await.unwrap();
        assert_eq!(response.status(), status, "{query}");
    }
    let answer = bridge.answer(&json!(0)).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("which server"), "{answer}");
    assert_eq!(stub.seen("POST /token").len(), 0);
}

#[tokio::test]
async fn a_server_of_2025_03_26_without_any_metadata_is_signed_in_to_at_its_root() {
    let stub = Stub::start().await;
    for place in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server"] {
        for _ in 0..2 {
            stub.next(&format!("GET {place}"), 404, &[("content-type", "text/html")], "<html>not here");
        }
    }
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.send(&initialize(0));
    let url = machine.sent_to(1).await;
    assert!(url.as_str().starts_with(&stub.at("/authorize?")), "{url}");
    visit(&url).await;
    assert!(bridge.answer(&json!(0)).await["result"].is_object());
}

#[tokio::test]
async fn metadata_that_cannot_be_had_for_now_leads_to_no_other_server() {
    let stub = Stub::start().await;
    stub.next("GET /.well-known/oauth-protected-resource/mcp", 503, &[], "");
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.send(&initialize(0));
    let answer = bridge.answer(&json!(0)).await;
    assert_eq!(answer["error"]["data"]["reason"], "sign_in_unavailable", "{answer}");
    bridge.send(&initialize(1));
    visit(&machine.sent_to(1).await).await;
    assert!(bridge.answer(&json!(1)).await["result"].is_object());
}

#[tokio::test]
async fn no_redirect_is_followed_with_a_token() {
    let (stub, other) = (Stub::start().await, Stub::open().await);
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.send(&initialize(0));
    visit(&machine.sent_to(1).await).await;
    bridge.answer(&json!(0)).await;
    stub.next("POST /mcp", 307, &[("location", &other.at("/mcp"))], "");
    let answer = bridge.ask(1, "ping", &json!({})).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("307"), "{answer}");
    assert_eq!(other.seen("POST /mcp").len(), 0);
}

#[tokio::test]
async fn the_dance_registers_a_native_public_client_and_names_everything() {
    let stub = Stub::start().await;
    stub.change("scopes_supported", json!(["a", "b"]));
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.send(&initialize(0));
    visit(&machine.sent_to(1).await).await;
    bridge.answer(&json!(0)).await;
    let client = &stub.seen("POST /register")[0].body;
    assert_eq!(client["token_endpoint_auth_method"], "none");
    assert_eq!(client["application_type"], "native");
    assert_eq!(client["grant_types"], json!(["authorization_code", "refresh_token"]));
    let token = &stub.seen("POST /token")[0].body;
    assert_eq!(token["redirect_uri"], client["redirect_uris"][0]);
    assert_eq!(token["resource"], stub.at("/mcp"));
    assert_eq!(token["client_id"], "registered");
    assert_eq!(parameter(&machine.visited()[0], "scope"), "a b");
}

#[tokio::test]
async fn a_client_that_was_registered_by_hand_authenticates_with_its_secret() {
    let server = Server::with_people().await;
    let metadata = json!({ "client_name": "By hand", "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "client_secret_basic" });
    let secret = server.add_client("by-hand", &metadata).await.unwrap();
    let machine = Machine::new();
    let file = machine.path("secret");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let url = server.at("/mcp");
    let mut bridge = machine.connect_with(&[
        "--token-store",
        "file",
        "--client-id",
        "by-hand",
        "--client-secret-file",
        file.to_str().unwrap(),
        &url,
    ]);
    bridge.send(&initialize(0));
    let asked = machine.sent_to(1).await;
    assert_eq!(parameter(&asked, "client_id"), "by-hand");
    allow(&server, &asked, "alice", &["tickets:read"]).await;
    assert!(bridge.answer(&json!(0)).await["result"].is_object());
}

#[tokio::test]
async fn a_metadata_document_is_used_where_the_server_takes_it() {
    for (takes, client_id) in [(true, "https://app.example/client.json"), (false, "registered")] {
        let stub = Stub::start().await;
        stub.change("client_id_metadata_document_supported", json!(takes));
        let machine = Machine::new();
        let url = stub.at("/mcp");
        let document = "https://app.example/client.json";
        let mut bridge =
            machine.connect_with(&["--token-store", "file", "--client-metadata-url", document, &url]);
        bridge.send(&initialize(0));
        let asked = machine.sent_to(1).await;
        assert_eq!(parameter(&asked, "client_id"), client_id);
        visit(&asked).await;
        bridge.answer(&json!(0)).await;
        assert_eq!(stub.seen("POST /token")[0].body["client_id"], client_id);
    }
}

#[tokio::test]
async fn on_a_machine_without_a_browser_a_code_is_shown() {
    let stub = Stub::start().await;
    stub.change("device_authorization_endpoint", json!(stub.at("/device")));
    stub.next("POST /token", 400, &[], r#"{"error":"authorization_pending"}"#);
    let machine = Machine::new();
    let url = stub.at("/mcp");
    let mut bridge = machine.connect_with(&["--token-store", "file", "--device", &url]);
    bridge.send(&initialize(0));
    assert!(bridge.answer(&json!(0)).await["result"].is_object());
    assert!(bridge.told().contains("/go with the code WXYZ-1234"), "{}", bridge.told());
    assert_eq!(stub.grants("urn:ietf:params:oauth:grant-type:device_code"), 2);
    assert_eq!(machine.visited().len(), 0);
}

#[tokio::test]
async fn a_server_without_the_device_grant_is_named_and_the_cure() {
    let server = Server::with_people().await;
    let machine = Machine::new();
    let url = server.at("/mcp");
    let mut bridge = machine.connect_with(&["--token-store", "file", "--device", &url]);
    bridge.send(&initialize(0));
    let answer = bridge.answer(&json!(0)).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("leave out --device"), "{answer}");
}

#[tokio::test]
async fn signing_out_gives_the_tokens_back_and_forgets_them() {
    let server = Server::with_people().await;
    let machine = Machine::new();
    let url = server.at("/mcp");
    let mut bridge = machine.connect(&url);
    bridge.send(&initialize(0));
    allow(&server, &machine.sent_to(1).await, "alice", &["tickets:read"]).await;
    bridge.answer(&json!(0)).await;
    let file = machine.token_file();
    let refresh_token = machine.kept()["refresh_token"].as_str().unwrap().to_owned();
    let client_id = machine.kept()["client"]["client_id"].as_str().unwrap().to_owned();
    for said in ["Signed out", "There are no tokens"] {
        let mut leaving = machine.connect_with(&["--token-store", "file", "--sign-out", &url]);
        assert!(leaving.ended().await.success(), "{}", leaving.told());
        until(|| leaving.told().contains(said).then_some(())).await;
    }
    assert!(!file.exists());
    let client = crate::support::client::Client::known(&server, client_id);
    let (_, body) = client.refresh(&refresh_token).await;
    assert_eq!(body["error"], "invalid_grant");
}

#[tokio::test]
async fn signing_out_ends_what_was_granted_before_more_was_allowed_too() {
    let server = Server::with_people().await;
    let machine = Machine::new();
    let url = server.at("/mcp");
    let mut bridge = machine.connect(&url);
    bridge.send(&initialize(0));
    allow(&server, &machine.sent_to(1).await, "alice", &["tickets:read"]).await;
    bridge.answer(&json!(0)).await;
    let params =
        json!({ "name": "create_ticket", "arguments": { "title": "Broken", "body": "It is broken." } });
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": modern(&params) }));
    allow(&server, &machine.sent_to(2).await, "alice", &["tickets:read", "tickets:write"]).await;
    assert_eq!(bridge.answer(&json!(1)).await["result"]["isError"], false);
    let mut browser = Browser::signed_in(&server, "alice").await;
    let connected = |page: Loaded| page.body.matches("action=\"/account/revoke\"").count();
    assert_eq!(connected(browser.get("/account").await), 2);
    drop(bridge);
    let mut leaving = machine.connect_with(&["--token-store", "file", "--sign-out", &url]);
    assert!(leaving.ended().await.success(), "{}", leaving.told());
    assert_eq!(connected(browser.get("/account").await), 0);
}

#[tokio::test]
async fn whoever_leaves_the_path_out_is_told_where_the_endpoint_is() {
    let server = Server::with_people().await;
    let machine = Machine::new();
    for path in ["", "/", "/mpc"] {
        let mut bridge = machine.connect(&server.at(path));
        bridge.send(&initialize(0));
        let answer = bridge.answer(&json!(0)).await;
        let said = answer["error"]["message"].as_str().unwrap();
        let endpoint = server.at("/mcp");
        assert!(said.contains("there is no MCP endpoint at") && said.ends_with(&endpoint), "{path}: {said}");
    }
}

#[tokio::test]
async fn a_keyring_that_is_away_for_a_moment_leads_to_no_second_sign_in() {
    let stub = Stub::start().await;
    let machine = Machine::new();
    let url = stub.at("/mcp");
    // There is none on this machine.
    let mut bridge = machine.connect_with(&[&url]);
    bridge.send(&initialize(0));
    visit(&machine.sent_to(1).await).await;
    bridge.answer(&json!(0)).await;
    let file = machine.token_file();
    assert!(bridge.told().contains("keyring cannot be used"), "{}", bridge.told());
    assert!(bridge.told().contains(file.to_str().unwrap()), "{}", bridge.told());
    drop(bridge);
    // As if the tokens had gone there.
    std::fs::rename(&file, file.with_extension("keyring")).unwrap();
    let output = machine.command(&[&url]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("unlock it"), "{told}");
}

#[test]
fn an_endpoint_without_tls_elsewhere_or_with_a_password_is_refused_at_start() {
    let machine = Machine::new();
    for (url, said) in [
        ("http://tickets.example/mcp", "neither https nor on this machine"),
        ("ftp://localhost/mcp", "write a URL like https://"),
        ("localhost:8080/mcp", "localhost:8080/mcp: write a URL like https://"),
        ("https://me:secret@tickets.example/mcp", "user name or a password"),
        ("no url", "invalid value"),
    ] {
        let output = machine.command(&["--token-store", "file", url]).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(said) && output.stdout.is_empty(), "{url}: {told}");
        assert!(!told.contains("secret"), "{told}");
    }
}
