//! Tools that are made out of a type: its schema says what the tool takes, and what the schema says is kept before
//! anything is run.

use std::fmt;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schemas::{input_of, input_with_key_of, output_of};
use super::{
    Answer, Arguments, Deed, Look, NoDeed, Outcome, Question, Run, Scene, Schemas, Subject, Tool, promised,
};
use crate::oauth::Error;
use crate::oauth::error::server_error;
use crate::storage::{StorageError, Tx};

/// The arguments of a tool that looks and changes nothing.
///
/// The type's JSON Schema is what clients are shown, and what is checked of a call before [`run`](Reads::run): a call
/// that does not conform is answered with all its problems, for the model to mend.
pub trait Reads: DeserializeOwned + JsonSchema + Send + 'static {
    /// The structured result: a struct.
    type Output: Serialize + JsonSchema;

    /// Looks. By now the caller has the tool's scopes, a living grant and a place within the limits; what the user may
    /// see is for this function to say, by `look.principal`.
    fn run(self, look: Look<'_>) -> impl Future<Output = Result<Reply<Self::Output>, Failure>> + Send;
}

/// The arguments of a tool that has an effect, done at most once for an idempotency key.
///
/// Checked as those of [`Reads`]. The key itself is no part of the type: every such tool takes one by the name of
/// `idempotency_key`. Two calls are the same when these arguments serialise to the same JSON: take a `BTreeSet` for
/// a set, because a `HashSet` has another order each time and a retry would be taken for another call.
pub trait Writes: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {
    /// The structured result: a struct.
    type Output: Serialize + JsonSchema;

    /// Does it, inside one transaction with the row that keeps it from being done twice and with its audit event. When
    /// it fails, nothing of what it did stays. Others wait meanwhile: after 5 seconds on SQLite, and 1.1 on PostgreSQL,
    /// it is ended as a fault.
    fn run(
        &self,
        tx: &mut Tx,
        scene: &Scene<'_>,
    ) -> impl Future<Output = Result<Reply<Self::Output>, Failure>> + Send;

    /// What the user is asked before it is done, in one sentence; nothing, unless this is written. What happens when
    /// their client cannot ask is configured (`mcp.unconfirmed`). Where there is nothing to ask, because it cannot be
    /// done, this says so as [`run`](Writes::run) would: with [`Failure::unable`].
    fn question(&self, _look: Look<'_>) -> impl Future<Output = Result<Option<String>, Failure>> + Send {
        async { Ok(None) }
    }
}

/// What a tool answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<T> {
    structured: T,
    text: String,
}

impl<T> Reply<T> {
    /// A result as data, and as a text for models whose clients show them no data. The first 80 characters of the text
    /// of a tool that writes stand in the audit log.
    pub fn new(structured: T, text: impl Into<String>) -> Self {
        Self { structured, text: text.into() }
    }
}

/// Why a tool did not do what it was asked. Errors of statements become one with `?`.
#[derive(Debug)]
pub struct Failure(Why);

#[derive(Debug)]
enum Why {
    Unable(String),
    Fault(Error),
}

impl Failure {
    /// It cannot be done. The sentence is for the model: what is the matter, and what to do instead. Of a tool that
    /// writes, its first 200 characters stand in the audit log.
    pub fn unable(why: impl Into<String>) -> Self {
        Self(Why::Unable(why.into()))
    }

    /// Something is broken here. The detail is logged; the caller hears that the server made an error, and its
    /// reference.
    pub fn fault(detail: impl fmt::Display) -> Self {
        Self(Why::Fault(fault(detail)))
    }
}

impl<E: Into<StorageError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Why::Fault(error.into().into()))
    }
}

impl Tool {
    /// A tool that looks and changes nothing. `name` is what models call it by, such as `list_notes`; `title` is its
    /// name for people; `description` tells the model what it does and when to use it.
    pub const fn reads<T: Reads>(name: &'static str, title: &'static str, description: &'static str) -> Self {
        let schemas = Schemas::of(input_of::<T>, output_of::<T::Output>);
        Self::new((name, title, description), schemas, Run::Read(look::<T>))
    }

    /// A tool that has an effect.
    pub const fn writes<T: Writes>(
        name: &'static str,
        title: &'static str,
        description: &'static str,
    ) -> Self {
        let schemas = Schemas::of(input_with_key_of::<T>, output_of::<T::Output>);
        let run = Run::Write { parse: parse::<T>, subject: Subject::Other };
        Self::new((name, title, description), schemas, run)
    }

