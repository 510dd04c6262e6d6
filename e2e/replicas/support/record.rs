//! What PostgreSQL says was done, read behind the replicas' back.

use std::collections::BTreeMap;
use std::path::Path;

use mandate::audit::chain::{CHAINS, ChainKey, is_same};
use mandate::keys::SealingKey;
use mandate::random::Random;
use mandate::storage::postgres::PostgresUrl;
use mandate::storage::{Database, Store};
use serde_json::Value;

/// The title of the ticket that is made under a key.
pub(crate) fn title(key: &str) -> String {
    format!("Ticket of {key}")
}

/// Tickets, effects and audited deeds.
pub(crate) struct Record {
    url: String,
    tickets: Vec<(i64, String)>,
    effects: Vec<(String, String)>,
    done: Vec<(String, String)>,
}

impl Record {
    /// Reads everything.
    pub(crate) async fn read(url: &str) -> Self {
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(url).await.unwrap();
        let tickets = sqlx::query_as("SELECT number, title FROM tickets").fetch_all(&pool).await.unwrap();
        let effects =
            sqlx::query_as("SELECT idempotency_key, result FROM effects").fetch_all(&pool).await.unwrap();
        let done = sqlx::query_as(
            "SELECT idempotency_key, detail FROM audit_events WHERE event = 'tool_call' AND outcome = 'done' \
             AND tool = 'create_ticket'",
        );
        let done = done.fetch_all(&pool).await.unwrap();
        pool.close().await;
        Self { url: url.to_owned(), tickets, effects, done }
    }

    /// Every key has one ticket, one effect and one audited deed, which is the one that was acknowledged; and there
    /// is nothing else.
    pub(crate) fn assert_each_done_once(&self, acknowledged: &BTreeMap<String, String>) {
        let count = acknowledged.len();
        let counted = (self.tickets.len(), self.effects.len(), self.done.len());
        assert_eq!(counted, (count, count, count), "tickets, effects, audited deeds");
        let tickets: BTreeMap<&str, i64> =
            self.tickets.iter().map(|(number, title)| (title.as_str(), *number)).collect();
        let effects: BTreeMap<&str, &str> =
            self.effects.iter().map(|(key, result)| (key.as_str(), result.as_str())).collect();
        let done: BTreeMap<&str, &str> =
            self.done.iter().map(|(key, detail)| (key.as_str(), detail.as_str())).collect();
        assert_eq!((tickets.len(), effects.len(), done.len()), (count, count, count), "of different keys");
        for (key, acknowledged) in acknowledged {
            let ticket = format!("T-{}", tickets[title(key).as_str()]);
            assert_eq!(*acknowledged, ticket, "{key}");
            let effect: Value = serde_json::from_str(effects[key.as_str()]).unwrap();
            assert_eq!(effect["structured"]["id"], *acknowledged, "{key}");
            assert!(done[key.as_str()].contains(acknowledged.as_str()), "{key}: {}", done[key.as_str()]);
        }
    }

    /// No event of the audit log was lost, changed or put in twice: every chain is whole.
    pub(crate) async fn assert_chains_hold(&self, secret_key_file: &Path) {
        let sealing = SealingKey::load_or_create(secret_key_file, &Random::system()).unwrap();
        let key = ChainKey::new(sealing.derived("audit log").unwrap());
        let url = PostgresUrl::parse(&self.url).unwrap();
        let store = Store::open(&Database::Postgres { url, connections: 2 }, key.clone()).await.unwrap();
        let ends = store.list_chain_ends().await.unwrap();
        assert_eq!(i64::try_from(ends.len()).unwrap(), CHAINS);
        assert_eq!(store.count_unchained_events().await.unwrap(), 0);
        for end in ends {
            let (mut link, mut seal) = (end.first_link, String::new());
            for found in store.list_links(end.chain, end.first_link, 1_000_000).await.unwrap() {
                link += 1;
                assert_eq!((found.link, found.row.seq), (link, link * CHAINS + end.chain));
                let expected = key.seal(&seal, &found.row).unwrap();
                assert!(is_same(&found.seal, &expected), "chain {} breaks at {link}", end.chain);
                seal = found.seal;
            }
            assert_eq!((link, &seal), (end.link, &end.last_seal), "chain {}", end.chain);
        }
        store.close().await;
    }
}
