//! What a derived schema demands is either checked ([`Conform`](super::conform::Conform)) or refused at the start, so that
//! nothing is announced that is not kept (JSON Schema 2020-12).

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

/// What only describes.
const ANNOTATIONS: [&str; 11] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];
/// What is checked here. `format` is an annotation, unless its type in Rust is stricter.
const CHECKED: [&str; 21] = [
    "$ref",
    "type",
    "const",
    "enum",
    "allOf",
    "anyOf",
    "oneOf",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
];

/// The patterns of a schema that can be matched, by their texts.
pub(super) fn patterns(schema: &Value) -> BTreeMap<String, Regex> {
    let mut found = BTreeMap::new();
    each(schema, &mut |members| {
        if let Some(pattern) = members.get("pattern").and_then(Value::as_str)
            && let Ok(regex) = Regex::new(pattern)
        {
            found.insert(pattern.to_owned(), regex);
        }
    });
    found
}

/// What of a schema cannot be kept, in a few words.
pub(super) fn unkept(root: &Value) -> Option<String> {
    let mut problem = None;
    each(root, &mut |members| {
        let known = |name: &&String| {
            name.as_str() == "format"
                || ANNOTATIONS.contains(&name.as_str())
                || CHECKED.contains(&name.as_str())
        };
        let found =
            members.keys().find(|name| !known(name)).map(|name| format!("says {name}, which is not checked"));
        let pattern =
            members.get("pattern").and_then(Value::as_str).filter(|pattern| Regex::new(pattern).is_err());
        let found =
            found.or_else(|| pattern.map(|pattern| format!("has a pattern that cannot be read, {pattern}")));
        let reference =
            members.get("$ref").and_then(Value::as_str).filter(|name| resolved(root, name).is_none());
        let found = found.or_else(|| reference.map(|name| format!("refers to {name}, which is not in it")));
        if problem.is_none() {
            problem = found;
        }
    });
    problem
}

/// Visits every schema within a schema.
fn each(schema: &Value, visit: &mut impl FnMut(&Map<String, Value>)) {
    let Value::Object(members) = schema else { return };
    visit(members);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("properties" | "$defs", Value::Object(all)) => all.values().for_each(|one| each(one, visit)),
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => all.iter().for_each(|one| each(one, visit)),
            ("items" | "additionalProperties", one) => each(one, visit),
            _ => {}
        }
    }
}

/// What a schema refers to.
pub(super) fn resolved<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_checked_is_refused_at_the_start() {
        for (schema, expected) in [
            (json!({ "properties": { "a": { "multipleOf": 2 } } }), Some("says multipleOf")),
            (json!({ "$defs": { "A": { "not": {} } } }), Some("says not")),
            (json!({ "items": { "pattern": "(?=a)" } }), Some("has a pattern")),
            (json!({ "anyOf": [{ "$ref": "#/$defs/B" }] }), Some("refers to #/$defs/B")),
            (json!({ "properties": { "not": { "type": "string", "format": "uuid" } } }), None),
        ] {
            let found = unkept(&schema);
            let is_expected = match (&found, expected) {
                (Some(found), Some(expected)) => found.starts_with(expected),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_expected, "{schema}: {found:?}");
        }
    }
}
