//! Tickets as clients see them: as data with a schema, and as text for the model.

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::tickets::{Comment, Excerpt, Priority, Status, Ticket};

/// How many characters of a body stand in a list.
pub(in crate::mcp) const LISTED_BODY: usize = 300;
/// How many comments come with a ticket: the last ones.
pub(in crate::mcp) const COMMENTS: u32 = 50;
/// How many characters of a comment come with a ticket from `get_ticket`. The resource has them in full.
pub(in crate::mcp) const LISTED_COMMENT: usize = 2_000;

/// A ticket as data.
pub(in crate::mcp) fn ticket(ticket: &Ticket) -> Value {
    json!({
        "id": ticket.id.to_string(),
        "title": ticket.title,
        "status": ticket.status.as_str(),
        "priority": ticket.priority.as_str(),
        "reporter": ticket.reporter,
        "body": ticket.body.text,
        "body_truncated": ticket.body.is_cut,
        "resolution": ticket.resolution,
        "created_at": ticket.created_at.rfc3339(),
        "updated_at": ticket.updated_at.rfc3339(),
        "closed_at": ticket.closed_at.map(Timestamp::rfc3339),
    })
}

/// A ticket with its comments as data.
pub(in crate::mcp) fn ticket_with_comments(found: &Ticket, count: u64, comments: &[Comment]) -> Value {
    let mut value = ticket(found);
    let comments: Vec<Value> = comments
        .iter()
        .map(|comment| {
            json!({
                "id": comment_id(comment.number),
                "author": comment.author,
                "body": comment.body.text,
                "body_truncated": comment.body.is_cut,
                "created_at": comment.created_at.rfc3339(),
            })
        })
        .collect();
    if let Value::Object(members) = &mut value {
        members.insert("comment_count".into(), json!(count));
        members.insert("comments".into(), json!(comments));
    }
    value
}

/// A comment's id.
pub(super) fn comment_id(number: i64) -> String {
    format!("C-{number}")
}

/// The properties of [`ticket`].
pub(super) fn ticket_properties(body: &str) -> Value {
    json!({
        "id": super::ticket_id_schema("The ticket's id."),
        "title": { "type": "string" },
        "status": status_schema(),
        "priority": priority_schema(),
        "reporter": { "type": "string", "description": "The username of whoever opened it." },
        "body": { "type": "string", "description": body },
        "body_truncated": { "type": "boolean", "description": "Whether the body goes on." },
        "resolution": { "type": ["string", "null"], "description": "What was done, once it is closed." },
        "created_at": time_schema(),
        "updated_at": time_schema(),
        "closed_at": { "type": ["string", "null"], "format": "date-time" },
    })
}

/// The members that [`ticket`] always has: all.
pub(super) const TICKET_MEMBERS: [&str; 11] = [
    "id",
    "title",
    "status",
    "priority",
    "reporter",
    "body",
    "body_truncated",
    "resolution",
    "created_at",
    "updated_at",
    "closed_at",
];

/// The schema of a comment.
pub(super) fn comment_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string" },
            "author": { "type": "string", "description": "The username of whoever wrote it." },
            "body": { "type": "string", "description": format!("At most {LISTED_COMMENT} characters.") },
            "body_truncated": { "type": "boolean", "description": "Whether the text goes on." },
            "created_at": time_schema(),
        },
        "required": ["id", "author", "body", "body_truncated", "created_at"],
        "additionalProperties": false,
    })
}

/// The schema of a status.
pub(super) fn status_schema() -> Value {
    let names: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
    json!({ "type": "string", "enum": names })
}

/// The schema of a priority.
pub(super) fn priority_schema() -> Value {
    let names: Vec<_> = Priority::ALL.iter().map(|priority| priority.as_str()).collect();
    json!({ "type": "string", "enum": names })
}

/// The schema of a moment.
pub(super) fn time_schema() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// One line about a ticket.
pub(super) fn line(ticket: &Ticket) -> String {
    format!(
        "{} [{}, {}] {} (by {}, {})",
        ticket.id,
        ticket.status.as_str(),
        ticket.priority.as_str(),
        ticket.title,
        ticket.reporter,
        day(ticket.created_at)
    )
}

/// A ticket and its comments, to be read.
pub(super) fn page(ticket: &Ticket, count: u64, comments: &[Comment]) -> String {
    let mut parts = vec![line(ticket), cut(&ticket.body)];
    parts.extend(ticket.resolution.iter().map(|resolution| format!("Resolution: {resolution}")));
    let left_out = count.saturating_sub(u64::try_from(comments.len()).unwrap_or(u64::MAX));
    if left_out > 0 {
        parts.push(format!("({left_out} earlier comments are left out.)"));
    }
    let comment = |one: &Comment| format!("{}, {}:\n{}", one.author, day(one.created_at), cut(&one.body));
    parts.extend(comments.iter().map(comment));
    parts.join("\n\n")
}

fn cut(excerpt: &Excerpt) -> String {
    if excerpt.is_cut { format!("{}…", excerpt.text) } else { excerpt.text.clone() }
}

fn day(moment: Timestamp) -> String {
    moment.rfc3339().chars().take(10).collect()
}
