//! `close_ticket`: closes a ticket in sight. Closing a closed one changes nothing and says so.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::get_ticket::not_found;
use super::{
    Answer, Arguments, Deed, Look, NoDeed, Outcome, Question, Run, Scene, Schemas, Subject, Tool,
    idempotency_key_schema, object, text_schema, ticket_id_schema, view,
};
use crate::oauth::Error;
use crate::oauth::scope::TICKETS_WRITE;
use crate::storage::Tx;
use crate::tickets::store::{self, Closing};
use crate::tickets::{Resolution, Sight, Status, TicketId};

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "close_ticket",
    title: "Close a ticket",
    description: "Closes a ticket that you may see, with an optional word on what was done. Closing a ticket \
                  that is closed already changes nothing. The user is asked first when somebody else opened it.",
    scopes: &[TICKETS_WRITE],
    schemas: Schemas::of(input, output),
    run: Run::Write { parse, subject: Subject::Ticket },
    destructive: true,
    idempotent: true,
};

fn input() -> Value {
    object(
        &json!({
            "id": ticket_id_schema("The ticket's id, such as T-42."),
            "resolution": text_schema(Resolution::MAX, "What was done about it."),
            "idempotency_key": idempotency_key_schema(),
        }),
        &["id"],
    )
}

fn output() -> Value {
    object(
        &json!({
            "id": ticket_id_schema("The ticket's id."),
            "status": { "const": "closed" },
            "outcome": {
                "enum": ["closed", "already_closed"],
                "description": "already_closed: it had been closed before, and nothing changed.",
            },
            "closed_at": view::time_schema(),
        }),
        &["id", "status", "outcome", "closed_at"],
    )
}

struct Close {
    id: TicketId,
    resolution: Option<Resolution>,
}

fn parse(mut arguments: Arguments) -> Result<Box<dyn Deed>, NoDeed> {
    let id = arguments.required("id", TicketId::parse);
    let resolution = arguments.text("resolution", |text| Resolution::parse(text));
    let deed = arguments.finish(id.map(|id| Close { id, resolution }))?;
    Ok(Box::new(deed))
}

#[async_trait]
impl Deed for Close {
    fn arguments(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "resolution": self.resolution.as_ref().map(Resolution::as_str),
        })
    }

    /// Whose ticket it is can be overlooked by whoever speaks through a client, so closing another's is asked about.
    async fn question(&self, look: Look<'_>) -> Result<Question, Error> {
        let (store, principal) = (look.store, look.principal);
        let sight = Sight::of(principal.role, &principal.user_id);
        let Some(ticket) = store::find(store, &sight, self.id).await? else { return Ok(Question::None) };
        let own = store.find_user(&principal.user_id).await?.map(|user| user.username);
        if ticket.status == Status::Closed || own.as_ref() == Some(&ticket.reporter) {
            return Ok(Question::None);
        }
        Ok(Question::Ask(format!(
            "Close {}, \u{201c}{}\u{201d}? {} opened it.",
            self.id, ticket.title, ticket.reporter
        )))
    }

    async fn run(&self, tx: &mut Tx, scene: &Scene<'_>) -> Result<Outcome, Error> {
        let sight = Sight::of(scene.principal.role, &scene.principal.user_id);
        let closing = store::close(tx, &sight, self.id, self.resolution.as_ref(), scene.now).await?;
        let (outcome, closed_at, text) = match closing {
            Closing::NotFound => return Ok(not_found(self.id)),
            Closing::Closed => ("closed", scene.now, format!("Closed {}.", self.id)),
            Closing::AlreadyClosed(at) => {
                ("already_closed", at, format!("{} was closed already; nothing changed.", self.id))
            }
        };
        let structured = json!({
            "id": self.id.to_string(),
            "status": "closed",
            "outcome": outcome,
            "closed_at": closed_at.rfc3339(),
        });
        Ok(Outcome::Answer(Answer { structured, text }))
    }
}
