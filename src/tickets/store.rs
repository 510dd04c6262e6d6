//! Tickets and comments in the database. One SQL text for every database; only the search index has its own
//! file for each ([`super::search`]).

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::Sight;
use super::search;
use super::ticket::{
    Body, Comment, CommentId, Excerpt, Priority, Resolution, Status, Ticket, TicketId, Title,
};
use crate::clock::Timestamp;
use crate::oauth::UserId;
use crate::storage::{Result, StorageError, Store, Tx, next_number};

/// A ticket to be opened.
#[derive(Clone, Copy, Debug)]
pub struct NewTicket<'a> {
    /// Who opens it.
    pub reporter_id: &'a UserId,
    /// What it is about.
    pub title: &'a Title,
    /// What is wrong or wanted.
    pub body: &'a Body,
    /// How much it presses.
    pub priority: Priority,
}

/// A comment to be added.
#[derive(Clone, Copy, Debug)]
pub struct NewComment<'a> {
    /// On which ticket.
    pub ticket: TicketId,
    /// Who writes it.
    pub author_id: &'a UserId,
    /// The text.
    pub body: &'a Body,
}

/// What became of a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commented {
    /// The comment's id.
    pub id: CommentId,
    /// Where its ticket stands: as before.
    pub status: Status,
}

/// What became of closing a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It is closed now.
    Closed,
    /// It had been closed at this moment already; nothing changed.
    AlreadyClosed(Timestamp),
    /// There is none, or it is out of sight.
    NotFound,
}

/// Every character of a body.
const WHOLE: usize = Body::MAX;

fn unknown(column: &'static str, text: &str) -> StorageError {
    StorageError::corrupt(column, text)
}

fn excerpt(row: &AnyRow) -> Result<Excerpt> {
    let text: String = row.try_get("excerpt")?;
    let length: i64 = row.try_get("body_length")?;
    let is_cut = usize::try_from(length).unwrap_or(0) > text.chars().count();
    Ok(Excerpt { text, is_cut })
}

pub(super) fn ticket(row: &AnyRow) -> Result<Ticket> {
    let status: String = row.try_get("status")?;
    let priority: String = row.try_get("priority")?;
    Ok(Ticket {
        id: TicketId::of(row.try_get("number")?),
        reporter: row.try_get("username")?,
        title: row.try_get("title")?,
        body: excerpt(row)?,
        status: Status::parse(&status).ok_or_else(|| unknown("tickets.status", &status))?,
        priority: Priority::parse(&priority).ok_or_else(|| unknown("tickets.priority", &priority))?,
        resolution: row.try_get("resolution")?,
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
        closed_at: row.try_get::<Option<i64>, _>("closed_at")?.map(Timestamp),
    })
}

