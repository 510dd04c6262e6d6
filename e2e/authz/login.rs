//! Signing in (A0.8, A3.21): passwords, waits, sessions, and forms that only our own pages can send.

use std::collections::BTreeSet;
use std::time::Duration;

use mandate::config::PublicUrl;
use mandate::storage::commit;
use reqwest::{Method, StatusCode};

use crate::support::browser::{Browser, Loaded};
use crate::support::client::Client;
use crate::support::profile::Profile;
use crate::support::{PASSWORD, Server, http};

async fn try_password(browser: &mut Browser<'_>, username: &str, password: &str) -> Loaded {
    let page = browser.get("/login?switch=1").await;
    browser.sign_in(&page, username, password).await
}

/// The page without what differs by design.
fn neutral(loaded: &Loaded, username: &str) -> String {
    loaded.body.replace(&loaded.hidden("csrf"), "").replace(username, "")
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let server = Server::with_people().await;
    let mut browser = Browser::new(&server);
    let wrong = try_password(&mut browser, "alice", "wrong password").await;
    wrong.assert_page(StatusCode::UNPROCESSABLE_ENTITY, "Sign in");
    assert!(wrong.body.contains("That username and password do not match"), "{}", wrong.body);
    assert!(wrong.body.contains("value=\"alice\""), "the name need not be typed again");
    assert!(!wrong.body.contains("wrong password"), "the password is not sent back");
    for (username, password) in
        [("nobody", "wrong password"), ("alice", ""), ("", ""), ("alice", &"x".repeat(2000))]
    {
        let same = try_password(&mut browser, username, password).await;
        assert_eq!(same.status, wrong.status, "{username}");
        if !username.is_empty() {
            assert_eq!(neutral(&same, username), neutral(&wrong, "alice"), "{username}");
        }
    }
    assert!(!browser.cookies.contains_key("mandate-session"));
}

#[tokio::test]
async fn a_username_is_shown_escaped() {
    let server = Server::with_people().await;
    let mut browser = Browser::new(&server);
    let loaded = try_password(&mut browser, "\"><script>alert(1)</script>", "wrong password").await;
    loaded.assert_page(StatusCode::UNPROCESSABLE_ENTITY, "Sign in");
}

#[tokio::test]
async fn the_right_password_signs_in_and_names_are_found_in_any_case() {
    let server = Server::with_people().await;
    let mut browser = Browser::new(&server);
    let loaded = try_password(&mut browser, "Alice", PASSWORD).await;
    assert_eq!((loaded.status, loaded.location.as_str()), (StatusCode::SEE_OTHER, "/account"));
    assert!(browser.get("/account").await.body.contains("<strong>alice</strong>"));
    assert_eq!(browser.get("/login").await.location, "/account", "whoever is signed in goes on");
}

#[tokio::test]
async fn a_disabled_account_cannot_sign_in_and_its_sessions_end() {
    let server = Server::with_people().await;
    let mut browser = Browser::signed_in(&server, "bob").await;
    let mut tx = server.app.store.write().await.unwrap();
    let bob = server.app.store.find_user_by_name("bob").await.unwrap().unwrap();
    mandate::storage::users::disable(&mut tx, &bob.user_id, server.app.now()).await.unwrap();
    commit(tx).await.unwrap();
    assert_eq!(browser.get("/account").await.location, "/login");
    let refused = try_password(&mut browser, "bob", PASSWORD).await;
    refused.assert_page(StatusCode::UNPROCESSABLE_ENTITY, "Sign in");
    assert!(refused.body.contains("This account has been disabled"));
    let wrong = try_password(&mut browser, "bob", "wrong password").await;
    assert!(wrong.body.contains("do not match"), "only whoever knows the password is told");
}

#[tokio::test]
async fn waits_grow_with_wrong_tries_and_even_the_right_password_waits() {
    let server = Server::with_people().await;
    let mut browser = Browser::new(&server);
    let mut waits = Vec::new();
    for _ in 0..40 {
        let loaded = try_password(&mut browser, "bob", "wrong password").await;
        if loaded.status == StatusCode::TOO_MANY_REQUESTS {
            loaded.assert_page(StatusCode::TOO_MANY_REQUESTS, "Sign in");
            assert!(loaded.body.contains("Too many wrong tries. Wait"), "{}", loaded.body);
            let seconds: u64 = loaded.headers["retry-after"].to_str().unwrap().parse().unwrap();
            let early = try_password(&mut browser, "bob", PASSWORD).await;
            assert_eq!(early.status, StatusCode::TOO_MANY_REQUESTS, "the password is not looked at");
            waits.push(seconds);
            server.advance(Duration::from_secs(seconds));
        }
    }
    assert!(waits[0] <= 15 && *waits.last().unwrap() >= 120, "{waits:?}");
    assert!(waits.iter().map(|seconds| (seconds + 30) / 60).is_sorted(), "{waits:?}");
    server.advance(Duration::from_secs(180));
    let loaded = try_password(&mut browser, "bob", PASSWORD).await;
    assert_eq!(loaded.status, StatusCode::SEE_OTHER, "after the wait the rightful user is in");
}

