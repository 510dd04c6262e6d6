//! The grant type `refresh_token` (OAuth 2.1 §4.3; A4.10): rotation that forgives races
//! and punishes theft.

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;

use super::ask::{Answer, BOTH, audited, call, code, code_for, redeem, refresh};
use crate::support::Server;
use crate::support::browser::Browser;
use crate::support::client::{Client, claims};
use mandate::storage::{commit, users};

const DAY: Duration = Duration::from_secs(86_400);

/// A public client that holds tokens of `alice`.
struct Connected<'a> {
    server: &'a Server,
    client: Client<'a>,
    tokens: Answer,
}

impl<'a> Connected<'a> {
    async fn to(server: &'a Server) -> Self {
        let client = Client::register(server).await;
        let mut browser = Browser::signed_in(server, "alice").await;
        let code = code(&mut browser, &client, &[]).await;
        let tokens = redeem(&client, server, &code, &[]).await;
        tokens.granted();
        Self { server, client, tokens }
    }

    fn first(&self) -> &str {
        self.tokens.text_of("refresh_token")
    }

    async fn refresh(&self, refresh_token: &str) -> Answer {
        refresh(&self.client, self.server, refresh_token, &[]).await
    }

    /// Refreshes with the token of an earlier answer and checks that it worked.
    async fn again(&self, earlier: &Answer) -> Answer {
        let answer = self.refresh(earlier.text_of("refresh_token")).await;
        answer.granted();
        answer
    }

    async fn is_dead(&self, refresh_token: &str) {
        self.refresh(refresh_token).await.refused(400, "invalid_grant");
    }
}

fn grant_of(tokens: &Answer) -> Value {
    claims(&tokens.body["access_token"])["grant_id"].clone()
}

/// Disables an account, as the operator's command does.
pub(super) async fn disable(server: &Server, username: &str) {
    let user = server.app.store.find_user_by_name(username).await.unwrap().unwrap();
    let mut tx = server.app.store.write().await.unwrap();
    users::disable(&mut tx, &user.user_id, server.app.now()).await.unwrap();
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn each_use_gives_a_new_refresh_token_and_touches_no_access_token() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    let second = connected.again(&connected.tokens).await;
    let third = connected.again(&second).await;
    let mut seen: Vec<_> =
        [&connected.tokens, &second, &third].map(|answer| answer.text_of("refresh_token").to_owned()).into();
    seen.dedup();
    assert_eq!(seen.len(), 3);
    for answer in [&connected.tokens, &second, &third] {
        assert_eq!(answer.text_of("scope"), "tickets:read tickets:write");
        assert_eq!(answer.body["expires_in"].as_u64(), Some(3600));
        assert_eq!(call(&server, answer.text_of("access_token")).await, 200);
        assert_eq!(grant_of(answer), grant_of(&connected.tokens), "it stays one grant");
    }
}

#[tokio::test]
async fn within_the_grace_the_same_client_gets_the_same_successor() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    let second = connected.again(&connected.tokens).await;
    server.advance(Duration::from_secs(30));
    let repeated = connected.again(&connected.tokens).await;
    assert_eq!(repeated.text_of("refresh_token"), second.text_of("refresh_token"));
    assert_eq!(call(&server, second.text_of("access_token")).await, 200);
    assert_eq!(call(&server, repeated.text_of("access_token")).await, 200);
    connected.again(&second).await;
}

#[tokio::test]
async fn within_the_grace_the_chain_is_followed_to_its_head() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    let mut head = connected.again(&connected.tokens).await;
    for _ in 0..5 {
        head = connected.again(&head).await;
    }
    let late = connected.again(&connected.tokens).await;
    assert_eq!(late.text_of("refresh_token"), head.text_of("refresh_token"));
    connected.again(&late).await;
}

#[tokio::test]
async fn of_32_parallel_refreshes_all_get_one_successor_and_nobody_is_signed_out() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    let answers = join_all((0..32).map(|_| connected.refresh(connected.first()))).await;
    let successor = answers[0].text_of("refresh_token");
    for answer in &answers {
        answer.granted();
        assert_eq!(answer.text_of("refresh_token"), successor);
        assert_eq!(call(&server, answer.text_of("access_token")).await, 200);
    }
    assert_ne!(successor, connected.first());
    connected.again(&answers[31]).await;
    assert_eq!(audited(&server, "refresh_reused").await, []);
}

