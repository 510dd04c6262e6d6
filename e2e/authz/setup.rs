//! The one-time link that makes the first account.

use std::time::Duration;

use mandate::authz::setup;
use reqwest::StatusCode;

use crate::support::browser::{Browser, Loaded};
use crate::support::{PASSWORD, Server};

const GONE: &str = "This link does not work any more";

async fn link(server: &Server) -> String {
    let link = setup::issue_link(&server.app).await.unwrap();
    link.strip_prefix(&server.url).unwrap().to_owned()
}

async fn send(
    browser: &mut Browser<'_>,
    page: &Loaded,
    username: &str,
    password: &str,
    again: &str,
) -> Loaded {
    let (csrf, token) = (page.hidden("csrf"), page.hidden("token"));
    let form = [
        ("csrf", csrf.as_str()),
        ("token", &token),
        ("username", username),
        ("password", password),
        ("password_again", again),
    ];
    browser.post("/setup", &form).await
}

#[tokio::test]
async fn a_setup_link_makes_an_account_and_signs_in_once() {
    let server = Server::start().await;
    let link = link(&server).await;
    let mut browser = Browser::new(&server);
    let page = browser.get(&link).await;
    page.assert_page(StatusCode::OK, "Create the first account");
    for said in ["has the role <em>agent</em>: it sees every ticket.", "This link makes one account."] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
    let made = send(&mut browser, &page, "carol", PASSWORD, PASSWORD).await;
    assert_eq!((made.status, made.location.as_str()), (StatusCode::SEE_OTHER, "/account?welcome=1"));
    let account = browser.get(&made.location).await;
    assert!(account.body.contains("Your account is ready, and you are signed in."));
    assert!(
        account.body.contains("<strong>carol</strong><span class=\"note\">Agent: sees every ticket</span>")
    );
    let mut other = Browser::new(&server);
    other.get(&link).await.assert_page(StatusCode::GONE, GONE);
    send(&mut other, &page, "mallory", PASSWORD, PASSWORD).await.assert_page(StatusCode::GONE, GONE);
    Browser::signed_in(&server, "carol").await;
}

#[tokio::test]
async fn a_setup_link_lives_for_an_hour() {
    let server = Server::start().await;
    let link = link(&server).await;
    let mut browser = Browser::new(&server);
    server.advance(Duration::from_secs(3599));
    let page = browser.get(&link).await;
    page.assert_page(StatusCode::OK, "Create the first account");
    server.advance(Duration::from_secs(1));
    browser.get(&link).await.assert_page(StatusCode::GONE, GONE);
    send(&mut browser, &page, "carol", PASSWORD, PASSWORD).await.assert_page(StatusCode::GONE, GONE);
}

#[tokio::test]
async fn a_new_setup_link_ends_the_earlier_ones() {
    let server = Server::start().await;
    let (first, second) = (link(&server).await, link(&server).await);
    let mut browser = Browser::new(&server);
    browser.get(&first).await.assert_page(StatusCode::GONE, GONE);
    browser.get(&second).await.assert_page(StatusCode::OK, "Create the first account");
}

#[tokio::test]
async fn a_setup_link_cannot_be_guessed() {
    let server = Server::start().await;
    let link = link(&server).await;
    let token = link.split_once("token=").unwrap().1;
    assert!(token.len() >= 43);
    let mut browser = Browser::new(&server);
    for wrong in [
        "/setup",
        "/setup?token=",
        "/setup?token=x",
        &link[..link.len() - 1],
        &format!("{link}&token={token}"),
    ] {
        let loaded = browser.get(wrong).await;
        assert!(loaded.status == StatusCode::GONE || loaded.status == StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn each_field_says_what_is_wrong_with_it_and_the_link_still_works() {
    let server = Server::start().await;
    let link = link(&server).await;
    let mut browser = Browser::new(&server);
    let page = browser.get(&link).await;
    let (name, short, differ) = ("username-problem", "password-problem", "password-again-problem");
    for (username, password, again, problems) in [
        ("", PASSWORD, PASSWORD, vec![name]),
        ("a b", PASSWORD, PASSWORD, vec![name]),
        ("carol", "short", "short", vec![short]),
        ("carol", PASSWORD, "another password", vec![differ]),
        ("<script>", "short", "other", vec![name, short, differ]),
    ] {
        let loaded = send(&mut browser, &page, username, password, again).await;
        loaded.assert_page(StatusCode::UNPROCESSABLE_ENTITY, "Create the first account");
        for problem in [name, short, differ] {
            let said = loaded.body.contains(&format!("id=\"{problem}\""));
            assert_eq!(said, problems.contains(&problem), "{username:?} {password:?}: {problem}");
        }
    }
    let made = send(&mut browser, &page, "carol", PASSWORD, PASSWORD).await;
    assert_eq!(made.location, "/account?welcome=1");
}

#[tokio::test]
async fn a_form_that_is_not_ours_is_refused_with_a_page() {
    let server = Server::start().await;
    let link = link(&server).await;
    let mut browser = Browser::new(&server);
    let token = browser.get(&link).await.hidden("token");
    let form = [
        ("token", token.as_str()),
        ("username", "carol"),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
    ];
    let loaded = browser.post("/setup", &form).await;
    loaded.assert_page(StatusCode::FORBIDDEN, "This form can no longer be used");
    assert!(server.app.store.has_no_users().await.unwrap());
}

#[tokio::test]
async fn two_people_at_one_link_make_one_account() {
    let server = Server::start().await;
    let link = link(&server).await;
    let page = Browser::new(&server).get(&link).await;
    let tries = ["carol", "dave"].map(|username| {
        let (server, page) = (&server, &page);
        async move { send(&mut Browser::new(server), page, username, PASSWORD, PASSWORD).await.status }
    });
    let mut statuses = futures::future::join_all(tries).await;
    statuses.sort();
    assert_eq!(statuses, [StatusCode::SEE_OTHER, StatusCode::GONE]);
    assert_eq!(server.app.store.list_users().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_link_is_worth_nothing_once_there_is_an_account() {
    let server = Server::start().await;
    let link = link(&server).await;
    let mut browser = Browser::new(&server);
    let page = browser.get(&link).await;
    server.add_user("alice", mandate::storage::users::Role::Agent).await;
    browser.get(&link).await.assert_page(StatusCode::GONE, GONE);
    send(&mut browser, &page, "mallory", PASSWORD, PASSWORD).await.assert_page(StatusCode::GONE, GONE);
}