#[tokio::test]
async fn a_success_forgives_the_tries_before_it() {
    let server = Server::with_people().await;
    let mut browser = Browser::new(&server);
    for _ in 0..6 {
        for _ in 0..4 {
            let wrong = try_password(&mut browser, "bob", "wrong password").await;
            assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        }
        let right = try_password(&mut browser, "bob", PASSWORD).await;
        assert_eq!(right.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn strangers_anywhere_never_lock_the_rightful_user_out() {
    let server = Server::start_with(|config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    server.add_user("alice", mandate::storage::users::Role::Agent).await;
    let mut own = Browser::signed_in(&server, "alice").await;
    let mut stranger = Browser::new(&server);
    let page = stranger.get("/login").await;
    let csrf = page.hidden("csrf");
    let guess = async |stranger: &mut Browser<'_>, number: usize| {
        let address = format!("203.0.113.{}", number / 4);
        let form = [("csrf", csrf.as_str()), ("username", "alice"), ("password", "wrong password")];
        let headers = [("x-forwarded-for", address.as_str()), ("sec-fetch-site", "same-origin")];
        stranger.send(Method::POST, "/login", Some(&form), &headers).await.status
    };
    let mut answers = Vec::new();
    for number in 0..60 {
        answers.push(guess(&mut stranger, number).await);
    }
    let (looked_at, put_off) = answers.split_at(50);
    assert!(looked_at.iter().all(|status| *status == StatusCode::UNPROCESSABLE_ENTITY), "{answers:?}");
    // Fifty an hour: where that hour goes by while the test runs, one or two more are looked at.
    let more = put_off.iter().filter(|status| **status != StatusCode::TOO_MANY_REQUESTS).count();
    assert!(more <= if Profile::is_services() { 2 } else { 0 }, "{answers:?}");
    own.cookies.remove("mandate-session");
    let loaded = try_password(&mut own, "alice", PASSWORD).await;
    assert_eq!(loaded.status, StatusCode::SEE_OTHER, "the browser that alice has used before");
}

#[tokio::test]
async fn one_address_cannot_try_one_password_on_every_account() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    let mut last = StatusCode::OK;
    // A hundred an hour: where that hour goes by while the test runs, a few more.
    for number in 0..120 {
        last = try_password(&mut browser, &format!("user{number}"), "").await.status;
        if last == StatusCode::TOO_MANY_REQUESTS {
            assert!(number >= 100, "{number}");
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_session_is_rotated_at_sign_in() {
    let server = Server::with_people().await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let first = browser.cookies["mandate-session"].clone();
    assert!(first.len() >= 43, "256 random bits");
    assert_eq!(try_password(&mut browser, "bob", PASSWORD).await.status, StatusCode::SEE_OTHER);
    assert_ne!(browser.cookies["mandate-session"], first);
    let mut thief = Browser::new(&server);
    thief.cookies.insert("mandate-session".into(), first);
    assert_eq!(thief.get("/account").await.location, "/login", "the old one is worth nothing");
}

#[tokio::test]
async fn a_planted_session_is_not_taken_over() {
    let server = Server::with_people().await;
    let mut browser = Browser::new(&server);
    let planted = "x".repeat(43);
    browser.cookies.insert("mandate-session".into(), planted.clone());
    assert_eq!(try_password(&mut browser, "alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
    assert_ne!(browser.cookies["mandate-session"], planted);
}

#[tokio::test]
async fn a_session_ends_by_itself() {
    let server = Server::with_people().await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    server.advance(Duration::from_secs(12 * 3600 - 1));
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    server.advance(Duration::from_secs(1));
    assert_eq!(browser.get("/account").await.location, "/login");
}

#[tokio::test]
async fn cookies_are_for_this_host_alone_and_out_of_reach_of_scripts() {
    let people = async |public_url: Option<&str>| {
        let url = public_url.map(|url| PublicUrl::parse(url).unwrap());
        let server = Server::start_with(|config| {
            config.public_url = url.unwrap_or_else(|| config.public_url.clone());
        })
        .await;
        server.add_user("alice", mandate::storage::users::Role::Agent).await;
        server
    };
    for (public_url, prefix, secure) in
        [(None, "mandate-", false), (Some("https://tickets.example"), "__Host-mandate-", true)]
    {
        let server = people(public_url).await;
        let base = format!("http://{}", server.address);
        let page = http().get(format!("{base}/login")).send().await.unwrap();
        let anchor = page.headers()["set-cookie"].to_str().unwrap().to_owned();
        let body = page.text().await.unwrap();
        let csrf = body.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let form = [("csrf", csrf.as_str()), ("username", "alice"), ("password", PASSWORD)];
        let request =
            http().post(format!("{base}/login")).header("cookie", anchor.split(';').next().unwrap());
        let response = request.header("sec-fetch-site", "same-origin").form(&form).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        let set =
            response.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned());
        for cookie in set.chain([anchor]) {
            let parts: BTreeSet<&str> = cookie.split("; ").collect();
            assert!(cookie.starts_with(prefix), "{cookie}");
            for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(parts.contains(part), "{cookie}");
            }
            assert_eq!(parts.contains("Secure"), secure, "{cookie}");
            assert!(!cookie.contains("Domain"), "{cookie}");
        }
    }
}

#[tokio::test]
async fn a_form_that_is_not_ours_is_refused_with_a_page() {
    let server = Server::with_people().await;
    let mut browser = Browser::new(&server);
    let csrf = browser.get("/login").await.hidden("csrf");
    let other = Browser::new(&server).get("/login").await.hidden("csrf");
    let right = [("username", "alice"), ("password", PASSWORD)];
    let with = |csrf: &'static str| [("csrf", csrf), right[0], right[1]];
    let own: &'static str = csrf.leak();
    let foreign: &'static str = other.leak();
    for (form, headers) in [
        (with(own), [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")]),
        (with(own), [("sec-fetch-site", "same-site"), ("origin", "https://evil.example")]),
        (with(own), [("accept", "*/*"), ("origin", "https://evil.example")]),
        (with(foreign), [("sec-fetch-site", "same-origin"), ("origin", "null")]),
        (with(""), [("sec-fetch-site", "same-origin"), ("origin", "null")]),
    ] {
        let loaded = browser.send(Method::POST, "/login", Some(&form), &headers).await;
        loaded.assert_page(StatusCode::FORBIDDEN, "This form can no longer be used");
    }
    let cookies = std::mem::take(&mut browser.cookies);
    let loaded = browser.post("/login", &with(own)).await;
    loaded.assert_page(StatusCode::FORBIDDEN, "This form can no longer be used");
    browser.cookies = cookies;
    assert_eq!(browser.post("/login", &with(own)).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_form_without_bounds_is_refused_with_a_page() {
    let server = Server::start().await;
    let loaded = Browser::new(&server).post("/login", &[("username", &"x".repeat(16 * 1024))]).await;
    loaded.assert_page(StatusCode::PAYLOAD_TOO_LARGE, "This request cannot be read");
}

#[tokio::test]
async fn two_tabs_may_sign_in_one_after_the_other() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let mut tabs = Vec::new();
    for _ in 0..2 {
        let location = browser.get(&client.authorize(&[])).await.location;
        tabs.push(browser.get(&location).await);
    }
    let mut pages = Vec::new();
    for tab in &tabs {
        let path = browser.sign_in(tab, "alice", PASSWORD).await.location;
        let page = browser.get(&path).await;
        pages.push((path, page));
    }
    // The first tab's page was made before the second tab signed in.
    for (path, page) in &pages {
        let answer = browser.decide(path, page, "allow", &["tickets:read"]).await.answer();
        assert_eq!(client.redeem(&answer["code"]).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn the_sign_in_page_names_who_waits_and_goes_on_there() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let location = browser.get(&client.authorize(&[])).await.location;
    let page = browser.get(&location).await;
    page.assert_page(StatusCode::OK, "Sign in");
    assert!(page.body.contains("to connect <bdi>“Test client”</bdi>"), "{}", page.body);
    let wrong = browser.sign_in(&page, "alice", "wrong password").await;
    let right = browser.sign_in(&wrong, "alice", PASSWORD).await;
    assert_eq!(right.location, location.replace("/login?flow=", "/consent/"), "a wrong try loses nothing");
}

#[tokio::test]
async fn a_sign_in_for_a_request_that_is_gone_or_elsewhere_says_so_at_once() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let location = browser.get(&client.authorize(&[])).await.location;
    let elsewhere = Browser::new(&server).get(&location).await;
    elsewhere.assert_page(StatusCode::FORBIDDEN, "This request was started in another browser");
    browser.get("/login?flow=unknown").await.assert_page(StatusCode::BAD_REQUEST, "This request has expired");
    let page = browser.get(&location).await;
    server.advance(Duration::from_secs(30 * 60));
    let late = browser.sign_in(&page, "alice", PASSWORD).await;
    late.assert_page(StatusCode::BAD_REQUEST, "This request has expired");
    assert!(late.body.contains("Go back to the app and start connecting again"));
}
