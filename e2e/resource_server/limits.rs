//! Rate limits (G68).

use std::time::Duration;

use mandate::ephemeral::Rate;
use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::mcp::{Answer, BOTH, Mcp, mint, post, send};
use crate::support::{Server, at_most};

fn check_limited(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.body);
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!(wait >= 1);
    assert_eq!((answer.code(), &answer.body["id"]), (429, &json!(7)));
    assert_eq!(answer.body["error"]["data"]["retry_after_seconds"], wait);
    assert_eq!(answer.header("www-authenticate"), "");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn g68_too_many_calls_are_429_with_the_wait_and_a_json_rpc_error() {
    let server = Server::start_with(|config| config.mcp.write_rate = at_most(20)).await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &alice, BOTH).await;
    for _ in 0..20 {
        client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    }
    let limited = client.call("create_ticket", json!({ "title": "t", "body": "b" })).await;
    check_limited(&limited);
    assert!(limited.body["error"]["message"].as_str().unwrap().contains("20 write calls in 3600 seconds"));
    assert_eq!(
        client.call("search_tickets", json!({ "query": "*" })).await.status,
        StatusCode::OK,
        "reads are counted apart"
    );
    let wait = limited.header("retry-after").parse().unwrap();
    server.advance(Duration::from_secs(wait));
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
}

