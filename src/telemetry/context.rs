//! The caller's trace (W3C Trace Context): from the headers of an HTTP request, or from `_meta` of an MCP message.

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde_json::{Map, Value};

use super::sampling::Stranger;

/// The longest `traceparent` that is looked at, in bytes.
const LONGEST: usize = 512;

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok().filter(|value| value.len() <= LONGEST)
    }

    fn keys(&self) -> Vec<&str> {
        Vec::new()
    }
}

struct Meta<'a>(&'a Map<String, Value>);

impl Extractor for Meta<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str().filter(|value| value.len() <= LONGEST)
    }

    fn keys(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// The caller's span, as the headers of a request name it. Who the caller is nobody knows yet.
pub(super) fn of_headers(headers: &HeaderMap) -> Option<Context> {
    let caller = headers.contains_key("traceparent").then(|| remote(&Headers(headers))).flatten()?;
    Some(caller.with_value(Stranger))
}

/// The caller's span, as the parameters of an MCP message name it, whose sender was verified.
pub(super) fn of_message(params: &Map<String, Value>) -> Option<Context> {
    let meta = params.get("_meta")?.as_object()?;
    meta.contains_key("traceparent").then(|| remote(&Meta(meta))).flatten()
}

fn remote(carrier: &dyn Extractor) -> Option<Context> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), carrier);
    let span = context.has_active_span().then(|| context.span().span_context().clone())?;
    Some(verified(&span))
}

/// The context of a caller's span, without what the caller wrote beside its ids.
pub(super) fn verified(span: &SpanContext) -> Context {
    let (trace_id, span_id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
    Context::new().with_remote_span_context(SpanContext::new(
        trace_id,
        span_id,
        flags,
        true,
        TraceState::NONE,
    ))
}

/// The context of some caller of this trace, who records it or not.
pub(super) fn caller(trace_id: TraceId, records: bool) -> Context {
    let flags = TraceFlags::default().with_sampled(records);
    verified(&SpanContext::new(trace_id, SpanId::from(1), flags, true, TraceState::NONE))
}

/// The trace id of a span, where it has one.
pub(super) fn trace_id(span: &SpanContext) -> Option<String> {
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Whether whatever runs now is recorded in a trace.
pub(super) fn is_recorded() -> bool {
    Context::map_current(|current| current.has_active_span() && current.span().span_context().is_sampled())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn nothing_of_a_caller_is_kept_but_the_ids_and_the_flag() {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", format!("00-{ID}-00f067aa0ba902b7-01").parse().unwrap());
        headers.insert("tracestate", "vendor=what-a-caller-wrote".parse().unwrap());
        let meta = json!({ "_meta": {
            "traceparent": format!("00-{ID}-00f067aa0ba902b7-01"), "tracestate": "vendor=what-a-caller-wrote",
        } });
        for context in [of_headers(&headers), of_message(meta.as_object().unwrap())].into_iter().flatten() {
            let span = context.span().span_context().clone();
            assert_eq!(span.trace_state(), &TraceState::NONE);
            assert!(span.is_sampled() && span.is_remote());
        }
        assert!(of_headers(&headers).unwrap().get::<Stranger>().is_some());
        assert!(of_message(meta.as_object().unwrap()).unwrap().get::<Stranger>().is_none());
    }

    #[test]
    fn a_caller_is_known_by_a_whole_traceparent_only() {
        let cases = [
            (format!("00-{ID}-00f067aa0ba902b7-01"), true),
            (format!("00-{ID}-00f067aa0ba902b7-00"), true),
            (format!("00-{ID}-0000000000000000-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase()), false),
            (format!("00-{ID}"), false),
            (String::new(), false),
            (format!("00-{ID}-00f067aa0ba902b7-01{}", "x".repeat(LONGEST)), false),
        ];
        for (traceparent, known) in cases {
            let params = json!({ "_meta": { "traceparent": traceparent } });
            let of_message = of_message(params.as_object().unwrap());
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", traceparent.parse().unwrap());
            for context in [of_message, of_headers(&headers)] {
                let id = context.and_then(|context| trace_id(context.span().span_context()));
                assert_eq!(id.as_deref(), known.then_some(ID), "{traceparent}");
            }
        }
        assert!(of_message(json!({ "_meta": { "traceparent": 7 } }).as_object().unwrap()).is_none());
        assert!(of_message(json!({ "_meta": "x" }).as_object().unwrap()).is_none());
    }
}
