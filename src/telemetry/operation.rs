//! One MCP message, watched: its span with the names of OpenTelemetry's MCP conventions, what came of it, and how
//! long it took, from its arrival until nobody works on it any more.
//!
//! A message that names a span of its caller in `_meta` is that span's child, wherever the HTTP request stands,
//! which is linked instead: one message may come by several requests, and one request may carry several messages.
//! So says the convention. Without it the message is part of the request. Who sends a message was verified: where the
//! caller's headers say that it records the trace, and the request was not recorded because nobody knew who called, the
//! message is.

use std::sync::{Arc, OnceLock};

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::context;
use super::ids::Ids;
use super::metrics::{Exemplar, Metrics};
use super::spans::{self, TRACES};
use crate::clock::Stopwatch;

/// Every method of the protocol that a client may send. Others have no name here: what callers make up never
/// becomes a name or a label.
const METHODS: [&str; 24] = [
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "tasks/list",
    "tasks/result",
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/roots/list_changed",
];
/// The method of tools.
const CALL: &str = "tools/call";
/// What stands for a method or a tool that does not exist.
pub(super) const UNKNOWN: &str = "unknown";
/// What the convention calls a result that is an error for the model.
const TOOL_ERROR: &str = "tool_error";

/// What a message asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The tool or prompt, where it is one of ours.
    pub target: Option<&'static str>,
    /// The parameters.
    pub params: &'a Map<String, Value>,
    /// The id, where it is a request.
    pub id: Option<&'a Value>,
    /// The protocol version, where it is one of ours.
    pub version: Option<&'static str>,
}

/// A message that is worked on; clones are the same one.
#[derive(Clone, Debug)]
pub struct Operation(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    span: Span,
    metrics: Metrics,
    method: &'static str,
    tool: Option<&'static str>,
    since: Stopwatch,
    trace_id: Option<String>,
    exemplar: Option<Exemplar>,
    /// What went wrong, and what the convention calls that.
    failed: OnceLock<(String, String)>,
}

impl Operation {
    /// Begins with a message that has just been read.
    pub fn begin(metrics: &Metrics, asked: Asked<'_>) -> Self {
        let since = Stopwatch::start();
        let method = METHODS.into_iter().find(|method| *method == asked.method).unwrap_or(UNKNOWN);
        let tool = (method == CALL).then(|| asked.target.unwrap_or(UNKNOWN));
        let around = Ids::of(&Span::current());
        let span = span(asked, method, tool, around.as_ref());
        let claimed = around.as_ref().and_then(|ids| ids.claimed.as_ref());
        let caller = context::of_message(asked.params).or_else(|| claimed.map(context::verified));
        let remote_id = caller.as_ref().and_then(|caller| context::trace_id(caller.span().span_context()));
        if let Some(caller) = caller {
            let ambient = Span::current().context().span().span_context().clone();
            // Where nothing is traced there is nothing to join, and nothing to link.
            let _ = span.set_parent(caller);
            if ambient.is_sampled() {
                span.add_link(ambient);
            }
        }
        let own = span.context().span().span_context().clone();
        let own_id = context::trace_id(&own);
        let exemplar = own_id.clone().filter(|_| own.is_sampled()).map(Exemplar::of);
        let trace_id = own_id.or(remote_id);
        if let Some(ids) = around {
            ids.in_trace(trace_id.clone()).attach(&span);
        }
        let (metrics, failed) = (metrics.clone(), OnceLock::new());
        Self(Arc::new(Inner { span, metrics, method, tool, since, trace_id, exemplar, failed }))
    }

    /// The span that work on it happens in.
    pub fn span(&self) -> Span {
        self.0.span.clone()
    }

    /// The trace that it belongs to, where there is one.
    pub fn trace_id(&self) -> Option<&str> {
        self.0.trace_id.as_deref()
    }

    /// Says that it came to nothing: why, in one word of ours. Of several reasons the first is told.
    pub fn fail(&self, kind: &str) {
        self.failed(kind, kind);
    }

    /// Says that its result is an error for the model: why, in one word of ours.
    pub fn fail_as_result(&self, kind: &str) {
        self.failed(kind, TOOL_ERROR);
    }

    /// Says that it came to this JSON-RPC error.
    pub fn fail_with_code(&self, code: i64) {
        let code = code.to_string();
        self.0.span.record("rpc.response.status_code", &code);
        self.fail(&code);
    }

    /// Whether it calls a tool.
    pub fn is_tool(&self) -> bool {
        self.0.tool.is_some()
    }

    /// Says that its arguments do not fit the tool's schema.
    pub fn refuse_arguments(&self) {
        if let Some(tool) = self.0.tool {
            self.0.metrics.arguments_refused(tool);
        }
        self.fail_as_result("invalid_arguments");
    }

    /// Says that it got the result of an earlier attempt.
    pub fn replay(&self) {
        if let Some(tool) = self.0.tool {
            self.0.metrics.replayed(tool);
        }
        self.0.span.record("mandate.outcome", "replayed");
    }

    fn failed(&self, kind: &str, error_type: &str) {
        let inner = &self.0;
        if inner.failed.set((kind.to_owned(), error_type.to_owned())).is_ok() {
            inner.span.record("mandate.outcome", kind);
            spans::tell_error(&inner.span, error_type);
            if let Some(tool) = inner.tool {
                inner.metrics.tool_failed(tool, kind);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let error_type = self.failed.get().map(|(_, error_type)| error_type.as_str());
        let (elapsed, exemplar) = (self.since.elapsed(), self.exemplar.take());
        self.metrics.operation_ended(self.method, self.tool, error_type, elapsed, exemplar);
    }
}

fn span(asked: Asked<'_>, method: &'static str, tool: Option<&'static str>, around: Option<&Ids>) -> Span {
    let target = tool.or(asked.target.filter(|_| method == "prompts/get"));
    let name = target.map_or_else(|| method.to_owned(), |target| format!("{method} {target}"));
    // A number tells nothing but its place in a row; a text might be anything.
    let id = asked.id.and_then(Value::as_i64).map(|id| id.to_string());
    // At the highest level, so that no log filter takes their ids from the lines.
    tracing::error_span!(
        target: TRACES,
        "operation",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        error.type = Empty,
        mcp.method.name = method,
        mcp.protocol.version = asked.version,
        gen_ai.operation.name = tool.map(|_| "execute_tool"),
        gen_ai.tool.name = tool,
        gen_ai.prompt.name = target.filter(|_| tool.is_none()),
        jsonrpc.request.id = id,
        rpc.response.status_code = Empty,
        mandate.reference = around.map(|ids| &*ids.reference),
        mandate.outcome = Empty,
    )
}
