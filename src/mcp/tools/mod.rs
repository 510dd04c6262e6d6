//! The tools: one file each. A tool is data (its name, what it takes, what it does) and one function. Those for tickets
//! are written out; those that come with an extension are made out of a type (`typed.rs`). Both are a [`Tool`], and
//! what is done with one is the same for all.

mod arguments;
mod close_ticket;
mod comment_ticket;
mod conform;
mod create_ticket;
mod get_ticket;
pub(super) mod page;
mod promised;
mod rules;
mod schemas;
mod search_tickets;
mod typed;
pub(super) mod view;

use async_trait::async_trait;
use futures::future::BoxFuture;
use rmcp::model::{JsonObject, ToolAnnotations};
use serde_json::{Value, json};

use super::context::scopes_meta;
use super::principal::Principal;
use crate::clock::Timestamp;
use crate::oauth::Error;
use crate::random::Random;
use crate::storage::{ReadOnly, Store, Tx};
use crate::tickets::search::Progress;

pub(super) use arguments::{Arguments, KEY, Problems};
pub(super) use schemas::Schemas;
pub use typed::{Failure, Reads, Reply, Writes};

/// One tool: a static, made with [`Tool::reads`] or [`Tool::writes`].
#[derive(Debug)]
pub struct Tool {
    /// Its name on the wire.
    pub(in crate::mcp) name: &'static str,
    /// Its name for people.
    pub(in crate::mcp) title: &'static str,
    /// What it does, for the model.
    pub(in crate::mcp) description: &'static str,
    /// Every scope that it takes.
    pub(in crate::mcp) scopes: &'static [&'static str],
    /// What its arguments and its structured result look like.
    pub(in crate::mcp) schemas: Schemas,
    /// How it is run.
    pub(in crate::mcp) run: Run,
    /// Of one that has an effect: whether something that was there may be gone afterwards.
    pub(in crate::mcp) destructive: bool,
    /// Of one that has an effect: whether doing it again changes nothing more, even without an idempotency key.
    pub(in crate::mcp) idempotent: bool,
}

/// How a tool is run.
#[derive(Clone, Copy, Debug)]
pub(in crate::mcp) enum Run {
    /// It looks and changes nothing.
    Read(Read),
    /// It has an effect, which is done at most once for an idempotency key.
    Write {
        /// Makes the deed out of the arguments.
        parse: fn(Arguments) -> Result<Box<dyn Deed>, NoDeed>,
        /// What it changes.
        subject: Subject,
    },
}

/// What a deed changes: whoever watches it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mcp) enum Subject {
    /// The ticket whose id stands in the answer.
    Ticket,
    /// Something that nobody can watch.
    Other,
}

type Read = for<'a> fn(Look<'a>, Arguments) -> BoxFuture<'a, Result<Outcome, Error>>;

/// With what a tool looks, and on whose behalf.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The whole database, for the tools for tickets.
    pub(in crate::mcp) store: &'a Store,
    /// On whose behalf: show what this user may see, and nothing else.
    pub principal: &'a Principal,
    /// When.
    pub now: Timestamp,
    /// Whom to tell how far it has come.
    pub(in crate::mcp) progress: Option<&'a dyn Progress>,
}

impl<'a> Look<'a> {
    /// The database, to be read: `….fetch_all(look.read())`. A statement that would change something is an error.
    pub fn read(&self) -> ReadOnly<'a> {
        self.store.read_only()
    }

    /// Tells a client that asked for it that so many of a hundred parts are done. More often than twice a second
    /// nothing is sent, so that it may be called as often as is convenient.
    pub async fn reached(&self, percent: u32) {
        if let Some(progress) = self.progress {
            progress.reached(percent).await;
        }
    }
}

/// What a tool comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mcp) enum Outcome {
    /// It was done.
    Answer(Answer),
    /// The arguments are wrong.
    Problems(Problems),
    /// It cannot be done, and this is why. For the model: what to do instead.
    Unable(String),
}

/// A result, as data and as a short text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mcp) struct Answer {
    /// Conforms to the tool's output schema.
    pub(in crate::mcp) structured: Value,
    /// For the model.
    pub(in crate::mcp) text: String,
}

/// An effect with its arguments, ready to be done.
#[async_trait]
pub(in crate::mcp) trait Deed: Send + Sync {
    /// The arguments, defaults filled in: what tells one deed from another.
    fn arguments(&self) -> Value;

    /// What the user is asked before it is done; nothing, for most.
    async fn question(&self, _: Look<'_>) -> Result<Question, Error> {
        Ok(Question::None)
    }

    /// Does it, inside the transaction that also records it.
    async fn run(&self, tx: &mut Tx, scene: &Scene<'_>) -> Result<Outcome, Error>;
}

/// Whether the user is asked before a deed is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mcp) enum Question {
    /// They are not.
    None,
    /// They are asked this, in one sentence.
    Ask(String),
    /// There is nothing to ask, because it cannot be done, and this is why.
    Unable(String),
}

/// Why arguments make no deed.
#[derive(Debug)]
pub(in crate::mcp) enum NoDeed {
    /// They are wrong.
    Problems(Problems),
    /// They cannot be told from others, and that is not the caller's fault.
    Fault(Error),
}

impl From<Problems> for NoDeed {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

/// On whose behalf and when something is done.
#[derive(Debug)]
pub struct Scene<'a> {
    /// On whose behalf: change what this user may change, and nothing else.
    pub principal: &'a Principal,
    /// When.
    pub now: Timestamp,
    /// Where ids come from.
    pub(in crate::mcp) random: &'a Random,
}

impl Scene<'_> {
    /// A new id: 22 characters that nobody can guess.
    pub fn new_id(&self) -> String {
        self.random.id()
    }
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
    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its name for people.
    pub(crate) const fn title(&self) -> &'static str {
        self.title
    }

    /// What it does, for the model.
    pub(crate) const fn description(&self) -> &'static str {
        self.description
    }

    /// The scopes that a call takes.
    pub(crate) const fn needed(&self) -> &'static [&'static str] {
        self.scopes
    }

    /// Whether it has an effect.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self.run, Run::Write { .. })
    }

    /// The id of the ticket that a deed changed, if it is one that changes tickets.
    pub(super) fn changed_ticket(&self, answer: &Answer) -> Option<String> {
        match self.run {
            Run::Write { subject: Subject::Ticket, .. } => {
                answer.structured.get("id").and_then(Value::as_str).map(str::to_owned)
            }
            _ => None,
        }
    }

    /// The tool as MCP lists it.
    pub(crate) fn listed(&self) -> rmcp::model::Tool {
        let (read_only, destructive, idempotent) = match self.run {
            Run::Read(_) => (true, false, true),
            Run::Write { .. } => (false, self.destructive, self.idempotent),
        };
        let annotations = ToolAnnotations::with_title(self.title)
            .read_only(read_only)
            .destructive(destructive)
            .idempotent(idempotent)
            .open_world(false);
        rmcp::model::Tool::new(self.name, self.description, members(self.schemas.input().clone()))
            .with_title(self.title)
            .with_raw_output_schema(members(self.schemas.output().clone()).into())
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
