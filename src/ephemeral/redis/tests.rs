//! Redis keeps the contract, alone and as a cluster, and fails quickly when it is away.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Redis, RedisUrl};
use crate::ephemeral::{Ephemeral, Key, contract};
use crate::services::redis::{Redis as Server, RedisCluster, age, shared_redis};

struct Shared {
    store: Arc<Redis>,
    nodes: Vec<String>,
    prefix: &'static str,
}

impl Shared {
    async fn open(nodes: Vec<String>, prefix: &'static str) -> Self {
        let url = RedisUrl::parse(&nodes.join(","), prefix).unwrap();
        Self { store: Arc::new(Redis::open(&url, 1024).await.unwrap()), nodes, prefix }
    }
}

#[async_trait]
impl contract::Subject for Shared {
    fn store(&self) -> Arc<dyn Ephemeral> {
        self.store.clone()
    }

    fn remembers_grants(&self) -> bool {
        true
    }

    async fn pass(&self, duration: Duration) {
        for node in &self.nodes {
            age(node, self.prefix, duration);
        }
    }
}

#[tokio::test]
async fn redis_keeps_the_contract() {
    let Some(server) = shared_redis() else { return };
    contract::check(&Shared::open(vec![server.url()], "contract").await).await;
}

#[tokio::test]
async fn a_redis_cluster_keeps_the_contract() {
    if !Server::installed() {
        return;
    }
    let cluster = RedisCluster::start();
    contract::check(&Shared::open(cluster.urls(), "contract").await).await;
    let one = Shared::open(cluster.urls().into_iter().take(1).collect(), "one").await;
    for name in ["a", "b", "c", "d", "e"] {
        one.store.put(Key::Flow(name), "x".into(), Duration::from_secs(60)).await.unwrap();
    }
    assert!(one.store.find(Key::Flow("e")).await.unwrap().is_some(), "one node leads to all");
}

#[tokio::test]
async fn what_is_away_fails_quickly_and_comes_back_by_itself() {
    if !Server::installed() {
        return;
    }
    let server = Server::start();
    let Shared { store, .. } = Shared::open(vec![server.url()], "away").await;
    server.freeze();
    let asked = tokio::time::timeout(Duration::from_secs(2), store.ping()).await;
    assert!(asked.expect("it does not hang").is_err());
    server.thaw();
    answers_again(&store).await;
    server.stop();
    let asked = tokio::time::timeout(Duration::from_secs(2), store.ping()).await;
    assert!(asked.expect("it does not hang").is_err());
    server.start_again();
    answers_again(&store).await;
    // Its scripts went with it.
    store
        .quota(crate::ephemeral::Meter::Token("a"), crate::ephemeral::Rate::of(1, Duration::from_secs(60)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_replica_with_too_much_to_do_is_heard_all_the_same() {
    use futures::StreamExt as _;
    let Some(server) = shared_redis() else { return };
    let client = ::redis::Client::open(server.url()).unwrap();
    let mut listening = client.get_async_pubsub().await.unwrap();
    listening.subscribe("busy:bus").await.unwrap();
    let url = RedisUrl::parse(&server.url(), "busy").unwrap();
    let line = super::line::Line::open(&url, 0).await.unwrap();
    let wire = super::wire::Wire::open(&url, line);
    let refused = wire.publish(&crate::ephemeral::bus::Notice::ToolsChanged).await;
    assert!(refused.is_err(), "there is room for nothing");
    let heard = tokio::time::timeout(Duration::from_secs(30), listening.on_message().next()).await;
    let heard: String = heard.expect("a word").unwrap().get_payload().unwrap();
    assert!(heard.contains("Beat") || heard.contains("beat"), "{heard}");
}

async fn answers_again(store: &Redis) {
    for _ in 0..100 {
        if store.ping().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come back");
}
