//! Log lines: readable or JSON on standard error, so that standard output stays for people and pipes, and to the
//! telemetry back end where there is one. Each line of a request carries its ids.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;

use opentelemetry::Context as TraceContext;
use opentelemetry::Key;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, Severity};
use opentelemetry_sdk::logs::SdkLogger;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::ids::Ids;
use crate::clock::{Clock, SystemClock};

/// Whoever carries telemetry out. What they log must not be carried out, or it would never end.
const CARRIERS: [&str; 8] = ["opentelemetry", "hyper", "h2", "reqwest", "tonic", "tower", "rustls", "log"];

/// Writes the lines.
#[derive(Debug)]
pub(super) struct Lines {
    json: bool,
    exported: Option<SdkLogger>,
}

impl Lines {
    /// Lines of JSON or readable ones, also sent by `exported`.
    pub(super) fn new(json: bool, exported: Option<SdkLogger>) -> Self {
        Self { json, exported }
    }

    fn export(&self, event: &Event<'_>, said: &Said, ids: Option<&Ids>) {
        let Some(logger) = &self.exported else { return };
        let target = event.metadata().target();
        let carrier = CARRIERS.iter().any(|carrier| target.starts_with(carrier));
        if carrier || TraceContext::is_current_telemetry_suppressed() {
            return;
        }
        let mut record = logger.create_log_record();
        let level = event.metadata().level();
        record.set_target(target);
        record.set_severity_number(severity(*level));
        record.set_severity_text(level.as_str());
        record.set_body(AnyValue::from(said.message.clone()));
        for (name, value) in &said.fields {
            record.add_attribute(Key::from_static_str(name), exported(value));
        }
        if let Some(ids) = ids {
            record.add_attribute("mandate.reference", ids.reference.to_string());
            // The record's own trace is that of a recorded span. Without one there is the caller's.
            if let Some(trace_id) = &ids.trace_id {
                record.add_attribute("trace_id", trace_id.to_string());
            }
        }
        logger.emit(record);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let mut scope = context.event_scope(event).into_iter().flatten();
        let ids = scope.find_map(|span| span.extensions().get::<Ids>().cloned());
        let time = SystemClock.now().rfc3339_millis();
        let level = event.metadata().level();
        let line = if self.json {
            json(&time, *level, &said, ids.as_ref())
        } else {
            text(&time, *level, &said, ids.as_ref())
        };
        // Whoever read the log may be gone. To complain of that on the same pipe would panic, and take the
        // request or the stop that logs with it.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
        self.export(event, &said, ids.as_ref());
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Said {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            ("message", other) => self.message = other.to_string(),
            // Where a library's line stands in its source.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

fn json(time: &str, level: Level, said: &Said, ids: Option<&Ids>) -> String {
    let mut members = Map::new();
    members.insert("timestamp".to_owned(), time.into());
    members.insert("level".to_owned(), level.as_str().into());
    members.insert("message".to_owned(), said.message.as_str().into());
    for (name, value) in &said.fields {
        members.insert((*name).to_owned(), value.clone());
    }
    if let Some(ids) = ids {
        if ids.are_of_http() {
            members.insert("method".to_owned(), (*ids.method).into());
            members.insert("path".to_owned(), (*ids.path).into());
        }
        members.insert("reference".to_owned(), (*ids.reference).into());
        if let Some(trace_id) = &ids.trace_id {
            members.insert("trace_id".to_owned(), (**trace_id).into());
        }
    }
    let mut line = Value::Object(members).to_string();
    line.push('\n');
    line
}

fn text(time: &str, level: Level, said: &Said, ids: Option<&Ids>) -> String {
    let mut line = format!("{time} {:>5} {}", level.as_str(), in_one_line(&said.message));
    for (name, value) in &said.fields {
        // Quoted and escaped, so that no value looks like another field or another line.
        let _ = write!(line, " {name}={value}");
    }
    if let Some(ids) = ids {
        if ids.are_of_http() {
            let _ = write!(line, " method={} path={}", ids.method, Value::from(&*ids.path));
        }
        let _ = write!(line, " reference={}", ids.reference);
        if let Some(trace_id) = &ids.trace_id {
            let _ = write!(line, " trace_id={trace_id}");
        }
    }
    line.push('\n');
    line
}

/// A message with its line breaks escaped: one event, one line.
fn in_one_line(message: &str) -> Cow<'_, str> {
    if message.contains(char::is_control) {
        message
            .chars()
            .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
            .collect()
    } else {
        Cow::Borrowed(message)
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::TRACE => Severity::Trace,
        Level::DEBUG => Severity::Debug,
        Level::INFO => Severity::Info,
        Level::WARN => Severity::Warn,
        Level::ERROR => Severity::Error,
    }
}

fn exported(value: &Value) -> AnyValue {
    match value {
        Value::Bool(value) => AnyValue::from(*value),
        Value::Number(number) if number.is_i64() => AnyValue::from(number.as_i64().unwrap_or_default()),
        Value::String(text) => AnyValue::from(text.clone()),
        other => AnyValue::from(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Said {
        Said { message: "re\nfused".into(), fields: vec![("code", "a b".into()), ("n", 1.into())] }
    }

    fn ids() -> Ids {
        Ids::new("ref1", Some("ab".into()), "POST", "/token x=y")
    }

    #[test]
    fn a_readable_line_is_one_line_with_the_ids_at_its_end() {
        let line = text("T", Level::INFO, &said(), Some(&ids()));
        let ids = r#"method=POST path="/token x=y" reference=ref1 trace_id=ab"#;
        assert_eq!(line, format!("T  INFO re\\nfused code=\"a b\" n=1 {ids}\n"));
        assert_eq!(text("T", Level::WARN, &Said::default(), None), "T  WARN \n");
        let of_message = Ids::of_message("ref2");
        assert_eq!(text("T", Level::WARN, &Said::default(), Some(&of_message)), "T  WARN  reference=ref2\n");
    }

    #[test]
    fn a_json_line_has_the_ids_as_members_that_no_field_can_replace() {
        let mut said = said();
        said.fields.push(("reference", "another".into()));
        let line: Value = serde_json::from_str(&json("T", Level::ERROR, &said, Some(&ids()))).unwrap();
        assert_eq!(line["reference"], "ref1");
        assert_eq!(line["trace_id"], "ab");
        assert_eq!((&line["message"], &line["n"]), (&Value::from("re\nfused"), &Value::from(1)));
    }
}
