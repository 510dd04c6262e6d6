//! Tickets as clients see them: as data with a schema, and as text for the model.

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::tickets::{Comment, Excerpt, Priority, Status, Ticket};

/// How many characters of a body stand in a list.
pub(in crate::mcp) const LISTED_BODY: usize = 300;
/// How many characters of a resolution stand in a list.
const LISTED_RESOLUTION: usize = 200;

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

/// A ticket in a list as data: long resolutions are cut.
pub(super) fn listed(found: &Ticket) -> Value {
    let resolution = found.resolution.as_ref().map(|text| match text.char_indices().nth(LISTED_RESOLUTION) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.clone(),
    });
    super::with(ticket(found), json!({ "resolution": resolution }))
}

/// A comment as data.
pub(super) fn comment(comment: &Comment) -> Value {
    json!({
        "id": comment.id.to_string(),
        "author": comment.author,
        "body": comment.body.text,
        "body_truncated": comment.body.is_cut,
        "created_at": comment.created_at.rfc3339(),
    })
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

/// A text that may be cut, to be read.
pub(super) fn cut(excerpt: &Excerpt) -> String {
    if excerpt.is_cut { format!("{}…", excerpt.text) } else { excerpt.text.clone() }
}

/// The day of a moment.
pub(super) fn day(moment: Timestamp) -> String {
    moment.rfc3339().chars().take(10).collect()
}
