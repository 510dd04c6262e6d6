//! A tool's arguments, parsed with all their problems named at once, so that a model can mend them in one go.

use std::fmt;
use std::ops::RangeInclusive;

use rmcp::model::JsonObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Tool;
use super::conform::Conform;
use crate::tickets::Flaw;

/// The longest idempotency key.
pub(super) const LONGEST_KEY: usize = 255;
/// The name of the argument that makes a retried write harmless.
pub(in crate::mcp) const KEY: &str = "idempotency_key";
/// How many problems are named.
pub(super) const NAMED: usize = 20;
/// How much of an unknown argument's name is repeated.
const REPEATED: usize = 40;

/// What is wrong with a call's arguments: each line names the argument and the rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::mcp) struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().take(NAMED).map(|problem| format!("- {problem}")).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Arguments that are being parsed. Null counts as left out.
#[derive(Debug)]
pub(in crate::mcp) struct Arguments {
    of: &'static str,
    tool: Option<&'static Tool>,
    given: JsonObject,
    known: Vec<&'static str>,
    problems: Vec<String>,
}

impl Arguments {
    /// The arguments of a call.
    pub(in crate::mcp) fn of_tool(tool: &'static Tool, given: Option<JsonObject>) -> Self {
        let given = given.unwrap_or_default();
        Self { of: "tool", tool: Some(tool), given, known: Vec::new(), problems: Vec::new() }
    }

    /// The arguments of a prompt, which people type into forms: what they left blank, they left out.
    pub(in crate::mcp) fn of_prompt(given: Option<JsonObject>) -> Self {
        let mut given = given.unwrap_or_default();
        given.retain(|_, value| value.as_str().is_none_or(|text| !text.trim().is_empty()));
        Self { of: "prompt", tool: None, given, known: Vec::new(), problems: Vec::new() }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.given.remove(name).filter(|value| !value.is_null())
    }

    fn problem(&mut self, name: &str, rule: impl fmt::Display) {
        self.problems.push(format!("{name}: {rule}"));
    }

