//! Lists of tickets that are no searches: those that press most, and ids by their beginning.

use super::Sight;
use super::store::{characters, ticket};
use super::ticket::{IdPrefix, Priority, Status, Ticket, TicketId};
use crate::storage::{Result, Store};

/// The numbers of a range that are in sight.
macro_rules! numbers_between {
    () => {
        concat!("SELECT number FROM tickets WHERE number >= $1 AND number <= $3 AND ", in_sight!())
    };
}

/// Which tickets press, and how much of them to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressing {
    /// Only tickets that stand so.
    pub status: Status,
    /// Only tickets of this priority.
    pub priority: Option<Priority>,
    /// How many at most.
    pub limit: u32,
    /// How many characters of each body.
    pub excerpt: usize,
}

/// The tickets in sight that press most: those of higher priority first, of each the oldest; and whether there are
/// more.
pub async fn list_pressing(store: &Store, sight: &Sight, wanted: Pressing) -> Result<(Vec<Ticket>, bool)> {
    let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let mut tickets: Vec<Ticket> = Vec::new();
    for priority in Priority::ALL.iter().rev().filter(|one| wanted.priority.is_none_or(|of| of == **one)) {
        let rows = sqlx::query(concat!(
            "SELECT ",
            ticket_columns!(),
            " FROM tickets JOIN users ON users.user_id = tickets.reporter_id \
             WHERE tickets.status = $3 AND tickets.priority = $4 AND ",
            in_sight!(),
            " ORDER BY tickets.number LIMIT $5"
        ))
        .bind(characters(wanted.excerpt))
        .bind(sight.bound())
        .bind(wanted.status.as_str())
        .bind(priority.as_str())
        .bind(i64::try_from(limit.saturating_add(1).saturating_sub(tickets.len())).unwrap_or(1))
        .fetch_all(store.read())
        .await?;
        for row in &rows {
            tickets.push(ticket(row)?);
        }
        if tickets.len() > limit {
            break;
        }
    }
    let more = tickets.len() > limit;
    tickets.truncate(limit);
    Ok((tickets, more))
}

/// The ids of the newest `limit` tickets in sight that begin so, the newest of the longest first.
pub async fn list_ids(
    store: &Store,
    sight: &Sight,
    prefix: &IdPrefix,
    limit: usize,
) -> Result<Vec<TicketId>> {
    let (newest,): (Option<i64>,) =
        sqlx::query_as("SELECT max(number) FROM tickets").fetch_one(store.read()).await?;
    let mut ids = Vec::new();
    for range in prefix.ranges(newest.unwrap_or(0)) {
        let rows: Vec<(i64,)> = sqlx::query_as(if sight.only().is_some() {
            // What narrows stands twice, so that there is something for an index to go by.
            concat!(numbers_between!(), " AND reporter_id = $2 ORDER BY number DESC LIMIT $4")
        } else {
            concat!(numbers_between!(), " ORDER BY number DESC LIMIT $4")
        })
        .bind(*range.start())
        .bind(sight.bound())
        .bind(*range.end())
        .bind(i64::try_from(limit - ids.len()).unwrap_or(0))
        .fetch_all(store.read())
        .await?;
        ids.extend(rows.into_iter().map(|(number,)| TicketId::of(number)));
        if ids.len() >= limit {
            break;
        }
    }
    Ok(ids)
}
