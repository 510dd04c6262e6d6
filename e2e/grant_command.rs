//! `mandate grant` of the real binary, beside the server that runs on the same store.

use std::process::Stdio;

use mandate::authz::taking_back::{By, take_back};
use mandate::storage::{commit, external_grants};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::binary::{Place, Running, complaint, ended};
use crate::support::acme::Acme;
use crate::support::client::{Client, claims};
use crate::support::mcp::Mcp;
use crate::support::{PASSWORD, http};

async fn running() -> (Place, Running) {
    let place = Place::new().await;
    for name in ["alice", "bob"] {
        place.done(&["user", "add", name], &format!("{PASSWORD}\n"));
    }
    let running = Running::start(&place, &[]);
    (place, running)
}

/// The lines of `grant list` below the header, by column.
fn listed(place: &Place, arguments: &[&str]) -> Vec<Vec<String>> {
    let text = place.done(&[&["grant", "list"], arguments].concat(), "");
    assert!(text.starts_with("GRANT") && text.lines().next().unwrap().ends_with("STATE"), "{text}");
    let cells = text.lines().skip(1).map(|line| line.split("  ").map(str::trim));
    cells.map(|cells| cells.filter(|cell| !cell.is_empty()).map(str::to_owned).collect()).collect()
}

async fn call(place: &Place, token: &Value) -> StatusCode {
    let mcp = Mcp::modern(place, token.as_str().unwrap());
    mcp.call("search_tickets", json!({ "query": "*" })).await.status
}

fn grant_of(tokens: &Value) -> String {
    claims(&tokens["access_token"])["grant_id"].as_str().unwrap().to_owned()
}

