//! Its own tools, scopes and tables stand behind the same gate as ours, over HTTP.

use mandate::extension::Checked;
use mandate::storage::commit;
use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::notes;
use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::mcp::{Mcp, eras, tool_calls};
use crate::support::{Server, http};

fn program() -> Checked {
    notes::program().check().unwrap()
}

async fn started() -> Server {
    let server = Server::start_program(&program(), |_| {}).await;
    server.add_user("alice", Role::Agent).await;
    server.add_user("bob", Role::Agent).await;
    server
}

/// An access token of this user for these scopes, over the consent page.
async fn token(server: &Server, username: &str, scopes: &[&str]) -> String {
    let client = Client::register(server).await;
    let tokens = client.obtain_tokens_for(username, scopes).await;
    tokens["access_token"].as_str().unwrap().to_owned()
}

async fn texts(client: &Mcp<'_>) -> Vec<String> {
    let answer = client.call("list_notes", json!({})).await;
    let notes = answer.structured()["notes"].as_array().unwrap().clone();
    notes.iter().map(|note| note["text"].as_str().unwrap().to_owned()).collect()
}

async fn document(server: &Server, path: &str) -> Value {
    http().get(server.at(path)).send().await.unwrap().json().await.unwrap()
}

const BOTH: [&str; 2] = ["notes:read", "notes:write"];

#[tokio::test]
async fn the_consent_page_asks_in_the_extensions_words() {
    let server = started().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    page.assert_page(StatusCode::OK, "Allow “Test client” to use Notes?");
    assert_eq!(page.boxes(), [("notes:read", true), ("notes:write", true)]);
    for said in ["See your notes", "It changes nothing.", "Keep notes for you", "which only you can see"] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
    assert!(!page.body.to_lowercase().contains("ticket"), "{}", page.body);
    let answer = browser.decide(&path, &page, "allow", &BOTH).await.answer();
    assert_eq!(client.redeem(&answer["code"]).await.0, StatusCode::OK);
    for path in ["/account", "/"] {
        let page = browser.get(path).await;
        assert!(page.body.contains("otes") && !page.body.to_lowercase().contains("ticket"), "{}", page.body);
    }
}

#[tokio::test]
async fn metadata_lists_its_scopes_and_no_others() {
    let server = started().await;
    let prm = document(&server, "/.well-known/oauth-protected-resource/mcp").await;
    assert_eq!((&prm["scopes_supported"], &prm["resource_name"]), (&json!(BOTH), &json!("Notes")));
    let of_server = document(&server, "/.well-known/oauth-authorization-server").await;
    assert_eq!(of_server["scopes_supported"], json!(["notes:read", "notes:write", "offline_access"]));
    let challenge = http().post(server.at("/mcp")).body("{}").send().await.unwrap();
    let challenge = challenge.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("scope=\"notes:read\""), "{challenge}");
}

#[tokio::test]
async fn it_serves_its_tools_alone_under_its_own_name() {
    let server = started().await;
    let token = token(&server, "alice", &BOTH).await;
    for client in eras(&server, &token) {
        let listed = client.ask("tools/list", json!({})).await;
        let tools = listed.body["result"]["tools"].as_array().unwrap().clone();
        let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["list_notes", "add_note"]);
        assert_eq!(tools[1]["_meta"]["mandate/scopes"], json!(["notes:write"]));
        assert_eq!(tools[1]["inputSchema"]["required"], json!(["text"]));
        for method in ["resources/list", "prompts/list", "resources/templates/list"] {
            assert_eq!(client.ask(method, json!({})).await.code(), -32601, "{method}");
        }
        assert_eq!(client.call("search_tickets", json!({ "query": "x" })).await.code(), -32602);
    }
    let client = Mcp::modern(&server, &token);
    let discovered = client.ask("server/discover", json!({})).await.body["result"].clone();
    assert!(discovered["capabilities"].get("resources").is_none(), "{discovered}");
    assert_eq!(discovered["capabilities"]["tools"]["listChanged"], true);
    let name = discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["name"].clone();
    assert!(discovered.to_string().contains("\"notes\"") && name != "mandate", "{discovered}");
    assert!(discovered["instructions"].as_str().unwrap().starts_with("Notes that the user keeps."));
}

