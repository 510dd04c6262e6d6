//! What a connected app did, as its user sees it, and how its limits stand.

use std::time::Duration;

use mandate::ephemeral::Rate;
use mandate::ephemeral::redis::RedisUrl;
use mandate::oauth::UserId;
use mandate::storage::users::Role;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::browser::{Browser, Loaded};
use crate::support::mcp::{BOTH, Mcp, Minted, mint};
use crate::support::services::redis::Redis;
use crate::support::{Server, at_most};

/// A server with `alice`, of whose grant to `client_1` this is a token.
async fn with_grant(server: &Server, scope: &str) -> (UserId, Minted) {
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let minted = mint(server, &alice, "client_1", scope).await;
    (alice, minted)
}

fn path(minted: &Minted) -> String {
    format!("/account/apps/{}/activity", minted.claims.grant_id)
}

/// The deeds that a page lists, in its order.
fn deeds(page: &Loaded) -> Vec<String> {
    let deeds = page.body.split("<p class=\"deed\">").skip(1);
    deeds.map(|rest| rest[..rest.find("</p>").unwrap()].to_owned()).collect()
}

/// Where the link of this name leads.
fn link(page: &Loaded, name: &str) -> Option<String> {
    let end = page.body.find(&format!("\">{name}</a>"))?;
    let start = page.body[..end].rfind("href=\"").unwrap() + "href=\"".len();
    Some(page.body[start..end].to_owned())
}

const REFUSED: &str = " <span class=\"badge doubt\">Refused</span>";

#[tokio::test]
async fn an_app_shows_what_it_did_newest_first_and_a_retry_once() {
    let server = Server::start().await;
    let (_, minted) = with_grant(&server, BOTH).await;
    let client = Mcp::modern(&server, &minted.token);
    let create = json!({ "title": "A <b>printer</b>", "body": "x".repeat(500), "idempotency_key": "k" });
    let id =
        client.call("create_ticket", create.clone()).await.structured()["id"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let replayed = client.call("create_ticket", create.clone()).await;
        assert_eq!(replayed.structured()["id"], id.as_str());
    }
    server.advance(Duration::from_secs(60));
    client.call("comment_ticket", json!({ "id": id, "body": "On its way." })).await.structured();
    client.call("search_tickets", json!({ "query": "printer" })).await.structured();
    client.call("close_ticket", json!({ "id": id, "resolution": "Replaced." })).await.structured();
    client.call("close_ticket", json!({ "id": id })).await.structured();
    client.call("close_ticket", json!({ "id": "T-999" })).await.problem();
    let mut other = create;
    other["title"] = json!("another");
    client.call("create_ticket", other).await.problem();
    let mut browser = Browser::signed_in(&server, "alice").await;
    let page = browser.get(&path(&minted)).await;
    page.assert_page(StatusCode::OK, "Activity of “Test”");
    assert_eq!(
        deeds(&page),
        [
            format!("Tried to open a ticket{REFUSED}"),
            format!("Tried to close ticket T-999{REFUSED}"),
            format!("Closed ticket {id}, which was closed already"),
            format!("Closed ticket {id}"),
            format!("Commented on ticket {id}"),
            format!("Opened ticket {id}"),
        ]
    );
    for said in [
        "It sent the key of an earlier call with another one.",
        "T-999 was not found.",
        "A &#60;b&#62;printer&#60;/b&#62;",
        "(500 characters)",
        "Replaced.",
        "datetime=\"2026-11-23T00:01:00Z\"",
    ] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
    let account = browser.get("/account").await;
    assert!(
        account.body.contains(&format!("Closed ticket {id}, which was closed already")),
        "{}",
        account.body
    );
    assert!(!account.body.contains(&format!("Opened ticket {id}")), "the last ones only");
    assert_eq!(link(&account, "All activity<span class=\"sr\"> of Test</span>"), Some(path(&minted)));
}

#[tokio::test]
async fn a_refusal_says_why_in_plain_words() {
    let server = Server::start_with(|config| config.mcp.read_rate = at_most(1)).await;
    let (_, minted) = with_grant(&server, "tickets:read").await;
    let client = Mcp::modern(&server, &minted.token);
    client.call("close_ticket", json!({ "id": "T-1", "resolution": "Done." })).await;
    for _ in 0..2 {
        client.call("search_tickets", json!({ "query": "printer" })).await;
    }
    let mut foreign = minted.claims.clone();
    foreign.aud = "https://other.example/mcp".into();
    let foreign = server.app.keys.sign(&foreign, server.app.now()).unwrap();
    Mcp::modern(&server, &foreign).call("get_ticket", json!({ "id": "T-1" })).await;
    server.advance(Duration::from_secs(3600));
    client.call("get_ticket", json!({ "id": "T-1" })).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let page = browser.get(&path(&minted)).await;
    let tried = |words: &str| format!("Tried to {words}{REFUSED}");
    assert_eq!(
        deeds(&page),
        [
            tried("use your tickets"),
            tried("use your tickets"),
            tried("search your tickets"),
            tried("close ticket T-1"),
        ]
    );
    for said in [
        "Its access token had expired.",
        "Its access token was made for another server.",
        "It made too many calls in a short time, and was told to wait.",
        "You have not allowed this app to do that.",
        "<dt>Search</dt><dd><bdi>printer</bdi></dd>",
        "<dt>Resolution</dt><dd><bdi>Done.</bdi></dd>",
    ] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
}