#[tokio::test]
async fn after_the_grace_a_reuse_ends_the_grant_and_only_that_grant() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    // The same client and user, another authorization: another grant.
    let mut browser = Browser::signed_in(&server, "alice").await;
    let code = code(&mut browser, &connected.client, &[]).await;
    let other_install = redeem(&connected.client, &server, &code, &[]).await;
    let second = connected.again(&connected.tokens).await;
    server.advance(Duration::from_millis(30_001));
    connected.is_dead(connected.first()).await;
    connected.is_dead(second.text_of("refresh_token")).await;
    for dead in [&connected.tokens, &second] {
        assert_eq!(call(&server, dead.text_of("access_token")).await, 401);
    }
    let recorded = audited(&server, "refresh_reused").await;
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert_eq!(
        (recorded[0].outcome.as_str(), &recorded[0].grant_id.clone().into()),
        ("refused", &grant_of(&second))
    );
    assert_eq!(recorded[0].detail, format!("30 s after its rotation, by {}", connected.client.client_id));
    assert_eq!(call(&server, other_install.text_of("access_token")).await, 200);
    connected.again(&other_install).await;
}

#[tokio::test]
async fn a_repeat_within_the_grace_does_not_prolong_it() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    connected.again(&connected.tokens).await;
    server.advance(Duration::from_secs(20));
    connected.again(&connected.tokens).await;
    server.advance(Duration::from_secs(11));
    connected.is_dead(connected.first()).await;
    assert_eq!(audited(&server, "refresh_reused").await.len(), 1);
}

#[tokio::test]
async fn another_client_gets_nothing_and_a_rotated_token_in_its_hands_ends_the_grant() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    let stranger = Client::register(&server).await;
    // The head: refused, and the rightful client goes on.
    refresh(&stranger, &server, connected.first(), &[]).await.refused(400, "invalid_grant");
    let second = connected.again(&connected.tokens).await;
    assert_eq!(audited(&server, "refresh_reused").await, []);
    // The predecessor, even within the grace: only a thief has it.
    refresh(&stranger, &server, connected.first(), &[]).await.refused(400, "invalid_grant");
    connected.is_dead(second.text_of("refresh_token")).await;
    assert_eq!(audited(&server, "refresh_reused").await.len(), 1);
}

#[tokio::test]
async fn a_narrower_scope_holds_for_one_access_token_and_leaves_the_grant_its_own() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    let narrow = refresh(&connected.client, &server, connected.first(), &[("scope", "tickets:read")]).await;
    narrow.granted();
    assert_eq!(narrow.text_of("scope"), "tickets:read");
    assert_eq!(claims(&narrow.body["access_token"])["scope"], "tickets:read");
    let wide = connected.again(&narrow).await;
    assert_eq!(wide.text_of("scope"), "tickets:read tickets:write");
    assert_eq!(claims(&wide.body["access_token"])["scope"], "tickets:read tickets:write");
}

#[tokio::test]
async fn a_wider_scope_is_refused_and_burns_nothing() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let code = code_for(&mut browser, &client, &[], &["tickets:read"]).await;
    let tokens = redeem(&client, &server, &code, &[]).await;
    let first = tokens.text_of("refresh_token");
    for wider in
        ["tickets:write", "tickets:read tickets:write", "unheard-of", "tickets:read admin", "a\"b", "é"]
    {
        refresh(&client, &server, first, &[("scope", wider)]).await.refused(400, "invalid_scope");
    }
    // `offline_access` reaches nothing, and clients add it to whatever they ask for.
    let asked = [("scope", "tickets:read offline_access")];
    assert_eq!(refresh(&client, &server, first, &asked).await.granted().text_of("scope"), "tickets:read");
}

#[tokio::test]
async fn each_use_starts_the_idle_time_anew_and_an_idle_token_dies() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    let mut head = connected.again(&connected.tokens).await;
    for _ in 0..3 {
        server.advance(29 * DAY);
        head = connected.again(&head).await;
    }
    server.advance(30 * DAY);
    connected.is_dead(head.text_of("refresh_token")).await;
    assert_eq!(audited(&server, "refresh_reused").await, [], "forgotten, not stolen");
}

#[tokio::test]
async fn a_grant_ends_at_its_own_time_however_much_it_is_used() {
    let server = super::ask::people_on(|config| config.tokens.grant_lifetime = 2 * DAY).await;
    let connected = Connected::to(&server).await;
    server.advance(Duration::from_secs(2 * 86_400 - 600));
    let last = connected.again(&connected.tokens).await;
    assert_eq!(last.body["expires_in"].as_u64(), Some(600), "never beyond the grant's end");
    server.advance(Duration::from_secs(600));
    connected.is_dead(last.text_of("refresh_token")).await;
    assert_eq!(call(&server, last.text_of("access_token")).await, 401);
}

