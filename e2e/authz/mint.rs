//! `POST /mint`: a control plane gets tokens for others.

use std::time::Duration;

use mandate::authz::housekeeping;
use mandate::authz::minting::{self, Minter, Order, Whom};
use mandate::oauth::{ClientId, GrantId};
use mandate::storage::users::{self, Role};
use mandate::storage::{commit, disabled_clients};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::ask::{Answer, audited, call, people_on, post, send};
use super::machines::Machine;
use super::resources::{BILLING, beside_ours, both};
use crate::support::browser::Browser;
use crate::support::client::{Client, claims, register};
use crate::support::mcp::Mcp;
use crate::support::{Server, at_most, http};

const READ: (&str, &str) = ("scope", "tickets:read");

/// A server with people and a machine that may mint.
async fn control_plane(server: &Server) -> Machine<'_> {
    Machine::register(server, "deployments", Role::Requester, "tokens:mint").await
}

async fn mint(by: &Machine<'_>, form: &[(&str, &str)]) -> Answer {
    by.post("/mint", form).await
}

#[tokio::test]
async fn a_control_plane_mints_a_token_that_acts_as_the_user_and_ends_soon() {
    let server = Server::with_people().await;
    let by = control_plane(&server).await;
    let answer = mint(&by, &[("username", "bob"), ("scope", "tickets:read tickets:write")]).await;
    let members: Vec<&str> = answer.granted().body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["access_token", "expires_in", "scope", "token_type"]);
    assert_eq!(answer.body["expires_in"], 600);
    let claims = claims(&answer.body["access_token"]);
    let bob = server.app.store.find_user_by_name("bob").await.unwrap().unwrap();
    assert_eq!(claims["sub"], bob.user_id.as_str());
    assert_eq!((&claims["client_id"], &claims["aud"]), (&json!("deployments"), &json!(server.at("/mcp"))));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    assert_eq!(claims.get("auth_time"), None, "bob did not sign in for it");
    let token = answer.text_of("access_token");
    let client = Mcp::modern(&server, token);
    let opened = client.call("create_ticket", json!({ "title": "t", "body": "b" })).await;
    assert_eq!(opened.structured()["id"], "T-1");
    let seen = client.call("get_ticket", json!({ "id": "T-1" })).await;
    assert_eq!(seen.structured()["reporter"], "bob");
    server.advance(Duration::from_secs(601));
    assert_eq!(call(&server, token).await, 401);
}