#[tokio::test]
async fn a_scope_that_was_not_allowed_is_asked_for_and_then_it_works() {
    let server = started().await;
    let client = Client::register(&server).await;
    let tokens = client.obtain_tokens_for("alice", &["notes:read"]).await;
    let reader = Mcp::modern(&server, tokens["access_token"].as_str().unwrap());
    assert_eq!(texts(&reader).await, [""; 0]);
    let refused = reader.call("add_note", json!({ "text": "Buy milk" })).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains("insufficient_scope") && challenge.contains("notes:write"), "{challenge}");
    let tokens = client.obtain_tokens_for("alice", &BOTH).await;
    let writer = Mcp::modern(&server, tokens["access_token"].as_str().unwrap());
    let added = writer.call("add_note", json!({ "text": "Buy milk" })).await;
    assert_eq!((&added.structured()["text"], added.text()), (&json!("Buy milk"), "The note is kept."));
    assert_eq!(texts(&writer).await, ["Buy milk"]);
}

#[tokio::test]
async fn an_idempotency_key_counts_once_even_after_a_restart() {
    let server = started().await;
    let client = Mcp::modern(&server, &token(&server, "alice", &BOTH).await);
    let add = json!({ "text": "Buy milk", "idempotency_key": "k" });
    let first = client.call("add_note", add.clone()).await.structured().clone();
    assert_eq!(*client.call("add_note", add.clone()).await.structured(), first);
    let other = json!({ "text": "Buy bread", "idempotency_key": "k" });
    assert!(client.call("add_note", other).await.problem().contains("idempotency_key"));
    server.profile.forget_the_perishable();
    server.restart_program(&program()).await;
    let again = client.call("add_note", add).await;
    assert_eq!(*again.structured(), first);
    assert_eq!(again.body["result"]["_meta"]["mandate/replayed"], true);
    assert_eq!(texts(&client).await, ["Buy milk"]);
}

#[tokio::test]
async fn the_last_place_is_taken_once_although_calls_come_at_once() {
    let server = started().await;
    let client = Mcp::modern(&server, &token(&server, "alice", &BOTH).await);
    client.call("add_note", json!({ "text": "The first" })).await.structured();
    let mut tx = server.app.store.write().await.unwrap();
    sqlx::query("UPDATE x_note_counts SET kept = 999").execute(tx.connection()).await.unwrap();
    commit(tx).await.unwrap();
    let adding = (0..4).map(|number| client.call("add_note", json!({ "text": number.to_string() })));
    let answers = futures::future::join_all(adding).await;
    let (kept, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.body["result"]["isError"] == false);
    assert_eq!((kept.len(), refused.len()), (1, 3));
    for answer in refused {
        assert_eq!(answer.problem(), "There are 1000 notes, which is the most. Nothing was added.");
    }
    assert_eq!(texts(&client).await.len(), 2);
}

#[tokio::test]
async fn everybody_sees_their_own() {
    let server = started().await;
    let alice = Mcp::modern(&server, &token(&server, "alice", &BOTH).await);
    let bob = Mcp::modern(&server, &token(&server, "bob", &BOTH).await);
    alice.call("add_note", json!({ "text": "Of alice" })).await.structured();
    assert_eq!(texts(&bob).await, [""; 0]);
    assert_eq!(texts(&alice).await, ["Of alice"]);
}

