//! Reading the audit log: in pages, for operators, for users, and for judging its chains.

use sqlx::Row as _;

use super::super::{Result, Store};
use super::{AuditRow, ChainEnd, Link, Place, Record};
use crate::audit::chain::CHAINS;
use crate::clock::Timestamp;
use crate::oauth::{GrantId, UserId};

/// Which events are wanted; what is left out does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// On behalf of this user.
    pub user_id: Option<String>,
    /// By this client.
    pub client_id: Option<String>,
    /// Under this grant.
    pub grant_id: Option<String>,
    /// Of this kind.
    pub event: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
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

fn parse_record(row: &sqlx::any::AnyRow) -> Result<Record> {
    Ok(Record {
        row: parse(row)?,
        chain: row.try_get("chain")?,
        link: row.try_get("link")?,
        seal: row.try_get("seal")?,
    })
}

type EndRow = (i64, i64, i64, String, String);

fn end((chain, first_link, link, last_seal, end_seal): EndRow) -> ChainEnd {
    ChainEnd { chain, first_link, link, last_seal, end_seal }
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

    /// The events that a filter lets through, before a place, newest first.
    pub async fn find_records(
        &self,
        filter: &Filter,
        before: Option<Place>,
        limit: u32,
    ) -> Result<Vec<Record>> {
        let before = before.unwrap_or(Place { at: Timestamp(i64::MAX), seq: i64::MAX });
        let wanted = |one: &Option<String>| one.clone().unwrap_or_default();
        let rows = sqlx::query(
            "SELECT seq, at, event, outcome, user_id, client_id, grant_id, tool, arguments, idempotency_key, \
             reference, trace_id, detail, chain, link, seal FROM audit_events WHERE (at, seq) < ($1, $2) \
             AND ($3 = '' OR user_id = $3) AND ($4 = '' OR client_id = $4) AND ($5 = '' OR grant_id = $5) \
             AND ($6 = '' OR event = $6) AND ($7 = '' OR outcome = $7) ORDER BY at DESC, seq DESC LIMIT $8",
        )
        .bind(before.at.0)
        .bind(before.seq)
        .bind(wanted(&filter.user_id))
        .bind(wanted(&filter.client_id))
        .bind(wanted(&filter.grant_id))
        .bind(wanted(&filter.event))
        .bind(wanted(&filter.outcome))
        .bind(i64::from(limit))
        .fetch_all(self.read())
        .await?;
        rows.iter().map(parse_record).collect()
    }

    /// The events after a place and before a moment, oldest first, each with its place in its chain.
    pub async fn list_records(&self, after: Place, until: Timestamp, limit: u32) -> Result<Vec<Record>> {
        let rows = sqlx::query(
            "SELECT seq, at, event, outcome, user_id, client_id, grant_id, tool, arguments, idempotency_key, \
             reference, trace_id, detail, chain, link, seal FROM audit_events \
             WHERE (at, seq) > ($1, $2) AND at < $3 ORDER BY at, seq LIMIT $4",
        )
        .bind(after.at.0)
        .bind(after.seq)
        .bind(until.0)
        .bind(i64::from(limit))
        .fetch_all(self.read())
        .await?;
        rows.iter().map(parse_record).collect()
    }

    /// The ends of all chains.
    pub async fn list_chain_ends(&self) -> Result<Vec<ChainEnd>> {
        let rows: Vec<EndRow> = sqlx::query_as(
            "SELECT chain, first_link, link, last_seal, end_seal FROM audit_chains ORDER BY chain",
        )
        .fetch_all(self.read())
        .await?;
        Ok(rows.into_iter().map(end).collect())
    }

    /// The end of one chain.
    pub async fn find_chain_end(&self, chain: i64) -> Result<Option<ChainEnd>> {
        let row: Option<EndRow> = sqlx::query_as(
            "SELECT chain, first_link, link, last_seal, end_seal FROM audit_chains WHERE chain = $1",
        )
        .bind(chain)
        .fetch_optional(self.read())
        .await?;
        Ok(row.map(end))
    }

    /// The highest link of a chain, whatever its end says.
    pub async fn find_last_link(&self, chain: i64) -> Result<Option<i64>> {
        let (last,): (Option<i64>,) = sqlx::query_as("SELECT max(link) FROM audit_events WHERE chain = $1")
            .bind(chain)
            .fetch_one(self.read())
            .await?;
        Ok(last)
    }

    /// The numbers of events that stand in no chain and are not older than chains, or have no place in theirs.
    /// `first_link` is the link before the first one of every chain.
    pub async fn list_strays(&self, first_link: i64, limit: u32) -> Result<Vec<i64>> {
        // The numbers one by one, so that an index finds what has no link.
        let chains = (0..CHAINS).map(|chain| chain.to_string()).collect::<Vec<_>>().join(", ");
        let statement = format!(
            "SELECT seq FROM audit_events WHERE chain IS NULL AND (seq > $1 OR link IS NOT NULL) \
             UNION ALL SELECT seq FROM audit_events WHERE chain < 0 OR chain >= {CHAINS} \
             UNION ALL SELECT seq FROM audit_events WHERE chain IN ({chains}) AND link IS NULL \
             ORDER BY seq LIMIT $2"
        );
        let rows: Vec<(i64,)> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(first_link)
            .bind(i64::from(limit))
            .fetch_all(self.read())
            .await?;
        Ok(rows.into_iter().map(|(seq,)| seq).collect())
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
