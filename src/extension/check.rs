//! What is wrong with a program is said before it starts, in one sentence.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Extension, Program, Scope, Tool};
use crate::clock::Timestamp;
use crate::config::Own;
use crate::ephemeral::admission::{READS, WRITES};
use crate::mcp::Surface;
use crate::oauth::scope::{
    self, Access, Catalogue, LONGEST_SENTENCE, LONGEST_TITLE, MOST_SCOPES, RESERVED_SCOPES, RESOURCE_SCOPES,
    TICKETS, is_line,
};
use crate::storage::Store;
use crate::storage::steps::{self, StepError};

/// The longest name of a program, an extension or a tool, in characters.
const LONGEST_NAME: usize = 64;
/// The longest description of a tool, and the longest instructions.
const LONGEST_DESCRIPTION: usize = 2000;

/// Why a program cannot be run, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// A program that can be run.
#[derive(Clone, Debug)]
pub struct Checked {
    program: Program,
    own: Own,
    surface: Arc<Surface>,
}

fn refuse<T>(why: String) -> Result<T, Refused> {
    Err(Refused(why))
}

impl Program {
    /// Looks at everything that the program is made of. [`cli::main_with`](crate::cli::main_with) does so first, and so
    /// can a test.
    pub fn check(self) -> Result<Checked, Refused> {
        let name = self.name;
        if !is_name(name, b"-_") {
            return refuse(format!("the program's name {name:?} must be {NAME} or dashes"));
        }
        if !is_line(self.title, LONGEST_TITLE) || !is_line(self.version, LONGEST_TITLE) {
            return refuse(format!(
                "the title and the version of {name} must be a line of 1 to 60 characters each"
            ));
        }
        let mut found = Found { scopes: Vec::new(), tools: BTreeSet::new(), extensions: BTreeSet::new() };
        if self.tickets {
            found.scopes.extend(TICKETS);
            found.tools.extend(Surface::default().names());
        }
        for extension in &self.extensions {
            found.add(extension)?;
        }
        if found.tools.is_empty() {
            return refuse(format!("{name} has no tool: give it an extension that has one"));
        }
        if found.scopes.len() > MOST_SCOPES {
            return refuse(format!(
                "{name} has more than {MOST_SCOPES} scopes: each is a box on the consent page"
            ));
        }
        // `mandate` serves many things; what clients are given of it is the tickets.
        let name = if self.is_ours { Own::default().name } else { self.name };
        let own = Own { name, title: self.title, scopes: Catalogue::of(found.scopes) };
        let surface = if self.is_ours { Surface::default() } else { self.surface() };
        Ok(Checked { own, surface: Arc::new(surface), program: self })
    }

    fn surface(&self) -> Surface {
        let instructions: Vec<&str> =
            self.extensions.iter().map(|extension| extension.instructions).collect();
        let tools = self.extensions.iter().flat_map(|extension| extension.tools.iter().copied());
        let surface = Surface::new((self.name, self.title, self.version), &instructions, tools);
        if self.tickets { surface.with_tickets() } else { surface }
    }
}

impl Checked {
    /// The command's name.
    pub(crate) fn name(&self) -> &'static str {
        self.program.name
    }

    /// What people call it.
    pub(crate) fn title(&self) -> &'static str {
        self.program.title
    }

    /// Its version.
    pub(crate) fn version(&self) -> &'static str {
        self.program.version
    }

    /// Whether it is `mandate` itself.
    pub(crate) fn is_mandate(&self) -> bool {
        self.program.is_ours
    }

    /// What the configuration has to know of it: for [`Config::load_for`](crate::config::Config::load_for).
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// What its MCP server offers: for [`server::router_for`](crate::server::router_for).
    pub fn surface(&self) -> &Arc<Surface> {
        &self.surface
    }

    /// Makes the tables of its extensions, or brings them up to date.
    pub async fn prepare(&self, store: &Store, now: Timestamp) -> Result<(), StepError> {
        for extension in &self.program.extensions {
            steps::take(store, extension.name, extension.steps, now).await?;
        }
        Ok(())
    }
}

/// What was found so far.
struct Found {
    scopes: Vec<Scope>,
    tools: BTreeSet<&'static str>,
    extensions: BTreeSet<&'static str>,
}

