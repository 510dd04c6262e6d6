//! Consent (A3.17, A3.18): what the page says, what a decision does, and that doing it twice is harmless.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::browser::{Browser, Loaded};
use crate::support::client::{Client, REDIRECT_URI, claims, register};
use crate::support::{PASSWORD, Server};

const BOTH: [&str; 2] = ["tickets:read", "tickets:write"];
const TITLE: &str = "Allow “Test client” to use your tickets?";

/// The text of a page: tags gone, white space single.
fn text(page: &Loaded) -> String {
    let words = page.body.split('<').filter_map(|piece| piece.split_once('>').map(|(_, text)| text));
    words.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Registers with this metadata and opens the consent page of a request to `redirect_uri`.
async fn page_of(server: &Server, metadata: serde_json::Value, redirect_uri: &str) -> String {
    let (_, body) = register(server, &metadata).await;
    let client = Client::known(server, body["client_id"].as_str().unwrap());
    let mut browser = Browser::new(server);
    let (_, page) = browser.open_consent(&client.authorize(&[("redirect_uri", redirect_uri)]), "alice").await;
    page.assert_page(StatusCode::OK, &page.title().replace(" · Mandate", ""));
    text(&page)
}

/// How many apps the account page of this browser lists.
async fn connected(browser: &mut Browser<'_>) -> usize {
    browser.get("/account").await.body.matches("action=\"/account/revoke\"").count()
}

#[tokio::test]
async fn the_page_names_client_host_resource_person_scopes_and_end() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    page.assert_page(StatusCode::OK, TITLE);
    let text = text(&page);
    for said in [
        "You are signed in as alice",
        "“Test client” the name it gives itself",
        "Not verified nobody vouches for the name",
        "Access goes to 127.0.0.1:49152 a program on this computer",
        &server.at("/mcp"),
        "See your tickets",
        "Open, comment on and close tickets as you",
        "Did you start this? Any program on this computer could have asked in the name of “Test client”",
        "Access lasts until",
        "If the app asks for it, copy its whole address from the address bar",
        "ssh -L 49152:localhost:49152",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(page.boxes(), [("tickets:read", true), ("tickets:write", true)]);
    let (deny, allow) =
        (page.body.find("value=\"deny\"").unwrap(), page.body.find("value=\"allow\"").unwrap());
    assert!(deny < allow, "Enter in a box never allows anything");
    assert!(page.body.contains(&format!("action=\"{path}\"")));
}

#[tokio::test]
async fn each_kind_of_destination_is_named_and_warned_of() {
    let server = Server::with_people().await;
    let web = "https://app.example:8443/cb";
    let said = page_of(&server, json!({"client_name": "Claude", "redirect_uris": [web]}), web).await;
    assert!(said.contains("Access goes to app.example:8443 a website"), "{said}");
    assert!(said.contains("Anyone can use the name “Claude”"), "{said}");
    let app = "cursor://anysphere.cursor-mcp/oauth/callback";
    let said = page_of(&server, json!({"client_name": "Cursor", "redirect_uris": [app]}), app).await;
    assert!(said.contains("Access goes to cursor: an app on this device"), "{said}");
    assert!(said.contains("Any app on this device could have asked in the name of “Cursor”"), "{said}");
    server.add_client("client_portal", &json!({"client_name": "Portal", "redirect_uris": [web]})).await;
    let client = Client::known(&server, "client_portal");
    let (_, page) =
        Browser::new(&server).open_consent(&client.authorize(&[("redirect_uri", web)]), "alice").await;
    let said = text(&page);
    assert!(said.contains("Added by the people who run this server Verified"), "{said}");
    assert!(!said.contains("the name it gives itself") && !said.contains("Did you start this"), "{said}");
}

#[tokio::test]
async fn what_a_client_says_of_itself_is_shown_as_text_and_nothing_is_loaded_from_it() {
    let server = Server::with_people().await;
    let metadata = json!({
        "client_name": "<script>alert(1)</script>\u{202e}\n Claude",
        "client_uri": "https://claude.example/<b>",
        "logo_uri": "https://claude.example/logo.png",
        "tos_uri": "javascript:alert(1)",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "none",
    });
    let (_, body) = register(&server, &metadata).await;
    let client = Client::known(&server, body["client_id"].as_str().unwrap());
    let (_, page) = Browser::new(&server).open_consent(&client.authorize(&[]), "alice").await;
    for never in ["<script>", "\u{202e}", "logo.png", "javascript:", "<b>"] {
        assert!(!page.body.contains(never), "{never}: {}", page.body);
    }
    assert!(page.body.contains("&#60;script&#62;alert(1)"), "{}", page.body);
}

#[tokio::test]
async fn only_ticked_scopes_are_granted() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    for (ticked, granted) in [
        (vec!["tickets:read"], "tickets:read"),
        (vec!["tickets:write"], "tickets:write"),
        (vec!["tickets:read", "tickets:write"], "tickets:read tickets:write"),
        (vec!["tickets:read", "tickets:admin", "offline_access"], "tickets:read"),
    ] {
        let tokens = client.obtain_tokens_for("alice", &ticked).await;
        assert_eq!(tokens["scope"], granted, "{ticked:?}");
        assert_eq!(claims(&tokens["access_token"])["scope"], granted);
    }
}

