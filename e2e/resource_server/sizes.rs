//! Answers have an upper bound, and say where the rest is.

use mandate::oauth::UserId;
use mandate::storage::commit;
use mandate::storage::users::Role;
use mandate::tickets::store::{self, NewComment, NewTicket};
use mandate::tickets::{Body, Priority, Resolution, Sight, TicketId, Title};
use serde_json::{Value, json};

use crate::support::mcp::{Answer, BOTH, Mcp, eras, mint};
use crate::support::{START, Server};

/// No answer is larger, in bytes.
const LARGEST: usize = 256 * 1024;

/// Fills a store with texts of full length that take up the most bytes in JSON: 50 closed tickets, the first
/// one with 52 comments, and 25 that are open.
async fn fill(server: &Server, user_id: &UserId, text: &str) {
    let of_length = |length: usize| text.chars().cycle().take(length).collect::<String>();
    let (title, body) = (Title::parse(of_length(200)).unwrap(), Body::parse(of_length(10_000)).unwrap());
    let resolution = Resolution::parse(of_length(1_000)).unwrap();
    let sight = Sight::of(Role::Agent, user_id);
    for number in 1..=75 {
        let mut tx = server.app.store.write().await.unwrap();
        let new = NewTicket { reporter_id: user_id, title: &title, body: &body, priority: Priority::Low };
        let ticket = store::record(&mut tx, new, START).await.unwrap();
        if (2..=50).contains(&number) {
            store::close(&mut tx, &sight, ticket, Some(&resolution), START).await.unwrap();
        }
        commit(tx).await.unwrap();
    }
    for _ in 1..=52 {
        let mut tx = server.app.store.write().await.unwrap();
        let new = NewComment { ticket: TicketId::of(1), author_id: user_id, body: &body };
        store::add_comment(&mut tx, &sight, new, START).await.unwrap();
        commit(tx).await.unwrap();
    }
    let mut tx = server.app.store.write().await.unwrap();
    store::close(&mut tx, &sight, TicketId::of(1), Some(&resolution), START).await.unwrap();
    commit(tx).await.unwrap();
}

async fn largest_answers(client: &Mcp<'_>) -> Vec<(&'static str, Answer)> {
    let call = async |name: &str, arguments: Value| client.call(name, arguments).await;
    let get = async |name: &str, arguments: Value| {
        client.ask("prompts/get", json!({ "name": name, "arguments": arguments })).await
    };
    vec![
        (
            "search_tickets",
            call("search_tickets", json!({ "query": "*", "status": "closed", "limit": 50 })).await,
        ),
        ("get_ticket", call("get_ticket", json!({ "id": "T-1" })).await),
        ("get_ticket, before", call("get_ticket", json!({ "id": "T-1", "comments_before": "C-52" })).await),
        ("get_ticket, one", call("get_ticket", json!({ "id": "T-1", "comment": "C-52" })).await),
        ("resources/read", client.ask("resources/read", json!({ "uri": "ticket://T-1" })).await),
        ("resources/list", client.ask("resources/list", json!({})).await),
        ("triage_open_tickets", get("triage_open_tickets", json!({ "limit": "25" })).await),
        ("summarize_ticket", get("summarize_ticket", json!({ "id": "T-1" })).await),
        ("tools/list", client.ask("tools/list", json!({})).await),
        ("prompts/list", client.ask("prompts/list", json!({})).await),
    ]
}

#[tokio::test]
async fn no_answer_is_larger_than_256_kib_whatever_is_in_the_tickets() {
    for text in ["🖨", "\"", "\\", "a\n"] {
        let server = Server::start().await;
        // The longest name, of the longest letters.
        let alice = server.add_user(&"𐐀".repeat(64), Role::Agent).await.user_id;
        fill(&server, &alice, text).await;
        let token = mint(&server, &alice, "client_1", BOTH).await.token;
        for client in eras(&server, &token) {
            for (what, answer) in largest_answers(&client).await {
                assert!(answer.body["result"].is_object(), "{what}: {}", answer.body);
                let size = answer.body.to_string().len();
                assert!(size <= LARGEST, "{what} of {text:?} has {size} bytes");
            }
        }
    }
}

