//! `get_ticket`: one ticket in full, with its comments.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::page::{self, Page, Which};
use super::{Answer, Arguments, Look, Outcome, Problems, Run, Schemas, Tool};
use crate::oauth::Error;
use crate::oauth::scope::TICKETS_READ;
use crate::tickets::{CommentId, Sight, TicketId, store};

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "get_ticket",
    title: "Read a ticket",
    description: "Returns one ticket in full with its last comments, at most 50 and each cut to 2000 characters. \
                  comments_before reads earlier comments, comment reads a long one in full.",
    scopes: &[TICKETS_READ],
    schemas: Schemas::of(page::input, Page::schema),
    run: Run::Read(run),
    destructive: false,
    idempotent: false,
};

fn parse(mut arguments: Arguments) -> Result<(TicketId, Which), Problems> {
    let id = arguments.required("id", TicketId::parse);
    let before = arguments.text("comments_before", CommentId::parse);
    let comment = arguments.text("comment", CommentId::parse);
    let which = match (before, comment) {
        (Some(_), Some(_)) => {
            arguments.refuse("comment", "must be left out where comments_before is given");
            None
        }
        (Some(before), None) => Some(Which::Before(before)),
        (None, Some(comment)) => Some(Which::Only(comment)),
        (None, None) => Some(Which::Last),
    };
    arguments.finish(id.zip(which))
}

fn run(look: Look<'_>, arguments: Arguments) -> BoxFuture<'_, Result<Outcome, Error>> {
    async move {
        let (id, which) = match parse(arguments) {
            Ok(wanted) => wanted,
            Err(problems) => return Ok(Outcome::Problems(problems)),
        };
        let sight = Sight::of(look.principal.role, &look.principal.user_id);
        let Some(ticket) = store::find(look.store, &sight, id).await? else { return Ok(not_found(id)) };
        let page = Page::read(look.store, ticket, which).await?;
        if let Which::Only(comment) = which
            && !page.shows(comment)
        {
            return Ok(Outcome::Unable(format!(
                "{id} has no comment {comment}. Leave it out to read the last ones."
            )));
        }
        Ok(Outcome::Answer(Answer { structured: page.data(), text: page.text() }))
    }
    .boxed()
}

/// Says that there is no such ticket, in the same words whether it exists out of sight or not at all.
pub(super) fn not_found(id: TicketId) -> Outcome {
    Outcome::Unable(format!("{id} was not found. search_tickets lists the tickets that you may see."))
}
