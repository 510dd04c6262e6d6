//! The audit log's rows: appended inside the transaction of what they record, each sealed to the one before it
//! in its chain ([`crate::audit::chain`]).

use serde::Serialize;
use sqlx::Row as _;

use super::{Result, StorageError, Store, Tx};
use crate::audit::Event;
use crate::audit::chain::{CHAINS, chain_of};
use crate::clock::Timestamp;
use crate::oauth::{GrantId, UserId};

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
    let (link, before): (i64, String) =
        sqlx::query_as("UPDATE audit_chains SET link = link + 1 WHERE chain = $1 RETURNING link, last_seal")
            .bind(chain)
            .fetch_one(&mut **tx)
            .await?;
    let row = AuditRow {
        seq: link.saturating_mul(CHAINS).saturating_add(chain),
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
        trace_id: event.trace_id,
        detail: event.detail,
    };
    let unsealable = |error: serde_json::Error| StorageError::corrupt("audit event", error);
    let seal = tx.chain_key.seal(&before, &row).map_err(unsealable)?;
    let end_seal = tx.chain_key.seal_end(chain, link, &seal).map_err(unsealable)?;
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

/// A chain's end as recorded.
#[derive(Clone, Debug)]
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
        trace_id: row.try_get("trace_id")?,
        detail: row.try_get("detail")?,
    })
}

impl Store {
    /// The events after a place, oldest first.
    pub async fn list_audit_events(&self, after: Option<Place>, limit: u32) -> Result<Vec<AuditRow>> {
        let after = after.unwrap_or(Place { at: Timestamp(i64::MIN), seq: i64::MIN });
        let rows = sqlx::query(
            "SELECT seq, at, event, outcome, user_id, client_id, grant_id, tool, arguments, idempotency_key, \
             reference, trace_id, detail FROM audit_events WHERE (at, seq) > ($1, $2) \
             ORDER BY at, seq LIMIT $3",
        )
        .bind(after.at.0)
        .bind(after.seq)
        .bind(i64::from(limit))
        .fetch_all(self.read())
        .await?;
        rows.iter().map(parse).collect()
    }

    /// The tool calls under one grant of one user before the event `before`, newest first.
    pub async fn list_activity(
        &self,
        user_id: &UserId,
        grant_id: &GrantId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>> {
        // Said so that only the index of grants gives this order: asked for one grant's events by number alone,
        // PostgreSQL may look for them among everybody's.
        let rows = sqlx::query(
            "SELECT seq, at, event, outcome, user_id, client_id, grant_id, tool, arguments, idempotency_key, \
             reference, trace_id, detail FROM audit_events \
             WHERE grant_id >= $1 AND (grant_id, seq) < ($1, $2) AND user_id = $3 AND event = 'tool_call' \
             ORDER BY grant_id DESC, seq DESC LIMIT $4",
        )
        .bind(grant_id.as_str())
        .bind(before.unwrap_or(i64::MAX))
        .bind(user_id.as_str())
        .bind(i64::from(limit))
        .fetch_all(self.read())
        .await?;
        rows.iter().map(parse).collect()
    }

    /// The ends of all chains.
    pub async fn list_chain_ends(&self) -> Result<Vec<ChainEnd>> {
        let rows: Vec<(i64, i64, i64, String, String)> = sqlx::query_as(
            "SELECT chain, first_link, link, last_seal, end_seal FROM audit_chains ORDER BY chain",
        )
        .fetch_all(self.read())
        .await?;
        let parse = |(chain, first_link, link, last_seal, end_seal)| ChainEnd {
            chain,
            first_link,
            link,
            last_seal,
            end_seal,
        };
        Ok(rows.into_iter().map(parse).collect())
    }

    /// The links of a chain after `after`, in order.
    pub async fn list_links(&self, chain: i64, after: i64, limit: u32) -> Result<Vec<Link>> {
        let rows = sqlx::query(
            "SELECT seq, at, event, outcome, user_id, client_id, grant_id, tool, arguments, idempotency_key, \
             reference, trace_id, detail, chain, link, seal FROM audit_events \
             WHERE chain = $1 AND link > $2 ORDER BY link LIMIT $3",
        )
        .bind(chain)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.read())
        .await?;
        let parse = |row: &sqlx::any::AnyRow| {
            Ok(Link {
                chain: row.try_get("chain")?,
                link: row.try_get("link")?,
                seal: row.try_get::<Option<String>, _>("seal")?.unwrap_or_default(),
                row: parse(row)?,
            })
        };
        rows.iter().map(parse).collect()
    }

    /// How many events have no chain, because they are older than chains.
    pub async fn count_unchained_events(&self) -> Result<i64> {
        let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM audit_events WHERE chain IS NULL")
            .fetch_one(self.read())
            .await?;
        Ok(count)
    }
}
