//! Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document; A7, G24-G29), fetched from a real
//! TLS server on loopback that the configuration names.

use std::time::Duration;

use mandate::authz::{client_document, housekeeping};
use mandate::config::Config;
use mandate::oauth::ClientId;
use mandate::storage::users::Role;
use mandate::storage::{commit, documents};
use mandate::web::fetched::CachedDocument;
use mandate::web::outbound::cached::CacheBounds;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::browser::{Browser, Loaded};
use crate::support::client::{Client, VERIFIER};
use crate::support::origin::Origin;
use crate::support::{START, Server, at_most, http};

const PATH: &str = "/client.json";
const OUT_OF_REACH: &str = "The app could not be checked";
const REFUSED: &str = "The app does not describe itself correctly";
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

async fn server_for(origin: &Origin, change: impl FnOnce(&mut Config)) -> Server {
    let server = Server::start_with(|config| {
        origin.trust(config);
        change(config);
    })
    .await;
    server.add_user("alice", Role::Agent).await;
    server
}

/// An origin with a good document and a server that may fetch it.
async fn published(headers: &str) -> (Origin, Server) {
    let origin = Origin::start().await;
    origin.publish(PATH, headers, &origin.document(PATH));
    let server = server_for(&origin, |_| {}).await;
    (origin, server)
}

/// Opens an authorization request of the client at `path`, in a new browser.
async fn ask(server: &Server, origin: &Origin, path: &str) -> Loaded {
    let client = Client::known(server, origin.at(path));
    Browser::new(server).get(&client.authorize(&[])).await
}

#[track_caller]
fn assert_goes_on(loaded: &Loaded) {
    assert!(loaded.location.starts_with("/login?flow="), "{loaded:?}");
}

#[tokio::test]
async fn a_client_known_by_its_document_is_named_with_its_proven_host_and_gets_tokens() {
    let (origin, server) = published("").await;
    let client = Client::known(&server, origin.at(PATH));
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    page.assert_page(StatusCode::OK, "Allow “Document client” to use your tickets?");
    let proven = format!(
        "<dt>Published at</dt><dd><strong>{}</strong> <span class=\"badge good\">Verified",
        origin.host()
    );
    assert!(page.body.contains(&proven), "{}", page.body);
    assert!(
        page.body.contains("the name it gives itself") && page.body.contains("Any program on this computer")
    );
    let answer = browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer();
    let (status, tokens) = client.redeem(&answer["code"]).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let account = browser.get("/account").await;
    assert!(account.body.contains(&format!("{} <span class=\"badge good\">Verified", origin.host())));
    assert_eq!(origin.requests().len(), 1, "one fetch for the whole way");
}

#[tokio::test]
async fn the_redirect_uri_is_matched_with_the_document() {
    let (origin, server) = published("").await;
    let client = Client::known(&server, origin.at(PATH));
    let own = origin.at("/cb");
    for uri in [own.as_str(), "http://localhost/callback", "http://localhost:50000/callback"] {
        assert_goes_on(&Browser::new(&server).get(&client.authorize(&[("redirect_uri", uri)])).await);
    }
    for uri in ["", "https://evil.example/cb", "http://[::1]:50000/callback", "http://localhost:1/callback/x"]
    {
        let loaded = Browser::new(&server).get(&client.authorize(&[("redirect_uri", uri)])).await;
        loaded.assert_page(StatusCode::BAD_REQUEST, "The way back to the app is not safe");
    }
}

