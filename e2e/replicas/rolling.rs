//! Replicas are replaced one after the other, and nobody who calls notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;

use super::support::caller::Caller;
use super::support::fleet::Fleet;

/// How many call at once, all the time.
const CALLERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_request() {
    let Some(fleet) = Fleet::shared(3, &[]).await else { return };
    let fleet = Arc::new(fleet);
    fleet.add_user("alice");
    // Under one grant each: what is written under one grant is written one after the other.
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        callers.push(Caller::connect(&fleet, "alice").await);
    }
    let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut calling = JoinSet::new();
    for (number, caller) in callers.into_iter().enumerate() {
        let fleet = fleet.clone();
        let (is_over, answered) = (is_over.clone(), answered.clone());
        calling.spawn(async move {
            let mut calls = 0;
            while !is_over.load(Ordering::SeqCst) {
                calls += 1;
                let answer = if calls % 4 == 0 {
                    let key = format!("{number}-{calls}");
                    let ticket = json!({ "title": key, "body": "Rolling.", "idempotency_key": key });
                    caller.try_call(&*fleet, "create_ticket", &ticket).await
                } else {
                    caller.try_call(&*fleet, "search_tickets", &json!({ "query": "rolling" })).await
                };
                let answer = answer.unwrap();
                assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
                assert_eq!(answer.body["result"]["isError"], false, "{answer:?}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let restarting = {
        let (fleet, answered) = (fleet.clone(), answered.clone());
        tokio::task::spawn_blocking(move || {
            for number in 0..fleet.len() {
                let before = answered.load(Ordering::SeqCst);
                assert_eq!(fleet.stop(number), Some(0));
                fleet.begin(number);
                assert!(answered.load(Ordering::SeqCst) > before, "calls went on meanwhile");
            }
        })
    };
    let restarted = restarting.await;
    is_over.store(true, Ordering::SeqCst);
    while let Some(called) = calling.join_next().await {
        called.unwrap();
    }
    restarted.unwrap();
    println!("{} requests answered", answered.load(Ordering::SeqCst));
}
