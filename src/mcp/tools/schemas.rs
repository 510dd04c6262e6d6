//! What a tool's arguments and its result look like: written out, or derived from a type.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::promised;

/// The two schemas of a tool, made when they are needed first.
#[derive(Debug)]
pub(in crate::mcp) struct Schemas {
    input: fn() -> Value,
    output: fn() -> Value,
    made: OnceLock<Made>,
}

#[derive(Debug)]
struct Made {
    input: Value,
    output: Value,
    /// What the input schema demands of texts, by the pattern as it is written.
    patterns: BTreeMap<String, Regex>,
}

impl Schemas {
    /// Made by these.
    pub(super) const fn of(input: fn() -> Value, output: fn() -> Value) -> Self {
        Self { input, output, made: OnceLock::new() }
    }

    fn made(&self) -> &Made {
        self.made.get_or_init(|| {
            let (input, output) = ((self.input)(), (self.output)());
            Made { patterns: promised::patterns(&input), input, output }
        })
    }

    /// What the arguments look like.
    pub(in crate::mcp) fn input(&self) -> &Value {
        &self.made().input
    }

    /// What the structured result looks like.
    pub(in crate::mcp) fn output(&self) -> &Value {
        &self.made().output
    }

    /// The patterns of the input schema, ready to be matched.
    pub(super) fn patterns(&self) -> &BTreeMap<String, Regex> {
        &self.made().patterns
    }

    /// Whether any argument is never written down.
    pub(in crate::mcp) fn hides_any(&self) -> bool {
        let properties = self.input().get("properties").and_then(Value::as_object);
        properties.is_some_and(|all| all.values().any(|of| promised::is_secret(self.input(), of)))
    }

    /// Whether an argument is never written down: its schema says `writeOnly`, as that of a password does, or the tool
    /// takes none of this name.
    pub(in crate::mcp) fn hides(&self, argument: &str) -> bool {
        let of = self.input().get("properties").and_then(|properties| properties.get(argument));
        of.is_none_or(|of| promised::is_secret(self.input(), of))
    }
}

/// What arguments of this type look like. No others are taken than it names.
pub(super) fn input_of<T: JsonSchema>() -> Value {
    let mut schema = derived::<T>(SchemaSettings::draft2020_12().for_deserialize());
    schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    schema.entry("properties").or_insert_with(|| json!({}));
    Value::Object(schema)
}

/// The same of arguments that come with an idempotency key. A member of this name that the type has stays as it is,
/// to be refused at the start.
pub(super) fn input_with_key_of<T: JsonSchema>() -> Value {
    let mut schema = input_of::<T>();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.entry(super::arguments::KEY).or_insert_with(super::idempotency_key_schema);
    }
    schema
}

/// What results of this type look like.
pub(super) fn output_of<T: JsonSchema>() -> Value {
    Value::Object(derived::<T>(SchemaSettings::draft2020_12().for_serialize()))
}

fn derived<T: JsonSchema>(settings: SchemaSettings) -> Map<String, Value> {
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    let mut members = super::members(schema);
    // The type's name says nothing to a model.
    members.remove("title");
    members
}

/// Takes away the formats that only Rust knows: validators complain of them.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let rusty =
                |format: &str| ["int", "uint", "float", "double"].iter().any(|rust| format.starts_with(rust));
            if members.get("format").and_then(Value::as_str).is_some_and(rusty) {
                members.remove("format");
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
