//! The three shapes of `deploy/examples`: each starts as it stands there, and has the routes that its shape has and no
//! others.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use serde_json::Value;

use crate::binary::{Place, Running, ended};
use crate::support::http;

/// Where the examples lie.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples").join(name)
}

/// Makes up the secrets that the examples name.
fn secrets(place: &Place) {
    let secrets = place.path("secrets");
    fs::create_dir_all(&secrets).unwrap();
    for secret in ["acme", "wiki"] {
        fs::write(secrets.join(secret), "a-secret-of-more-than-thirty-two-characters\n").unwrap();
    }
}

/// The server of an example, at an address of its own: its secrets are made up, and its public URL is on this machine.
async fn started(name: &str) -> (Place, Running) {
    let place = Place::new().await;
    secrets(&place);
    let file = example(name);
    let mut command = place.command(&["--config", file.to_str().unwrap(), "serve"]);
    let running = Running::wait_for_line(&mut command, "Ephemeral store");
    (place, running)
}

#[test]
fn every_example_is_a_good_configuration() {
    let place = Place::on_a_file();
    secrets(&place);
    let folder = fs::read_dir(example("")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> =
        folder.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let mut check = place.command(&["config", "check", "--config", file.to_str().unwrap()]);
        // As it stands there, with nothing over it.
        let checked = ended(check.env_remove("MANDATE_LISTEN").env_remove("MANDATE_PUBLIC_URL"), "");
        let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
        assert!(checked.status.success() && said.contains("is good"), "{}: {said}", file.display());
        assert!(!said.contains("Warning") && said.contains("https://"), "{}: {said}", file.display());
    }
}

async fn status(place: &Place, path: &str) -> StatusCode {
    http().get(place.url(path)).send().await.unwrap().status()
}

async fn json(place: &Place, path: &str) -> Value {
    let answer = http().get(place.url(path)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.unwrap()
}

/// What an MCP client is told that has no token.
async fn challenged(place: &Place) -> StatusCode {
    http().post(place.url("/mcp")).body("{}").send().await.unwrap().status()
}

const AS_METADATA: &str = "/.well-known/oauth-authorization-server";
const PRM: &str = "/.well-known/oauth-protected-resource/mcp";
const PAGES: [&str; 3] = ["/login", "/account", "/setup"];
const ENDPOINTS: [&str; 5] = ["/authorize", "/token", "/revoke", "/register", "/introspect"];

#[tokio::test]
async fn all_in_one_has_both_halves_and_a_button_for_the_company() {
    let (place, running) = started("all-in-one.toml").await;
    assert!(running.said.contains("/account") && running.said.contains("/mcp"), "{}", running.said);
    assert_eq!(json(&place, AS_METADATA).await["issuer"], place.url(""));
    assert_eq!(json(&place, PRM).await["authorization_servers"], serde_json::json!([place.url("")]));
    assert_eq!(challenged(&place).await, StatusCode::UNAUTHORIZED);
    let page = http().get(place.url("/login")).send().await.unwrap().text().await.unwrap();
    for part in ["Acme", "/login/acme", "Password"] {
        assert!(page.contains(part), "{part}");
    }
}

#[tokio::test]
async fn a_resource_server_alone_sends_clients_to_the_companys_issuer() {
    let (place, running) = started("resource-server.toml").await;
    assert!(!running.said.contains("/account") && !running.said.contains("/setup"), "{}", running.said);
    let metadata = json(&place, PRM).await;
    assert_eq!(
        metadata["authorization_servers"],
        serde_json::json!(["https://login.acme.example/realms/main"])
    );
    assert_eq!(metadata["resource"], place.url("/mcp"));
    assert_eq!(challenged(&place).await, StatusCode::UNAUTHORIZED);
    for path in [&PAGES[..], &ENDPOINTS, &["/", "/jwks", AS_METADATA]].concat() {
        assert_eq!(status(&place, path).await, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(status(&place, "/ready").await, StatusCode::OK);
}

#[tokio::test]
async fn an_authorization_server_alone_issues_for_others_and_has_no_mcp_endpoint() {
    let (place, running) = started("authorization-server.toml").await;
    assert!(running.said.contains("https://notes.example.com/mcp"), "{}", running.said);
    assert_eq!(challenged(&place).await, StatusCode::NOT_FOUND);
    assert_eq!(status(&place, PRM).await, StatusCode::NOT_FOUND);
    let metadata = json(&place, AS_METADATA).await;
    let resources = ["https://notes.example.com/mcp", "https://wiki.example.com/mcp"];
    assert_eq!(metadata["protected_resources"], serde_json::json!(resources));
    assert_eq!(metadata["introspection_endpoint"], place.url("/introspect"));
    let scopes = metadata["scopes_supported"].to_string();
    assert!(scopes.contains("notes:write") && !scopes.contains("tickets:"), "{scopes}");
    assert_eq!(status(&place, "/login").await, StatusCode::OK);
    let form = [("token", "x")];
    let asked = http()
        .post(place.url("/introspect"))
        .basic_auth("wiki", Some("a-secret-of-more-than-thirty-two-characters"));
    let answer: Value = asked.form(&form).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer, serde_json::json!({ "active": false }));
}
