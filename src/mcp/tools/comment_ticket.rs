//! `comment_ticket`: adds a comment to a ticket in sight. A closed ticket can be commented on and stays closed:
//! people say thanks, and "it is back" deserves to be seen even by who cannot open a new ticket at once.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::get_ticket::not_found;
use super::{
    Answer, Arguments, Deed, NoDeed, Outcome, Run, Scene, Schemas, Subject, Tool, idempotency_key_schema,
    object, text_schema, ticket_id_schema, view,
};
use crate::oauth::Error;
use crate::oauth::scope::TICKETS_WRITE;
use crate::storage::Tx;
use crate::tickets::store::{self, NewComment};
use crate::tickets::{Body, Sight, Status, TicketId};

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "comment_ticket",
    title: "Comment on a ticket",
    description: "Adds a comment in your name to a ticket that you may see. A closed ticket stays closed; open a \
                  new one if the trouble is back.",
    scopes: &[TICKETS_WRITE],
    schemas: Schemas::of(input, output),
    run: Run::Write { parse, subject: Subject::Ticket },
    destructive: false,
    idempotent: false,
};

fn input() -> Value {
    object(
        &json!({
            "id": ticket_id_schema("The ticket's id, such as T-42."),
            "body": text_schema(Body::MAX, "The comment."),
            "idempotency_key": idempotency_key_schema(),
        }),
        &["id", "body"],
    )
}

fn output() -> Value {
    object(
        &json!({
            "id": ticket_id_schema("The ticket's id."),
            "comment_id": { "type": "string" },
            "status": view::status_schema(),
            "created_at": view::time_schema(),
        }),
        &["id", "comment_id", "status", "created_at"],
    )
}

struct AddComment {
    id: TicketId,
    body: Body,
}

fn parse(mut arguments: Arguments) -> Result<Box<dyn Deed>, NoDeed> {
    let id = arguments.required("id", TicketId::parse);
    let body = arguments.required("body", |text| Body::parse(text));
    let deed = arguments.finish(id.zip(body).map(|(id, body)| AddComment { id, body }))?;
    Ok(Box::new(deed))
}

#[async_trait]
impl Deed for AddComment {
    fn arguments(&self) -> Value {
        json!({ "id": self.id.to_string(), "body": self.body.as_str() })
    }

    async fn run(&self, tx: &mut Tx, scene: &Scene<'_>) -> Result<Outcome, Error> {
        let sight = Sight::of(scene.principal.role, &scene.principal.user_id);
        let new = NewComment { ticket: self.id, author_id: &scene.principal.user_id, body: &self.body };
        let Some(commented) = store::add_comment(tx, &sight, new, scene.now).await? else {
            return Ok(not_found(self.id));
        };
        let mut text = format!("Commented on {}.", self.id);
        if commented.status == Status::Closed {
            text.push_str(" The ticket is closed and stays closed.");
        }
        let structured = json!({
            "id": self.id.to_string(),
            "comment_id": commented.id.to_string(),
            "status": commented.status.as_str(),
            "created_at": scene.now.rfc3339(),
        });
        Ok(Outcome::Answer(Answer { structured, text }))
    }
}
