//! What is taken back on one replica is refused on every other from the very next call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;

use super::support::caller::Caller;
use super::support::fleet::{Direct, Fleet};
use crate::support::PASSWORD;
use crate::support::browser::Browser;
use crate::support::client::{Client, VERIFIER};

/// Two ways on each of three replicas: what any of them remembers would show.
const ROUNDS: usize = 6;

/// A person at the browser with a client.
struct Desk<'a> {
    fleet: &'a Fleet,
    browser: Browser<'a>,
    client: Client<'a>,
    username: String,
}

impl<'a> Desk<'a> {
    async fn of(fleet: &'a Fleet, username: &str) -> Self {
        fleet.add_user(username);
        Self::again(fleet, username).await
    }

    async fn again(fleet: &'a Fleet, username: &str) -> Self {
        let (browser, client) = tokio::join!(Browser::signed_in(fleet, username), Client::register(fleet));
        Self { fleet, browser, client, username: username.to_owned() }
    }

    /// A new grant; returns its code with the tokens.
    async fn connect(&mut self) -> (String, Caller) {
        let authorize = self.client.authorize(&[]);
        let (path, page) = self.browser.open_consent(&authorize, &self.username).await;
        let both = ["tickets:read", "tickets:write"];
        let code = self.browser.decide(&path, &page, "allow", &both).await.answer()["code"].clone();
        let (status, tokens) = self.client.redeem(&code).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        (code, Caller::with(self.fleet, &self.client.client_id, &tokens))
    }

    /// The same browser at one replica.
    fn at<'b>(&self, replica: &'b Direct) -> Browser<'b> {
        let mut browser = Browser::new(replica);
        browser.cookies.clone_from(&self.browser.cookies);
        browser
    }
}

/// While callers are at every replica all the time, `end` ends the grant: whatever is called afterwards is refused.
async fn ends_everywhere(fleet: &Fleet, caller: &Caller, end: impl Future<Output = ()>) {
    for number in 0..fleet.len() {
        assert_eq!(caller.status(&fleet.replica(number)).await, StatusCode::OK);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let mut calling = JoinSet::new();
    for number in 0..fleet.len() {
        let (caller, replica, is_over) = (caller.clone(), fleet.replica(number), is_over.clone());
        calling.spawn(async move {
            loop {
                let was_over = is_over.load(Ordering::SeqCst);
                let status = caller.status(&replica).await;
                if was_over {
                    return assert_eq!(status, StatusCode::UNAUTHORIZED, "{replica:?}");
                }
                assert!(matches!(status, StatusCode::OK | StatusCode::UNAUTHORIZED), "{status}");
            }
        });
    }
    end.await;
    is_over.store(true, Ordering::SeqCst);
    for number in 0..fleet.len() {
        assert_eq!(caller.status(&fleet.replica(number)).await, StatusCode::UNAUTHORIZED);
    }
    while let Some(called) = calling.join_next().await {
        called.unwrap();
    }
    for number in 0..fleet.len() {
        let refused = caller.refresh(&fleet.replica(number)).await;
        let error = refused.body["error"].as_str().unwrap_or_default();
        assert!(matches!(error, "invalid_grant" | "invalid_client"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_user_revokes_on_one_replica_is_refused_on_all() {
    let Some(fleet) = Fleet::shared(3, &[]).await else { return };
    let mut desk = Desk::of(&fleet, "alice").await;
    for round in 0..fleet.len() {
        let (_, caller) = desk.connect().await;
        let replica = fleet.replica(round);
        let mut browser = desk.at(&replica);
        ends_everywhere(&fleet, &caller, async {
            let page = browser.get("/account").await;
            let (csrf, grant_id) = (page.hidden("csrf"), page.hidden("grant_id"));
            let answer = browser.post("/account/revoke", &[("csrf", &csrf), ("grant_id", &grant_id)]).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_client_gives_back_on_one_replica_is_refused_on_all() {
    let Some(fleet) = Fleet::shared(3, &[]).await else { return };
    let mut desk = Desk::of(&fleet, "alice").await;
    for round in 0..ROUNDS {
        let (_, caller) = desk.connect().await;
        let token = if round % 2 == 0 { &caller.access_token } else { &caller.refresh_token };
        ends_everywhere(&fleet, &caller, async {
            let answer = caller.form(&fleet.replica(round), "/revoke", &[("token", token)]).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replayed_code_or_refresh_token_ends_on_one_replica_is_refused_on_all() {
    let Some(fleet) = Fleet::shared(3, &[("MANDATE_TOKENS__REFRESH_GRACE", "0s")]).await else { return };
    let mut desk = Desk::of(&fleet, "alice").await;
    for round in 0..ROUNDS {
        let (code, mut caller) = desk.connect().await;
        let replayed = caller.clone();
        if round % 2 == 0 {
            let successor = caller.refresh(&fleet.replica(round + 1)).await.body["refresh_token"].take();
            caller.refresh_token = successor.as_str().unwrap().to_owned();
        }
        ends_everywhere(&fleet, &caller, async {
            let code = [("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
            let replica = fleet.replica(round);
            let answer = match round % 2 {
                0 => replayed.refresh(&replica).await,
                _ => caller.form(&replica, "/token", &code).await,
            };
            assert_eq!(answer.body["error"], "invalid_grant", "{answer:?}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_ends_is_refused_on_every_replica_from_its_return() {
    let Some(fleet) = Fleet::shared(3, &[]).await else { return };
    let password = format!("{PASSWORD}\n");
    let mut desk = Desk::of(&fleet, "alice").await;
    for _ in 0..3 {
        let (_, caller) = desk.connect().await;
        let command = ["user", "password", "alice"];
        ends_everywhere(&fleet, &caller, async { at_the_side(&fleet, &command, &password) }).await;
        desk = Desk::again(&fleet, "alice").await;
    }
    for _ in 0..3 {
        let (_, caller) = desk.connect().await;
        let command = ["client", "remove", &caller.client_id];
        ends_everywhere(&fleet, &caller, async { at_the_side(&fleet, &command, "") }).await;
        desk = Desk::again(&fleet, "alice").await;
    }
    for username in ["bob", "carol", "dave"] {
        let (_, caller) = Desk::of(&fleet, username).await.connect().await;
        let command = ["user", "disable", username];
        ends_everywhere(&fleet, &caller, async { at_the_side(&fleet, &command, "") }).await;
    }
}

/// Runs a command while the callers go on.
fn at_the_side(fleet: &Fleet, command: &[&str], input: &str) {
    tokio::task::block_in_place(|| fleet.run(command, input));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_has_ended_stays_so_when_redis_forgets_it() {
    let Some(backing) = super::support::Backing::start() else { return };
    let url = backing.postgres.fresh_database().await;
    let fleet = Fleet::start(2, &url, &backing.redis.url(), &[]);
    let (_, caller) = Desk::of(&fleet, "alice").await.connect().await;
    ends_everywhere(&fleet, &caller, async {
        caller.form(&fleet, "/revoke", &[("token", &caller.refresh_token)]).await;
    })
    .await;
    backing.redis.flush();
    for number in 0..fleet.len() {
        let refused = caller.call(&fleet.replica(number), "search_tickets", &Value::Null).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
}