    /// A text that may be left out.
    pub(in crate::mcp) fn text<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Flaw>,
    ) -> Option<T> {
        let Value::String(text) = self.take(name)? else {
            self.problem(name, "must be a string");
            return None;
        };
        parse(&text).map_err(|flaw| self.problem(name, flaw)).ok()
    }

    /// A text that must be there.
    pub(in crate::mcp) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Flaw>,
    ) -> Option<T> {
        if self.given.get(name).is_none_or(Value::is_null) {
            self.take(name);
            self.problem(name, "is required");
            return None;
        }
        self.text(name, parse)
    }

    /// One of several words, which may be left out.
    pub(in crate::mcp) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        all: &[T],
        as_str: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let given = self.take(name)?;
        let chosen = all.iter().copied().find(|choice| given.as_str() == Some(as_str(*choice)));
        if chosen.is_none() {
            let names: Vec<_> = all.iter().copied().map(as_str).collect();
            self.problem(name, format_args!("must be one of {}", names.join(", ")));
        }
        chosen
    }

    /// A whole number, which may be left out. As in JSON Schema, `10.0` is one.
    pub(in crate::mcp) fn integer(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let given = self.take(name)?;
        let number = given.as_u64().and_then(|number| u32::try_from(number).ok()).or_else(|| {
            let number = given.as_f64()?;
            range.clone().find(|whole| (f64::from(*whole) - number).abs() < f64::EPSILON)
        });
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            self.problem(name, format_args!("must be a whole number from {least} to {most}"));
        }
        number
    }

    /// A whole number that is written as a text, which may be left out.
    pub(in crate::mcp) fn number(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let given = self.take(name)?;
        let number = given.as_str().and_then(|text| text.trim().parse().ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            self.problem(name, format_args!("must be a whole number from {least} to {most}, as a string"));
        }
        number
    }

    /// The idempotency key, which may be left out.
    pub(in crate::mcp) fn idempotency_key(&mut self) -> Option<String> {
        let rule = format!("must be 1 to {LONGEST_KEY} visible ASCII characters, without spaces");
        match self.take(KEY)? {
            Value::String(key)
                if (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Some(key)
            }
            _ => {
                self.problem(KEY, rule);
                None
            }
        }
    }

    /// The arguments as a type whose schema the tool's is.
    pub(super) fn typed<T: DeserializeOwned>(mut self) -> Result<T, Problems> {
        let Some(tool) = self.tool else { return self.finish(None) };
        let root = tool.schemas.input();
        let conform = Conform::new(root, tool.schemas.patterns());
        let properties = root.get("properties").and_then(Value::as_object);
        let required = root.get("required").and_then(Value::as_array);
        let mut taken = JsonObject::new();
        for (name, schema) in properties.into_iter().flatten().filter(|(name, _)| *name != KEY) {
            match self.take(name) {
                // What is to be shown is known: the rest is looked at when that is mended.
                Some(_) if self.problems.len() >= NAMED => {}
                Some(mut value) => {
                    for (path, rule) in conform.check(schema, &mut value, name) {
                        self.problem(&path, rule);
                    }
                    taken.insert(name.clone(), value);
                }
                None if required.is_some_and(|all| all.iter().any(|one| one == name)) => {
                    self.problem(name, "is required");
                }
                None => {}
            }
        }
        if !self.problems.is_empty() {
            return self.finish(None);
        }
        match serde_json::from_value(Value::Object(taken)) {
            Ok(parsed) => self.finish(Some(parsed)),
            Err(error) => {
                self.problems.push(error.to_string());
                self.finish(None)
            }
        }
    }

    /// What was parsed, if nothing was wrong and nothing is left over.
    pub(in crate::mcp) fn finish<T>(mut self, parsed: Option<T>) -> Result<T, Problems> {
        let (of, takes) = (self.of, self.known.join(", "));
        let unknown: Vec<String> = self.given.keys().take(NAMED).cloned().collect();
        for name in unknown {
            let name: String = name.chars().filter(|c| !c.is_control()).take(REPEATED).collect();
            self.problem(&name, format_args!("is no argument of this {of}, which takes {takes}"));
        }
        match parsed {
            Some(parsed) if self.problems.is_empty() => Ok(parsed),
            _ => Err(Problems(self.problems)),
        }
    }

    /// Names a problem that only the caller's own rules can see.
    pub(in crate::mcp) fn refuse(&mut self, name: &'static str, rule: &'static str) {
        self.problem(name, rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tickets::{Status, Title};
    use serde_json::json;

    fn given(value: &Value) -> Arguments {
        Arguments::of_tool(super::super::TICKETS[0], value.as_object().cloned())
    }

    #[test]
    fn every_problem_is_named_at_once_with_its_rule() {
        let mut arguments = given(&json!({
            "title": "x".repeat(201), "status": "Open", "limit": 51, "idempotency_key": "a b", "tittle": 1,
        }));
        let _ = arguments.required("title", |text| Title::parse(text));
        let _ = arguments.required("body", |text| Title::parse(text));
        let _ = arguments.choice("status", Status::ALL, Status::as_str);
        let _ = arguments.integer("limit", 1..=50);
        let _ = arguments.idempotency_key();
        let problems = arguments.finish(Some(())).unwrap_err().to_string();
        assert_eq!(
            problems,
            "- title: must have at most 200 characters\n\
             - body: is required\n\
             - status: must be one of open, pending, closed\n\
             - limit: must be a whole number from 1 to 50\n\
             - idempotency_key: must be 1 to 255 visible ASCII characters, without spaces\n\
             - tittle: is no argument of this tool, which takes title, body, status, limit, idempotency_key"
        );
    }

    #[test]
    fn numbers_are_whole_and_in_range() {
        for (value, expected) in [
            (json!(1), Some(1)),
            (json!(50), Some(50)),
            (json!(10.0), Some(10)),
            (json!(null), None),
            (json!(0), None),
            (json!(51), None),
            (json!(-1), None),
            (json!(2.5), None),
            (json!("10"), None),
            (json!(1e300), None),
            (json!(true), None),
        ] {
            let mut arguments = given(&json!({ "limit": value }));
            assert_eq!(arguments.integer("limit", 1..=50), expected, "{value}");
            assert_eq!(arguments.finish(Some(())).is_ok(), expected.is_some() || value.is_null(), "{value}");
        }
    }

    #[test]
    fn a_form_gives_texts_and_what_is_blank_is_left_out() {
        let mut arguments = Arguments::of_prompt(
            json!({ "id": " ", "limit": "7", "most": "51", "count": 7, "other": "x" }).as_object().cloned(),
        );
        assert_eq!(arguments.text("id", |text| Title::parse(text)), None);
        assert_eq!(arguments.number("limit", 1..=50), Some(7));
        assert_eq!(arguments.number("most", 1..=50), None);
        assert_eq!(arguments.number("count", 1..=50), None);
        let problems = arguments.finish(Some(())).unwrap_err().to_string();
        assert_eq!(
            problems,
            "- most: must be a whole number from 1 to 50, as a string\n\
             - count: must be a whole number from 1 to 50, as a string\n\
             - other: is no argument of this prompt, which takes id, limit, most, count"
        );
    }

    #[test]
    fn a_key_is_visible_ascii() {
        for (key, good) in [
            ("a", true),
            ("~!{}", true),
            (&"k".repeat(255), true),
            (&"k".repeat(256), false),
            ("", false),
            ("a b", false),
            ("ü", false),
            ("a\n", false),
        ] {
            let mut arguments = given(&json!({ "idempotency_key": key }));
            assert_eq!(arguments.idempotency_key().is_some(), good, "{key:?}");
        }
    }
}