#[tokio::test]
async fn lifetimes_have_a_cap() {
    let server = Server::with_people().await;
    let by = control_plane(&server).await;
    for (lifetime, lasts) in [("1", 1), ("300", 300), ("3600", 3600)] {
        let answer = mint(&by, &[("username", "bob"), READ, ("lifetime", lifetime)]).await;
        assert_eq!(answer.granted().body["expires_in"], lasts);
    }
    for lifetime in ["3601", "0", "-1", "+5", "1h", "99999999999999999999"] {
        let answer = mint(&by, &[("username", "bob"), READ, ("lifetime", lifetime)]).await;
        answer.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_minted_token_may_outlive_the_tokens_of_clients() {
    let server =
        Server::start_with(|config| config.tokens.access_token_lifetime = Duration::from_secs(60)).await;
    server.add_user("bob", Role::Requester).await;
    let by = control_plane(&server).await;
    let answer = mint(&by, &[("username", "bob"), READ]).await;
    assert_eq!(answer.granted().body["expires_in"], 600);
    server.advance(Duration::from_secs(120));
    assert_eq!(call(&server, answer.text_of("access_token")).await, 200);
}

#[tokio::test]
async fn what_cannot_be_minted_is_named() {
    let server = Server::with_people().await;
    let by = control_plane(&server).await;
    let reader = Machine::register(&server, "reader", Role::Agent, "tickets:read").await;
    server.add_user("carol", Role::Requester).await;
    let carol = server.app.store.find_user_by_name("carol").await.unwrap().unwrap();
    let mut tx = server.app.store.write().await.unwrap();
    users::disable(&mut tx, &carol.user_id, server.app.now()).await.unwrap();
    commit(tx).await.unwrap();
    let bob = ("username", "bob");
    for (form, code) in [
        (vec![READ], "invalid_request"),
        (vec![bob], "invalid_request"),
        (vec![bob, ("machine", "reader"), READ], "invalid_request"),
        (vec![bob, bob, READ], "invalid_request"),
        (vec![("username", "nobody"), READ], "invalid_request"),
        (vec![("username", "carol"), READ], "invalid_request"),
        // A machine by its name would be one without its ceiling.
        (vec![("username", "client:reader"), READ], "invalid_request"),
        (vec![("machine", "unknown"), READ], "invalid_request"),
        (vec![("machine", "bob"), READ], "invalid_request"),
        (vec![("machine", "deployments"), READ], "invalid_request"),
        (vec![bob, READ, ("purpose", "a\nb")], "invalid_request"),
        (vec![bob, ("scope", "tickets:admin")], "invalid_scope"),
        (vec![bob, ("scope", "tickets:read offline_access")], "invalid_scope"),
        (vec![bob, ("scope", "tokens:mint")], "invalid_scope"),
        (vec![bob, ("scope", "tickets:read tokens:mint")], "invalid_scope"),
        (vec![("machine", "reader"), ("scope", "tickets:write")], "invalid_scope"),
        (vec![bob, READ, ("resource", "https://other.example")], "invalid_target"),
    ] {
        mint(&by, &form).await.refused(400, code);
    }
    assert_eq!(audited(&server, "token_minted").await, []);
    let answer = mint(&by, &[("machine", "reader"), READ, ("resource", &server.at("/mcp"))]).await;
    assert_eq!(claims(&answer.granted().body["access_token"])["sub"], "client:reader");
    assert_eq!(call(&server, answer.text_of("access_token")).await, 200);
    // What was minted for it is no standing grant of its own.
    assert_ne!(
        claims(&json!(reader.token().await))["grant_id"],
        claims(&answer.body["access_token"])["grant_id"]
    );
}

#[tokio::test]
async fn only_a_machine_that_is_registered_for_it_mints() {
    let server = Server::with_people().await;
    let reader = Machine::register(&server, "reader", Role::Agent, "tickets:read tickets:write").await;
    let form = [("username", "bob"), READ];
    mint(&reader, &form).await.refused(400, "unauthorized_client");
    let public = Client::register(&server).await;
    let named = [&form[..], &[("client_id", public.client_id.as_str())]].concat();
    post(&server, "/mint", &named).await.refused(400, "unauthorized_client");
    let metadata = json!({ "redirect_uris": ["http://127.0.0.1/callback"], "scope": "tokens:mint" });
    let (_, dynamic) = register(&server, &metadata).await;
    let secret = dynamic["client_secret"].as_str().unwrap();
    let request =
        http().post(server.at("/mint")).basic_auth(dynamic["client_id"].as_str().unwrap(), Some(secret));
    send(request.form(&form)).await.refused(400, "unauthorized_client");
    let by = control_plane(&server).await;
    let wrong = http().post(server.at("/mint")).basic_auth("deployments", Some("wrong")).form(&form);
    assert!(
        send(wrong).await.refused(401, "invalid_client").header("www-authenticate").starts_with("Basic ")
    );
    for form in [&[("client_id", "deployments")][..], &[]] {
        post(&server, "/mint", form).await.refused(401, "invalid_client");
    }
    // A token is no way in, whatever it reaches.
    let bearer = mint(&by, &form).await.text_of("access_token").to_owned();
    let request = http().post(server.at("/mint")).bearer_auth(bearer).form(&form);
    send(request).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn the_scope_to_mint_is_offered_nowhere_and_no_access_token_carries_it() {
    let server = Server::with_people().await;
    let both = Machine::register(&server, "both", Role::Agent, "tickets:read tokens:mint").await;
    let alone = control_plane(&server).await;
    let answer = both.ask(&[]).await;
    assert_eq!(answer.granted().text_of("scope"), "tickets:read");
    assert_eq!(claims(&answer.body["access_token"])["scope"], "tickets:read");
    both.ask(&[("scope", "tickets:read tokens:mint")]).await.refused(400, "invalid_scope");
    alone.ask(&[]).await.refused(400, "invalid_scope");
    alone.ask(&[("scope", "tokens:mint")]).await.refused(400, "invalid_scope");
    mint(&both, &[("username", "bob"), READ]).await.granted();
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp"] {
        let document = http().get(server.at(path)).send().await.unwrap().text().await.unwrap();
        assert!(!document.contains("tokens:mint") && document.contains("tickets:read"), "{document}");
    }
    // Nor does consent give it: it is dropped as any scope that nobody knows.
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let asked = client.authorize(&[("scope", "tickets:read tokens:mint")]);
    let (path, page) = browser.open_consent(&asked, "alice").await;
    assert!(!page.body.contains("tokens:mint"), "{}", page.body);
    let code = browser.decide(&path, &page, "allow", &["tickets:read", "tokens:mint"]).await;
    if let Some(code) = code.answer().get("code") {
        let (_, tokens) = client.redeem(code).await;
        assert!(!tokens["scope"].as_str().unwrap().contains("tokens:mint"), "{tokens}");
    }
}

#[tokio::test]
async fn whom_it_is_for_sees_it_and_takes_it_back_at_once() {
    let server = Server::with_people().await;
    let by = control_plane(&server).await;
    let order = Order {
        whom: Whom::User("bob"),
        scope: "tickets:read",
        resources: Vec::new(),
        lifetime: None,
        purpose: None,
    };
    let operator = Minter::operator("the operating system user root (uid 0) on host build-7");
    for (over_http, shown) in [(false, "Control plane"), (true, "Nightly report")] {
        let minted = if over_http {
            mint(&by, &[("username", "bob"), READ]).await.text_of("access_token").to_owned()
        } else {
            let minted = minting::mint(&server.app, &operator, &order).await.unwrap();
            minted.issued.access_token().to_owned()
        };
        assert_eq!(call(&server, &minted).await, 200);
        let mut browser = Browser::signed_in(&server, "bob").await;
        let page = browser.get("/account").await;
        page.assert_page(StatusCode::OK, "Connected apps");
        for said in
            [shown, "Added by the people who run this server", "without asking you", "See your tickets"]
        {
            assert!(page.body.contains(said), "{said}: {}", page.body);
        }
        assert!(!page.body.contains("Access went to"), "{}", page.body);
        let (csrf, grant_id) = (page.hidden("csrf"), page.hidden("grant_id"));
        browser.post("/account/revoke", &[("csrf", &csrf), ("grant_id", &grant_id)]).await;
        assert_eq!(call(&server, &minted).await, 401);
    }
}

#[tokio::test]
async fn the_control_plane_gives_a_token_back_before_its_time() {
    let server = Server::with_people().await;
    let by = control_plane(&server).await;
    let [first, second] = [0, 1].map(|_| mint(&by, &[("username", "bob"), READ]));
    let (first, second) = (first.await, second.await);
    let (first, second) = (first.text_of("access_token"), second.text_of("access_token"));
    assert_eq!(by.post("/revoke", &[("token", first)]).await.status, StatusCode::OK);
    assert_eq!([call(&server, first).await, call(&server, second).await], [401, 200]);
}

#[tokio::test]
async fn the_audit_log_says_who_minted_for_whom_and_what_for() {
    let server = Server::with_people().await;
    let by = control_plane(&server).await;
    mint(&by, &[("username", "bob"), READ, ("lifetime", "300"), ("purpose", "ticket 4711")]).await.granted();
    let minted = audited(&server, "token_minted").await;
    assert_eq!(
        minted.iter().map(|event| event.detail.as_str()).collect::<Vec<_>>(),
        ["by the control plane deployments; tickets:read for 5m; ticket 4711"]
    );
    let events = server.app.store.list_audit_events(None, 100).await.unwrap();
    let event = events.iter().find(|event| event.event == "token_minted").unwrap();
    let bob = server.app.store.find_user_by_name("bob").await.unwrap().unwrap();
    assert_eq!(event.user_id.as_deref(), Some(bob.user_id.as_str()));
    assert_eq!(event.client_id.as_deref(), Some("deployments"));
}

#[tokio::test]
async fn no_browser_mints_and_nobody_mints_without_end() {
    let server = Server::start_with(|config| config.limits.token = at_most(2)).await;
    server.add_user("bob", Role::Requester).await;
    let by = control_plane(&server).await;
    let preflight = http()
        .request(Method::OPTIONS, server.at("/mint"))
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST");
    let answer = send(preflight).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("access-control-allow-origin"), "");
    for _ in 0..2 {
        let answer = mint(&by, &[("username", "bob"), READ]).await;
        assert_eq!(answer.granted().header("access-control-allow-origin"), "");
    }
    let limited = mint(&by, &[("username", "bob"), READ]).await;
    limited.refused(429, "temporarily_unavailable");
    assert_ne!(limited.header("retry-after"), "");
}

#[tokio::test]
async fn nobody_mints_for_a_machine_that_is_let_in_no_more_nor_does_it_mint() {
    let server = Server::with_people().await;
    let by = control_plane(&server).await;
    Machine::register(&server, "report", Role::Agent, "tickets:read").await;
    let form = [("machine", "report"), READ];
    mint(&by, &form).await.granted();
    for (client_id, refused) in [("report", "invalid_request"), ("deployments", "invalid_client")] {
        let mut tx = server.app.store.write().await.unwrap();
        disabled_clients::record(&mut tx, &ClientId::new(client_id), server.app.now()).await.unwrap();
        commit(tx).await.unwrap();
        let answer = mint(&by, &form).await;
        answer.refused(answer.status.as_u16(), refused);
    }
}

#[tokio::test]
async fn a_token_for_another_resource_is_minted_with_its_scopes_alone() {
    let server = people_on(|config| beside_ours(config, both())).await;
    let by = control_plane(&server).await;
    let form = [("username", "bob"), ("resource", BILLING), ("scope", "billing:read")];
    let answer = mint(&by, &form).await;
    let claims = claims(&answer.granted().body["access_token"]);
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!(BILLING), &json!("billing:read")));
    assert_eq!(call(&server, answer.text_of("access_token")).await, 401);
    let form = [("username", "bob"), ("resource", BILLING), READ];
    mint(&by, &form).await.refused(400, "invalid_scope");
}

#[tokio::test]
async fn grants_of_minted_tokens_are_removed_some_time_after_their_end() {
    let server = Server::with_people().await;
    let by = control_plane(&server).await;
    let answer = mint(&by, &[("username", "bob"), READ]).await;
    let grant_id = claims(&answer.granted().body["access_token"])["grant_id"].as_str().unwrap().to_owned();
    let grant_id = GrantId::new(grant_id);
    for (later, is_there) in [(Duration::from_hours(1), true), (Duration::from_hours(24), false)] {
        server.advance(later);
        housekeeping::once(&server.app).await.unwrap();
        assert_eq!(server.app.store.find_grant(&grant_id).await.unwrap().is_some(), is_there);
    }
}
