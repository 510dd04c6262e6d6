//! The same thing at the same moment on several replicas, and one thing begun here and ended there.

use std::collections::BTreeSet;

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::support::caller::Caller;
use super::support::eventually;
use super::support::fleet::Fleet;
use crate::support::browser::{Address as _, Browser};
use crate::support::client::{Client, VERIFIER};
use crate::support::mcp::Answer;

/// How many do it at once.
const RACERS: usize = 32;

/// An answer that is no 503: on a crowded machine a request may find no connection in time, and then did nothing.
async fn when_not_busy<T>(ask: impl AsyncFn() -> T, status: impl Fn(&T) -> StatusCode) -> T {
    let mut answer = ask().await;
    eventually("the replica is not busy", async || {
        if status(&answer) == StatusCode::SERVICE_UNAVAILABLE {
            answer = ask().await;
        }
        status(&answer) != StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    answer
}

#[tokio::test]
async fn of_32_redeemers_on_three_replicas_one_wins() {
    let Some(fleet) = Fleet::shared(3, &[]).await else { return };
    fleet.add_user("alice");
    for round in 0..2 {
        let client = Client::register(&fleet).await;
        let code = client.obtain_code("alice", &["tickets:read"]).await;
        let answers = join_all((0..RACERS).map(|_| {
            let redeem = async || client.redeem(&code).await;
            when_not_busy(redeem, |(status, _)| *status)
        }))
        .await;
        let won: Vec<&Value> =
            answers.iter().filter(|(status, _)| *status == StatusCode::OK).map(|(_, body)| body).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        let lost = answers.iter().filter(|(_, body)| body["error"] == "invalid_grant").count();
        assert_eq!(lost, RACERS - 1, "{answers:?}");
        // The others were replays, and a replay takes back what the first got.
        let caller = Caller::with(&fleet, &client.client_id, won[0]);
        assert_eq!(caller.status(&fleet.replica(round)).await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn of_32_refreshes_on_three_replicas_all_get_the_same_successor() {
    let Some(fleet) = Fleet::shared(3, &[]).await else { return };
    fleet.add_user("alice");
    let mut caller = Caller::connect(&fleet, "alice").await;
    for _ in 0..3 {
        let answers =
            join_all(
                (0..RACERS).map(|number| {
                    let (caller, replica) = (&caller, fleet.replica(number));
                    async move {
                        when_not_busy(async || caller.refresh(&replica).await, |answer| answer.status).await
                    }
                }),
            )
            .await;
        let texts = |name: &str| -> BTreeSet<String> {
            answers.iter().map(|answer| answer.body[name].as_str().unwrap().to_owned()).collect()
        };
        let successors = texts("refresh_token");
        assert_eq!(successors.len(), 1, "{answers:?}");
        for (number, access_token) in texts("access_token").into_iter().enumerate() {
            caller.access_token = access_token;
            assert_eq!(caller.status(&fleet.replica(number)).await, StatusCode::OK);
        }
        caller.refresh_token = successors.into_iter().next().unwrap();
    }
}

#[tokio::test]
async fn of_32_calls_under_one_key_on_three_replicas_one_is_done() {
    let Some(fleet) = Fleet::shared(3, &[]).await else { return };
    fleet.add_user("alice");
    let caller = Caller::connect(&fleet, "alice").await;
    for round in 0..3 {
        let title = format!("Once {round}");
        let arguments =
            json!({ "title": title, "body": "Only once.", "idempotency_key": format!("key-{round}") });
        let answers = join_all((0..RACERS).map(|number| {
            let (caller, replica, arguments) = (&caller, fleet.replica(number), &arguments);
            async move {
                let ask = async || {
                    let call = async || caller.call(&replica, "create_ticket", arguments).await;
                    when_not_busy(call, |answer| answer.status).await
                };
                let mut answer = ask().await;
                eventually("the first attempt ends", async || {
                    if in_progress(&answer) {
                        answer = ask().await;
                    }
                    !in_progress(&answer)
                })
                .await;
                answer
            }
        }))
        .await;
        let tickets: BTreeSet<String> =
            answers.iter().map(|answer| answer.structured()["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(tickets.len(), 1, "{tickets:?}");
        let replays =
            answers.iter().filter(|answer| answer.body["result"]["_meta"]["mandate/replayed"] == true);
        assert_eq!(replays.count(), RACERS - 1, "one did it, the others got its result");
        let found = caller.call(&fleet, "search_tickets", &json!({ "query": title, "limit": 50 })).await;
        let found = found.structured()["tickets"].as_array().unwrap().clone();
        assert_eq!(found.iter().filter(|ticket| ticket["title"] == title).count(), 1, "{found:?}");
    }
}

fn in_progress(answer: &Answer) -> bool {
    answer.body["result"]["_meta"]["mandate/retryAfterSeconds"].is_number()
}

#[tokio::test]
async fn every_step_of_an_authorization_may_be_on_another_replica() {
    let Some(fleet) = Fleet::shared(3, &[]).await else { return };
    fleet.add_user("alice");
    for first in 0..fleet.len() {
        let turns = fleet.turns(first);
        let client = Client::register(&turns).await;
        let mut browser = Browser::new(&turns);
        let authorize = client.authorize(&[("prompt", "login")]);
        let (path, page) = browser.open_consent(&authorize, "alice").await;
        let answer = browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer();
        let code =
            [("grant_type", "authorization_code"), ("code", &answer["code"]), ("code_verifier", VERIFIER)];
        let (status, tokens) = client.token(&code).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        let caller = Caller::with(&fleet, &client.client_id, &tokens);
        assert_eq!(caller.status(&turns).await, StatusCode::OK);
        assert_eq!(caller.refresh(&turns).await.status, StatusCode::OK);
        assert!(browser.get("/account").await.body.contains("Test client"));
    }
}

#[tokio::test]
async fn replicas_that_start_together_on_nothing_agree_on_schema_and_keys() {
    for _ in 0..2 {
        let Some(fleet) = Fleet::shared(3, &[]).await else { return };
        assert!(fleet.path("mandate.key").exists());
        assert_eq!(drafts(&fleet), 0, "nothing is left of the keys that were not taken");
        let mut key_sets = BTreeSet::new();
        for number in 0..fleet.len() {
            let answer = fleet.http.get(fleet.replica(number).at("/jwks"));
            key_sets.insert(answer.send().await.unwrap().text().await.unwrap());
        }
        assert_eq!(key_sets.len(), 1, "{key_sets:?}");
        let (keys, twice) = counted(fleet.setting("MANDATE_DATABASE_URL")).await;
        assert_eq!((keys, twice), (2, 0), "a current and a next key, and each migration once");
        fleet.add_user("alice");
        let mut caller = Caller::connect(&fleet, "alice").await;
        for signer in 0..fleet.len() {
            let tokens = caller.refresh(&fleet.replica(signer)).await.body;
            caller = Caller::with(&fleet, &caller.client_id, &tokens);
            for number in 0..fleet.len() {
                assert_eq!(
                    caller.status(&fleet.replica(number)).await,
                    StatusCode::OK,
                    "{signer} to {number}"
                );
            }
        }
    }
}

/// How many signing keys there are, and how many migrations failed or stand twice.
async fn counted(url: &str) -> (i64, i64) {
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(url).await.unwrap();
    let count = async |statement: &'static str| -> i64 {
        sqlx::query_scalar(statement).fetch_one(&pool).await.unwrap()
    };
    let keys = count("SELECT count(*) FROM signing_keys").await;
    let migrations = "SELECT count(*) - count(DISTINCT version) FILTER (WHERE success) FROM _sqlx_migrations";
    let twice = count(migrations).await;
    pool.close().await;
    (keys, twice)
}

fn drafts(fleet: &Fleet) -> usize {
    let names = std::fs::read_dir(fleet.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().contains("draft")).count()
}