#[tokio::test]
async fn a_disabled_users_tokens_are_dead_at_once() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    disable(&server, "alice").await;
    connected.is_dead(connected.first()).await;
    assert_eq!(call(&server, connected.tokens.text_of("access_token")).await, 401);
}

#[tokio::test]
async fn a_grant_that_its_user_revoked_is_dead_at_once() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let page = browser.get("/account").await;
    let grant = grant_of(&connected.tokens);
    let form = [("csrf", page.hidden("csrf")), ("grant_id", grant.as_str().unwrap().to_owned())];
    let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answer = browser.post("/account/revoke", &form).await;
    assert!(answer.status.is_redirection() || answer.status.is_success(), "{answer:?}");
    connected.is_dead(connected.first()).await;
    assert_eq!(call(&server, connected.tokens.text_of("access_token")).await, 401);
}

#[tokio::test]
async fn no_other_kind_of_secret_passes_for_a_refresh_token() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let code = code(&mut browser, &connected.client, &[]).await;
    let session = browser.cookies.values().next().unwrap().clone();
    let relabelled = code.replace("mdt_code_", "mdt_refresh_");
    let grant = grant_of(&connected.tokens);
    let (longer, shorter) = (format!("{} ", connected.first()), &connected.first()[1..]);
    for wrong in [
        connected.tokens.text_of("access_token"),
        &code,
        &relabelled,
        &session,
        grant.as_str().unwrap(),
        &longer,
        shorter,
        "mdt_refresh_",
        "\u{1}",
    ] {
        connected.is_dead(wrong).await;
    }
    // Nor the other way round.
    for wrong in [connected.first(), &code, &session] {
        assert_eq!(call(&server, wrong).await, 401);
    }
    redeem(&connected.client, &server, &code, &[]).await.granted();
}

#[tokio::test]
async fn a_restart_signs_nobody_out() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    let second = connected.again(&connected.tokens).await;
    server.restart().await;
    assert_eq!(call(&server, second.text_of("access_token")).await, 200, "the keys are the same");
    let repeated = connected.again(&connected.tokens).await;
    assert_eq!(
        repeated.text_of("refresh_token"),
        second.text_of("refresh_token"),
        "the grace outlives it too"
    );
    connected.again(&second).await;
    server.advance(Duration::from_secs(31));
    connected.is_dead(connected.first()).await;
}

#[tokio::test]
async fn a_store_that_is_away_is_503_and_never_a_dead_token() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    server.app.store.close().await;
    let code = format!("mdt_code_{}", "a".repeat(43));
    let access_token = connected.tokens.text_of("access_token");
    for answer in [
        connected.refresh(connected.first()).await,
        redeem(&connected.client, &server, &code, &[]).await,
        super::ask::post(
            &server,
            "/revoke",
            &[("client_id", &connected.client.client_id), ("token", access_token)],
        )
        .await,
    ] {
        answer.refused(503, "temporarily_unavailable");
        assert!(answer.header("retry-after").parse::<u64>().is_ok(), "{answer:?}");
        assert_eq!(answer.text_of("reference"), answer.header("x-reference-id"));
    }
    assert_eq!(call(&server, access_token).await, 503);
}

#[tokio::test]
async fn the_grace_can_be_changed_and_turned_off() {
    let server = super::ask::people_on(|config| config.tokens.refresh_grace = Duration::ZERO).await;
    let connected = Connected::to(&server).await;
    connected.again(&connected.tokens).await;
    server.advance(Duration::from_millis(1));
    connected.is_dead(connected.first()).await;
    assert_eq!(audited(&server, "refresh_reused").await.len(), 1);
}

#[tokio::test]
async fn a_reuse_by_a_late_racer_of_a_narrow_request_never_widens() {
    let server = Server::with_people().await;
    let connected = Connected::to(&server).await;
    let wide = connected.again(&connected.tokens).await;
    let narrow = refresh(&connected.client, &server, connected.first(), &[("scope", "tickets:read")]).await;
    narrow.granted();
    assert_eq!(narrow.text_of("refresh_token"), wide.text_of("refresh_token"));
    assert_eq!(claims(&narrow.body["access_token"])["scope"], "tickets:read");
    assert_eq!(BOTH.join(" "), wide.text_of("scope"));
}