#[tokio::test]
async fn activity_is_read_in_pages() {
    let server = Server::start_with(|config| config.mcp.write_rate = at_most(100)).await;
    let (_, minted) = with_grant(&server, BOTH).await;
    let client = Mcp::modern(&server, &minted.token);
    for number in 0..45 {
        client
            .call("create_ticket", json!({ "title": format!("nr {number}."), "body": "b" }))
            .await
            .structured();
    }
    let mut browser = Browser::signed_in(&server, "alice").await;
    let mut next = Some(path(&minted));
    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    while let Some(path) = next {
        let page = browser.get(&path).await;
        page.assert_page(StatusCode::OK, "Activity of “Test”");
        let titles =
            page.body.split("<bdi>nr ").skip(1).map(|rest| rest[..rest.find('.').unwrap()].to_owned());
        seen.extend(titles);
        sizes.push(deeds(&page).len());
        next = link(&page, "Older");
        assert_eq!(link(&page, "Newest").is_some(), sizes.len() > 1);
    }
    assert_eq!(sizes, [20, 20, 5]);
    assert_eq!(seen, (0..45).rev().map(|number: i32| number.to_string()).collect::<Vec<_>>());
    let beyond = browser.get(&format!("{}?before=1", path(&minted))).await;
    assert!(beyond.body.contains("Nothing before this."), "{}", beyond.body);
    let bad = browser.get(&format!("{}?before=x", path(&minted))).await;
    bad.assert_page(StatusCode::BAD_REQUEST, "This request cannot be read");
}

#[tokio::test]
async fn nobody_reads_anothers_activity_and_an_ended_grants_stays_readable() {
    let server = Server::start().await;
    let (_, minted) = with_grant(&server, BOTH).await;
    server.add_user("bob", Role::Agent).await;
    Mcp::modern(&server, &minted.token)
        .call("create_ticket", json!({ "title": "t", "body": "b" }))
        .await
        .structured();
    let mut bob = Browser::signed_in(&server, "bob").await;
    for path in
        [path(&minted), "/account/apps/grant_unknown/activity".into(), "/account/apps/%00/activity".into()]
    {
        bob.get(&path).await.assert_page(StatusCode::NOT_FOUND, "There is no page here");
    }
    assert_eq!(Browser::new(&server).get(&path(&minted)).await.location, "/login");
    let mut alice = Browser::signed_in(&server, "alice").await;
    let csrf = alice.get("/account").await.hidden("csrf");
    let form = [("csrf", csrf.as_str()), ("grant_id", minted.claims.grant_id.as_str())];
    let revoked = alice.post("/account/revoke", &form).await.location;
    assert_eq!(link(&alice.get(&revoked).await, "See what it did"), Some(path(&minted)));
    let page = alice.get(&path(&minted)).await;
    assert_eq!(deeds(&page).len(), 1);
    assert!(page.body.contains("It has no access any more."), "{}", page.body);
}

#[tokio::test]
async fn the_account_tells_each_apps_limits_and_what_is_left_without_counting() {
    let server = Server::start_with(|config| {
        config.mcp.write_rate = Rate { count: 6, per: Duration::from_secs(60), burst: 3 };
    })
    .await;
    let (alice, minted) = with_grant(&server, BOTH).await;
    mint(&server, &alice, "client_2", "tickets:read").await;
    let client = Mcp::modern(&server, &minted.token);
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    for _ in 0..2 {
        client.call("search_tickets", json!({ "query": "t" })).await.structured();
    }
    let mut browser = Browser::signed_in(&server, "alice").await;
    for _ in 0..2 {
        let page = browser.get("/account").await;
        let told =
            page.body.split("<dt>Can ").skip(1).map(|rest| rest[..rest.find("</dd>").unwrap()].to_owned());
        let mut told: Vec<_> = told.collect();
        told.sort();
        let line = |what: &str, left: u32, of: u32, rate: u32| {
            format!("{what} now</dt><dd>{left} of {of} times <span class=\"note\">({rate} a minute)</span>")
        };
        let expected = [line("read", 118, 120, 120), line("read", 120, 120, 120), line("write", 2, 3, 6)];
        assert_eq!(told, expected, "{}", page.body);
    }
}

#[tokio::test]
async fn the_account_works_while_nobody_knows_how_limits_stand() {
    if !Redis::installed() {
        return;
    }
    let redis = Redis::start();
    let url = RedisUrl::parse(&redis.url(), "mandate").unwrap();
    let server = Server::start_with(|config| config.redis = Some(url)).await;
    let (_, minted) = with_grant(&server, BOTH).await;
    Mcp::modern(&server, &minted.token)
        .call("create_ticket", json!({ "title": "t", "body": "b" }))
        .await
        .structured();
    let mut browser = Browser::signed_in(&server, "alice").await;
    let known = browser.get("/account").await;
    assert!(
        known.body.contains("119 of 120 times") || known.body.contains("19 of 20 times"),
        "{}",
        known.body
    );
    redis.stop();
    let page = browser.get("/account").await;
    page.assert_page(StatusCode::OK, "Connected apps");
    assert!(page.body.contains("Opened ticket") && !page.body.contains("<dt>Can "), "{}", page.body);
    browser.get(&path(&minted)).await.assert_page(StatusCode::OK, "Activity of “Test”");
}