#[tokio::test]
async fn reads_are_limited_for_each_user_and_client_and_the_protocol_is_not() {
    let server = Server::start_with(|config| config.mcp.read_rate = at_most(3)).await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let bob = server.add_user("bob", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &alice, BOTH).await;
    client.call("search_tickets", json!({ "query": "*" })).await.structured();
    client.ask("resources/list", json!({})).await;
    client.ask("resources/read", json!({ "uri": "ticket://T-1" })).await;
    check_limited(&client.call("get_ticket", json!({ "id": "T-1" })).await);
    check_limited(&client.ask("resources/list", json!({})).await);
    for _ in 0..10 {
        assert_eq!(client.ask("tools/list", json!({})).await.status, StatusCode::OK);
    }
    // Another grant of the same user to the same client does not help; another user or client is another count.
    let again = Mcp::of(&server, &alice, BOTH).await;
    check_limited(&again.call("search_tickets", json!({ "query": "*" })).await);
    for (user, client_id) in [(&alice, "client_2"), (&bob, "client_1")] {
        let other = Mcp::modern(&server, &mint(&server, user, client_id, BOTH).await.token);
        assert_eq!(other.call("search_tickets", json!({ "query": "*" })).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn users_of_one_app_behind_one_address_do_not_use_up_each_others_calls() {
    let server = Server::start_with(|config| {
        config.mcp.read_rate = at_most(2);
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let bob = server.add_user("bob", Role::Agent).await.user_id;
    let (alice, bob) = (Mcp::of(&server, &alice, BOTH).await, Mcp::of(&server, &bob, BOTH).await);
    let search = async |client: &Mcp<'_>| {
        let params = json!({ "name": "search_tickets", "arguments": { "query": "*" } });
        let message = client.message("tools/call", params);
        let request =
            client.post().header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/call");
        let request = request.header("mcp-name", "search_tickets").header("x-forwarded-for", "203.0.113.9");
        send(request.json(&message)).await
    };
    for _ in 0..2 {
        search(&alice).await.structured();
    }
    check_limited(&search(&alice).await);
    for _ in 0..2 {
        search(&bob).await.structured();
    }
    check_limited(&search(&bob).await);
}

#[tokio::test]
async fn fewer_may_come_at_once_than_in_the_long_run() {
    let rate = Rate { count: 60, per: Duration::from_hours(1), burst: 2 };
    let server = Server::start_with(|config| config.mcp.write_rate = rate).await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &alice, BOTH).await;
    let create = || client.call("create_ticket", json!({ "title": "t", "body": "b" }));
    for _ in 0..2 {
        create().await.structured();
    }
    let limited = create().await;
    check_limited(&limited);
    let message = limited.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("60 write calls in 3600 seconds") && message.contains("2 of them at once"),
        "{message}"
    );
    let data = &limited.body["error"]["data"];
    assert_eq!((&data["limit"], &data["per_seconds"], &data["burst"]), (&json!(60), &json!(3600), &json!(2)));
    assert!(limited.header("ratelimit-policy").contains("\"write\";q=2;w=120"), "{limited:?}");
    let wait: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "one grows back each minute: {wait}");
    server.advance(Duration::from_secs(wait));
    create().await.structured();
    check_limited(&create().await);
}

#[tokio::test]
async fn a_tool_may_have_a_limit_of_its_own_besides_that_of_its_class() {
    let server = Server::start_with(|config| {
        config.mcp.write_rate = at_most(3);
        config.mcp.tool_rates = [("create_ticket".to_owned(), at_most(1))].into();
    })
    .await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let bob = server.add_user("bob", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &alice, BOTH).await;
    let create = json!({ "title": "t", "body": "b" });
    let first = client.call("create_ticket", create.clone()).await;
    assert_eq!(standing(&first, "create_ticket"), Some(0));
    assert_eq!(standing(&first, "write"), Some(2), "it counts against both");
    let limited = client.call("create_ticket", create.clone()).await;
    check_limited(&limited);
    assert_eq!(limited.body["error"]["data"]["class"], "create_ticket");
    assert_eq!(standing(&limited, "write"), Some(2), "what is refused counts against none");
    for left in [1, 0] {
        let comment = client.call("comment_ticket", json!({ "id": "T-1", "body": "b" })).await;
        assert_eq!((standing(&comment, "write"), standing(&comment, "create_ticket")), (Some(left), None));
    }
    let limited = client.call("comment_ticket", json!({ "id": "T-1", "body": "b" })).await;
    assert_eq!(limited.body["error"]["data"]["class"], "write");
    Mcp::of(&server, &bob, BOTH).await.call("create_ticket", create).await.structured();
}

/// How many calls an answer says are left of a limit; `None` when it does not speak of it. Checks that the policy
/// names the same limits.
fn standing(answer: &Answer, limit: &str) -> Option<u32> {
    let names = |line: &str| -> Vec<String> {
        line.split(", ").map(|item| item.split(';').next().unwrap().to_owned()).collect()
    };
    let line = answer.header("ratelimit");
    assert_eq!(names(line), names(answer.header("ratelimit-policy")), "{answer:?}");
    let item = line.split(", ").find(|item| item.starts_with(&format!("\"{limit}\"")))?;
    Some(item.split(";r=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn every_answer_to_a_known_caller_says_how_the_limits_stand() {
    let server = Server::start_with(|config| {
        config.mcp.read_rate = at_most(5);
        config.mcp.write_rate = at_most(1);
    })
    .await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::of(&server, &alice, BOTH).await;
    let reader = Mcp::of(&server, &alice, "tickets:read").await;
    let legacy = Mcp::legacy(&server, &mint(&server, &alice, "client_1", BOTH).await.token);
    let search = json!({ "query": "*" });
    let create = json!({ "title": "t", "body": "b" });
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let lying = client.post().header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/list");
    let lying =
        lying.json(&client.message("tools/call", json!({ "name": "search_tickets", "arguments": search })));
    let answers = [
        (client.ask("server/discover", json!({})).await, 200, (5, 1)),
        (client.ask("tools/list", json!({})).await, 200, (5, 1)),
        (legacy.ask("ping", json!({})).await, 200, (5, 1)),
        (send(legacy.post().json(&initialized)).await, 202, (5, 1)),
        (client.call("no_such_tool", json!({})).await, 200, (5, 1)),
        (client.call("search_tickets", search.clone()).await, 200, (4, 1)),
        (client.call("search_tickets", json!({})).await, 200, (3, 1)),
        (client.ask("resources/read", json!({ "uri": "ticket://T-9" })).await, 200, (2, 1)),
        (send(lying).await, 400, (1, 1)),
        (client.call("create_ticket", create.clone()).await, 200, (1, 0)),
        (client.call("create_ticket", create.clone()).await, 429, (1, 0)),
        (reader.call("create_ticket", create).await, 403, (1, 0)),
    ];
    for (place, (answer, status, left)) in answers.iter().enumerate() {
        let standings = (standing(answer, "read"), standing(answer, "write"));
        assert_eq!(standings, (Some(left.0), Some(left.1)), "{place}: {answer:?}");
        assert_eq!(answer.status.as_u16(), *status, "{place}: {answer:?}");
        assert_eq!(answer.header("ratelimit-policy"), "\"read\";q=5;w=3600, \"write\";q=1;w=3600");
        assert_eq!(answer.headers.get_all("ratelimit").iter().count(), 1);
    }
    let stranger = send(post(&server).body("{}")).await;
    assert_eq!((stranger.status, stranger.header("ratelimit")), (StatusCode::UNAUTHORIZED, ""));
}
