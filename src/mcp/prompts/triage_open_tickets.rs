//! `triage_open_tickets`: what to do next about the tickets that wait for somebody.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Argument, Prompt, QUOTED, Values, Written};
use crate::app::App;
use crate::mcp::principal::Principal;
use crate::mcp::resources;
use crate::mcp::tools::Arguments;
use crate::mcp::tools::view::LISTED_BODY;
use crate::storage::StorageError;
use crate::tickets::lists::{self, Pressing};
use crate::tickets::{Priority, Sight, Status};

/// How many tickets there are unless the caller says otherwise.
const DEFAULT_LIMIT: u32 = 10;
/// How many tickets there are at most: what a model can weigh against each other.
const MAX_LIMIT: u32 = 25;
/// Where a ticket may stand that somebody has to do something about.
const UNDONE: &[Status] = &[Status::Open, Status::Pending];

/// The prompt.
pub(super) static PROMPT: Prompt = Prompt {
    name: "triage_open_tickets",
    title: "Triage open tickets",
    description: "Reads the open tickets that you may see, the most pressing and oldest first, and asks for an \
                  order of work with a next step for each.",
    arguments: &[
        Argument {
            name: "priority",
            title: "Priority",
            description: "Only tickets of this priority: low, medium or high. All of them if left out.",
            required: false,
            values: Values::Words(priorities),
        },
        Argument {
            name: "status",
            title: "Status",
            description: "open (if left out), or pending for those that wait for an answer or a delivery.",
            required: false,
            values: Values::Words(statuses),
        },
        Argument {
            name: "limit",
            title: "How many",
            description: "How many tickets at most: a number from 1 to 25, 10 if left out.",
            required: false,
            values: Values::Number,
        },
    ],
    write,
};

fn priorities() -> Vec<&'static str> {
    Priority::ALL.iter().map(|priority| priority.as_str()).collect()
}

fn statuses() -> Vec<&'static str> {
    UNDONE.iter().map(|status| status.as_str()).collect()
}

fn parse(mut arguments: Arguments) -> Result<Pressing, super::Problems> {
    let priority = arguments.choice("priority", Priority::ALL, Priority::as_str);
    let status = arguments.choice("status", UNDONE, Status::as_str).unwrap_or(Status::Open);
    let limit = arguments.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    arguments.finish(Some(Pressing { status, priority, limit, excerpt: LISTED_BODY }))
}

fn write<'a>(
    app: &'a App,
    principal: &'a Principal,
    arguments: Arguments,
) -> BoxFuture<'a, Result<Written, StorageError>> {
    async move {
        let wanted = match parse(arguments) {
            Ok(wanted) => wanted,
            Err(problems) => return Ok(Written::Problems(problems)),
        };
        let sight = Sight::of(principal.role, &principal.user_id);
        let (tickets, more) = lists::list_pressing(&app.store, &sight, wanted).await?;
        let which = match wanted.priority {
            Some(priority) => format!("{} tickets of {} priority", wanted.status.as_str(), priority.as_str()),
            None => format!("{} tickets", wanted.status.as_str()),
        };
        if tickets.is_empty() {
            let instructions = format!("There are no {which} that I may see. Tell me so; there is nothing to do.");
            return Ok(Written::Messages { instructions, tickets: Vec::new() });
        }
        let rest = if more {
            " There are more than these: search_tickets finds the others. Say so at the end."
        } else {
            ""
        };
        let instructions = format!(
            "Triage these {} {which}, the most pressing and oldest first.{rest}\n\n\
             Put them into the order in which they should be worked on. For each give its id and title, why it \
             stands there, whether its priority seems right, and one next step. Name tickets that look like the \
             same trouble. Change nothing yourself: comment on or close a ticket only after I have agreed to it.\
             \n\n{QUOTED}",
            tickets.len()
        );
        let tickets = tickets.iter().map(resources::excerpt).collect();
        Ok(Written::Messages { instructions, tickets })
    }
    .boxed()
}
