//! The commands that make machines and mint tokens, beside the server that runs on the same store.

use std::process::{Output, Stdio};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::binary::{Place, Running};
use crate::support::client::claims;
use crate::support::http;
use crate::support::mcp::Mcp;

/// A server with the demo's people.
async fn running() -> (Place, Running) {
    let place = Place::new().await;
    let running = Running::start(&place, &["--demo"]);
    (place, running)
}

/// Registers a machine; returns its id and its secret.
fn add(place: &Place, arguments: &[&str]) -> (String, String) {
    let said = place.done(&[&["client", "add", "--machine"], arguments].concat(), "");
    let word = |label: &str| {
        let rest = said.lines().find_map(|line| line.strip_prefix(label)).unwrap_or_default();
        rest.split_whitespace().next().unwrap_or_default().to_owned()
    };
    (word("client_id: "), word("client_secret: "))
}

async fn post(
    place: &Place,
    path: &str,
    by: &(String, String),
    form: &[(&str, &str)],
) -> (StatusCode, Value) {
    let request = http().post(place.url(path)).basic_auth(&by.0, Some(&by.1)).form(form);
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn token(place: &Place, by: &(String, String)) -> (StatusCode, Value) {
    post(place, "/token", by, &[("grant_type", "client_credentials")]).await
}

/// How an MCP call with this token is answered.
async fn call(place: &Place, token: &str) -> StatusCode {
    Mcp::modern(place, token).call("search_tickets", json!({ "query": "printer" })).await.status
}

/// The details of the audit log's events of one kind, newest first.
fn audited(place: &Place, event: &str) -> Vec<String> {
    let lines = place.done(&["audit", "list", "--json", "--event", event], "");
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.map(|event| event["detail"].as_str().unwrap_or_default().to_owned()).collect()
}

fn mint(place: &Place, arguments: &[&str]) -> Output {
    let mut command = place.command(&[&["token", "mint"], arguments].concat());
    command.stdin(Stdio::null()).output().unwrap()
}

#[tokio::test]
async fn a_machine_is_registered_used_and_removed_beside_the_running_server() {
    let (place, _running) = running().await;
    let named = ["--name", "Nightly report", "--role", "agent", "--scope", "tickets:read"];
    let machine = add(&place, &named);
    let (status, body) = token(&place, &machine).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(claims(&body["access_token"])["sub"], format!("client:{}", machine.0));
    let access_token = body["access_token"].as_str().unwrap();
    assert_eq!(call(&place, access_token).await, StatusCode::OK);
    // Minted for it by an operator: the removal ends that, too.
    let minted = mint(&place, &["--machine", &machine.0, "--scope", "tickets:read"]);
    let minted = String::from_utf8(minted.stdout).unwrap();
    assert_eq!(call(&place, minted.trim()).await, StatusCode::OK);
    let listed = place.done(&["client", "list"], "");
    assert!(listed.lines().any(|line| line.contains(&machine.0) && line.contains("machine")), "{listed}");
    let users = place.done(&["user", "list"], "");
    let own = users.lines().find(|line| line.contains(&format!("client:{}", machine.0))).unwrap();
    assert!(own.contains("machine") && own.contains("agent") && own.contains("active"), "{own}");
    assert!(users.lines().any(|line| line.starts_with("alice") && line.contains("person")), "{users}");

    let said = place.done(&["client", "remove", &machine.0], "");
    assert!(said.contains("Grants that ended with it: 2"), "{said}");
    assert_eq!(call(&place, access_token).await, StatusCode::UNAUTHORIZED);
    assert_eq!(call(&place, minted.trim()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(token(&place, &machine).await.0, StatusCode::UNAUTHORIZED);
    assert!(
        place
            .done(&["user", "list"], "")
            .lines()
            .any(|line| line.contains("client:") && line.contains("disabled"))
    );
    // The same id is the same machine again, in another role and with another secret.
    let again = add(&place, &["--name", "Again", "--scope", "tickets:read", "--client-id", &machine.0]);
    assert_eq!(token(&place, &machine).await.0, StatusCode::UNAUTHORIZED, "the old secret is no use");
    assert_eq!(token(&place, &again).await.0, StatusCode::OK);
    let users = place.done(&["user", "list"], "");
    assert!(users.lines().any(|line| line.contains("client:") && line.contains("requester")), "{users}");
}

#[tokio::test]
async fn a_machine_is_disabled_as_a_user_is_and_has_no_password() {
    let (place, _running) = running().await;
    let named = ["--name", "R", "--scope", "tickets:read", "--client-id", "report"];
    let machine = add(&place, &named);
    let (_, body) = token(&place, &machine).await;
    let sentence = place.refused(&["user", "password", "client:report"], "a long password\n");
    assert!(sentence.contains("machine"), "{sentence}");
    place.refused(&["user", "add", "client:other"], "a long password\n");
    place.refused(&["stdio", "--user", "client:report"], "");
    place.done(&["user", "disable", "client:report"], "");
    assert_eq!(call(&place, body["access_token"].as_str().unwrap()).await, StatusCode::UNAUTHORIZED);
    let (status, body) = token(&place, &machine).await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("unauthorized_client")));
    let sentence =
        String::from_utf8(mint(&place, &["--machine", "report", "--scope", "tickets:read"]).stderr);
    assert!(sentence.unwrap().contains("disabled"));
}

#[tokio::test]
async fn what_cannot_be_registered_as_a_machine_is_named() {
    let place = Place::new().await;
    place.done(&["migrate"], "");
    let base = ["client", "add", "--machine", "--name", "X"];
    for (arguments, said) in [
        (&["--scope", "tickets:admin"][..], "tickets:read"),
        (&["--scope", ""], "needs a scope"),
        (&["--scope", "tickets:read", "--auth-method", "none"], "must prove who it is"),
        (&["--scope", "tickets:read", "--auth-method", "private_key_jwt"], "jwks"),
        (&["--scope", "tickets:read", "--client-id", "user_1"], "--client-id"),
        (&["--scope", "tickets:read", "--client-id", "User_1"], "--client-id"),
        (&["--scope", "tickets:read", "--client-id", "client:x"], "--client-id"),
        (&["--scope", "tickets:read", "--client-id", "control-plane"], "control-plane"),
        (&["--scope", "tickets:read", "--client-id", "stdio"], "stdio"),
    ] {
        let sentence = place.refused(&[&base[..], arguments].concat(), "");
        assert!(sentence.contains(said), "{arguments:?}: {sentence}");
    }
    let usage = |arguments: &[&str]| {
        let output =
            place.command(&[&["client", "add", "--name", "X"], arguments].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    };
    usage(&["--machine"]);
    usage(&["--machine", "--scope", "tickets:read", "--redirect-uri", "http://localhost/"]);
    usage(&["--scope", "tickets:read", "--redirect-uri", "http://localhost/"]);
    usage(&["--role", "agent", "--redirect-uri", "http://localhost/"]);
    place.done(&[&base[..], &["--scope", "tickets:read", "--client-id", "report"]].concat(), "");
    for client_id in ["report", "REPORT"] {
        let sentence =
            place.refused(&[&base[..], &["--scope", "tickets:read", "--client-id", client_id]].concat(), "");
        assert!(sentence.contains("already"), "{sentence}");
    }
}

#[tokio::test]
async fn mint_prints_the_token_alone_and_the_audit_log_says_who_minted() {
    let (place, _running) = running().await;
    let purpose = ["--lifetime", "5m", "--for", "the nightly report"];
    let output = mint(&place, &[&["--user", "alice", "--scope", "tickets:read"], &purpose[..]].concat());
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let (line, rest) = said.split_once('\n').unwrap();
    assert_eq!((line.matches('.').count(), rest), (2, ""), "one line, which is the token");
    let aside = String::from_utf8(output.stderr).unwrap();
    assert!(
        aside.starts_with("For alice (user_")
            && aside.contains("): tickets:read on")
            && aside.contains("Good until")
            && !aside.contains(line),
        "{aside}"
    );
    let claims = claims(&json!(line));
    assert_eq!((&claims["client_id"], &claims["scope"]), (&json!("control-plane"), &json!("tickets:read")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    assert_eq!(claims["aud"], place.url("/mcp"));
    assert_eq!(call(&place, line).await, StatusCode::OK);
    let minted = audited(&place, "token_minted");
    let [detail] = minted.as_slice() else { panic!("{minted:?}") };
    assert!(detail.starts_with("by the operating system user ") && detail.contains(" on host "), "{detail}");
    assert!(detail.ends_with("; tickets:read for 5m; the nightly report"), "{detail}");

    for (arguments, said) in [
        (&["--user", "nobody", "--scope", "tickets:read"][..], "`mandate user list` shows"),
        (&["--machine", "nobody", "--scope", "tickets:read"], "no machine"),
        (&["--user", "alice", "--scope", "tickets:admin"], "scope"),
        (&["--user", "alice", "--scope", "tokens:mint"], "scope"),
        (&["--user", "alice", "--scope", "tickets:read", "--lifetime", "61m"], "minted_lifetime_most"),
        (&["--user", "alice", "--scope", "tickets:read", "--lifetime", "1ms"], "one second"),
        (&["--user", "alice", "--scope", "tickets:read", "--resource", "https://x.example"], "resource"),
    ] {
        let sentence = place.refused(&[&["token", "mint"], arguments].concat(), "");
        assert!(sentence.contains(said), "{arguments:?}: {sentence}");
    }
    assert_eq!(audited(&place, "token_minted").len(), 1);
}

#[tokio::test]
async fn removing_a_control_plane_ends_what_it_minted() {
    let (place, _running) = running().await;
    let by = add(&place, &["--name", "Deployments", "--scope", "tokens:mint"]);
    let (status, body) =
        post(&place, "/mint", &by, &[("username", "alice"), ("scope", "tickets:read")]).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let minted = body["access_token"].as_str().unwrap();
    assert_eq!(call(&place, minted).await, StatusCode::OK);
    place.done(&["client", "remove", &by.0], "");
    assert_eq!(call(&place, minted).await, StatusCode::UNAUTHORIZED);
}