#[tokio::test]
async fn what_a_caller_sent_does_not_come_back_at_length() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let token = mint(&server, &alice, "client_1", BOTH).await.token;
    let client = Mcp::legacy(&server, &token);
    let long = "x".repeat(500_000);
    let reference = json!({ "type": "ref/prompt", "name": long });
    let unknown: serde_json::Map<String, Value> =
        (0..9_000).map(|n| (format!("argument {n}"), json!(n))).collect();
    for (method, params) in [
        ("tools/call", json!({ "name": long })),
        ("tools/call", json!({ "name": "get_ticket", "arguments": { "id": long, long.as_str(): 1 } })),
        ("tools/call", json!({ "name": "get_ticket", "arguments": unknown })),
        ("resources/read", json!({ "uri": format!("ticket://{long}") })),
        ("prompts/get", json!({ "name": long })),
        ("prompts/get", json!({ "name": "summarize_ticket", "arguments": { "id": long } })),
        ("prompts/get", json!({ "name": "summarize_ticket", "arguments": unknown })),
        ("completion/complete", json!({ "ref": reference, "argument": { "name": long, "value": long } })),
        ("tools/list", json!({ "cursor": long })),
        (&long, json!({})),
    ] {
        let size = client.ask(method, params).await.body.to_string().len();
        assert!(size < 4_000, "{} has {size} bytes", &method[..method.len().min(40)]);
    }
}

#[tokio::test]
async fn every_comment_can_be_read_in_full_page_by_page_or_alone() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    fill(&server, &alice, "🖨").await;
    let client = Mcp::of(&server, &alice, BOTH).await;
    let (mut seen, mut arguments) = (Vec::new(), json!({ "id": "T-1" }));
    loop {
        let answer = client.call("get_ticket", arguments.clone()).await;
        let page = answer.structured().clone();
        let comments = page["comments"].as_array().unwrap();
        assert!(!comments.is_empty() && page["comment_count"] == 52);
        for comment in comments.iter().rev() {
            assert_eq!(
                (&comment["body_truncated"], comment["body"].as_str().unwrap().chars().count()),
                (&json!(true), 2_000)
            );
            seen.push(comment["id"].as_str().unwrap().to_owned());
            let id = &comment["id"];
            assert!(
                answer.text().contains(&format!("repeat the call with comment {}.)", id.as_str().unwrap()))
            );
        }
        let next = &page["next_comments_before"];
        assert_eq!(answer.text().contains("Earlier comments are left out"), next.is_string());
        if next.is_null() {
            break;
        }
        arguments["comments_before"] = next.clone();
    }
    let expected: Vec<String> = (1..=52).rev().map(|number| format!("C-{number}")).collect();
    assert_eq!(seen, expected, "all of them, none twice");
    let one = client.call("get_ticket", json!({ "id": "T-1", "comment": "C-7" })).await;
    let one = one.structured();
    assert_eq!(one["comments"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&one["comments"][0]["id"], &one["comments"][0]["body_truncated"]),
        (&json!("C-7"), &json!(false))
    );
    assert_eq!(one["comments"][0]["body"].as_str().unwrap().chars().count(), 10_000);
    let read = client.ask("resources/read", json!({ "uri": "ticket://T-1" })).await;
    let ticket: Value =
        serde_json::from_str(read.body["result"]["contents"][0]["text"].as_str().unwrap()).unwrap();
    let last = ticket["comments"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["id"], last["body"].as_str().unwrap().chars().count()), (&json!("C-52"), 10_000));
    assert!(ticket["next_comments_before"].is_string(), "the rest is where get_ticket is");
}

#[tokio::test]
async fn a_comment_that_is_not_there_and_two_wishes_at_once_are_said_to_be_so() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &alice, BOTH).await;
    for title in ["one", "two"] {
        client.call("create_ticket", json!({ "title": title, "body": "b" })).await.structured();
    }
    client.call("comment_ticket", json!({ "id": "T-2", "body": "c" })).await.structured();
    for (arguments, says) in [
        (json!({ "id": "T-1", "comment": "C-1" }), "T-1 has no comment C-1"),
        (json!({ "id": "T-2", "comment": "C-9" }), "T-2 has no comment C-9"),
        (json!({ "id": "T-2", "comment": "1" }), "comment: must be a comment id"),
        (json!({ "id": "T-2", "comment": "C-1", "comments_before": "C-1" }), "comment: must be left out"),
    ] {
        let answer = client.call("get_ticket", arguments.clone()).await;
        assert!(answer.problem().contains(says), "{arguments}: {}", answer.text());
    }
    let none = client.call("get_ticket", json!({ "id": "T-2", "comments_before": "C-1" })).await;
    assert_eq!(
        (&none.structured()["comments"], &none.structured()["next_comments_before"]),
        (&json!([]), &Value::Null)
    );
}
