//! The grant of the process: seen, taken back, and ended with it.

use std::sync::Arc;
use std::time::Duration;

use mandate::ephemeral::admission::GrantKey;
use mandate::mcp::stdio::LocalGrant;
use mandate::oauth::Scopes;
use mandate::storage::grants;
use rmcp::ServiceExt as _;
use serde_json::json;
use sqlx::Row as _;

use super::program::{Program, done, place, refused};
use crate::binary::{Place, Running};
use crate::support::browser::Browser;
use crate::support::{PASSWORD, Server};

/// The only grant of the place: when it ends by itself, how long after it was given, and since when it is revoked.
async fn grant(place: &Place) -> (String, Duration, Option<i64>) {
    let pool = place.profile.database().await;
    let rows = sqlx::query("SELECT grant_id, created_at, expires_at, revoked_at FROM grants");
    let rows = rows.fetch_all(&pool).await.unwrap();
    pool.close().await;
    let [row] = rows.as_slice() else { panic!("{} grants", rows.len()) };
    let lasts = row.get::<i64, _>("expires_at") - row.get::<i64, _>("created_at");
    (row.get("grant_id"), Duration::from_millis(lasts.unsigned_abs()), row.get("revoked_at"))
}

/// The outcomes of the audit log's events about grants, oldest first.
fn told(place: &Place) -> Vec<String> {
    let lines = place.done(&["audit", "export"], "");
    let events = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let grants = events.filter(|event| event["event"].as_str().unwrap().starts_with("grant_"));
    grants.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn it_is_seen_under_connected_apps_and_taken_back_there_while_it_runs() {
    let place = place().await;
    let _running = Running::start(&place, &[]);
    let mut program = Program::start(&place, "alice", &[]);
    let client = program.modern().await;
    done(&client, "search_tickets", json!({ "query": "paper" })).await;
    let mut browser = Browser::new(&place);
    let login = browser.get("/login").await;
    browser.sign_in(&login, "alice", PASSWORD).await;
    let account = browser.get("/account").await;
    assert!(account.body.contains("This computer (stdio)"), "{}", account.body);
    let form = [("csrf", account.hidden("csrf")), ("grant_id", account.hidden("grant_id"))];
    let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answer = browser.post("/account/revoke", &form).await;
    assert!(answer.location.starts_with("/account?revoked="), "{answer:?}");
    for _ in 0..2 {
        let (code, text) = refused(&client, "search_tickets", json!({ "query": "paper" })).await;
        assert!(code == 401 && text.contains("again"), "{code} {text}");
    }
    assert!(client.list_all_tools().await.is_err(), "not even the list");
    client.cancel().await.unwrap();
    assert_eq!(program.ended().0, Some(0));
    assert_eq!(told(&place), ["grant_given", "grant_revoked"], "revoked once");
}

#[tokio::test]
async fn it_ends_with_its_user_and_with_their_password() {
    let place = place().await;
    for (user, command) in [("alice", "disable"), ("bob", "password")] {
        let mut program = Program::start(&place, user, &[]);
        let client = program.legacy().await;
        done(&client, "search_tickets", json!({ "query": "paper" })).await;
        place.done(&["user", command, user], PASSWORD);
        assert_eq!(refused(&client, "search_tickets", json!({ "query": "paper" })).await.0, 401, "{command}");
    }
    let sentence = place.refused(&["stdio", "--user", "alice"], "");
    assert!(sentence.contains("alice is disabled"), "{sentence}");
}

#[tokio::test]
async fn it_ends_when_the_input_ends_and_at_a_signal() {
    for signal in [None, Some("-TERM"), Some("-INT")] {
        let place = place().await;
        let mut program = Program::start(&place, "alice", &[]);
        let client = program.modern().await;
        done(&client, "search_tickets", json!({ "query": "paper" })).await;
        let (_, lasts, revoked_at) = grant(&place).await;
        assert!(lasts <= Duration::from_mins(15) && revoked_at.is_none(), "a crash leaves it for {lasts:?}");
        match signal {
            None => drop(client.cancel().await.unwrap()),
            Some(name) => program.signal(name),
        }
        assert_eq!(program.ended().0, Some(0), "{signal:?}");
        assert!(grant(&place).await.2.is_some(), "{signal:?}");
        assert_eq!(told(&place), ["grant_given", "grant_revoked"]);
    }
}

#[tokio::test]
async fn its_end_is_put_off_and_after_a_long_sleep_there_is_another_unless_it_was_taken_back() {
    let server = Server::with_people().await;
    let user = server.app.store.find_user_by_name("alice").await.unwrap().unwrap();
    let given = LocalGrant::begin(server.app.clone(), "alice", Scopes::of(["tickets:read"])).await.unwrap();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (input, output) = tokio::io::split(theirs);
    let app = server.app.clone();
    #[expect(clippy::disallowed_methods, reason = "it lives as long as the test's runtime")]
    tokio::spawn(async move { mandate::mcp::stdio::serve(&app, Arc::new(given), input, output).await });
    let client = ().serve(ours).await.unwrap();
    let query = json!({ "query": "paper" });
    let live = async || {
        let grants = server.app.store.list_live_grants(&user.user_id, server.app.now()).await.unwrap();
        grants.into_iter().map(|grant| (grant.grant_id, grant.expires_at)).collect::<Vec<_>>()
    };
    done(&client, "search_tickets", query.clone()).await;
    let first = live().await;
    // In use for hours.
    for _ in 0..20 {
        server.advance(Duration::from_mins(14));
        done(&client, "search_tickets", query.clone()).await;
    }
    let still = live().await;
    assert_eq!((still.len(), &still[0].0), (1, &first[0].0));
    assert_eq!(still[0].1, server.app.now().plus(Duration::from_mins(15)));
    // Asleep for longer than the grant lasts.
    server.advance(Duration::from_hours(8));
    assert_eq!(live().await, []);
    done(&client, "search_tickets", query.clone()).await;
    let second = live().await;
    assert!(second.len() == 1 && second[0].0 != first[0].0, "{second:?}");
    // Taken back, and then asleep.
    let mut tx = server.app.store.write().await.unwrap();
    assert!(grants::revoke(&mut tx, &second[0].0, "a test", server.app.now()).await.unwrap());
    let (user_id, grant_id) = (user.user_id.as_str().to_owned(), second[0].0.as_str().to_owned());
    server.app.commit_ending(tx, &[GrantKey { user_id, grant_id }]).await.unwrap();
    server.advance(Duration::from_hours(8));
    assert_eq!(refused(&client, "search_tickets", query).await.0, 401);
    assert_eq!(live().await, []);
}

#[tokio::test]
async fn who_does_not_exist_or_what_is_no_scope_ends_the_start() {
    let place = place().await;
    let cases: [(&[&str], &str); 4] = [
        (&["stdio", "--user", "nobody"], "no account named nobody"),
        (&["stdio", "--user", "alice", "--scope", "tickets:delete"], "tickets:read"),
        (&["stdio", "--user", "alice", "--scope", "offline_access"], "no scope offline_access"),
        (&["stdio", "--user", "alice", "--scope", "tickets:read tickets:write"], "no scope"),
    ];
    for (arguments, expected) in cases {
        let sentence = place.refused(arguments, "");
        assert!(sentence.contains(expected), "{arguments:?}: {sentence}");
    }
    assert_eq!(told(&place), [] as [&str; 0]);
}

#[tokio::test]
async fn what_is_under_way_is_finished_when_the_input_ends() {
    let place = place().await;
    let mut program = Program::start(&place, "alice", &["--write"]);
    let mut lines = program.lines();
    lines.initialize();
    let arguments = json!({ "title": "No paper", "body": "None." });
    let params = json!({ "name": "create_ticket", "arguments": arguments });
    for id in 1..=5 {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        lines.write(&message.to_string());
    }
    lines.close();
    let mut answered: Vec<_> =
        std::iter::from_fn(|| lines.read()).map(|answer| answer["id"].as_i64()).collect();
    answered.sort_unstable();
    assert_eq!(answered, (1..=5).map(Some).collect::<Vec<_>>());
    assert_eq!(program.ended().0, Some(0));
}

#[tokio::test]
async fn a_client_that_neither_reads_nor_goes_keeps_nothing_from_ending() {
    let place = place().await;
    let mut program = Program::start(&place, "alice", &[]);
    let client = json!({ "name": "by hand", "version": "1" });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    let first = [
        json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
    ];
    let list = |id| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list" });
    let pipes = program.choke(&first, list).await;
    program.signal("-TERM");
    assert_eq!(program.ended().0, Some(0));
    assert!(grant(&place).await.2.is_some(), "it is given back all the same");
    drop(pipes);
}
