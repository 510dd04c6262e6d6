//! The audit log's rows: appended inside the transaction of what they record.

use super::{Result, Tx, next_number};
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