impl Found {
    fn add(&mut self, extension: &Extension) -> Result<(), Refused> {
        let name = extension.name;
        if !is_name(name, b"_") {
            return refuse(format!("the extension's name {name:?} must be {NAME}"));
        }
        if !self.extensions.insert(name) {
            return refuse(format!("two extensions are called {name}"));
        }
        if extension.instructions.chars().count() > LONGEST_DESCRIPTION {
            return refuse(format!(
                "the instructions of {name} must have at most {LONGEST_DESCRIPTION} characters"
            ));
        }
        for scope in extension.scopes {
            self.add_scope(scope)?;
        }
        let mut steps = BTreeSet::new();
        if let Some(step) =
            extension.steps.iter().find(|step| step.name().is_empty() || !steps.insert(step.name()))
        {
            return refuse(format!("each step of {name} needs a name of its own, unlike {:?}", step.name()));
        }
        // A tool may take a scope of an extension that was added before.
        extension.tools.iter().try_for_each(|tool| self.add_tool(tool))
    }

    fn add_scope(&mut self, scope: &Scope) -> Result<(), Refused> {
        let name = scope.name;
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._:-".contains(&b);
        if !(1..=scope::LONGEST_NAME).contains(&name.len()) || !name.bytes().all(legal) {
            let cure =
                "1 to 128 small letters, digits, dots, dashes, underscores and colons, such as notes:read";
            return refuse(format!("the scope's name {name:?} must be {cure}"));
        }
        if RESERVED_SCOPES.contains(&name) || RESOURCE_SCOPES.contains(&name) {
            return refuse(format!("the scope {name} is Mandate's own: choose another name"));
        }
        if self.scopes.iter().any(|known| known.name == name) {
            return refuse(format!("two scopes are called {name}"));
        }
        if !is_line(scope.title, LONGEST_TITLE) {
            return refuse(format!(
                "the title of the scope {name} must be a line of 1 to {LONGEST_TITLE} characters"
            ));
        }
        if !is_line(scope.description, LONGEST_SENTENCE) || !scope.description.ends_with('.') {
            let cure = "a sentence of at most 200 characters that says what it lets an app do";
            return refuse(format!("the description of the scope {name} must be {cure}"));
        }
        self.scopes.push(*scope);
        Ok(())
    }

    fn add_tool(&mut self, tool: &'static Tool) -> Result<(), Refused> {
        let name = tool.name();
        let is_limit = [READS, WRITES].contains(&name);
        if !is_name(name, b"_") || is_limit {
            return refuse(format!(
                "the tool's name {name:?} must be {NAME}, and neither {READS} nor {WRITES}"
            ));
        }
        if !self.tools.insert(name) {
            return refuse(format!("two tools are called {name}"));
        }
        if !is_line(tool.title(), LONGEST_TITLE) || !is_line(tool.description(), LONGEST_DESCRIPTION) {
            return refuse(format!("the tool {name} needs a title and a description, each in one line"));
        }
        if let Some(missing) = tool.needed().iter().find(|needed| self.access(needed).is_none()) {
            return refuse(format!("the tool {name} takes the scope {missing}, which does not exist"));
        }
        if tool.says_too_much() {
            return refuse(format!(
                "the tool {name} only reads: .destructive() and .idempotent() are for tools that write"
            ));
        }
        let writes = tool.needed().iter().filter(|needed| self.access(needed) == Some(Access::Write)).count();
        match (tool.is_write(), tool.needed().len(), writes) {
            (_, 0, _) => refuse(format!("the tool {name} takes no scope: give it one with .scopes(&[…])")),
            (true, _, 0) => {
                refuse(format!("the tool {name} writes: it must take a scope that is made with Scope::write"))
            }
            (false, _, 1..) => {
                refuse(format!("the tool {name} only reads: its scopes must be made with Scope::read"))
            }
            _ => match tool.unkept() {
                Some(problem) => refuse(format!("the tool {name} cannot be served: {problem}")),
                None => Ok(()),
            },
        }
    }

    fn access(&self, scope: &str) -> Option<Access> {
        self.scopes.iter().find(|known| known.name == scope).map(|known| known.access)
    }
}

/// What a name is made of.
const NAME: &str = "1 to 64 small letters, digits and underscores that begin with a letter";

fn is_name(name: &str, further: &[u8]) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || further.contains(&b);
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(legal)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
}

#[cfg(test)]
mod tests;
