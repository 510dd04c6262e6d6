//! `create_ticket`: opens a ticket in the user's name.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    Answer, Arguments, Deed, NoDeed, Outcome, Run, Scene, Schemas, Subject, Tool, idempotency_key_schema,
    object, text_schema, ticket_id_schema, view, with,
};
use crate::oauth::Error;
use crate::oauth::scope::TICKETS_WRITE;
use crate::storage::Tx;
use crate::tickets::store::{self, NewTicket};
use crate::tickets::{Body, Priority, Status, Title};

/// The tool.
pub(super) static TOOL: Tool = Tool {
    name: "create_ticket",
    title: "Open a ticket",
    description: "Opens a new ticket in your name. Search first: there may be one already. Send an \
                  idempotency_key if you might have to retry.",
    scopes: &[TICKETS_WRITE],
    schemas: Schemas::of(input, output),
    run: Run::Write { parse, subject: Subject::Ticket },
    destructive: false,
    idempotent: false,
};

fn input() -> Value {
    let further = json!({ "default": Priority::Medium.as_str(), "description": "How much it presses." });
    let priority = with(view::priority_schema(), further);
    object(
        &json!({
            "title": text_schema(Title::MAX, "What it is about, in one line."),
            "body": text_schema(Body::MAX, "What is wrong or wanted: what happened, where, since when."),
            "priority": priority,
            "idempotency_key": idempotency_key_schema(),
        }),
        &["title", "body"],
    )
}

fn output() -> Value {
    object(
        &json!({
            "id": ticket_id_schema("The new ticket's id."),
            "title": { "type": "string" },
            "status": view::status_schema(),
            "priority": view::priority_schema(),
            "created_at": view::time_schema(),
        }),
        &["id", "title", "status", "priority", "created_at"],
    )
}

struct Create {
    title: Title,
    body: Body,
    priority: Priority,
}

fn parse(mut arguments: Arguments) -> Result<Box<dyn Deed>, NoDeed> {
    let title = arguments.required("title", |text| Title::parse(text));
    let body = arguments.required("body", |text| Body::parse(text));
    let priority = arguments.choice("priority", Priority::ALL, Priority::as_str).unwrap_or(Priority::Medium);
    let deed = arguments.finish(title.zip(body).map(|(title, body)| Create { title, body, priority }))?;
    Ok(Box::new(deed))
}

#[async_trait]
impl Deed for Create {
    fn arguments(&self) -> Value {
        json!({
            "title": self.title.as_str(),
            "body": self.body.as_str(),
            "priority": self.priority.as_str(),
        })
    }

    async fn run(&self, tx: &mut Tx, scene: &Scene<'_>) -> Result<Outcome, Error> {
        let new = NewTicket {
            reporter_id: &scene.principal.user_id,
            title: &self.title,
            body: &self.body,
            priority: self.priority,
        };
        let id = store::record(tx, new, scene.now).await?.to_string();
        let text = format!("Opened {id}: {}", self.title.as_str());
        let structured = json!({
            "id": id,
            "title": self.title.as_str(),
            "status": Status::Open.as_str(),
            "priority": self.priority.as_str(),
            "created_at": scene.now.rfc3339(),
        });
        Ok(Outcome::Answer(Answer { structured, text }))
    }
}