#[tokio::test]
async fn a_scope_that_was_not_asked_for_cannot_be_ticked() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[("scope", "tickets:read")]), "alice").await;
    assert_eq!(page.boxes(), [("tickets:read", true)]);
    let answer = browser.decide(&path, &page, "allow", &BOTH).await.answer();
    assert_eq!(client.redeem(&answer["code"]).await.1["scope"], "tickets:read");
}

#[tokio::test]
async fn with_nothing_ticked_the_page_says_so_and_waits() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let again = browser.decide(&path, &page, "allow", &[]).await;
    again.assert_page(StatusCode::UNPROCESSABLE_ENTITY, TITLE);
    assert!(text(&again).contains("Nothing is ticked. Tick at least one permission, or choose Deny."));
    assert_eq!(again.boxes(), [("tickets:read", false), ("tickets:write", false)]);
    assert!(browser.decide(&path, &again, "allow", &["tickets:read"]).await.answer().contains_key("code"));
}

#[tokio::test]
async fn a_widened_grant_shows_what_is_new() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    assert!(!text(&page).contains("You have allowed this app something before"));
    let answer = browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer();
    client.redeem(&answer["code"]).await;
    let (_, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let said = text(&page);
    assert!(said.contains("You have allowed this app something before"), "{said}");
    assert!(said.contains("See your tickets Allowed before"), "{said}");
    assert!(said.contains("Open, comment on and close tickets as you New"), "{said}");
    assert_eq!(page.boxes(), [("tickets:read", true), ("tickets:write", true)]);
    // Another client, and another user, start from nothing.
    let other = Client::register(&server).await;
    let (_, page) = browser.open_consent(&other.authorize(&[]), "alice").await;
    assert!(!text(&page).contains("Allowed before"));
    let (_, page) = Browser::new(&server).open_consent(&client.authorize(&[]), "bob").await;
    assert!(!text(&page).contains("Allowed before"));
}

#[tokio::test]
async fn deny_tells_the_client_and_grants_nothing() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let denied = browser.decide(&path, &page, "deny", &BOTH).await;
    assert_eq!(denied.status, StatusCode::SEE_OTHER);
    let answer = denied.answer();
    let told = (answer["error"].as_str(), answer["state"].as_str(), answer["iss"].as_str());
    assert_eq!(told, ("access_denied", "st", server.url.as_str()));
    assert!(!answer.contains_key("code"));
    let changed = browser.decide(&path, &page, "allow", &BOTH).await;
    assert_eq!(changed.location, denied.location, "the first answer stands");
    assert_eq!(connected(&mut browser).await, 0);
}

#[tokio::test]
async fn a_decision_is_one_of_two_words() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    for decision in ["", "yes", "Allow"] {
        let loaded = browser.decide(&path, &page, decision, &BOTH).await;
        loaded.assert_page(StatusCode::BAD_REQUEST, "This request cannot be read");
        assert!(loaded.body.contains("Choose Allow or Deny"));
    }
    assert!(browser.decide(&path, &page, "allow", &BOTH).await.answer().contains_key("code"));
}