fn comment(row: &AnyRow) -> Result<Comment> {
    Ok(Comment {
        id: CommentId::of(row.try_get("number")?),
        author: row.try_get("username")?,
        body: excerpt(row)?,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}

/// How many characters as a parameter: PostgreSQL's `substr` takes 32 bits.
pub(super) fn characters(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Opens a ticket, in status `open`, under the next number.
pub async fn record(tx: &mut Tx, new: NewTicket<'_>, now: Timestamp) -> Result<TicketId> {
    let number = next_number(tx, "ticket").await?;
    sqlx::query(
        "INSERT INTO tickets (number, reporter_id, title, body, status, priority, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
    )
    .bind(number)
    .bind(new.reporter_id.as_str())
    .bind(new.title.as_str())
    .bind(new.body.as_str())
    .bind(Status::Open.as_str())
    .bind(new.priority.as_str())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    search::index(tx, TicketId::of(number)).await?;
    Ok(TicketId::of(number))
}

/// Adds a comment. `None` when there is no such ticket in sight.
pub async fn add_comment(
    tx: &mut Tx,
    sight: &Sight,
    new: NewComment<'_>,
    now: Timestamp,
) -> Result<Option<Commented>> {
    let status: Option<(String,)> = sqlx::query_as(concat!(
        "UPDATE tickets SET updated_at = $3 WHERE number = $1 AND ",
        in_sight!(),
        " RETURNING status"
    ))
    .bind(new.ticket.number())
    .bind(sight.bound())
    .bind(now.0)
    .fetch_optional(&mut **tx)
    .await?;
    let Some((status,)) = status else { return Ok(None) };
    let status = Status::parse(&status).ok_or_else(|| unknown("tickets.status", &status))?;
    let number = next_number(tx, "comment").await?;
    sqlx::query(
        "INSERT INTO comments (number, ticket_number, author_id, body, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(number)
    .bind(new.ticket.number())
    .bind(new.author_id.as_str())
    .bind(new.body.as_str())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    search::index(tx, new.ticket).await?;
    Ok(Some(Commented { id: CommentId::of(number), status }))
}

/// Closes a ticket. The first resolution stands: closing it again changes nothing.
pub async fn close(
    tx: &mut Tx,
    sight: &Sight,
    id: TicketId,
    resolution: Option<&Resolution>,
    now: Timestamp,
) -> Result<Closing> {
    let done = sqlx::query(concat!(
        "UPDATE tickets SET status = 'closed', resolution = $3, closed_at = $4, updated_at = $4 \
         WHERE number = $1 AND status <> 'closed' AND ",
        in_sight!()
    ))
    .bind(id.number())
    .bind(sight.bound())
    .bind(resolution.map(|text| text.as_str().to_owned()))
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 1 {
        search::index(tx, id).await?;
        return Ok(Closing::Closed);
    }
    let closed_at: Option<(Option<i64>,)> =
        sqlx::query_as(concat!("SELECT closed_at FROM tickets WHERE number = $1 AND ", in_sight!()))
            .bind(id.number())
            .bind(sight.bound())
            .fetch_optional(&mut **tx)
            .await?;
    Ok(closed_at.map_or(Closing::NotFound, |(at,)| Closing::AlreadyClosed(Timestamp(at.unwrap_or(now.0)))))
}

/// Makes a ticket wait for an answer or a delivery. `false` when it is not open or there is none.
pub async fn set_pending(tx: &mut Tx, id: TicketId, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE tickets SET status = 'pending', updated_at = $2 WHERE number = $1 AND status = 'open'",
    )
    .bind(id.number())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    search::index(tx, id).await?;
    Ok(true)
}

/// The ticket of this id in full, if it is in sight.
pub async fn find(store: &Store, sight: &Sight, id: TicketId) -> Result<Option<Ticket>> {
    let row = sqlx::query(concat!(
        "SELECT ",
        ticket_columns!(),
        " FROM tickets JOIN users ON users.user_id = tickets.reporter_id WHERE tickets.number = $3 AND ",
        in_sight!()
    ))
    .bind(characters(WHOLE))
    .bind(sight.bound())
    .bind(id.number())
    .fetch_optional(store.read())
    .await?;
    row.as_ref().map(ticket).transpose()
}

/// Which comments of a ticket, and how much of them to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comments {
    /// Only those written before this one.
    pub before: Option<CommentId>,
    /// How many at most: the last ones.
    pub limit: u32,
    /// How many characters of each.
    pub excerpt: usize,
}

/// How many comments a ticket has, and those that are wanted, in the order in which they were written. Whoever asks
/// has found the ticket in sight.
pub async fn list_comments(store: &Store, ticket: &Ticket, wanted: Comments) -> Result<(u64, Vec<Comment>)> {
    let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM comments WHERE ticket_number = $1")
        .bind(ticket.id.number())
        .fetch_one(store.read())
        .await?;
    let rows = sqlx::query(
        "SELECT comments.number, users.username, substr(comments.body, 1, $1) AS excerpt, \
         length(comments.body) AS body_length, comments.created_at \
         FROM comments JOIN users ON users.user_id = comments.author_id \
         WHERE comments.ticket_number = $2 AND comments.number < $3 ORDER BY comments.number DESC LIMIT $4",
    )
    .bind(characters(wanted.excerpt))
    .bind(ticket.id.number())
    .bind(wanted.before.map_or(i64::MAX, CommentId::number))
    .bind(i64::from(wanted.limit))
    .fetch_all(store.read())
    .await?;
    let mut comments: Vec<Comment> = rows.iter().map(comment).collect::<Result<_>>()?;
    comments.reverse();
    Ok((u64::try_from(count).unwrap_or(0), comments))
}

/// How many of a ticket's comments are searched, from the first: what bounds the cost of adding one, since a
/// ticket is indexed as a whole.
const COMMENTS_INDEXED: i64 = 30;

/// The texts of the comments by which a ticket is found, in the transaction that indexes it.
pub(super) async fn indexed_comments(tx: &mut Tx, id: TicketId) -> Result<Vec<String>> {
    let comments: Vec<(String,)> =
        sqlx::query_as("SELECT body FROM comments WHERE ticket_number = $1 ORDER BY number LIMIT $2")
            .bind(id.number())
            .bind(COMMENTS_INDEXED)
            .fetch_all(&mut **tx)
            .await?;
    Ok(comments.into_iter().map(|(body,)| body).collect())
}
