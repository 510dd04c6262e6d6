//! What every log line of a request says about the request: its ids. They hang on its span, so that whoever logs
//! need not know them, on whatever task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Span;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

/// The ids of a request, or of one call in it.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    /// Stands in every error that a person or client sees.
    pub(super) reference: Arc<str>,
    /// The trace that it belongs to, where there is one.
    pub(super) trace_id: Option<Arc<str>>,
    /// The HTTP method; empty where there is none.
    pub(super) method: Arc<str>,
    /// The path; never the query, which holds codes.
    pub(super) path: Arc<str>,
    /// Whether one of its spans tells of an error already: no other does.
    error_told: Arc<AtomicBool>,
}

impl Ids {
    /// The ids of a request.
    pub(super) fn new(reference: &str, trace_id: Option<String>, method: &str, path: &str) -> Self {
        Self {
            reference: reference.into(),
            trace_id: trace_id.map(Into::into),
            method: method.into(),
            path: path.into(),
            error_told: Arc::default(),
        }
    }

    /// Those of a message that came by no HTTP request.
    pub(super) fn of_message(reference: &str) -> Self {
        Self::new(reference, None, "", "")
    }

    /// Whether they are those of an HTTP request.
    pub(super) fn are_of_http(&self) -> bool {
        !self.method.is_empty()
    }

    /// The same request, in another trace.
    pub(super) fn in_trace(mut self, trace_id: Option<String>) -> Self {
        self.trace_id = trace_id.map(Into::into).or(self.trace_id);
        self
    }

    /// Claims to be the one who tells of the request's error.
    pub(super) fn tell_error(&self) -> bool {
        !self.error_told.swap(true, Ordering::Relaxed)
    }

    /// Hangs them on a span.
    pub(super) fn attach(self, span: &Span) {
        span.with_subscriber(|(id, dispatch)| {
            let registry = dispatch.downcast_ref::<Registry>();
            if let Some(span) = registry.and_then(|registry| registry.span(id)) {
                span.extensions_mut().insert(self);
            }
        });
    }

    /// Those of a span, or of the nearest around it that has any.
    pub(super) fn of(span: &Span) -> Option<Self> {
        span.with_subscriber(|(id, dispatch)| {
            let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
            span.scope().find_map(|span| span.extensions().get::<Self>().cloned())
        })
        .flatten()
    }
}
