//! Spans below that of a request. They are only made where a trace is recorded: elsewhere they cost a look at
//! the current context. What they say comes from closed lists and from our own code, never from a caller.

use opentelemetry::Value;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::context::is_recorded;
use super::ids::Ids;

/// Where spans for traces live: log filters do not touch them, and no other span becomes part of a trace.
pub(super) const TRACES: &str = "mandate::traces";

/// A step of ours with a name of its own, such as `verify` or `gate`.
pub fn step(name: &'static str) -> Span {
    if !is_recorded() {
        return Span::none();
    }
    tracing::trace_span!(target: TRACES, "step", otel.name = name)
}

/// What a message is read in that came by no HTTP request. Its log lines carry the reference; it is no part of a trace,
/// for whoever sent it traces the message alone.
pub fn message(reference: &str) -> Span {
    // At the highest level, so that no log filter takes its ids from the lines.
    let span = tracing::error_span!("message");
    Ids::of_message(reference).attach(&span);
    span
}

/// A statement that a database is asked to run: `system` and `operation` as OpenTelemetry names them, and the table
/// it is about.
pub(super) fn statement(system: &'static str, operation: &'static str, table: Option<&str>) -> Span {
    if !is_recorded() {
        return Span::none();
    }
    let summary = table.map_or_else(|| operation.to_owned(), |table| format!("{operation} {table}"));
    tracing::trace_span!(
        target: TRACES,
        "statement",
        otel.name = summary,
        otel.kind = "client",
        db.system.name = system,
        db.operation.name = operation,
        db.collection.name = table,
    )
}

/// Notes a fact about the present request on its span: a word of our own, or from a closed list.
pub fn note(name: &'static str, value: impl Into<Value>) {
    if is_recorded() {
        Span::current().set_attribute(name, value);
    }
}

/// Tells of an error on a span, unless another span of the same request does already.
pub(super) fn tell_error(span: &Span, kind: &str) {
    if Ids::of(span).is_none_or(|ids| ids.tell_error()) {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", kind);
    }
}
