//! Build your own MCP server on Mandate: own tools, own scopes, own tables, in a crate of your own.
//!
//! A [`Tool`] is made out of a type. Its fields are the arguments, and its JSON Schema is what clients are shown and
//! what is checked; it implements [`Reads`] when it looks at something, or [`Writes`] when it changes something. An
//! [`Extension`] is tools with the [`Scope`]s that they take and the [`Step`]s that make their tables, and a [`Program`]
//! is what [`cli::main_with`](crate::cli::main_with) runs: with every command of `mandate`, under your name.
//!
//! ```
//! use mandate::extension::{Extension, Failure, Look, Program, Reads, Reply, Scope, Tool};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Greet {
//!     /// Who is greeted.
//!     #[schemars(length(min = 1, max = 40))]
//!     name: String,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Greeting {
//!     greeting: String,
//! }
//!
//! impl Reads for Greet {
//!     type Output = Greeting;
//!
//!     async fn run(self, _: Look<'_>) -> Result<Reply<Greeting>, Failure> {
//!         let greeting = format!("Hello, {}!", self.name);
//!         Ok(Reply::new(Greeting { greeting: greeting.clone() }, greeting))
//!     }
//! }
//!
//! static GREET: Tool = Tool::reads::<Greet>("greet", "Greet somebody", "Says hello to somebody by name.")
//!     .scopes(&["hello:read"]);
//!
//! static HELLO: Extension = Extension {
//!     name: "hello",
//!     instructions: "Greets people.",
//!     scopes: &[Scope::read("hello:read", "Greet in your name", "Says hello to people. It changes nothing.")],
//!     tools: &[&GREET],
//!     ..Extension::EMPTY
//! };
//!
//! fn main() -> std::process::ExitCode {
//!     mandate::cli::main_with(Program::new("hello", "Hello", env!("CARGO_PKG_VERSION")).with(&HELLO))
//! }
//! ```
//!
//! What the gate does for `mandate`'s own tools it does for these: nothing runs without a verified token, the scopes, a
//! living grant and a place within the limits; a write happens once for its idempotency key, in one transaction with its
//! audit event; every call is traced and measured; and a grant that is revoked ends on the next call. What a user may
//! see is the tool's own affair: it gets the [`Principal`] and asks only for what is theirs.
//!
//! Tests call the tools of a program by [`testing`]. Prompts and resources of your own are not served.

mod check;
pub mod testing;

pub use check::{Checked, Refused};

pub use crate::clock::Timestamp;
pub use crate::mcp::{Failure, Look, Principal, Reads, Reply, Scene, Tool, Writes};
pub use crate::oauth::scope::Scope;
pub use crate::oauth::{ClientId, GrantId, Scopes, UserId};
pub use crate::storage::steps::Step;
pub use crate::storage::users::Role;
pub use crate::storage::{ReadOnly, StorageError, Tx};

/// Tools that belong together, with what they need. Write it with `..Extension::EMPTY` at its end, so that what a later
/// version adds is left empty.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    /// Its name: small letters, digits and underscores. Its steps are remembered under it.
    pub name: &'static str,
    /// For the model: what this is about and how it is used, in a few sentences.
    pub instructions: &'static str,
    /// What people are asked to allow.
    pub scopes: &'static [Scope],
    /// The tools, in the order in which they are listed.
    pub tools: &'static [&'static Tool],
    /// What makes its tables, in order. Mandate takes the missing ones at every start and by `migrate`. The names of its
    /// own tables never begin with `x_`.
    pub steps: &'static [Step],
}

impl Extension {
    /// Nothing at all.
    pub const EMPTY: Self = Self { name: "", instructions: "", scopes: &[], tools: &[], steps: &[] };
}

/// A program that serves extensions.
#[derive(Clone, Debug)]
pub struct Program {
    name: &'static str,
    title: &'static str,
    version: &'static str,
    tickets: bool,
    is_ours: bool,
    extensions: Vec<&'static Extension>,
}

impl Program {
    /// A program that serves nothing yet. `name` is its command, such as `notes`; `title` is what people call it: the
    /// consent page asks to allow the use of it; `version` is its own: `env!("CARGO_PKG_VERSION")`.
    pub const fn new(name: &'static str, title: &'static str, version: &'static str) -> Self {
        Self { name, title, version, tickets: false, is_ours: false, extensions: Vec::new() }
    }

    /// `mandate` itself: the tickets and nothing else.
    pub(crate) fn mandate() -> Self {
        let ours = Self::new("mandate", "Tickets", env!("CARGO_PKG_VERSION"));
        Self { tickets: true, is_ours: true, ..ours }
    }

    /// Its command.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// With an extension.
    #[must_use]
    pub fn with(mut self, extension: &'static Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// With the tickets: Mandate's own tools, resources, prompts and scopes, listed before all others.
    #[must_use]
    pub fn with_tickets(mut self) -> Self {
        self.tickets = true;
        self
    }
}
