//! `search_tickets`: full-text search, page by page.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::view::{self, LISTED_BODY};
use super::{Answer, Arguments, Look, Outcome, Problems, Run, Schemas, Tool, object, text_schema, with};
use crate::oauth::Error;
use crate::oauth::scope::TICKETS_READ;
use crate::tickets::query::{Position, Query};
use crate::tickets::search::{Search, search};
use crate::tickets::{Sight, Status};

/// How many tickets a page has unless the caller says otherwise.
const DEFAULT_LIMIT: u32 = 10;
/// How many tickets a page has at most.
const MAX_LIMIT: u32 = 50;

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "search_tickets",
    title: "Search tickets",
    description: "Finds tickets that you may see. Every word of the query must occur in the title, the body or \
                  the comments; tickets with all of them in the title come first, then the newest. Use the \
                  query * to list the newest tickets. Bodies are cut to 300 characters: read one ticket in full \
                  with get_ticket.",
    scopes: &[TICKETS_READ],
    schemas: Schemas::of(input, output),
    run: Run::Read(run),
    destructive: false,
    idempotent: false,
};

fn input() -> Value {
    let status = with(view::status_schema(), json!({ "description": "Only tickets with this status." }));
    object(
        &json!({
            "query": text_schema(Query::MAX, "Words to look for, or * for every ticket."),
            "status": status,
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_LIMIT,
                "default": DEFAULT_LIMIT,
                "description": "How many tickets to return.",
            },
            "cursor": {
                "type": "string",
                "maxLength": 128,
                "description": "next_cursor of the page before. Repeat query and status unchanged.",
            },
        }),
        &["query"],
    )
}

fn output() -> Value {
    let resolution = json!({
        "resolution": { "type": ["string", "null"], "description": "The first 200 characters, once it is closed." },
    });
    let listed = json!({
        "type": "object",
        "properties": with(view::ticket_properties("The first 300 characters."), resolution),
        "required": view::TICKET_MEMBERS,
        "additionalProperties": false,
    });
    object(
        &json!({
            "tickets": { "type": "array", "maxItems": MAX_LIMIT, "items": listed },
            "next_cursor": {
                "type": ["string", "null"],
                "description": "For the next page; null when this is the last.",
            },
        }),
        &["tickets", "next_cursor"],
    )
}

struct Wanted {
    query: Query,
    status: Option<Status>,
    limit: u32,
    after: Option<Position>,
}

fn parse(mut arguments: Arguments) -> Result<Wanted, Problems> {
    let query = arguments.required("query", Query::parse);
    let status = arguments.choice("status", Status::ALL, Status::as_str);
    let limit = arguments.integer("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let cursor = arguments.text("cursor", |text| Ok(text.to_owned()));
    let mut after = None;
    if let (Some(query), Some(cursor)) = (&query, cursor) {
        after = Position::parse(&cursor, query, status);
        if after.is_none() {
            arguments.refuse("cursor", "must be next_cursor of a page of this very query and status");
        }
    }
    arguments.finish(query.map(|query| Wanted { query, status, limit, after }))
}

fn run(look: Look<'_>, arguments: Arguments) -> BoxFuture<'_, Result<Outcome, Error>> {
    async move {
        let wanted = match parse(arguments) {
            Ok(wanted) => wanted,
            Err(problems) => return Ok(Outcome::Problems(problems)),
        };
        let sight = Sight::of(look.principal.role, &look.principal.user_id);
        let asked = Search {
            sight: &sight,
            query: &wanted.query,
            status: wanted.status,
            after: wanted.after,
            limit: usize::try_from(wanted.limit).unwrap_or(1),
            excerpt: LISTED_BODY,
            progress: look.progress,
        };
        let page = search(look.store, asked).await?;
        let next_cursor = page.next.map(|position| position.cursor(&wanted.query, wanted.status));
        let tickets: Vec<Value> = page.tickets.iter().map(view::listed).collect();
        let mut lines: Vec<String> = page.tickets.iter().map(view::line).collect();
        if lines.is_empty() {
            lines.push("No tickets found. Every word must occur: try fewer or other words.".to_owned());
        }
        if let Some(cursor) = &next_cursor {
            lines.push(format!("There are more: repeat the call with cursor {cursor}"));
        }
        let structured = json!({ "tickets": tickets, "next_cursor": next_cursor });
        Ok(Outcome::Answer(Answer { structured, text: lines.join("\n") }))
    }
    .boxed()
}
