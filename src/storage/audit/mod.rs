//! The audit log's rows: appended inside the transaction of what they record, each sealed to the one before it
//! in its chain ([`crate::audit::chain`]).

mod read;

#[cfg(test)]
mod contract;

use serde::Serialize;

use super::{Result, StorageError, Tx};
use crate::audit::Event;
use crate::audit::chain::{chain_of, number};
use crate::clock::Timestamp;
use crate::telemetry;

pub use read::Filter;

/// Records an event: it is written when the transaction is committed, and only then.
pub fn record(tx: &mut Tx, at: Timestamp, event: &Event) {
    tx.events.push((at, event.clone()));
}

/// Writes the recorded events, each at the end of its chain.
pub(super) async fn append(tx: &mut Tx) -> Result<()> {
    let mut events: Vec<_> =
        std::mem::take(&mut tx.events).into_iter().map(|(at, event)| (chain_of(&event), at, event)).collect();
    // Stable: the events of one chain keep their order.
    events.sort_by_key(|(chain, ..)| *chain);
    for (chain, at, event) in events {
        append_one(tx, chain, at, event).await?;
    }
    Ok(())
}

async fn append_one(tx: &mut Tx, chain: i64, at: Timestamp, event: Event) -> Result<()> {
    // From here to the commit nobody else gets at this chain.
    let (first_link, link, before, end_seal): (i64, i64, String, String) = sqlx::query_as(
        "UPDATE audit_chains SET link = link + 1 WHERE chain = $1 \
         RETURNING first_link, link, last_seal, end_seal",
    )
    .bind(chain)
    .fetch_one(&mut **tx)
    .await?;
    let end = ChainEnd { chain, first_link, link: link.saturating_sub(1), last_seal: before, end_seal };
    let row = AuditRow {
        seq: number(chain, link),
        at,
        event: event.kind.as_str().to_owned(),
        outcome: event.outcome.as_str().to_owned(),
        user_id: event.user_id.map(|id| id.as_str().to_owned()),
        client_id: event.client_id.map(|id| id.as_str().to_owned()),
        grant_id: event.grant_id.map(|id| id.as_str().to_owned()),
        tool: event.tool.map(str::to_owned),
        arguments: event.arguments,
        idempotency_key: event.idempotency_key,
        reference: event.reference,
        // Whoever works for a caller that named its own trace says so; for all others it is that of the request.
        trace_id: event.trace_id.or_else(telemetry::trace_id),
        // It may hold what others wrote, and PostgreSQL takes no U+0000.
        detail: event.detail.map(|detail| detail.replace('\0', "")),
    };
    let unsealable = |error: serde_json::Error| StorageError::corrupt("audit event", error);
    let seal = tx.chain_key.seal(&end.last_seal, &row).map_err(unsealable)?;
    let end_seal = if tx.chain_key.has_sealed(&end) {
        tx.chain_key.seal_end(chain, link, &seal).map_err(unsealable)?
    } else {
        // Whoever moved the end would have it made good here. It stays broken, for `mandate audit verify`.
        tracing::error!(chain, link, "the end of a chain of the audit log was changed from outside");
        end.end_seal
    };
    insert(tx, row, chain, link, &seal).await?;
    sqlx::query("UPDATE audit_chains SET last_seal = $2, end_seal = $3 WHERE chain = $1")
        .bind(chain)
        .bind(seal)
        .bind(end_seal)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn insert(tx: &mut Tx, row: AuditRow, chain: i64, link: i64, seal: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit_events (seq, at, event, outcome, user_id, client_id, grant_id, tool, arguments, \
         idempotency_key, reference, trace_id, detail, chain, link, seal) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    )
    .bind(row.seq)
    .bind(row.at.0)
    .bind(row.event)
    .bind(row.outcome)
    .bind(row.user_id)
    .bind(row.client_id)
    .bind(row.grant_id)
    .bind(row.tool)
    .bind(row.arguments)
    .bind(row.idempotency_key)
    .bind(row.reference)
    .bind(row.trace_id)
    .bind(row.detail)
    .bind(chain)
    .bind(link)
    .bind(seal)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An event as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// Its number: rising within one grant; between grants, time decides.
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
    /// The trace that it belongs to.
    pub trace_id: Option<String>,
    /// The reason of a refusal, or what the event is about.
    pub detail: Option<String>,
}

/// A row with its place in its chain.
#[derive(Clone, Debug)]
pub struct Link {
    /// The chain.
    pub chain: i64,
    /// Its place there.
    pub link: i64,
    /// Its seal.
    pub seal: String,
    /// What is sealed.
    pub row: AuditRow,
}

/// A row with its place, as it is exported. One from before there were chains has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// What happened.
    #[serde(flatten)]
    pub row: AuditRow,
    /// Its chain.
    pub chain: Option<i64>,
    /// Its place there.
    pub link: Option<i64>,
    /// Its seal.
    pub seal: Option<String>,
}

/// A chain's end as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEnd {
    /// The chain.
    pub chain: i64,
    /// The link before the first one.
    pub first_link: i64,
    /// The last link.
    pub link: i64,
    /// The last link's seal.
    pub last_seal: String,
    /// The seal of the end itself.
    pub end_seal: String,
}

/// Where a page of events ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The time of its last event.
    pub at: Timestamp,
    /// The number of its last event.
    pub seq: i64,
}