#[tokio::test]
async fn a_second_click_gets_the_same_answer() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let first = browser.decide(&path, &page, "allow", &BOTH).await;
    for decision in ["allow", "deny"] {
        assert_eq!(browser.decide(&path, &page, decision, &BOTH).await.location, first.location);
    }
    assert_eq!(browser.get(&path).await.location, first.location, "the back button and a reload");
    assert_eq!(client.redeem(&first.answer()["code"]).await.0, StatusCode::OK);
    assert_eq!(connected(&mut browser).await, 1);
}

#[tokio::test]
async fn clicks_at_the_same_moment_get_one_grant_and_one_answer() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let clicks = (0..8).map(|_| {
        let mut twin = Browser::new(&server);
        twin.cookies.clone_from(&browser.cookies);
        let (path, page) = (&path, &page);
        async move { twin.decide(path, page, "allow", &BOTH).await.location }
    });
    let answers = futures::future::join_all(clicks).await;
    assert!(
        answers[0].starts_with(REDIRECT_URI) && answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    let code = url::Url::parse(&answers[0]).unwrap();
    let code = code.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    assert_eq!(client.redeem(&code).await.0, StatusCode::OK);
    assert_eq!(connected(&mut browser).await, 1);
}

#[tokio::test]
async fn after_the_code_was_used_or_a_minute_went_by_the_page_says_connected() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    for used in [true, false] {
        let mut browser = Browser::new(&server);
        let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
        let first = browser.decide(&path, &page, "allow", &BOTH).await;
        if used {
            client.redeem(&first.answer()["code"]).await;
        } else {
            server.advance(Duration::from_secs(60));
        }
        for again in [browser.get(&path).await, browser.decide(&path, &page, "allow", &BOTH).await] {
            again.assert_page(StatusCode::OK, "Already connected");
            assert!(
                text(&again).contains("“Test client” is already connected You have answered this request")
            );
        }
    }
}

#[tokio::test]
async fn loading_the_page_twice_spoils_nothing() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, first) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let second = browser.get(&path).await;
    assert_eq!(first.body, second.body);
    assert!(browser.decide(&path, &first, "allow", &BOTH).await.answer().contains_key("code"));
}

#[tokio::test]
async fn several_requests_live_side_by_side_in_one_browser() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let mut open = Vec::new();
    for state in ["1", "2", "3"] {
        open.push((state, browser.open_consent(&client.authorize(&[("state", state)]), "alice").await));
    }
    let mut refresh_tokens = Vec::new();
    for (state, (path, page)) in open.into_iter().rev() {
        let answer = browser.decide(&path, &page, "allow", &BOTH).await.answer();
        assert_eq!(answer["state"], state);
        let (_, tokens) = client.redeem(&answer["code"]).await;
        refresh_tokens.push(tokens["refresh_token"].as_str().unwrap().to_owned());
    }
    // Each is a grant of its own: one install's sign-in ends no other.
    assert_eq!(connected(&mut browser).await, 3);
    for refresh_token in refresh_tokens {
        assert_eq!(client.refresh(&refresh_token).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn another_browser_cannot_finish_a_request() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let title = "This request was started in another browser";
    let mut other = Browser::signed_in(&server, "alice").await;
    other.get(&path).await.assert_page(StatusCode::FORBIDDEN, title);
    other.decide(&path, &page, "allow", &BOTH).await.assert_page(StatusCode::FORBIDDEN, title);
    assert!(browser.decide(&path, &page, "allow", &BOTH).await.answer().contains_key("code"));
    let late = other.get(&path).await;
    late.assert_page(StatusCode::BAD_REQUEST, "This request has expired");
}

#[tokio::test]
async fn an_expired_or_unknown_request_gets_a_page_that_says_what_to_do() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    server.advance(Duration::from_secs(30 * 60));
    let answers = [
        browser.get(&path).await,
        browser.decide(&path, &page, "allow", &BOTH).await,
        browser.get("/consent/unknown").await,
        browser.get("/consent/%00").await,
    ];
    for answer in answers {
        answer.assert_page(StatusCode::BAD_REQUEST, "This request has expired");
        assert!(text(&answer).contains("Go back to the app and start connecting again."));
    }
    assert_eq!(connected(&mut browser).await, 0);
}

