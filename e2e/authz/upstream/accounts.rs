//! Which account somebody has, and who has none.

use mandate::storage::commit;
use mandate::storage::users::{self, Role};
use reqwest::StatusCode;
use serde_json::json;

use super::{EVERYBODY, refused, server, sign_in};
use crate::support::browser::Browser;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn an_account_belongs_to_issuer_and_subject_whatever_else_is_said() {
    let upstream = Upstream::start().await;
    let server = server(&upstream, "", EVERYBODY).await;
    let mut browser = Browser::new(&server);
    sign_in(&mut browser, &upstream).await;
    upstream.script().claims = json!({ "preferred_username": "alice.married", "email": "new@acme.example" });
    let mut later = Browser::new(&server);
    sign_in(&mut later, &upstream).await;
    assert!(later.get("/account").await.body.contains("<strong>alice</strong>"));
    upstream.script().claims = json!({ "preferred_username": "alice", "sub": "another alice" });
    let mut other = Browser::new(&server);
    sign_in(&mut other, &upstream).await;
    assert!(
        other.get("/account").await.body.contains("<strong>alice.acme</strong>"),
        "a name is nobody's proof"
    );
}

#[tokio::test]
async fn where_no_accounts_are_made_a_page_says_whom_to_ask() {
    for (lines, whom) in
        [("contact = \"the IT desk\"", "the IT desk"), ("", "the people who run this server")]
    {
        let upstream = Upstream::start().await;
        let server = server(&upstream, lines, "create = false").await;
        let page = refused(&server, &upstream, StatusCode::FORBIDDEN, "no_account").await;
        assert!(page.body.contains("You have no access here"), "{}", page.body);
        assert!(page.body.contains(&format!("Ask {whom} for access")), "{}", page.body);
        assert!(server.app.store.has_no_users().await.unwrap());
    }
}

#[tokio::test]
async fn a_role_follows_its_claim_and_whoever_lost_every_one_is_refused_next_time() {
    let upstream = Upstream::start().await;
    let mapped = "create = true\nrole_claim = \"groups\"\nagents = [\"support\"]\nrequesters = [\"staff\"]";
    let server = server(&upstream, "", mapped).await;
    upstream.script().claims["groups"] = json!(["guests"]);
    refused(&server, &upstream, StatusCode::FORBIDDEN, "no_role").await;
    for (groups, words) in [("staff", "Requester: sees own"), ("support", "Agent: sees every")] {
        upstream.script().claims["groups"] = json!([groups]);
        let mut browser = Browser::new(&server);
        sign_in(&mut browser, &upstream).await;
        assert!(browser.get("/account").await.body.contains(words), "{groups}");
    }
    upstream.script().claims["groups"] = json!([]);
    refused(&server, &upstream, StatusCode::FORBIDDEN, "no_role").await;
}

#[tokio::test]
async fn a_disabled_account_is_refused_whatever_the_provider_says() {
    let upstream = Upstream::start().await;
    let server = server(&upstream, "", EVERYBODY).await;
    let mut browser = Browser::new(&server);
    sign_in(&mut browser, &upstream).await;
    let alice = server.app.store.find_user_by_name("alice").await.unwrap().unwrap();
    let mut tx = server.app.store.write().await.unwrap();
    users::disable(&mut tx, &alice.user_id, server.app.now()).await.unwrap();
    commit(tx).await.unwrap();
    assert_eq!(browser.get("/account").await.location, "/login");
    let page = refused(&server, &upstream, StatusCode::FORBIDDEN, "account_disabled").await;
    assert!(page.body.contains("has been disabled"));
}

#[tokio::test]
async fn an_email_links_only_where_it_is_wanted_and_verified() {
    const ALICE: &str = "alice@acme.example";
    for (line, verified, links) in [
        ("link_by_email = true", json!(true), true),
        ("link_by_email = true", json!(false), false),
        ("link_by_email = true", json!("true"), false),
        ("link_by_email = true", json!(null), false),
        ("link_by_email = false", json!(true), false),
    ] {
        let upstream = Upstream::start().await;
        let server = server(&upstream, "", line).await;
        server.add_user(ALICE, Role::Agent).await;
        upstream.script().claims = json!({ "email": ALICE, "email_verified": verified });
        upstream.script().userinfo = json!({ "sub": "subject of alice" });
        if links {
            let mut browser = Browser::new(&server);
            assert_eq!(sign_in(&mut browser, &upstream).await.location, "/account");
            assert!(browser.get("/account").await.body.contains(&format!("<strong>{ALICE}</strong>")));
            upstream.script().claims = json!({ "email": "new@acme.example", "email_verified": true });
            let mut later = Browser::new(&server);
            sign_in(&mut later, &upstream).await;
            assert!(later.get("/account").await.body.contains(ALICE), "the link is to the subject");
        } else {
            refused(&server, &upstream, StatusCode::FORBIDDEN, "no_account").await;
        }
    }
}
