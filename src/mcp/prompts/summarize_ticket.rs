//! `summarize_ticket`: one ticket with its comments, told in short.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Argument, Problems, Prompt, QUOTED, Values, Written};
use crate::app::App;
use crate::mcp::principal::Principal;
use crate::mcp::resources;
use crate::mcp::tools::Arguments;
use crate::storage::StorageError;
use crate::tickets::TicketId;

/// The prompt.
pub(super) static PROMPT: Prompt = Prompt {
    name: "summarize_ticket",
    title: "Summarize a ticket",
    description: "Reads one ticket that you may see with its comments, and asks for a summary.",
    arguments: &[
        Argument {
            name: "id",
            title: "Ticket",
            description: "The ticket's id, such as T-42.",
            required: true,
            values: Values::TicketIds,
        },
        Argument {
            name: "audience",
            title: "Audience",
            description: "Whom it is for: agent (whoever works on it, if left out), reporter or manager.",
            required: false,
            values: Values::Words(audiences),
        },
    ],
    write,
};

/// Whom a summary is for.
#[derive(Clone, Copy, Debug)]
enum Audience {
    Agent,
    Reporter,
    Manager,
}

impl Audience {
    const ALL: &'static [Self] = &[Self::Agent, Self::Reporter, Self::Manager];

    fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Reporter => "reporter",
            Self::Manager => "manager",
        }
    }

    /// What they want to know.
    fn wants(self) -> &'static str {
        match self {
            Self::Agent => {
                "Write for the agent who takes it over: what is wrong, what was tried and with what result, what is \
                 still unknown, and the next step. Keep names, numbers and error messages exact."
            }
            Self::Reporter => {
                "Write for the person who reported it, in plain and friendly words: what was understood, where it \
                 stands, what happens next, and what is needed from them, if anything."
            }
            Self::Manager => {
                "Write for a manager, in three sentences at most: what it is about and whom it affects, where it \
                 stands and since when, and whether somebody has to decide something."
            }
        }
    }
}

fn audiences() -> Vec<&'static str> {
    Audience::ALL.iter().map(|audience| audience.as_str()).collect()
}

fn parse(mut arguments: Arguments) -> Result<(TicketId, Audience), Problems> {
    let id = arguments.required("id", TicketId::parse);
    let audience = arguments.choice("audience", Audience::ALL, Audience::as_str).unwrap_or(Audience::Agent);
    arguments.finish(id.map(|id| (id, audience)))
}

fn write<'a>(
    app: &'a App,
    principal: &'a Principal,
    arguments: Arguments,
) -> BoxFuture<'a, Result<Written, StorageError>> {
    async move {
        let (id, audience) = match parse(arguments) {
            Ok(wanted) => wanted,
            Err(problems) => return Ok(Written::Problems(problems)),
        };
        let uri = resources::uri(id);
        let Some(ticket) = resources::read(app, principal, &uri).await? else {
            return Ok(Written::Unable(format!(
                "{id} was not found. search_tickets lists the tickets that you may see."
            )));
        };
        let instructions = format!("Summarize ticket {id}. {}\n\n{QUOTED}", audience.wants());
        Ok(Written::Messages { instructions, tickets: vec![ticket] })
    }
    .boxed()
}