    const fn new(
        (name, title, description): (&'static str, &'static str, &'static str),
        schemas: Schemas,
        run: Run,
    ) -> Self {
        Self { name, title, description, scopes: &[], schemas, run, destructive: false, idempotent: false }
    }

    /// Every scope that a call takes. There is no order among scopes: one for writing does not include one for reading.
    #[must_use]
    pub const fn scopes(mut self, scopes: &'static [&'static str]) -> Self {
        self.scopes = scopes;
        self
    }

    /// Says of a tool that writes that something that was there may be gone afterwards: clients may ask their user first.
    #[must_use]
    pub const fn destructive(mut self) -> Self {
        self.destructive = true;
        self
    }

    /// Says of a tool that writes that doing it again changes nothing more, even without an idempotency key.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Whether something is said of it that can be said only of a tool that writes.
    pub(crate) fn says_too_much(&self) -> bool {
        !self.is_write() && (self.destructive || self.idempotent)
    }

    /// What is wrong with its schemas, in a few words.
    pub(crate) fn unkept(&self) -> Option<String> {
        let (input, output) = (self.schemas.input(), self.schemas.output());
        for (which, schema) in [("arguments", input), ("result", output)] {
            if schema.get("type").and_then(Value::as_str) != Some("object") {
                return Some(format!(
                    "its {which} must be an object: derive JsonSchema for a struct with named fields"
                ));
            }
        }
        let key = input.get("properties").and_then(|properties| properties.get(super::arguments::KEY));
        let own_key = key.is_some_and(|key| !self.is_write() || *key != super::idempotency_key_schema());
        if own_key {
            return Some(
                "idempotency_key is taken by every tool that writes, and is no field of its own".to_owned(),
            );
        }
        if let Some(name) = promised::half_hidden(input) {
            return Some(format!(
                "its argument {name} has a part that is writeOnly: say it of the whole argument, which is then \
                 never written down, or make the part an argument of its own"
            ));
        }
        promised::unkept(input).map(|problem| format!("the schema of its arguments {problem}"))
    }
}

fn look<T: Reads>(look: Look<'_>, arguments: Arguments) -> BoxFuture<'_, Result<Outcome, Error>> {
    async move {
        match arguments.typed::<T>() {
            Ok(wanted) => outcome(wanted.run(look).await),
            Err(problems) => Ok(Outcome::Problems(problems)),
        }
    }
    .boxed()
}

/// A deed with its arguments as they were understood.
struct Typed<T> {
    deed: T,
    arguments: Value,
}

fn parse<T: Writes>(arguments: Arguments) -> Result<Box<dyn Deed>, NoDeed> {
    let deed = arguments.typed::<T>()?;
    let arguments = serde_json::to_value(&deed)
        .map_err(|error| NoDeed::Fault(fault(format!("arguments that do not serialise: {error}"))))?;
    Ok(Box::new(Typed { deed, arguments }))
}

#[async_trait]
impl<T: Writes> Deed for Typed<T> {
    fn arguments(&self) -> Value {
        self.arguments.clone()
    }

    async fn question(&self, look: Look<'_>) -> Result<Question, Error> {
        match self.deed.question(look).await.map_err(|failure| failure.0) {
            Ok(None) => Ok(Question::None),
            Ok(Some(question)) => Ok(Question::Ask(question)),
            Err(Why::Unable(why)) => Ok(Question::Unable(why)),
            Err(Why::Fault(error)) => Err(error),
        }
    }

    async fn run(&self, tx: &mut Tx, scene: &Scene<'_>) -> Result<Outcome, Error> {
        outcome(self.deed.run(tx, scene).await)
    }
}

fn outcome<T: Serialize>(replied: Result<Reply<T>, Failure>) -> Result<Outcome, Error> {
    match replied.map_err(|failure| failure.0) {
        Ok(Reply { structured, text }) => match serde_json::to_value(structured) {
            Ok(structured) if structured.is_object() => Ok(Outcome::Answer(Answer { structured, text })),
            Ok(_) => Err(fault("a result that is no object")),
            Err(error) => Err(fault(format!("a result that does not serialise: {error}"))),
        },
        Err(Why::Unable(why)) => Ok(Outcome::Unable(why)),
        Err(Why::Fault(error)) => Err(error),
    }
}

fn fault(detail: impl fmt::Display) -> Error {
    server_error("the server made an error").detail(detail)
}

#[cfg(test)]
mod tests;
