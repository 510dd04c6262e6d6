//! Sessions of the revisions before 2026-07-28 (B5.4, B5.8): sealed, kept by no process, and no right.

use http::Method;
use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::Server;
use crate::support::events::Session;
use crate::support::mcp::{BOTH, Mcp, mint, post, send};

async fn with_token() -> (Server, String) {
    let server = Server::start().await;
    let user = server.add_user("alice", Role::Agent).await;
    let token = mint(&server, &user.user_id, "client_1", BOTH).await.token;
    (server, token)
}

#[tokio::test]
async fn b5_4_initialize_begins_a_session_that_outlives_a_restart_and_ends_with_delete() {
    let (server, token) = with_token().await;
    let session = Session::begin(&server, &token, json!({})).await;
    assert!(session.id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) && session.id.len() < 300);
    let other = Session::begin(&server, &token, json!({})).await;
    assert_ne!(session.id, other.id);
    assert_eq!(session.ask("ping", json!({})).await.body["result"], json!({}));
    server.restart_with_nothing_remembered().await;
    assert_eq!(session.ask("ping", json!({})).await.body["result"], json!({}));
    let mut events = session.listen().await.ok().unwrap();
    let ended = session.request(Method::DELETE).send().await.unwrap();
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    assert_eq!(events.next().await, None, "its stream ends with it");
    for (method, params) in [("ping", json!({})), ("tools/list", json!({}))] {
        let answer = session.ask(method, params).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, -32600), "{method}");
    }
    assert_eq!(session.listen().await.err().unwrap().status, StatusCode::NOT_FOUND);
    assert_eq!(other.ask("ping", json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn b5_4_an_unknown_session_is_404_and_none_is_needed() {
    let (server, token) = with_token().await;
    let client = Mcp::legacy(&server, &token);
    let message = client.message("tools/list", json!({}));
    for id in ["gone", "", "a b", &"x".repeat(5_000)] {
        let answer = send(client.post().header("mcp-session-id", id).json(&message)).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, -32600), "{id:.9}");
        assert_eq!(answer.body["id"], 7);
    }
    assert_eq!(send(client.post().json(&message)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn b5_8_a_session_is_its_users_and_its_clients_alone_and_replaces_no_token() {
    let (server, token) = with_token().await;
    let bob = server.add_user("bob", Role::Requester).await;
    let alice = server.app.store.find_user_by_name("alice").await.unwrap().unwrap();
    let session = Session::begin(&server, &token, json!({})).await;
    let of =
        async |user_id, client_id| format!("Bearer {}", mint(&server, user_id, client_id, BOTH).await.token);
    let stranger = of(&bob.user_id, "client_1").await;
    let other_client = of(&alice.user_id, "client_2").await;
    let next_grant = of(&alice.user_id, "client_1").await;
    for (bearer, expected) in [
        (&stranger, StatusCode::NOT_FOUND),
        (&other_client, StatusCode::NOT_FOUND),
        (&next_grant, StatusCode::OK),
        (&"Bearer x".to_owned(), StatusCode::UNAUTHORIZED),
    ] {
        let answer = session.at(&server, bearer).ask("tools/list", json!({})).await;
        assert_eq!(answer.status, expected, "{}", answer.body);
    }
    for method in [Method::GET, Method::DELETE] {
        let request = crate::support::http().request(method, server.at("/mcp"));
        let answer = request.header("mcp-session-id", &session.id).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let answer = send(post(&server).header("mcp-session-id", &session.id).json(&message)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_answer_is_taken_in_a_session_alone_and_with_an_id_that_we_could_have_asked_under() {
    let (server, token) = with_token().await;
    let session = Session::begin(&server, &token, json!({})).await;
    let answer = |id| json!({ "jsonrpc": "2.0", "id": id, "result": { "action": "accept" } });
    let like_ours = "AAAAAAAAAAAAAAAAAAAAAA:0";
    let nobody_asked = session.post(&answer(json!(like_ours))).await;
    assert_eq!(nobody_asked.status, StatusCode::ACCEPTED, "it may be late");
    let long = format!("{}:0", "A".repeat(100_000));
    for id in [json!(7), json!("x"), json!("a:b"), json!(":"), json!("nobody:0"), json!(long)] {
        assert_eq!(session.post(&answer(id)).await.status, StatusCode::BAD_REQUEST);
    }
    let large = json!({ "jsonrpc": "2.0", "id": like_ours, "result": { "x": "x".repeat(100_000) } });
    assert_eq!(session.post(&large).await.status, StatusCode::BAD_REQUEST);
    let unnamed = session.post(&json!({ "jsonrpc": "2.0", "result": {} })).await;
    assert_eq!((unnamed.status, unnamed.code()), (StatusCode::BAD_REQUEST, -32600));
    let outside = send(Mcp::legacy(&server, &token).post().json(&answer(json!(like_ours)))).await;
    assert_eq!((outside.status, outside.code()), (StatusCode::BAD_REQUEST, -32600));
}
