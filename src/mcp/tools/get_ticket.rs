//! `get_ticket`: one ticket in full, with its comments.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::view::{self, COMMENTS, LISTED_COMMENT};
use super::{Answer, Arguments, Outcome, Run, Tool, object, ticket_id_schema, with};
use crate::app::App;
use crate::mcp::principal::Principal;
use crate::oauth::scope::TICKETS_READ;
use crate::storage::StorageError;
use crate::tickets::{Sight, TicketId, store};

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "get_ticket",
    title: "Read a ticket",
    description: "Returns one ticket in full with its last 50 comments, each cut to 2000 characters. The \
                  resource ticket://{id} has the comments in full.",
    scopes: &[TICKETS_READ],
    input,
    output,
    run: Run::Read(run),
};

fn input() -> Value {
    object(&json!({ "id": ticket_id_schema("The ticket's id, such as T-42.") }), &["id"])
}

fn output() -> Value {
    let comments = json!({
        "comment_count": { "type": "integer", "minimum": 0, "description": "All of them." },
        "comments": {
            "type": "array",
            "maxItems": COMMENTS,
            "items": view::comment_schema(),
            "description": "The last ones, oldest first.",
        },
    });
    let properties = with(view::ticket_properties("The whole body."), comments);
    let mut required = view::TICKET_MEMBERS.to_vec();
    required.extend(["comment_count", "comments"]);
    object(&properties, &required)
}

fn run<'a>(
    app: &'a App,
    principal: &'a Principal,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Outcome, StorageError>> {
    async move {
        let id = arguments.required("id", TicketId::parse);
        let id = match arguments.finish(id) {
            Ok(id) => id,
            Err(problems) => return Ok(Outcome::Problems(problems)),
        };
        let sight = Sight::of(principal.role, &principal.user_id);
        let Some(ticket) = store::find(&app.store, &sight, id).await? else { return Ok(not_found(id)) };
        let (count, comments) = store::list_comments(&app.store, &ticket, LISTED_COMMENT, COMMENTS).await?;
        Ok(Outcome::Answer(Answer {
            structured: view::ticket_with_comments(&ticket, count, &comments),
            text: view::page(&ticket, count, &comments),
        }))
    }
    .boxed()
}

/// Says that there is no such ticket, in the same words whether it exists out of sight or not at all.
pub(super) fn not_found(id: TicketId) -> Outcome {
    Outcome::Unable(format!("{id} was not found. search_tickets lists the tickets that you may see."))
}
