//! A ticket with one page of its comments: as many of the last ones as there is room for, and how to get the others.

use serde_json::{Value, json};

use super::view;
use super::{object, ticket_id_schema, with};
use crate::storage::{StorageError, Store};
use crate::tickets::store::{self, Comments};
use crate::tickets::{Body, Comment, CommentId, Ticket};

/// How many comments a page has at most.
const COMMENTS: u32 = 50;
/// How many characters of a comment stand on a page of many.
const LISTED_COMMENT: usize = 2_000;
/// How many bytes the comments of a page take up in the answer of `get_ticket`, where they stand twice: as data and as text.
const ROOM: usize = 32 * 1024;
/// How many bytes they take up in a resource, where they stand in full and once.
const RESOURCE_ROOM: usize = 160 * 1024;

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mcp) struct Page {
    ticket: Ticket,
    count: u64,
    comments: Vec<Comment>,
    earlier: bool,
}

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mcp) enum Which {
    /// The last comments.
    Last,
    /// The last ones before this one.
    Before(CommentId),
    /// This one alone, in full.
    Only(CommentId),
    /// The last ones in full, for the resource.
    Resource,
}

impl Page {
    /// Reads a page of a ticket that was found in sight.
    pub(in crate::mcp) async fn read(
        store: &Store,
        ticket: Ticket,
        which: Which,
    ) -> Result<Self, StorageError> {
        let (before, limit, excerpt, room) = match which {
            Which::Last => (None, COMMENTS, LISTED_COMMENT, ROOM),
            Which::Before(id) => (Some(id), COMMENTS, LISTED_COMMENT, ROOM),
            Which::Only(id) => (Some(CommentId::of(id.number().saturating_add(1))), 1, Body::MAX, usize::MAX),
            Which::Resource => (None, COMMENTS, Body::MAX, RESOURCE_ROOM),
        };
        // One more than is shown tells whether there are more.
        let wanted = Comments { before, limit: limit + 1, excerpt };
        let (count, mut comments) = store::list_comments(store, &ticket, wanted).await?;
        let mut left = room;
        let fits =
            comments.iter().rev().take(usize::try_from(limit).unwrap_or(usize::MAX)).take_while(|one| {
                let size = in_json(&view::comment(one));
                left = left.saturating_sub(size);
                left > 0
            });
        // Any single comment is shown, whatever the room.
        let shown = fits.count().max(1).min(comments.len());
        let earlier = comments.len() > shown;
        let comments = comments.split_off(comments.len() - shown);
        Ok(Self { ticket, count, comments, earlier })
    }

    /// Whether this comment is on it.
    pub(super) fn shows(&self, id: CommentId) -> bool {
        self.comments.iter().any(|one| one.id == id)
    }

    /// What the page before this one is asked for with.
    fn next(&self) -> Option<String> {
        self.comments.first().filter(|_| self.earlier).map(|first| first.id.to_string())
    }

    /// The page as data.
    pub(in crate::mcp) fn data(&self) -> Value {
        let comments: Vec<Value> = self.comments.iter().map(view::comment).collect();
        let further = json!({
            "comment_count": self.count,
            "comments": comments,
            "next_comments_before": self.next(),
        });
        with(view::ticket(&self.ticket), further)
    }

    /// The page to be read.
    pub(super) fn text(&self) -> String {
        let mut parts = vec![view::line(&self.ticket), view::cut(&self.ticket.body)];
        parts.extend(self.ticket.resolution.iter().map(|resolution| format!("Resolution: {resolution}")));
        if self.count > 0 {
            parts.push(format!("Comments: {} of {}.", self.comments.len(), self.count));
        }
        if let Some(next) = self.next() {
            parts.push(format!(
                "(Earlier comments are left out: repeat the call with comments_before {next}.)"
            ));
        }
        for one in &self.comments {
            let rest = if one.body.is_cut {
                format!("\n(It goes on: repeat the call with comment {}.)", one.id)
            } else {
                String::new()
            };
            parts.push(format!(
                "{}, {}, {}:\n{}{rest}",
                one.id,
                one.author,
                view::day(one.created_at),
                view::cut(&one.body)
            ));
        }
        parts.join("\n\n")
    }

    /// The schema of [`Self::data`].
    pub(super) fn schema() -> Value {
        let comments = json!({
            "comment_count": { "type": "integer", "minimum": 0, "description": "All of them." },
            "comments": {
                "type": "array",
                "maxItems": COMMENTS,
                "items": comment_schema(),
                "description": "As many of the last ones as there is room for, oldest first.",
            },
            "next_comments_before": {
                "type": ["string", "null"],
                "description": "Repeat the call with this as comments_before for earlier comments; null when there \
                                are none.",
            },
        });
        let properties = with(view::ticket_properties("The whole body."), comments);
        let mut required = view::TICKET_MEMBERS.to_vec();
        required.extend(["comment_count", "comments", "next_comments_before"]);
        object(&properties, &required)
    }
}

/// How many bytes a value takes up in an answer at most: as JSON that is a text in JSON.
fn in_json(value: &Value) -> usize {
    Value::String(value.to_string()).to_string().len()
}

/// The schema of a comment.
fn comment_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": comment_id_schema("The comment's id."),
            "author": { "type": "string", "description": "The username of whoever wrote it." },
            "body": {
                "type": "string",
                "description": format!("At most {LISTED_COMMENT} characters, unless asked for alone."),
            },
            "body_truncated": {
                "type": "boolean",
                "description": "Whether the text goes on: the argument comment reads it in full.",
            },
            "created_at": view::time_schema(),
        },
        "required": ["id", "author", "body", "body_truncated", "created_at"],
        "additionalProperties": false,
    })
}

/// What `get_ticket` takes.
pub(super) fn input() -> Value {
    let last = "Only comments before this one: next_comments_before of an earlier answer.";
    object(
        &json!({
            "id": ticket_id_schema("The ticket's id, such as T-42."),
            "comments_before": comment_id_schema(last),
            "comment": comment_id_schema("Only this comment, in full."),
        }),
        &["id"],
    )
}

/// The schema of a comment's id.
fn comment_id_schema(description: &str) -> Value {
    json!({ "type": "string", "pattern": CommentId::PATTERN, "description": description })
}
