//! Leave to do one operation: what the gate gives, and nothing runs without.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::once::Claimed;
use super::operation::Operation;
use super::principal::Principal;
use super::prompts::Prompt;
use super::tools::Tool;
use super::watch::Watch;
use crate::oauth::Error;
use crate::telemetry;
use crate::web::reference;

/// Leave for one principal to do one operation, once. Only `admit.rs` makes it.
#[derive(Clone, Debug)]
pub(super) struct Permit {
    principal: Principal,
    operation: Operation,
    claim: Option<Arc<Claimed>>,
    reference: String,
    trace_id: Option<String>,
    watch: Arc<Mutex<Option<Watch>>>,
    watched: telemetry::Operation,
    fault: Arc<OnceLock<Error>>,
}

impl Permit {
    /// Leave to do `operation`, once.
    pub(super) fn new(
        principal: Principal,
        operation: Operation,
        claim: Option<Arc<Claimed>>,
        trace_id: Option<String>,
        watched: telemetry::Operation,
    ) -> Self {
        Self {
            principal,
            operation,
            claim,
            reference: reference::current(),
            trace_id,
            watch: Arc::default(),
            watched,
            fault: Arc::default(),
        }
    }

    /// On whose behalf.
    pub(super) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The message, watched. Work on it happens in its span.
    pub(super) fn watched(&self) -> &telemetry::Operation {
        &self.watched
    }

    /// The principal and the tool, if this is leave to run the tool of this name.
    pub(super) fn for_tool(&self, name: &str) -> Option<(&Principal, &'static Tool)> {
        match self.operation {
            Operation::Tool(tool) if tool.name == name => Some((&self.principal, tool)),
            _ => None,
        }
    }

    /// The principal, if this is leave to read tickets as resources.
    pub(super) fn for_resources(&self) -> Option<&Principal> {
        matches!(self.operation, Operation::Resource).then_some(&self.principal)
    }

    /// Whether this is leave to be told of changes.
    pub(super) fn is_to_watch(&self) -> bool {
        matches!(self.operation, Operation::Watch { .. })
    }

    /// Leave to watch over tickets, to be taken once.
    pub(super) fn take_watch(&self) -> Option<Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The same permit with a place among the open streams.
    pub(super) fn with_watch(mut self, watch: Watch) -> Self {
        self.watch = Arc::new(Mutex::new(Some(watch)));
        self
    }

    /// The principal and the prompt, if this is leave to write the prompt of this name.
    pub(super) fn for_prompt(&self, name: &str) -> Option<(&Principal, &'static Prompt)> {
        match self.operation {
            Operation::Prompt(prompt) if prompt.name == name => Some((&self.principal, prompt)),
            _ => None,
        }
    }

    /// The principal, if this is leave to complete ids of tickets.
    pub(super) fn for_completion(&self) -> Option<&Principal> {
        matches!(self.operation, Operation::Complete).then_some(&self.principal)
    }

    /// The request's reference. The tasks of the MCP library do not carry it.
    pub(super) fn reference(&self) -> &str {
        &self.reference
    }

    /// The trace that the request belongs to.
    pub(super) fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// The attempt at a deed that the call is, if it names an idempotency key.
    pub(super) fn claim(&self) -> Option<&Claimed> {
        self.claim.as_deref()
    }

    /// Says that the operation failed by our own fault: the gate then answers 503 or 500, not MCP.
    pub(super) fn fail(&self, error: Error) {
        self.watched.fail(error.code.as_str());
        // Of several faults the first is the cause.
        let _ = self.fault.set(error);
    }

    /// The fault of ours that the operation failed by, if it did.
    pub(super) fn fault(&self) -> Option<&Error> {
        self.fault.get()
    }
}
