//! What the MCP server offers, and under which name: the tools, and whether the tickets are among it.

use rmcp::model::Implementation;

use super::tools::{self, Tool};
use crate::config::{ConfigError, Mcp};

const TICKETS: &str = "Tickets of this organisation. You act as the user who connected you and see what they \
    may see. Search before you open a ticket. Reading needs the scope tickets:read; opening, commenting and \
    closing need tickets:write.";
const KEYS: &str = "Send an idempotency_key with writes that you might retry.";

/// What is offered. Made once, at the start.
#[derive(Clone, Debug)]
pub struct Surface {
    name: &'static str,
    title: &'static str,
    version: &'static str,
    instructions: String,
    tools: Vec<&'static Tool>,
    tickets: bool,
}

/// The tickets alone.
impl Default for Surface {
    fn default() -> Self {
        let name = ("mandate", "Mandate tickets", env!("CARGO_PKG_VERSION"));
        Self::new(name, &[], []).with_tickets()
    }
}

impl Surface {
    /// These tools under this name, title and version, with words for the model. Whoever makes it has checked them.
    pub(crate) fn new(
        (name, title, version): (&'static str, &'static str, &'static str),
        instructions: &[&str],
        tools: impl IntoIterator<Item = &'static Tool>,
    ) -> Self {
        let tools: Vec<_> = tools.into_iter().collect();
        let instructions = instructions.iter().copied().chain([KEYS]).collect::<Vec<_>>().join(" ");
        Self { name, title, version, instructions, tools, tickets: false }
    }

    /// The same with the tickets before all else: tools, resources, prompts and completion.
    pub(crate) fn with_tickets(mut self) -> Self {
        self.instructions = format!("{TICKETS} {}", self.instructions);
        self.tools.splice(..0, tools::TICKETS);
        self.tickets = true;
        self
    }

    /// Whether there are tickets: as resources, in prompts and in completion.
    pub(super) fn has_tickets(&self) -> bool {
        self.tickets
    }

    /// The name of the program.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Who answers.
    pub(super) fn implementation(&self) -> Implementation {
        Implementation::new(self.name, self.version).with_title(self.title)
    }

    /// For the model: what this is, and how it is used.
    pub(super) fn instructions(&self) -> &str {
        &self.instructions
    }

    /// The names of all tools.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.tools.iter().map(|tool| tool.name)
    }

    /// The tools that are offered. Those that a token does not reach are among them, because a client must know a
    /// tool to ask for its scope.
    pub(super) fn offered(&self, config: &Mcp) -> impl Iterator<Item = &'static Tool> {
        let writes = config.writes.is_on();
        self.tools.iter().copied().filter(move |tool| writes || !tool.is_write())
    }

    /// The tool of this name, if it is offered.
    pub(super) fn find(&self, name: &str, config: &Mcp) -> Option<&'static Tool> {
        self.offered(config).find(|tool| tool.name == name)
    }

    /// Refuses limits of tools that do not exist: what is misspelt would limit nothing.
    pub fn check(&self, config: &Mcp) -> Result<(), ConfigError> {
        match config.tool_rates.keys().find(|name| !self.names().any(|known| known == name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<&str> = self.names().collect();
                let problem = format!("there is no such tool; write one of {}", known.join(", "));
                Err(ConfigError::new(format!("mcp.tools.{name}"), problem))
            }
        }
    }
}
