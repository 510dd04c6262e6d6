//! What PostgreSQL says was done, read behind the replicas' back.

use std::collections::BTreeMap;

use serde_json::Value;

/// The title of the ticket that is made under a key.
pub(crate) fn title(key: &str) -> String {
    format!("Ticket of {key}")
}

/// Tickets, effects and audited deeds.
pub(crate) struct Record {
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
        Self { tickets, effects, done }
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
}