#[tokio::test]
async fn arguments_are_held_against_the_schema_and_every_problem_is_named() {
    let server = started().await;
    let client = Mcp::modern(&server, &token(&server, "alice", &BOTH).await);
    let answer = client.call("add_note", json!({ "text": "", "txt": 1, "idempotency_key": "a b" })).await;
    assert_eq!(
        answer.problem(),
        "Arguments of add_note to mend:\n\
         - idempotency_key: must be 1 to 255 visible ASCII characters, without spaces\n\
         - text: must have at least 1 character\n\
         - txt: is no argument of this tool, which takes idempotency_key, text"
    );
    let answer = client.call("add_note", json!({})).await;
    assert_eq!(answer.problem(), "Arguments of add_note to mend:\n- text: is required");
    let answer = client.call("list_notes", json!({ "limit": 51 })).await;
    assert_eq!(answer.problem(), "Arguments of list_notes to mend:\n- limit: must be at most 50");
    client.call("list_notes", json!({ "limit": 2.0 })).await.structured();
    client.call("list_notes", json!({ "limit": null })).await.structured();
}

#[tokio::test]
async fn every_write_and_every_refusal_is_in_the_audit_log() {
    let server = started().await;
    let client = Mcp::modern(&server, &token(&server, "alice", &BOTH).await);
    let long = "x".repeat(1500);
    client.call("add_note", json!({ "text": long, "idempotency_key": "k" })).await.structured();
    // Events of one moment have no order.
    server.advance(std::time::Duration::from_secs(1));
    let reader = Mcp::modern(&server, &token(&server, "alice", &["notes:read"]).await);
    reader.call("add_note", json!({ "text": "no" })).await;
    let events = tool_calls(&server).await;
    let [done, refused] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((done.tool.as_deref(), done.outcome.as_str()), (Some("add_note"), "done"));
    assert_eq!(done.idempotency_key.as_deref(), Some("k"));
    let arguments = done.arguments.as_deref().unwrap();
    assert!(arguments.contains("(1500 characters)") && arguments.len() < 200, "{arguments}");
    assert_eq!((refused.tool.as_deref(), refused.outcome.as_str()), (Some("add_note"), "refused"));
    assert_eq!(refused.detail.as_deref(), Some("insufficient_scope"));
}

#[tokio::test]
async fn revoking_ends_it_on_the_next_call() {
    let server = started().await;
    let client = Mcp::modern(&server, &token(&server, "alice", &BOTH).await);
    texts(&client).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let page = browser.get("/account").await;
    let (csrf, grant_id) = (page.hidden("csrf"), page.hidden("grant_id"));
    let done = browser.post("/account/revoke", &[("csrf", &csrf), ("grant_id", &grant_id)]).await;
    let page = browser.get(&done.location).await;
    assert!(page.body.contains("can no longer use Notes."), "{}", page.body);
    assert_eq!(client.call("list_notes", json!({})).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_writes_its_writing_tools_and_scopes_are_gone() {
    let server = Server::start_program(&program(), |config| {
        config.mcp.writes.set(false);
    })
    .await;
    server.add_user("alice", Role::Agent).await;
    let prm = document(&server, "/.well-known/oauth-protected-resource/mcp").await;
    assert_eq!(prm["scopes_supported"], json!(["notes:read"]));
    let client = Mcp::modern(&server, &token(&server, "alice", &["notes:read"]).await);
    assert_eq!(client.call("add_note", json!({ "text": "x" })).await.code(), -32602);
}

#[tokio::test]
async fn beside_the_tickets_both_are_there() {
    let both = notes::program().with_tickets().check().unwrap();
    let server = Server::start_program(&both, |_| {}).await;
    server.add_user("alice", Role::Agent).await;
    let scopes = ["notes:read", "notes:write", "tickets:read", "tickets:write"];
    let client = Mcp::modern(&server, &token(&server, "alice", &scopes).await);
    let opened = client.call("create_ticket", json!({ "title": "t", "body": "b" })).await;
    let kept = client.call("add_note", json!({ "text": "n" })).await;
    assert!(opened.structured()["id"].is_string() && kept.structured()["id"].is_string());
    assert_eq!(client.ask("resources/list", json!({})).await.status, StatusCode::OK);
}