#[tokio::test]
async fn only_a_well_formed_id_names_a_document_and_is_fetched() {
    let (origin, server) = published("").await;
    let host = origin.host();
    for client_id in [
        format!("http://{host}{PATH}"),
        format!("https://{host}"),
        format!("https://{host}/"),
        format!("https://{host}/./client.json"),
        format!("https://{host}/x/../client.json"),
        format!("https://{host}/%2e%2E/client.json"),
        format!("https://{host}{PATH}#fragment"),
        format!("https://user@{host}{PATH}"),
        format!("https://@{host}{PATH}"),
        format!("https://{host}?x/client.json"),
        format!("HTTPS://{host}{PATH}"),
        format!(" https://{host}{PATH}"),
        format!("https://LOCALHOST{PATH}"),
        format!("https://127.1{PATH}"),
        format!("https://2130706433{PATH}"),
        format!("https://0x7f000001{PATH}"),
        format!("https://[::ffff:127.0.0.1]{PATH}"),
        format!("https://app.example:443{PATH}"),
    ] {
        let client = Client::known(&server, client_id.clone());
        let loaded = Browser::new(&server).get(&client.authorize(&[])).await;
        loaded.assert_page(StatusCode::BAD_REQUEST, "This app is not known here");
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
}

#[tokio::test]
async fn the_document_is_asked_for_once_with_get_and_without_anything_of_the_user() {
    let (origin, server) = published("").await;
    ask(&server, &origin, PATH).await;
    let requests = origin.requests();
    let head = requests[0].to_ascii_lowercase();
    assert!(head.starts_with(&format!("get {PATH} http/1.1\r\n")), "{head}");
    assert!(head.contains("accept: application/json"), "{head}");
    for never in ["cookie:", "authorization:", "referer:", "origin:", "x-forwarded-for:"] {
        assert!(!head.contains(never), "{head}");
    }
}

#[tokio::test]
async fn a_document_that_breaks_a_rule_is_refused_with_a_page_and_not_kept() {
    let origin = Origin::start().await;
    let server = server_for(&origin, |_| {}).await;
    let with = |name: &str, value: Value| {
        let mut document = origin.document(PATH);
        document[name] = value;
        document.to_string()
    };
    let without = |name: &str| {
        let mut document = origin.document(PATH);
        document.as_object_mut().unwrap().remove(name);
        document.to_string()
    };
    for body in [
        without("client_id"),
        without("client_name"),
        without("redirect_uris"),
        with("client_id", json!(origin.at("/client.json/"))),
        with("client_id", json!(origin.at("/client.json?"))),
        with("client_id", json!(origin.at("/other.json"))),
        with("client_id", json!(origin.at(PATH).replace("localhost", "LOCALHOST"))),
        with("client_name", json!("")),
        with("redirect_uris", json!([])),
        with("redirect_uris", json!(["javascript:alert(1)"])),
        with("client_secret", json!("secret")),
        with("client_secret_expires_at", json!(0)),
        with("token_endpoint_auth_method", json!("client_secret_basic")),
        with("token_endpoint_auth_method", json!("client_secret_post")),
        with("token_endpoint_auth_method", json!("client_secret_jwt")),
        with("token_endpoint_auth_method", json!("private_key_jwt")),
        format!("[{}]", origin.document(PATH)),
        "<html>".to_owned(),
        String::new(),
    ] {
        origin.answer(PATH, "200 OK", "Cache-Control: max-age=3600\r\n", &body);
        let loaded = ask(&server, &origin, PATH).await;
        loaded.assert_page(StatusCode::BAD_REQUEST, REFUSED);
        assert!(loaded.body.contains("What localhost says about the app"), "{}", loaded.body);
    }
    origin.publish(PATH, "", &origin.document(PATH));
    assert_goes_on(&ask(&server, &origin, PATH).await);
}

#[tokio::test]
async fn only_200_is_an_answer_redirects_are_not_followed_and_errors_are_not_kept() {
    let origin = Origin::start().await;
    let server = server_for(&origin, |_| {}).await;
    let good = origin.document(PATH);
    origin.publish("/other.json", "", &good);
    let location = format!("Location: {}\r\n", origin.at("/other.json"));
    for status in [
        "201 Created",
        "203 Other",
        "206 Partial",
        "301 X",
        "302 X",
        "307 X",
        "308 X",
        "403 X",
        "404 X",
        "429 X",
        "500 X",
        "503 X",
    ] {
        origin.answer(PATH, status, &format!("{location}Cache-Control: max-age=3600\r\n"), &good.to_string());
        let loaded = ask(&server, &origin, PATH).await;
        loaded.assert_page(StatusCode::BAD_GATEWAY, OUT_OF_REACH);
        assert_eq!(loaded.headers["retry-after"], "60");
    }
    assert!(
        origin.requests().iter().all(|head| head.starts_with(&format!("GET {PATH} "))),
        "no redirect followed"
    );
    origin.publish(PATH, "", &good);
    assert_goes_on(&ask(&server, &origin, PATH).await);
}

#[tokio::test]
async fn a_document_may_have_5_kilobytes() {
    let origin = Origin::start().await;
    let server = server_for(&origin, |_| {}).await;
    let text = origin.document(PATH).to_string();
    let padded = |length: usize| format!("{text}{}", " ".repeat(length - text.len()));
    origin.answer(PATH, "200 OK", "", &padded(5 * 1024 + 1));
    ask(&server, &origin, PATH).await.assert_page(StatusCode::BAD_GATEWAY, OUT_OF_REACH);
    origin.answer(PATH, "200 OK", "", &padded(5 * 1024));
    assert_goes_on(&ask(&server, &origin, PATH).await);
}

#[tokio::test]
async fn a_document_is_kept_as_long_as_its_host_says_between_a_minute_and_a_day() {
    for (headers, fresh) in [
        ("", MINUTE),
        ("Cache-Control: no-store\r\n", MINUTE),
        ("Cache-Control: max-age=0\r\n", MINUTE),
        ("Cache-Control: max-age=600\r\n", 10 * MINUTE),
        ("Cache-Control: max-age=31536000\r\n", DAY),
    ] {
        let (origin, server) = published(headers).await;
        assert_goes_on(&ask(&server, &origin, PATH).await);
        server.advance(fresh.saturating_sub(Duration::from_secs(1)));
        assert_goes_on(&ask(&server, &origin, PATH).await);
        assert_eq!(origin.requests().len(), 1, "{headers:?}");
        server.advance(Duration::from_secs(1));
        assert_goes_on(&ask(&server, &origin, PATH).await);
        assert_eq!(origin.requests().len(), 2, "{headers:?}");
    }
}

#[tokio::test]
async fn a_copy_is_confirmed_by_etag() {
    let (origin, server) = published("Cache-Control: max-age=600\r\nETag: \"one\"\r\n").await;
    ask(&server, &origin, PATH).await;
    server.advance(10 * MINUTE);
    origin.answer(PATH, "304 Not Modified", "ETag: \"one\"\r\n", "");
    assert_goes_on(&ask(&server, &origin, PATH).await);
    assert!(origin.requests()[1].to_ascii_lowercase().contains("if-none-match: \"one\"\r\n"));
    server.advance(9 * MINUTE);
    assert_goes_on(&ask(&server, &origin, PATH).await);
    assert_eq!(origin.requests().len(), 2, "good for as long again");
}

#[tokio::test]
async fn an_older_copy_stands_in_while_the_host_fails_for_a_week_and_not_after_it_was_withdrawn() {
    let day_old = 86_401;
    for (status, body, after, stands_in) in [
        ("503 X", "", day_old, true),
        ("403 X", "", day_old, true),
        ("302 X", "", day_old, true),
        ("200 OK", "<html>bot wall</html>", day_old, true),
        ("503 X", "", 9 * 86_400, false),
        ("404 X", "", day_old, false),
        ("410 X", "", day_old, false),
    ] {
        let (origin, server) = published("Cache-Control: max-age=3600\r\n").await;
        assert_goes_on(&ask(&server, &origin, PATH).await);
        origin.answer(PATH, status, "", body);
        server.advance(Duration::from_secs(after));
        let loaded = ask(&server, &origin, PATH).await;
        if stands_in {
            assert_goes_on(&loaded);
            assert_goes_on(&ask(&server, &origin, PATH).await);
            assert_eq!(origin.requests().len(), 2, "a failing host is left alone for a minute");
        } else {
            loaded.assert_page(StatusCode::BAD_GATEWAY, OUT_OF_REACH);
        }
    }
}

#[tokio::test]
async fn a_known_clients_document_stands_in_until_its_host_answers() {
    for (status, body, stands_in) in [
        ("403 X", "<html>bot wall</html>", true),
        ("200 OK", "<html>bot wall</html>", true),
        ("503 X", "", true),
        ("404 X", "", false),
        ("410 X", "", false),
    ] {
        let origin = Origin::start().await;
        let client_id = origin.at(PATH);
        let known = origin.document(PATH);
        origin.answer(PATH, status, "", body);
        let server = Server::start_with_app(
            |config| origin.trust(config),
            |app| app.standing_by = [(ClientId::new(&client_id), known.to_string())].into(),
        )
        .await;
        let loaded = ask(&server, &origin, PATH).await;
        if !stands_in {
            loaded.assert_page(StatusCode::BAD_GATEWAY, OUT_OF_REACH);
            // That it was withdrawn is not forgotten.
            origin.answer(PATH, "503 X", "", "");
            for days in [0, 9, 100] {
                server.advance(days * DAY);
                housekeeping::once(&server.app).await.unwrap();
                ask(&server, &origin, PATH).await.assert_page(StatusCode::BAD_GATEWAY, OUT_OF_REACH);
            }
            continue;
        }
        assert_goes_on(&loaded);
        server.add_user("alice", Role::Agent).await;
        let client = Client::known(&server, client_id);
        assert_eq!(client.obtain_tokens("alice").await["token_type"], "Bearer", "{status}");
        assert_eq!(origin.requests().len(), 1, "a failing host is left alone for a minute");
        server.advance(60 * DAY);
        assert_goes_on(&ask(&server, &origin, PATH).await);

        let mut published = known.clone();
        published["redirect_uris"] = json!(["https://elsewhere.example/callback"]);
        origin.publish(PATH, "", &published);
        server.advance(MINUTE);
        let loaded = ask(&server, &origin, PATH).await;
        assert_eq!(loaded.status, StatusCode::BAD_REQUEST, "what the host says takes its place");
        origin.answer(PATH, status, "", body);
        server.advance(30 * DAY);
        housekeeping::once(&server.app).await.unwrap();
        let loaded = ask(&server, &origin, PATH).await;
        assert!(loaded.status.is_client_error() || loaded.status.is_server_error(), "for good: {loaded:?}");
        // Until its host agrees with it again.
        origin.publish(PATH, "", &known);
        assert_goes_on(&ask(&server, &origin, PATH).await);
        origin.answer(PATH, status, "", body);
        server.advance(30 * DAY);
        assert_goes_on(&ask(&server, &origin, PATH).await);
    }
}

/// A server that knows the document of the origin, whose host answers with a bot wall, and that document.
async fn walled_off(change: impl FnOnce(&mut Config)) -> (Origin, Server, Value) {
    let origin = Origin::start().await;
    let known = origin.document(PATH);
    origin.answer(PATH, "403 X", "", "<html>bot wall</html>");
    let standing_by = [(ClientId::new(origin.at(PATH)), known.to_string())].into();
    let server = Server::start_with_app(
        |config| {
            origin.trust(config);
            change(config);
        },
        |app| app.standing_by = standing_by,
    )
    .await;
    server.add_user("alice", Role::Agent).await;
    (origin, server, known)
}

#[tokio::test]
async fn pages_say_that_a_known_clients_host_could_not_be_asked() {
    let (origin, server, known) = walled_off(|_| {}).await;
    let client = Client::known(&server, origin.at(PATH));
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let decided = browser.decide(&path, &page, "allow", &["tickets:read"]).await;
    assert_eq!(client.redeem(&decided.answer()["code"]).await.0, StatusCode::OK);
    let account = browser.get("/account").await;
    for page in [&page, &account] {
        assert!(page.body.contains("Known to Mandate") && !page.body.contains(">Verified<"), "{}", page.body);
        assert!(page.body.contains("could not be asked"), "{}", page.body);
    }
    // The same client, asked about and proven, is not answered for the one that was not.
    origin.publish(PATH, "", &known);
    server.advance(MINUTE);
    let (_, page) = browser.open_consent(&client.authorize(&[("prompt", "consent")]), "alice").await;
    assert!(page.body.contains(">Verified<") && !page.body.contains("Known to Mandate"), "{}", page.body);
}

#[tokio::test]
async fn a_known_document_of_another_version_is_not_believed() {
    let (origin, server, mut known) = walled_off(|_| {}).await;
    let current = Client::known(&server, origin.at(PATH)).authorize(&[]);
    known["redirect_uris"] = json!(["https://former.example/callback"]);
    let former = CachedDocument::brought_along(&known.to_string(), START.0);
    let former = former.standing_in(&CacheBounds::default(), START.0).unwrap();
    let mut tx = server.app.store.write().await.unwrap();
    let key = format!("client {}", origin.at(PATH));
    documents::keep(&mut tx, &key, &serde_json::to_string(&former).unwrap(), START).await.unwrap();
    commit(tx).await.unwrap();
    assert_goes_on(&Browser::new(&server).get(&current).await);
}

#[tokio::test]
async fn a_known_document_does_not_stand_in_for_a_host_that_was_not_asked() {
    let (origin, server, _) = walled_off(|config| config.limits.document_fetch = at_most(1)).await;
    ask(&server, &origin, "/other").await.assert_page(StatusCode::BAD_GATEWAY, OUT_OF_REACH);
    let refused = ask(&server, &origin, PATH).await;
    refused.assert_page(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_document_that_changes_meanwhile_changes_nothing_for_what_was_begun() {
    let (origin, server) = published("Cache-Control: max-age=60\r\n").await;
    let client = Client::known(&server, origin.at(PATH));
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    // The document now names another website and a key of its own.
    let mut stolen = origin.document(PATH);
    stolen["client_name"] = json!("Thief");
    stolen["redirect_uris"] = json!(["https://evil.example/cb"]);
    stolen["token_endpoint_auth_method"] = json!("private_key_jwt");
    stolen["jwks"] = json!({"keys": []});
    origin.publish(PATH, "", &stolen);
    server.advance(2 * MINUTE);
    let again = browser.get(&path).await;
    again.assert_page(StatusCode::OK, "Allow “Document client” to use your tickets?");
    let answer = browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer();
    let (status, tokens) = client.redeem(&answer["code"]).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    assert_eq!(client.refresh(tokens["refresh_token"].as_str().unwrap()).await.0, StatusCode::OK);
    origin.answer(PATH, "404 X", "", "");
    server.advance(9 * DAY);
    let (_, tokens) = client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(tokens["error"], "invalid_grant", "that token was rotated long ago");
}

#[tokio::test]
async fn who_was_accepted_once_may_refresh_while_its_document_is_away() {
    let (origin, server) = published("").await;
    let client = Client::known(&server, origin.at(PATH));
    let mut tokens = client.obtain_tokens_for("alice", &["tickets:read"]).await;
    origin.answer(PATH, "404 X", "", "");
    for _ in 0..3 {
        server.advance(9 * DAY);
        let (status, next) = client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{next}");
        tokens = next;
    }
}

#[tokio::test]
async fn a_changed_document_is_asked_about_anew() {
    let (origin, server) = published("Cache-Control: max-age=60\r\n").await;
    let client = Client::known(&server, origin.at(PATH));
    let own = origin.at("/cb");
    let request = client.authorize(&[("redirect_uri", &own), ("scope", "tickets:read")]);
    let silent = format!("{request}&prompt=none");
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&request, "alice").await;
    assert!(!page.body.contains("Did you start this?"), "a website of its own is certain");
    let answer = browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer();
    client.redeem(&answer["code"]).await;
    assert!(browser.get(&silent).await.answer().contains_key("code"), "proven, granted before, unchanged");
    let loopback = client.authorize(&[("prompt", "none"), ("scope", "tickets:read")]);
    assert_eq!(
        browser.get(&loopback).await.answer()["error"],
        "consent_required",
        "any program could listen there"
    );
    for (name, value) in [
        ("client_name", json!("New name")),
        ("redirect_uris", json!([own.as_str(), "https://new.example/cb"])),
        ("jwks_uri", json!(origin.at("/jwks"))),
    ] {
        let mut changed = origin.document(PATH);
        changed[name] = value;
        origin.publish(PATH, "", &changed);
        server.advance(2 * MINUTE);
        assert_eq!(browser.get(&silent).await.answer()["error"], "consent_required", "{name}");
    }
}

#[tokio::test]
async fn two_installs_of_one_document_are_two_grants() {
    let (origin, server) = published("").await;
    let client = Client::known(&server, origin.at(PATH));
    let laptop = client.obtain_tokens_for("alice", &["tickets:read"]).await;
    let desktop = client.obtain_tokens_for("alice", &["tickets:read"]).await;
    for tokens in [laptop, desktop] {
        assert_eq!(client.refresh(tokens["refresh_token"].as_str().unwrap()).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_client_whose_document_says_private_key_jwt_must_prove_itself_unless_it_also_says_none() {
    let origin = Origin::start().await;
    let server = server_for(&origin, |_| {}).await;
    for (also_none, expected) in [(false, StatusCode::UNAUTHORIZED), (true, StatusCode::OK)] {
        let path = format!("/{also_none}.json");
        let mut document = origin.document(&path);
        document["token_endpoint_auth_method"] = json!("private_key_jwt");
        document["jwks"] = json!({"keys": []});
        if also_none {
            document["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt", "none"]);
        }
        origin.publish(&path, "", &document);
        let client = Client::known(&server, origin.at(&path));
        let code = client.obtain_code("alice", &["tickets:read"]).await;
        assert_eq!(client.redeem(&code).await.0, expected, "{also_none}");
    }
}

#[tokio::test]
async fn nothing_inside_the_network_is_asked_and_every_failure_reads_the_same() {
    let origin = Origin::start().await;
    origin.publish(PATH, "", &origin.document(PATH));
    // This server has no allowed hosts.
    let server = Server::start().await;
    let port = server.address.port();
    let mut answers = Vec::new();
    for host in [
        origin.host(),
        "localhost".to_owned(),
        format!("127.0.0.1:{port}"),
        "127.0.0.1".to_owned(),
        "[::1]".to_owned(),
        "[::ffff:7f00:1]".to_owned(),
        "[64:ff9b::7f00:1]".to_owned(),
        "0.0.0.0".to_owned(),
        "10.0.0.1".to_owned(),
        "172.16.0.1".to_owned(),
        "192.168.1.1".to_owned(),
        "169.254.169.254".to_owned(),
        "100.64.0.1".to_owned(),
        "[fd00::1]".to_owned(),
        "[fe80::1]".to_owned(),
        "metadata.google.internal".to_owned(),
        "intranet".to_owned(),
        "nothing.invalid".to_owned(),
    ] {
        let client = Client::known(&server, format!("https://{host}{PATH}"));
        let loaded = Browser::new(&server).get(&client.authorize(&[])).await;
        let spelled_plainly =
            url::Url::parse(&client.client_id).is_ok_and(|url| url.as_str() == client.client_id);
        if !spelled_plainly {
            loaded.assert_page(StatusCode::BAD_REQUEST, "This app is not known here");
            continue;
        }
        loaded.assert_page(StatusCode::BAD_GATEWAY, OUT_OF_REACH);
        let reference = loaded.headers["x-reference-id"].to_str().unwrap().to_owned();
        let named = url::Url::parse(&client.client_id).unwrap().host_str().unwrap().to_owned();
        answers.push(loaded.body.replace(&reference, "").replace(&named, ""));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_trusted() {
    let origin = Origin::start().await;
    origin.publish(PATH, "", &origin.document(PATH));
    let server = server_for(&origin, |config| config.outbound.extra_ca_file = None).await;
    ask(&server, &origin, PATH).await.assert_page(StatusCode::BAD_GATEWAY, OUT_OF_REACH);
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn a_flood_of_fetches_waits_and_what_is_kept_costs_nothing() {
    let origin = Origin::start().await;
    let server = server_for(&origin, |config| {
        config.limits.document_fetch = at_most(3);
    })
    .await;
    origin.publish(PATH, "Cache-Control: max-age=3600\r\n", &origin.document(PATH));
    assert_goes_on(&ask(&server, &origin, PATH).await);
    for number in 0..2 {
        ask(&server, &origin, &format!("/{number}")).await.assert_page(StatusCode::BAD_GATEWAY, OUT_OF_REACH);
    }
    let refused = ask(&server, &origin, "/3").await;
    refused.assert_page(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=1200).contains(&wait), "{wait}");
    assert_eq!(origin.requests().len(), 3, "nothing is fetched for it");
    assert_goes_on(&ask(&server, &origin, PATH).await);
    server.advance(Duration::from_secs(wait));
    ask(&server, &origin, "/3").await.assert_page(StatusCode::BAD_GATEWAY, OUT_OF_REACH);
}

#[tokio::test]
async fn switched_off_no_document_is_fetched_or_offered() {
    let origin = Origin::start().await;
    origin.publish(PATH, "", &origin.document(PATH));
    let server = server_for(&origin, |config| config.clients.metadata_documents = false).await;
    ask(&server, &origin, PATH).await.assert_page(StatusCode::BAD_REQUEST, "This app is not known here");
    assert!(origin.requests().is_empty());
    let metadata: Value = http()
        .get(server.at("/.well-known/oauth-authorization-server"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(metadata.get("client_id_metadata_document_supported").is_none());
}

#[tokio::test]
async fn preloaded_documents_are_known_without_fetching() {
    let folder = tempfile::tempdir().unwrap();
    let client_id = "https://claude.example/oauth/client.json";
    let document = json!({
        "client_id": client_id, "client_name": "Preloaded", "redirect_uris": ["http://127.0.0.1/callback"]
    });
    std::fs::write(folder.path().join("claude.json"), document.to_string()).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not a document").unwrap();
    let mut config = Config::defaults().unwrap();
    config.clients.preloaded_documents = Some(folder.path().to_owned());
    let preloaded = client_document::preload(&config).unwrap();
    let server = Server::start_with_app(|_| {}, |app| app.preloaded = preloaded).await;
    server.add_user("alice", Role::Agent).await;
    let client = Client::known(&server, client_id);
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    assert!(page.body.contains("<strong>claude.example</strong>"), "{}", page.body);
    let answer = browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer();
    let form = [("grant_type", "authorization_code"), ("code", &answer["code"]), ("code_verifier", VERIFIER)];
    assert_eq!(client.token(&form).await.0, StatusCode::OK);
    for (name, text) in [("a.json", "{"), ("b.json", "{\"client_id\": \"x\"}"), ("c.json", "[]")] {
        std::fs::write(folder.path().join(name), text).unwrap();
        let problem = client_document::preload(&config).unwrap_err().to_string();
        assert!(problem.starts_with("clients.preloaded_documents: ") && problem.contains(name), "{problem}");
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
}
