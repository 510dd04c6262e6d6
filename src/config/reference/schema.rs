//! The JSON Schema of `mandate.toml` (draft 2020-12), and the same as a list of tables and keys.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

use crate::config::raw::Raw;

/// The JSON Schema of `mandate.toml`, for editors.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut generator: SchemaGenerator = settings.into_generator();
    let mut schema = Raw::json_schema(&mut generator);
    for (key, value) in [
        ("$schema", "https://json-schema.org/draft/2020-12/schema"),
        ("title", "mandate.toml"),
        ("description", "The configuration of Mandate."),
    ] {
        schema.insert(key.to_owned(), value.into());
    }
    Plain.transform(&mut schema);
    schema.to_value()
}

/// TOML has no null and its numbers no widths; and lines are broken where they are shown.
struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        let types = schema.get_mut("type").and_then(Value::as_array_mut);
        if let Some(types) = types {
            types.retain(|name| name != "null");
            if let [one] = types.as_slice() {
                let one = one.clone();
                schema.insert("type".to_owned(), one);
            }
        }
        schema.remove("format");
        if schema.get("default").is_some_and(is_nothing) {
            schema.remove("default");
        }
        if let Some(text) = schema.get("description").and_then(Value::as_str) {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            schema.insert("description".to_owned(), text.into());
        }
        transform_subschemas(self, schema);
    }
}

/// Whether it says no more than that nothing is written. What a table holds is said of its keys.
fn is_nothing(default: &Value) -> bool {
    match default {
        Value::Null | Value::Object(_) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A table of the file.
#[derive(Debug)]
pub(super) struct Table<'a> {
    /// Its name in the file; empty for the keys that stand in none.
    pub(super) path: String,
    /// What it is for.
    pub(super) description: &'a str,
    /// Its keys.
    pub(super) keys: Vec<Key<'a>>,
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key<'a> {
    /// Its name, with that of its table.
    pub(super) path: String,
    /// What is said of it.
    pub(super) schema: &'a Map<String, Value>,
    /// Whether its table must have it.
    pub(super) is_required: bool,
}

impl Key<'_> {
    /// The variable that sets it, unless only the file can.
    pub(super) fn variable(&self) -> Option<String> {
        let is_table = self.schema.contains_key("additionalProperties");
        (!is_table).then(|| format!("MANDATE_{}", self.path.replace('.', "__").to_ascii_uppercase()))
    }
}

/// Every table, by name, each with its keys by name.
pub(super) fn tables(schema: &Value) -> Vec<Table<'_>> {
    let mut found = Vec::new();
    if let Some(schema) = schema.as_object() {
        collect(String::new(), text(schema, "description"), schema, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// A text of a schema; empty where there is none.
pub(super) fn text<'a>(schema: &'a Map<String, Value>, name: &str) -> &'a str {
    schema.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn collect<'a>(
    path: String,
    description: &'a str,
    schema: &'a Map<String, Value>,
    found: &mut Vec<Table<'a>>,
) {
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut keys = Vec::new();
    for (name, key) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let Some(key) = key.as_object() else { continue };
        let description = text(key, "description");
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let entries = key.get("additionalProperties").and_then(Value::as_object);
        match entries.filter(|entry| entry.contains_key("properties")) {
            _ if key.contains_key("properties") => collect(below, description, key, found),
            Some(entry) => {
                let placeholder =
                    key.get("propertyNames").and_then(Value::as_object).map(|names| text(names, "title"));
                let below = format!("{below}.<{}>", placeholder.unwrap_or("name"));
                collect(below, description, entry, found);
            }
            None => {
                let is_required = required.iter().any(|required| required == name);
                keys.push(Key { path: below, schema: key, is_required });
            }
        }
    }
    keys.sort_by(|a, b| a.path.cmp(&b.path));
    found.push(Table { path, description, keys });
}