/// Mints a token for a user; returns it and what is said beside it.
fn mint(place: &Place, user: &str) -> (Value, String) {
    let mut command = place.command(&["token", "mint", "--user", user, "--scope", "tickets:read"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (json!(text(output.stdout).trim()), text(output.stderr))
}

#[tokio::test]
async fn a_grant_is_listed_and_ended_beside_the_running_server() {
    let (place, _running) = running().await;
    let client = Client::register(&place).await;
    let [ended, kept] = [client.obtain_tokens("alice").await, client.obtain_tokens("alice").await];
    let id = grant_of(&ended);
    assert_eq!(call(&place, &ended["access_token"]).await, StatusCode::OK);
    let rows = listed(&place, &[]);
    assert_eq!(rows.len(), 2, "{rows:?}");
    let row = rows.iter().find(|row| row[0] == id).unwrap();
    let expected = ["alice", client.client_id.as_str(), "tickets:read tickets:write", &place.url("/mcp")]
        .map(str::to_owned);
    assert_eq!((&row[1..5], row[7].as_str()), (&expected[..], "active"));

    let said = place.done(&["grant", "revoke", &id], "");
    assert_eq!(
        said,
        format!("Ended {id}, of alice to {}. Its tokens are refused from now on.\n", client.client_id)
    );
    assert_eq!(call(&place, &ended["access_token"]).await, StatusCode::UNAUTHORIZED);
    let (status, answer) = client.refresh(ended["refresh_token"].as_str().unwrap()).await;
    assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    assert_eq!(call(&place, &kept["access_token"]).await, StatusCode::OK, "the other one lives on");
    let (status, _) = client.refresh(kept["refresh_token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK);

    assert_eq!(listed(&place, &[]).len(), 1);
    let rows = listed(&place, &["--all"]);
    let row = rows.iter().find(|row| row[0] == id).unwrap();
    assert!(row[7].starts_with("ended 20") && row[7].ends_with(": an operator ended it"), "{row:?}");
    let event = place.done(&["audit", "list", "--json", "--event", "grant_revoked"], "");
    let event: Value = serde_json::from_str(event.trim()).unwrap();
    assert_eq!((&event["grant_id"], &event["client_id"]), (&json!(id), &json!(client.client_id)));
    assert!(event["detail"].as_str().unwrap().starts_with("by the operating system user "), "{event}");
}

#[tokio::test]
async fn what_is_not_there_and_what_has_ended_before_is_refused() {
    let (place, _running) = running().await;
    let sentence = place.refused(&["grant", "revoke", "grant_unknown"], "");
    assert!(sentence.starts_with("there is no grant grant_unknown; `mandate grant list`"), "{sentence}");
    let sentence = place.refused(&["grant", "list", "--user", "nobody"], "");
    assert!(sentence.contains("nobody; `mandate user list` shows them all"), "{sentence}");
    let tokens = Client::register(&place).await.obtain_tokens("alice").await;
    let (id, token) = (grant_of(&tokens), tokens["refresh_token"].as_str().unwrap());
    let client_id = claims(&tokens["access_token"])["client_id"].clone();
    let form = [("token", token), ("client_id", client_id.as_str().unwrap())];
    let given_back = http().post(place.url("/revoke")).form(&form).send().await.unwrap();
    assert_eq!(given_back.status(), StatusCode::OK);
    let sentence = place.refused(&["grant", "revoke", &id], "");
    assert!(sentence.starts_with(&format!("{id} was ended on 20")), "{sentence}");
    let rows = listed(&place, &["--all"]);
    assert!(rows[0][7].ends_with(": the client gave it back"), "why it ended stays as it was: {rows:?}");
}

#[tokio::test]
async fn the_newest_grants_of_whom_one_asks_for_are_listed() {
    let (place, _running) = running().await;
    let [one, other] = [Client::register(&place).await, Client::register(&place).await];
    let mut ids = Vec::new();
    for (client, name) in [(&one, "alice"), (&other, "alice"), (&other, "bob")] {
        ids.push(grant_of(&client.obtain_tokens(name).await));
    }
    let of = |arguments: &[&str]| {
        listed(&place, arguments).into_iter().map(|row| row[0].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&[]), [&*ids[2], &*ids[1], &*ids[0]], "newest first");
    assert_eq!(of(&["--user", "ALICE"]), ids[..2].iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(of(&["--client", &other.client_id]), [&*ids[2], &*ids[1]]);
    assert_eq!(of(&["--user", "bob", "--client", &other.client_id]), ids[2..]);
    assert_eq!(of(&["--user", "bob", "--client", &one.client_id]), [""; 0]);
    let output = ended(&mut place.command(&["grant", "list", "--limit", "1"]), "");
    let (shown, more) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(shown.lines().count() == 2 && shown.contains(&ids[2]), "{shown}");
    assert!(more.contains("2 more, which are older: --limit"), "{more}");
    place.done(&["user", "disable", "alice"], "");
    assert_eq!(of(&[]), ids[2..], "nobody acts under the others");
    assert_eq!(listed(&place, &["--user", "alice", "--all"])[0][7], "user disabled");
}

#[tokio::test]
async fn a_minted_token_is_ended_by_the_command_that_is_named_with_it() {
    let (place, _running) = running().await;
    let (token, beside) = mint(&place, "alice");
    assert_eq!(call(&place, &token).await, StatusCode::OK);
    let (_, command) = beside.split_once("`mandate ").unwrap();
    let (command, _) = command.split_once("` ends it at once.").unwrap();
    let said = place.done(&command.split(' ').collect::<Vec<_>>(), "");
    assert!(said.starts_with("Ended grant_") && said.contains(", of alice to control-plane."), "{said}");
    assert_eq!(call(&place, &token).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn of_a_machine_it_is_said_that_it_can_get_another() {
    let (place, _running) = running().await;
    let add =
        ["client", "add", "--machine", "--client-id", "report", "--name", "R", "--scope", "tickets:read"];
    let said = place.done(&add, "");
    let (_, secret) = said.split_once("client_secret: ").unwrap();
    let secret = secret.split_whitespace().next().unwrap();
    let form = [("grant_type", "client_credentials")];
    let request = http().post(place.url("/token")).basic_auth("report", Some(secret)).form(&form);
    let tokens: Value = request.send().await.unwrap().json().await.unwrap();
    let said = place.done(&["grant", "revoke", &grant_of(&tokens)], "");
    assert!(
        said.contains("report can get another by itself: `mandate client disable` keeps it out."),
        "{said}"
    );
    assert_eq!(call(&place, &tokens["access_token"]).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_rests_on_the_tokens_of_another_issuer_stays_out_until_its_user_lets_it_in_again() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({})).await;
    let client = acme.client(&server, &json!({ "preferred_username": "carol" }));
    let search = async || client.call("search_tickets", json!({ "query": "*" })).await.status;
    assert_eq!(search().await, StatusCode::OK);
    let (app, now) = (&server.app, server.app.now());
    let carol = app.store.find_user_by_name("carol").await.unwrap().unwrap().user_id;
    let grant = app.store.list_live_grants(&carol, now).await.unwrap().remove(0);
    let tx = app.store.write().await.unwrap();
    assert!(take_back(app, tx, &grant, By::Operator("somebody")).await.unwrap());
    assert_ne!(search().await, StatusCode::OK, "the same token brings no other grant");
    let mut tx = app.store.write().await.unwrap();
    assert!(external_grants::allow_again(&mut tx, &carol, &grant.grant_id).await.unwrap());
    commit(tx).await.unwrap();
    assert_eq!(search().await, StatusCode::OK);
}

#[tokio::test]
async fn of_another_issuers_client_it_is_said_who_lets_it_in_again_and_where_nobody_can_it_is_not_kept_out() {
    let place = Place::new().await;
    place.done(&["user", "add", "alice"], &format!("{PASSWORD}\n"));
    let record = "INSERT INTO grants (grant_id, user_id, client_id, client_kind, client_metadata, redirect_uri, \
                  resource, scope, auth_time, created_at, expires_at, activated_at) \
                  SELECT 'ext_1', user_id, 'acme:app', 'external', '{\"client_name\":null,\"redirect_uris\":\
                  [\"https://acme.example\"],\"token_endpoint_auth_method\":\"none\"}', 'https://acme.example', \
                  'x', 'tickets:read', 1, 1, 9000000000000, 1 FROM users";
    place.change_database(record).await;
    let mut alone = place.command(&["grant", "revoke", "ext_1"]);
    alone
        .env("MANDATE_AUTHORIZATION_SERVER", "off")
        .env("MANDATE_ISSUERS__ACME__ISSUER", "https://acme.example");
    let sentence = complaint(&ended(&mut alone, ""));
    assert!(
        sentence.contains("(authorization_server)") && sentence.contains("`mandate client disable`"),
        "{sentence}"
    );
    assert_eq!(listed(&place, &[])[0][7], "active", "nothing was done");
    let said = place.done(&["grant", "revoke", "ext_1"], "");
    assert!(said.contains("acme:app stays out until alice lets it in again on /account."), "{said}");
    let state = &listed(&place, &["--all"])[0][7];
    assert!(state.ends_with(": taken back until its user lets the client in again"), "{state}");
}
