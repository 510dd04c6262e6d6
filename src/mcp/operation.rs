//! What a message asks for, read from its body as it will be run, and what that takes.

use serde_json::Value;

use super::completion;
use super::message::Message;
use super::prompts::{self, Prompt};
use super::surface::Surface;
use super::tools::Tool;
use crate::config::{ChallengeScopes, Config, Mcp};
use crate::ephemeral::Rate;
use crate::ephemeral::admission::{READS, WRITES};
use crate::oauth::Scopes;
use crate::oauth::scope::{Access, TICKETS_READ};

/// What a message asks for. Everything that reads or changes tickets has a name here; what does not (handshake,
/// lists of tools, notifications) needs a valid token and no scope.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    /// To run a tool that exists and is offered.
    Tool(&'static Tool),
    /// To read or list tickets as resources.
    Resource,
    /// To be told of changes; of tickets too, or of lists alone.
    Watch {
        /// Of tickets too.
        tickets: bool,
    },
    /// To write a prompt that exists.
    Prompt(&'static Prompt),
    /// To be told ids of tickets while typing one.
    Complete,
    /// To reach a call that runs, be it elsewhere: with an answer, or with the wish to cancel it.
    Signal,
    /// Anything else, what does not exist included: MCP itself answers.
    Protocol,
}

/// Which limit counts an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Looks at tickets.
    Read,
    /// Changes them.
    Write,
}

impl Operation {
    /// The operation of a message.
    pub(super) fn of(message: &Message, surface: &Surface, config: &Mcp) -> Self {
        let name = || message.params.get("name").and_then(Value::as_str);
        match message.method.as_str() {
            "tools/call" => {
                name().and_then(|name| surface.find(name, config)).map_or(Self::Protocol, Self::Tool)
            }
            "subscriptions/listen" => {
                let wanted = message.params.get("notifications");
                let tickets = wanted.and_then(|wanted| wanted.get("resourceSubscriptions")).is_some();
                Self::Watch { tickets: tickets && surface.has_tickets() }
            }
            super::message::RESPONSE | "notifications/cancelled" => Self::Signal,
            _ if !surface.has_tickets() => Self::Protocol,
            "resources/read" | "resources/list" | "resources/subscribe" | "resources/unsubscribe" => {
                Self::Resource
            }
            "prompts/get" => name().and_then(prompts::find).map_or(Self::Protocol, Self::Prompt),
            "completion/complete" if completion::reads_tickets(&message.params) => Self::Complete,
            _ => Self::Protocol,
        }
    }

    /// Every scope it takes. There is no order among scopes: writing does not include reading.
    pub(super) fn scopes(self) -> Scopes {
        match self {
            Self::Tool(tool) => Scopes::of(tool.scopes.iter().copied()),
            Self::Resource | Self::Watch { tickets: true } | Self::Prompt(_) | Self::Complete => {
                Scopes::of([TICKETS_READ])
            }
            Self::Watch { tickets: false } | Self::Signal | Self::Protocol => Scopes::default(),
        }
    }

    /// Which limit counts it, if any.
    pub(super) fn class(self) -> Option<Class> {
        match self {
            Self::Tool(tool) if tool.is_write() => Some(Class::Write),
            Self::Protocol => None,
            Self::Tool(_)
            | Self::Resource
            | Self::Watch { .. }
            | Self::Prompt(_)
            | Self::Complete
            | Self::Signal => Some(Class::Read),
        }
    }

    /// The tool's name, where there is one.
    pub(super) fn tool(self) -> Option<&'static str> {
        match self {
            Self::Tool(tool) => Some(tool.name),
            Self::Resource
            | Self::Watch { .. }
            | Self::Prompt(_)
            | Self::Complete
            | Self::Signal
            | Self::Protocol => None,
        }
    }
}

impl Class {
    /// The limit's name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => READS,
            Self::Write => WRITES,
        }
    }

    /// How many are allowed.
    pub(super) fn rate(self, config: &Mcp) -> Rate {
        match self {
            Self::Read => config.read_rate,
            Self::Write => config.write_rate,
        }
    }
}

/// The scopes that there is any use for.
pub(super) fn scopes(config: &Config) -> Scopes {
    config.own.scopes.offered(config.mcp.writes.is_on())
}

/// The scopes that the first challenge names.
pub(super) fn challenged_scopes(config: &Config) -> Scopes {
    match config.mcp.challenge_scopes {
        ChallengeScopes::Read => config.own.scopes.of_access(Access::Read),
        ChallengeScopes::All => scopes(config),
    }
}
