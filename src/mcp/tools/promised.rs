//! What a derived schema demands is either checked ([`Conform`](super::conform::Conform)) or refused at the start, so that
//! nothing is announced that is not kept (JSON Schema 2020-12).

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Map, Value};

use super::rules::list;

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

/// How many references and kinds are followed until a schema is at its value.
const DEEPEST: usize = 16;

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
    // Each argument is held against its own schema: what is said of all together would be kept by nobody.
    let together = ["$ref", "allOf", "anyOf", "oneOf", "enum", "const"];
    let mut problem = together.iter().find(|name| root.get(name).is_some()).map(|name| {
        format!("says {name} of all arguments together, which is not checked: name each argument")
    });
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

/// Whether a value is never written down, as its schema says with `writeOnly`: here, in what it refers to, or in one of
/// its kinds.
pub(super) fn is_secret(root: &Value, schema: &Value) -> bool {
    let mut found = false;
    meant(root, schema, DEEPEST, &mut |members| {
        found |= members.get("writeOnly") == Some(&Value::Bool(true));
    });
    found
}

/// Visits the schemas that are about the very value that a schema is about.
fn meant(root: &Value, schema: &Value, depth: usize, visit: &mut impl FnMut(&Map<String, Value>)) {
    let (Value::Object(members), Some(depth)) = (schema, depth.checked_sub(1)) else { return };
    visit(members);
    let target = members.get("$ref").and_then(Value::as_str).and_then(|name| resolved(root, name));
    let kinds = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|name| list(members, name));
    target.into_iter().chain(kinds).for_each(|one| meant(root, one, depth, visit));
}

/// Whether a part of a value is secret, and not all of it.
fn has_secret(root: &Value, schema: &Value, seen: &mut BTreeSet<String>) -> bool {
    let (mut is_secret, mut targets) = (false, Vec::new());
    each(schema, &mut |members| {
        is_secret |= members.get("writeOnly") == Some(&Value::Bool(true));
        targets.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
    });
    is_secret
        || targets.into_iter().any(|name| {
            let target = resolved(root, &name);
            seen.insert(name) && target.is_some_and(|target| has_secret(root, target, seen))
        })
}

/// The arguments of which a part is secret.
pub(super) fn half_hidden(root: &Value) -> Option<&str> {
    let properties = root.get("properties").and_then(Value::as_object);
    let mut shown = properties.into_iter().flatten().filter(|(_, schema)| !is_secret(root, schema));
    shown.find(|(_, schema)| has_secret(root, schema, &mut BTreeSet::new())).map(|(name, _)| name.as_str())
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
            (json!({ "oneOf": [{ "required": ["a"] }] }), Some("says oneOf of all arguments together")),
            (json!({ "$ref": "#/$defs/A", "$defs": { "A": {} } }), Some("says $ref of all")),
            (json!({ "$defs": { "A": { "not": {} } } }), Some("says not")),
            (json!({ "items": { "pattern": "(?=a)" } }), Some("has a pattern")),
            (json!({ "items": { "anyOf": [{ "$ref": "#/$defs/B" }] } }), Some("refers to #/$defs/B")),
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

    #[test]
    fn a_secret_is_a_whole_argument() {
        let secret = json!({ "type": "string", "writeOnly": true });
        let schema = |of_it: Value| {
            json!({ "type": "object", "properties": { "plain": {}, "it": of_it }, "$defs": {
                "Secret": secret,
                "Half": { "type": "object", "properties": { "a": secret } },
                "List": { "items": { "$ref": "#/$defs/List" } },
            } })
        };
        for whole in [
            secret.clone(),
            json!({ "$ref": "#/$defs/Secret" }),
            json!({ "anyOf": [{ "$ref": "#/$defs/Secret" }, { "type": "null" }] }),
            json!({ "type": "object", "properties": { "a": secret }, "writeOnly": true }),
        ] {
            let schema = schema(whole);
            assert!(is_secret(&schema, &schema["properties"]["it"]), "{schema}");
            assert_eq!(half_hidden(&schema), None, "{schema}");
        }
        for half in [
            json!({ "properties": { "a": secret } }),
            json!({ "items": { "$ref": "#/$defs/Secret" } }),
            json!({ "additionalProperties": secret }),
            json!({ "anyOf": [{ "$ref": "#/$defs/Half" }, { "type": "null" }] }),
        ] {
            let schema = schema(half);
            assert!(!is_secret(&schema, &schema["properties"]["it"]), "{schema}");
            assert_eq!(half_hidden(&schema), Some("it"), "{schema}");
        }
        for plain in [json!({ "writeOnly": false }), json!({ "$ref": "#/$defs/List" })] {
            let schema = schema(plain);
            assert!(!is_secret(&schema, &schema["properties"]["it"]), "{schema}");
            assert_eq!(half_hidden(&schema), None, "{schema}");
        }
    }
}
