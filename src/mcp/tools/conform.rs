//! Whether arguments are what a derived schema says, with all problems named at once. What a schema demands is either
//! checked here or refused at the start, so that nothing is announced that is not kept (JSON Schema 2020-12).

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Map, Value};

use super::rules::{choice, counted, list, number, of_a_number, one_of, shown, typed};

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
/// How deep arguments and their schemas go together.
const DEEPEST: usize = 64;

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

fn resolved<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}

/// A problem: of which part of the arguments, and what it must be.
pub(super) type Problem = (String, String);

/// A schema that values are held against.
#[derive(Clone, Copy)]
pub(super) struct Conform<'a> {
    /// The whole schema, for what it refers to.
    pub(super) root: &'a Value,
    /// Its patterns.
    pub(super) patterns: &'a BTreeMap<String, Regex>,
}

impl Conform<'_> {
    /// Names what is wrong with a value. A whole number that is written like `10.0` is made one.
    pub(super) fn check(self, schema: &Value, value: &mut Value, path: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.judge(schema, value, path, 0, &mut problems);
        problems
    }

    fn judge(self, schema: &Value, value: &mut Value, path: &str, depth: usize, problems: &mut Vec<Problem>) {
        let mut wrong = |rule: String| problems.push((path.to_owned(), rule));
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(false) => return wrong("must not be there".to_owned()),
            _ => return,
        };
        if depth > DEEPEST {
            return wrong("is nested too deeply".to_owned());
        }
        if let Some(expected) = schema.get("type")
            && let Err(rule) = typed(expected, value)
        {
            return wrong(rule);
        }
        if let Some(rule) = choice(schema, value).or_else(|| self.of_a_text(schema, value)) {
            return wrong(rule);
        }
        if let Some(rule) = of_a_number(schema, value) {
            return wrong(rule);
        }
        if let Some(name) = schema.get("$ref").and_then(Value::as_str)
            && let Some(target) = resolved(self.root, name)
        {
            self.judge(target, value, path, depth + 1, problems);
        }
        for one in list(schema, "allOf") {
            self.judge(one, value, path, depth + 1, problems);
        }
        for (name, only_one) in [("anyOf", false), ("oneOf", true)] {
            if schema.contains_key(name) {
                self.alternatives((list(schema, name), only_one), value, path, depth, problems);
            }
        }
        match value {
            Value::Array(items) => self.items(schema, items, path, depth, problems),
            Value::Object(members) => self.members(schema, members, path, depth, problems),
            _ => {}
        }
    }

    fn of_a_text(self, schema: &Map<String, Value>, value: &Value) -> Option<String> {
        let text = value.as_str()?;
        let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        if let Some(rule) =
            counted(length, (number(schema, "minLength"), number(schema, "maxLength")), "character")
        {
            return Some(rule);
        }
        let pattern = schema.get("pattern").and_then(Value::as_str)?;
        let matches = self.patterns.get(pattern).is_none_or(|regex| regex.is_match(text));
        (!matches).then(|| format!("must match {pattern}"))
    }

    fn items(
        self,
        schema: &Map<String, Value>,
        items: &mut [Value],
        path: &str,
        depth: usize,
        problems: &mut Vec<Problem>,
    ) {
        let length = u64::try_from(items.len()).unwrap_or(u64::MAX);
        if let Some(rule) = counted(length, (number(schema, "minItems"), number(schema, "maxItems")), "item")
        {
            problems.push((path.to_owned(), rule));
            return;
        }
        let mut seen = BTreeSet::new();
        let twice = || items.iter().any(|item| !seen.insert(item.to_string()));
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) && { twice }() {
            problems.push((path.to_owned(), "must have no item twice".to_owned()));
        }
        if let Some(of_each) = schema.get("items") {
            for (index, item) in items.iter_mut().enumerate() {
                self.judge(of_each, item, &format!("{path}[{index}]"), depth + 1, problems);
            }
        }
    }

    fn members(
        self,
        schema: &Map<String, Value>,
        members: &mut Map<String, Value>,
        path: &str,
        depth: usize,
        problems: &mut Vec<Problem>,
    ) {
        let missing = list(schema, "required")
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| !members.contains_key(*name));
        problems.extend(missing.map(|name| (format!("{path}.{name}"), "is required".to_owned())));
        let known = schema.get("properties").and_then(Value::as_object);
        for (name, member) in members {
            let path = format!("{path}.{}", shown(name));
            match (known.and_then(|known| known.get(name)), schema.get("additionalProperties")) {
                (Some(of_it), _) => self.judge(of_it, member, &path, depth + 1, problems),
                (None, Some(Value::Bool(false))) => problems.push((path, "is not known here".to_owned())),
                (None, Some(of_others)) => self.judge(of_others, member, &path, depth + 1, problems),
                (None, None) => {}
            }
        }
    }

    /// Tries each. Where only one of them is more than null, its problems are those of the value.
    fn alternatives(
        self,
        (all, only_one): (&[Value], bool),
        value: &mut Value,
        path: &str,
        depth: usize,
        problems: &mut Vec<Problem>,
    ) {
        let tried = all.iter().map(|one| {
            let (mut value, mut found) = (value.clone(), Vec::new());
            self.judge(one, &mut value, path, depth + 1, &mut found);
            (one, value, found)
        });
        let (good, bad): (Vec<_>, Vec<_>) = tried.partition(|(.., found)| found.is_empty());
        match (good.into_iter().map(|(_, value, _)| value).collect::<Vec<_>>().as_mut_slice(), only_one) {
            ([one], _) | ([one, ..], false) => *value = std::mem::take(one),
            ([_, _, ..], true) => {
                problems.push((path.to_owned(), "must be only one of its kinds".to_owned()));
            }
            ([], _) => {
                let words: Option<Vec<_>> = all.iter().map(|one| self.words(one)).collect();
                let mut some =
                    bad.into_iter().filter(|(one, ..)| one.get("type") != Some(&Value::from("null")));
                match (words, some.next(), some.next()) {
                    (Some(words), ..) => problems.push((path.to_owned(), one_of(&words.concat()))),
                    (None, Some((.., found)), None) => problems.extend(found),
                    _ => problems
                        .push((path.to_owned(), "must be one of the kinds that the schema lists".to_owned())),
                }
            }
        }
    }

    /// The values that a schema allows, where it lists them. Null counts as left out.
    fn words(self, schema: &Value) -> Option<Vec<Value>> {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|name| resolved(self.root, name));
        let schema = target.unwrap_or(schema);
        if schema.get("type") == Some(&Value::from("null")) {
            return Some(Vec::new());
        }
        let several = schema.get("enum").and_then(Value::as_array).cloned();
        several.or_else(|| schema.get("const").map(|one| vec![one.clone()])).or_else(|| {
            let all = schema.get("oneOf").and_then(Value::as_array)?;
            all.iter().map(|one| one.get("const").cloned()).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(schema: &Value, mut value: Value) -> Vec<String> {
        let patterns = patterns(schema);
        let found = Conform { root: schema, patterns: &patterns }.check(schema, &mut value, "it");
        found.into_iter().map(|(path, rule)| format!("{path}: {rule}")).collect()
    }

    #[test]
    fn each_rule_has_its_words() {
        for (schema, value, expected) in [
            (json!({ "type": "string" }), json!(1), "it: must be a string"),
            (json!({ "type": ["integer", "null"] }), json!("x"), "it: must be a whole number"),
            (json!({ "type": "integer" }), json!(1.5), "it: must be a whole number"),
            (json!({ "type": "boolean" }), json!(0), "it: must be true or false"),
            (json!({ "minLength": 1 }), json!(""), "it: must have at least 1 character"),
            (json!({ "maxLength": 2 }), json!("äöü"), "it: must have at most 2 characters"),
            (json!({ "pattern": "^a+$" }), json!("b"), "it: must match ^a+$"),
            (json!({ "minimum": 1, "maximum": 5 }), json!(0), "it: must be at least 1"),
            (json!({ "minimum": 1, "maximum": 5 }), json!(6), "it: must be at most 5"),
            (json!({ "exclusiveMinimum": 0 }), json!(0), "it: must be more than 0"),
            (json!({ "exclusiveMaximum": 0.5 }), json!(0.5), "it: must be less than 0.5"),
            (json!({ "enum": ["a", "b", 1] }), json!("c"), "it: must be one of a, b, 1"),
            (json!({ "oneOf": [{ "const": "a" }, { "const": "b" }] }), json!("c"), "it: must be one of a, b"),
            (json!({ "maxItems": 1 }), json!([1, 2]), "it: must have at most 1 item"),
            (json!({ "uniqueItems": true }), json!([1, 2, 1]), "it: must have no item twice"),
            (json!({ "items": { "type": "string" } }), json!(["a", 1]), "it[1]: must be a string"),
            (json!({ "required": ["a"] }), json!({}), "it.a: is required"),
            (json!({ "properties": { "a": { "type": "null" } } }), json!({ "a": 1 }), "it.a: must be "),
            (json!({ "additionalProperties": false }), json!({ "a\n": 1 }), "it.a: is not known here"),
            (
                json!({ "additionalProperties": { "type": "array" } }),
                json!({ "a": 1 }),
                "it.a: must be a list",
            ),
            (json!({ "anyOf": [{ "type": "null" }, { "minimum": 3 }] }), json!(1), "it: must be at least 3"),
            (json!(false), json!(1), "it: must not be there"),
        ] {
            assert_eq!(problems(&schema, value.clone()), [expected], "{schema} {value}");
        }
    }

    #[test]
    fn what_conforms_has_no_problem() {
        let tree = json!({
            "$ref": "#/$defs/Tree",
            "$defs": { "Tree": { "type": "object", "properties": { "next": { "anyOf": [
                { "$ref": "#/$defs/Tree" }, { "type": "null" },
            ] } } } },
        });
        for (schema, value) in [
            (json!({ "type": "integer", "maximum": 10 }), json!(10.0)),
            (json!({ "type": ["string", "null"], "maxLength": 1 }), json!(null)),
            (json!({ "type": "string", "format": "date" }), json!("not checked")),
            (json!({ "items": { "type": "number" } }), json!([1, 1.5])),
            (json!(true), json!({})),
            (tree.clone(), json!({ "next": { "next": null } })),
        ] {
            assert_eq!(problems(&schema, value.clone()), [""; 0], "{schema} {value}");
        }
        assert_eq!(problems(&tree, json!({ "next": { "next": 1 } })).len(), 1);
        let endless = json!({ "$ref": "#" });
        assert_eq!(problems(&endless, json!(1)), ["it: is nested too deeply"]);
    }

    #[test]
    fn a_whole_number_with_a_point_becomes_one() {
        let (schema, mut value) = (json!({ "items": { "type": "integer" } }), json!([10.0, -0.0, 3]));
        let patterns = BTreeMap::new();
        assert!(Conform { root: &schema, patterns: &patterns }.check(&schema, &mut value, "it").is_empty());
        assert_eq!(value, json!([10, 0, 3]));
    }

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