#[tokio::test]
async fn a_form_that_is_not_ours_is_refused_with_a_page() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let (_, other) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let refused = "This form can no longer be used";
    browser.decide(&path, &other, "allow", &BOTH).await.assert_page(StatusCode::FORBIDDEN, refused);
    let without = browser.post(&path, &[("decision", "allow"), ("scope", "tickets:read")]).await;
    without.assert_page(StatusCode::FORBIDDEN, refused);
    let csrf = page.hidden("csrf");
    let form = [("csrf", csrf.as_str()), ("decision", "allow"), ("scope", "tickets:read")];
    for site in ["cross-site", "same-site"] {
        let headers = [("sec-fetch-site", site), ("origin", "https://evil.example")];
        let loaded = browser.send(Method::POST, &path, Some(&form), &headers).await;
        loaded.assert_page(StatusCode::FORBIDDEN, refused);
    }
    assert_eq!(connected(&mut browser).await, 0);
    assert!(browser.post(&path, &form).await.answer().contains_key("code"));
}

#[tokio::test]
async fn a_page_made_for_one_person_cannot_be_answered_as_another() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let login = browser.get(&path.replace("/consent/", "/login?switch=1&flow=")).await;
    assert_eq!(browser.sign_in(&login, "bob", PASSWORD).await.location, path);
    let stale = browser.decide(&path, &page, "allow", &BOTH).await;
    stale.assert_page(StatusCode::FORBIDDEN, "This form can no longer be used");
    let page = browser.get(&path).await;
    assert!(text(&page).contains("You are signed in as bob"));
    let answer = browser.decide(&path, &page, "allow", &BOTH).await.answer();
    let (_, tokens) = client.redeem(&answer["code"]).await;
    let bob = server.app.store.find_user_by_name("bob").await.unwrap().unwrap();
    assert_eq!(claims(&tokens["access_token"])["sub"], bob.user_id.as_str());
}

#[tokio::test]
async fn whoever_signed_out_meanwhile_signs_in_again_and_goes_on() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    browser.cookies.remove("mandate-session");
    let login = path.replace("/consent/", "/login?flow=");
    assert_eq!(browser.get(&path).await.location, login);
    assert_eq!(browser.decide(&path, &page, "allow", &BOTH).await.location, login, "nothing is granted");
    let form = browser.get(&login).await;
    assert_eq!(browser.sign_in(&form, "alice", PASSWORD).await.location, path);
    browser.get(&path).await.assert_page(StatusCode::OK, TITLE);
}

#[tokio::test]
async fn a_grant_begins_when_its_code_is_redeemed() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let answer = browser.decide(&path, &page, "allow", &BOTH).await.answer();
    assert_eq!(connected(&mut browser).await, 0, "the client has nothing yet");
    client.redeem(&answer["code"]).await;
    assert_eq!(connected(&mut browser).await, 1);
}

#[tokio::test]
async fn who_was_allowed_once_is_still_asked_the_next_time() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    client.obtain_tokens("alice").await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let (_, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    page.assert_page(StatusCode::OK, TITLE);
}

#[tokio::test]
async fn the_code_goes_to_the_stored_redirect_uri_whatever_the_form_says() {
    let server = Server::with_people().await;
    let app = "cursor://anysphere.cursor-mcp/oauth/callback";
    let metadata = json!({"redirect_uris": [app], "token_endpoint_auth_method": "none"});
    let (_, body) = register(&server, &metadata).await;
    let client = Client::known(&server, body["client_id"].as_str().unwrap());
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[("redirect_uri", app)]), "alice").await;
    let csrf = page.hidden("csrf");
    let form = [
        ("csrf", csrf.as_str()),
        ("decision", "allow"),
        ("scope", "tickets:read"),
        ("redirect_uri", "https://evil.example/cb"),
        ("state", "evil"),
    ];
    let allowed = browser.post(&path, &form).await;
    assert!(allowed.location.starts_with(&format!("{app}?code=")), "{}", allowed.location);
    assert_eq!(allowed.answer()["state"], "st");
}
