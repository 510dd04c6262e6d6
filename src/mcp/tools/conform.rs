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
mod tests;
