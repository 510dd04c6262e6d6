//! The audit log's rows: appended inside the transaction of what they record.

use sqlx::Row as _;

use super::{Result, Store, Tx, next_number};
use crate::audit::Event;
use crate::clock::Timestamp;

/// Appends one event.
pub async fn record(tx: &mut Tx, at: Timestamp, event: &Event) -> Result<()> {
    let seq = next_number(tx, "audit_event").await?;
    sqlx::query(
        "INSERT INTO audit_events (seq, at, event, outcome, user_id, client_id, grant_id, tool, arguments, \
         idempotency_key, reference, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(seq)
    .bind(at.0)
    .bind(event.kind.as_str())
    .bind(event.outcome.as_str())
    .bind(event.user_id.as_ref().map(|id| id.as_str().to_owned()))
    .bind(event.client_id.as_ref().map(|id| id.as_str().to_owned()))
    .bind(event.grant_id.as_ref().map(|id| id.as_str().to_owned()))
    .bind(event.tool.map(str::to_owned))
    .bind(event.arguments.clone())
    .bind(event.idempotency_key.clone())
    .bind(event.reference.clone())
    .bind(event.detail.clone())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An event as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place in the log, from 1, without gaps.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: String,
    /// What came of it.
    pub outcome: String,
    /// On whose behalf.
    pub user_id: Option<String>,
    /// By which client.
    pub client_id: Option<String>,
    /// Under which grant.
    pub grant_id: Option<String>,
    /// The tool's name.
    pub tool: Option<String>,
    /// The tool's arguments, long texts reduced.
    pub arguments: Option<String>,
    /// The caller's key.
    pub idempotency_key: Option<String>,
    /// What ties it to the logs.
    pub reference: Option<String>,
    /// The reason of a refusal, or what the event is about.
    pub detail: Option<String>,
}

fn parse(row: &sqlx::any::AnyRow) -> Result<AuditRow> {
    Ok(AuditRow {
        seq: row.try_get("seq")?,
        at: Timestamp(row.try_get("at")?),
        event: row.try_get("event")?,
        outcome: row.try_get("outcome")?,
        user_id: row.try_get("user_id")?,
        client_id: row.try_get("client_id")?,
        grant_id: row.try_get("grant_id")?,
        tool: row.try_get("tool")?,
        arguments: row.try_get("arguments")?,
        idempotency_key: row.try_get("idempotency_key")?,
        reference: row.try_get("reference")?,
        detail: row.try_get("detail")?,
    })
}

impl Store {
    /// The events after place `after`, oldest first.
    pub async fn list_audit_events(&self, after: i64, limit: u32) -> Result<Vec<AuditRow>> {
        let rows = sqlx::query(
            "SELECT seq, at, event, outcome, user_id, client_id, grant_id, tool, arguments, \
             idempotency_key, reference, detail FROM audit_events WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.read())
        .await?;
        rows.iter().map(parse).collect()
    }
}
