//! The tools: one file each. A tool is data (its name, what it takes, what it does) and one function.

mod arguments;
mod close_ticket;
mod comment_ticket;
mod create_ticket;
mod get_ticket;
pub(super) mod page;
mod search_tickets;
pub(super) mod view;

use async_trait::async_trait;
use futures::future::BoxFuture;
use rmcp::model::{JsonObject, ToolAnnotations};
use serde_json::{Value, json};

use super::context::scopes_meta;
use super::principal::Principal;
use crate::app::App;
use crate::clock::Timestamp;
use crate::storage::{StorageError, Store, Tx};
use crate::tickets::search::Progress;

pub(super) use arguments::{Arguments, Problems};

/// One tool.
#[derive(Debug)]
pub(super) struct Tool {
    /// Its name on the wire.
    pub(super) name: &'static str,
    /// Its name for people.
    pub(super) title: &'static str,
    /// What it does, for the model.
    pub(super) description: &'static str,
    /// Every scope that it takes.
    pub(super) scopes: &'static [&'static str],
    /// What its arguments must look like.
    pub(super) input: fn() -> Value,
    /// What its structured result looks like.
    pub(super) output: fn() -> Value,
    /// How it is run.
    pub(super) run: Run,
}

/// How a tool is run.
#[derive(Debug)]
pub(super) enum Run {
    /// It looks and changes nothing.
    Read(Read),
    /// It has an effect, which is done at most once for an idempotency key.
    Write {
        /// Makes the deed out of the arguments.
        parse: fn(Arguments) -> Result<Box<dyn Deed>, Problems>,
        /// Whether something that was there may be gone afterwards.
        destructive: bool,
        /// Whether doing it again changes nothing more, even without an idempotency key.
        idempotent: bool,
    },
}

type Read = for<'a> fn(Look<'a>, Arguments) -> BoxFuture<'a, Result<Outcome, StorageError>>;

/// With what a tool looks, and on whose behalf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    /// The application.
    pub(super) app: &'a App,
    /// On whose behalf.
    pub(super) principal: &'a Principal,
    /// Whom to tell how far it has come.
    pub(super) progress: &'a dyn Progress,
}

/// What a tool comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done.
    Answer(Answer),
    /// The arguments are wrong.
    Problems(Problems),
    /// It cannot be done, and this is why. For the model: what to do instead.
    Unable(String),
}

/// A result, as data and as a short text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Conforms to the tool's output schema.
    pub(super) structured: Value,
    /// For the model.
    pub(super) text: String,
}

impl Answer {
    /// The id of the ticket that it is about.
    pub(super) fn ticket(&self) -> Option<String> {
        self.structured.get("id").and_then(Value::as_str).map(str::to_owned)
    }
}

/// An effect with its arguments, ready to be done.
#[async_trait]
pub(super) trait Deed: Send + Sync {
    /// The arguments, defaults filled in: what tells one deed from another.
    fn arguments(&self) -> Value;

    /// What the user is asked before it is done, in one sentence; nothing, for most.
    async fn question(&self, _: &Store, _: &Principal) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    /// Does it, inside the transaction that also records it.
    async fn run(&self, tx: &mut Tx, scene: &Scene<'_>) -> Result<Outcome, StorageError>;
}

/// On whose behalf and when a deed is done.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    /// On whose behalf.
    pub(super) principal: &'a Principal,
    /// When.
    pub(super) now: Timestamp,
}

/// The tools for tickets, in the order in which they are listed.
pub(super) static TICKETS: [&Tool; 5] = [
    &search_tickets::TOOL,
    &get_ticket::TOOL,
    &create_ticket::TOOL,
    &comment_ticket::TOOL,
    &close_ticket::TOOL,
];

impl Tool {
    /// Whether it has an effect.
    pub(super) fn is_write(&self) -> bool {
        matches!(self.run, Run::Write { .. })
    }

    /// The tool as MCP lists it.
    pub(super) fn listed(&self) -> rmcp::model::Tool {
        let (read_only, destructive, idempotent) = match self.run {
            Run::Read(_) => (true, false, true),
            Run::Write { destructive, idempotent, .. } => (false, destructive, idempotent),
        };
        let annotations = ToolAnnotations::with_title(self.title)
            .read_only(read_only)
            .destructive(destructive)
            .idempotent(idempotent)
            .open_world(false);
        rmcp::model::Tool::new(self.name, self.description, members((self.input)()))
            .with_title(self.title)
            .with_raw_output_schema(members((self.output)()).into())
            .with_annotations(annotations)
            .with_meta(scopes_meta(self.scopes))
    }
}

fn members(schema: Value) -> JsonObject {
    match schema {
        Value::Object(members) => members,
        _ => JsonObject::new(),
    }
}

/// A schema of an object that has these members and no others.
fn object(properties: &Value, required: &[&str]) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// A schema and further members.
fn with(schema: Value, further: Value) -> Value {
    let mut all = members(schema);
    all.extend(members(further));
    Value::Object(all)
}

/// The schema of a ticket's id.
fn ticket_id_schema(description: &str) -> Value {
    json!({ "type": "string", "pattern": crate::tickets::TicketId::PATTERN, "description": description })
}

/// The schema of a text that must not be blank.
fn text_schema(max: usize, description: &str) -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": max,
        "pattern": "\\S",
        "description": format!("{description} No control characters except tab and line break."),
    })
}

/// The schema of the key that makes a retried write harmless.
fn idempotency_key_schema() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": arguments::LONGEST_KEY,
        "pattern": "^[\\x21-\\x7e]+$",
        "description": "Any text of your own, such as a UUID: send the same one when you retry this very call, \
                        and it is done once. Remembered for 24 hours.",
    })
}

#[cfg(test)]
mod tests;
