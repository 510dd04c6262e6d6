//! Whether arguments are what a derived schema says, with all problems named at once (JSON Schema 2020-12).

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Map, Value};

use super::arguments::NAMED;
use super::promised::resolved;
use super::rules::{choice, counted, has_type, list, number, of_a_number, one_of, shown, typed};

/// How deep arguments and their schemas go together.
const DEEPEST: usize = 64;
/// How many values of one call are held against a schema, each time counted: kinds within kinds multiply.
const MOST_JUDGED: usize = 100_000;

/// Where in a value the first text or name with a U+0000 is. PostgreSQL takes none: it would be a fault there.
fn unstorable(value: &Value) -> Option<Problem> {
    let rule = "must be without the character U+0000";
    match value {
        Value::String(text) => text.contains('\0').then(|| (String::new(), rule.to_owned())),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            unstorable(item).map(|(rest, rule)| (format!("[{index}]{rest}"), rule))
        }),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            let of_name = name.contains('\0').then(|| (String::new(), format!("its name {rule}")));
            let found = of_name.or_else(|| unstorable(member));
            found.map(|(rest, rule)| (format!(".{}{rest}", shown(name)), rule))
        }),
        _ => None,
    }
}

/// How many values there are in a value, itself included.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(size).sum::<usize>() + 1,
        Value::Object(members) => members.values().map(size).sum::<usize>() + 1,
        _ => 1,
    }
}

/// A problem: of which part of the arguments, and what it must be.
pub(super) type Problem = (String, String);

/// A schema that the values of one call are held against.
pub(super) struct Conform<'a> {
    /// The whole schema, for what it refers to.
    root: &'a Value,
    /// Its patterns.
    patterns: &'a BTreeMap<String, Regex>,
    /// How many more values are judged.
    left: Cell<usize>,
}

impl<'a> Conform<'a> {
    /// A schema and the patterns that were found in it.
    pub(super) fn new(root: &'a Value, patterns: &'a BTreeMap<String, Regex>) -> Self {
        Self { root, patterns, left: Cell::new(MOST_JUDGED) }
    }

    /// Names what is wrong with a value, as much as is shown. A whole number that is written like `10.0` is made one.
    pub(super) fn check(&self, schema: &Value, value: &mut Value, path: &str) -> Vec<Problem> {
        let unstorable = unstorable(value).map(|(place, rule)| (format!("{path}{place}"), rule));
        let mut problems: Vec<_> = unstorable.into_iter().collect();
        self.judge(schema, value, path, 0, &mut problems);
        if self.left.get() == 0 {
            return vec![(path.to_owned(), "is too complex".to_owned())];
        }
        problems
    }

    /// Counts values that are judged or copied; says no when they are too many.
    fn afford(&self, values: usize) -> bool {
        self.left.set(self.left.get().saturating_sub(values));
        self.left.get() > 0
    }

    fn judge(
        &self,
        schema: &Value,
        value: &mut Value,
        path: &str,
        depth: usize,
        problems: &mut Vec<Problem>,
    ) {
        if problems.len() >= NAMED || !self.afford(1) {
            return;
        }
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

    fn of_a_text(&self, schema: &Map<String, Value>, value: &Value) -> Option<String> {
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
        &self,
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
                if problems.len() >= NAMED {
                    return;
                }
                self.judge(of_each, item, &format!("{path}[{index}]"), depth + 1, problems);
            }
        }
    }

    fn members(
        &self,
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
            if problems.len() >= NAMED {
                return;
            }
            let path = format!("{path}.{}", shown(name));
            match (known.and_then(|known| known.get(name)), schema.get("additionalProperties")) {
                (Some(of_it), _) => self.judge(of_it, member, &path, depth + 1, problems),
                (None, Some(Value::Bool(false))) => problems.push((path, "is not known here".to_owned())),
                (None, Some(of_others)) => self.judge(of_others, member, &path, depth + 1, problems),
                (None, None) => {}
            }
        }
    }

    /// Tries each that comes into question. Where only one does, its problems are those of the value.
    fn alternatives(
        &self,
        (all, only_one): (&[Value], bool),
        value: &mut Value,
        path: &str,
        depth: usize,
        problems: &mut Vec<Problem>,
    ) {
        let alike: Vec<_> = all.iter().filter(|one| self.is_alike(one, value)).collect();
        let whole: Vec<_> = alike.iter().copied().filter(|one| self.has_required(one, value)).collect();
        match (alike.as_slice(), whole.as_slice()) {
            ([one], _) | (_, [one]) => return self.judge(one, value, path, depth + 1, problems),
            _ => {}
        }
        let mut good = Vec::new();
        for one in whole {
            if !self.afford(size(value)) {
                return;
            }
            let (mut value, mut found) = (value.clone(), Vec::new());
            self.judge(one, &mut value, path, depth + 1, &mut found);
            if found.is_empty() {
                good.push(value);
            }
        }
        match (good.as_mut_slice(), only_one) {
            ([one], _) | ([one, ..], false) => *value = std::mem::take(one),
            ([_, _, ..], true) => {
                problems.push((path.to_owned(), "must be only one of its kinds".to_owned()));
            }
            ([], _) => {
                let words: Option<Vec<_>> = all.iter().map(|one| self.words(one)).collect();
                let mut some = all.iter().filter(|one| one.get("type") != Some(&Value::from("null")));
                match (words, some.next(), some.next()) {
                    (Some(words), ..) => problems.push((path.to_owned(), one_of(&words.concat()))),
                    (None, Some(one), None) => self.judge(one, value, path, depth + 1, problems),
                    _ => problems
                        .push((path.to_owned(), "must be one of the kinds that the schema lists".to_owned())),
                }
            }
        }
    }

    /// Whether a value may be of a kind, as its type and its tag say: what is not needs no judging.
    fn is_alike(&self, kind: &Value, value: &Value) -> bool {
        let Value::Object(schema) = self.meant(kind) else { return true };
        let is_among = |schema: &Map<String, Value>, value: &Value| {
            // A whole number may yet be written in another way.
            value.is_number() || choice(schema, value).is_none()
        };
        if !schema.get("type").is_none_or(|expected| has_type(expected, value)) || !is_among(schema, value) {
            return false;
        }
        let known = schema.get("properties").and_then(Value::as_object);
        let mut members = value.as_object().into_iter().flatten();
        members.all(|(name, member)| {
            let of_it = known.and_then(|known| known.get(name)).and_then(Value::as_object);
            of_it.is_none_or(|of_it| is_among(of_it, member))
        })
    }

    fn has_required(&self, kind: &Value, value: &Value) -> bool {
        let (Value::Object(schema), Value::Object(members)) = (self.meant(kind), value) else { return true };
        list(schema, "required").iter().filter_map(Value::as_str).all(|name| members.contains_key(name))
    }

    /// What a schema refers to, where it does nothing else.
    fn meant<'b>(&'b self, schema: &'b Value) -> &'b Value {
        let alone = schema.as_object().filter(|members| members.len() == 1);
        let name = alone.and_then(|members| members.get("$ref")).and_then(Value::as_str);
        name.and_then(|name| resolved(self.root, name)).unwrap_or(schema)
    }

    /// The values that a schema allows, where it lists them. Null counts as left out.
    fn words(&self, schema: &Value) -> Option<Vec<Value>> {
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
    use crate::mcp::tools::promised::patterns;
    use serde_json::json;

    fn problems(schema: &Value, mut value: Value) -> Vec<String> {
        let patterns = patterns(schema);
        let found = Conform::new(schema, &patterns).check(schema, &mut value, "it");
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

    /// A tree of four kinds, each told by its tag or by nothing.
    fn tree(tag: impl Fn(&str) -> Value) -> Value {
        let kind = |name: &str| {
            json!({
                "type": "object",
                "properties": { "kind": tag(name), "next": { "$ref": "#/$defs/Tree" } },
                "required": ["kind"],
            })
        };
        let kinds = ["a", "b", "c", "d"].map(kind);
        json!({ "$ref": "#/$defs/Tree", "$defs": { "Tree": { "oneOf": kinds } } })
    }

    #[test]
    fn a_deep_value_of_many_kinds_is_judged_and_one_that_multiplies_is_refused() {
        let deep = |last: Value| (0..16).fold(last, |next, _| json!({ "kind": "d", "next": next }));
        let tagged = tree(|name| json!({ "const": name }));
        assert_eq!(problems(&tagged, deep(json!({ "kind": "a" }))), [""; 0]);
        let (patterns, mut value) = (BTreeMap::new(), deep(json!({ "kind": "a" })));
        let conform = Conform::new(&tagged, &patterns);
        assert!(conform.check(&tagged, &mut value, "it").is_empty());
        assert!(MOST_JUDGED - conform.left.get() < 200, "{}", conform.left.get());
        let wrong = problems(&tagged, deep(json!({ "kind": "e" })));
        assert_eq!(wrong.len(), 1);
        assert!(
            wrong[0].ends_with(".next.next: must be one of the kinds that the schema lists"),
            "{wrong:?}"
        );
        let alike = tree(|_| json!({ "type": "string" }));
        assert_eq!(problems(&alike, deep(json!({ "kind": "a" }))), ["it: is too complex"]);
    }

    #[test]
    fn a_text_that_not_every_database_takes_is_refused_wherever_it_stands() {
        let rule = "must be without the character U+0000";
        for (value, expected) in [
            (json!("a\0b"), format!("it: {rule}")),
            (json!(["a", "\0"]), format!("it[1]: {rule}")),
            (json!({ "a": { "b": "\0" } }), format!("it.a.b: {rule}")),
            (json!([{ "a\0": 1 }]), format!("it[0].a: its name {rule}")),
        ] {
            // Also where the schema says nothing.
            assert_eq!(problems(&json!(true), value), [expected]);
        }
        assert_eq!(problems(&json!(true), json!("\u{1}\\0")), [""; 0]);
    }

    #[test]
    fn no_more_problems_are_known_than_are_shown() {
        let texts = json!({ "items": { "type": "string" }, "additionalProperties": false });
        assert_eq!(problems(&texts, (0..50_000).collect()).len(), NAMED);
        let many: Map<_, _> = (0..50_000).map(|n| (n.to_string(), json!(n))).collect();
        assert_eq!(problems(&texts, Value::Object(many)).len(), NAMED);
        let lists = json!({ "items": texts });
        assert_eq!(problems(&lists, json!([vec![1; 15], vec![1; 15]])).len(), NAMED);
    }

    #[test]
    fn a_value_of_one_kind_has_the_problems_of_that_kind() {
        let tagged = tree(|name| json!({ "const": name }));
        let wrong = json!({ "kind": "b", "next": { "kind": "c", "next": 1 } });
        let kinds = "must be one of the kinds that the schema lists";
        assert_eq!(problems(&tagged, wrong), [format!("it.next.next: {kinds}")]);
        let named = json!({ "oneOf": [
            { "type": "object", "properties": { "a": { "minimum": 3 } }, "required": ["a"] },
            { "type": "object", "properties": { "b": { "minimum": 3 } }, "required": ["b"] },
        ] });
        assert_eq!(problems(&named, json!({ "b": 1 })), ["it.b: must be at least 3"]);
    }

    #[test]
    fn a_whole_number_with_a_point_becomes_one() {
        let (schema, mut value) = (json!({ "items": { "type": "integer" } }), json!([10.0, -0.0, 3]));
        let patterns = BTreeMap::new();
        assert!(Conform::new(&schema, &patterns).check(&schema, &mut value, "it").is_empty());
        assert_eq!(value, json!([10, 0, 3]));
    }
}
