//! What a schema demands of one value, in words: each rule by itself.

use serde_json::{Map, Value};

/// Whole numbers beyond these are no longer told apart in JSON.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn list<'a>(schema: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    schema.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn number(schema: &Map<String, Value>, name: &str) -> Option<u64> {
    schema.get(name).and_then(Value::as_u64)
}

pub(super) fn typed(expected: &Value, value: &mut Value) -> Result<(), String> {
    let names: Vec<&str> = match expected {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if names.iter().any(|name| is(name, value)) {
        return Ok(());
    }
    let said = names.iter().filter(|name| **name != "null").map(|name| match *name {
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "an object",
    });
    Err(format!("must be {}", said.collect::<Vec<_>>().join(" or ")))
}

/// Whether a value is of a type, or becomes it as [`typed`] leaves it.
pub(super) fn has_type(expected: &Value, value: &Value) -> bool {
    match value {
        Value::Array(_) => typed(expected, &mut Value::Array(Vec::new())).is_ok(),
        Value::Object(_) => typed(expected, &mut Value::Object(Map::new())).is_ok(),
        Value::String(_) => typed(expected, &mut Value::String(String::new())).is_ok(),
        plain => typed(expected, &mut plain.clone()).is_ok(),
    }
}

fn is(name: &str, value: &mut Value) -> bool {
    if name == "integer"
        && let Some(whole) = whole(value)
    {
        *value = whole;
    }
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// A whole number that is written with a point.
fn whole(value: &Value) -> Option<Value> {
    let number =
        value.as_f64().filter(|number| value.is_f64() && number.fract() == 0.0 && number.abs() < EXACT)?;
    format!("{number:.0}").parse::<i64>().ok().map(Value::from)
}

pub(super) fn choice(schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let all = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(all)), _) => all.clone(),
        (_, Some(one)) => vec![one.clone()],
        _ => return None,
    };
    (!all.contains(value)).then(|| one_of(&all))
}

pub(super) fn one_of(all: &[Value]) -> String {
    let said = |one: &Value| one.as_str().map_or_else(|| one.to_string(), str::to_owned);
    format!("must be one of {}", all.iter().map(said).collect::<Vec<_>>().join(", "))
}

pub(super) fn counted(length: u64, (least, most): (Option<u64>, Option<u64>), what: &str) -> Option<String> {
    let several = |count: u64| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
    match (least, most) {
        (_, Some(most)) if length > most => Some(format!("must have at most {}", several(most))),
        (Some(least), _) if length < least => Some(format!("must have at least {}", several(least))),
        _ => None,
    }
}

/// A rule, how it is said, and whether a number keeps it.
type Bound = (&'static str, &'static str, fn(f64, f64) -> bool);

pub(super) fn of_a_number(schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let number = value.as_f64()?;
    let rules: [Bound; 4] = [
        ("minimum", "at least", |number, bound| number >= bound),
        ("maximum", "at most", |number, bound| number <= bound),
        ("exclusiveMinimum", "more than", |number, bound| number > bound),
        ("exclusiveMaximum", "less than", |number, bound| number < bound),
    ];
    rules.into_iter().find_map(|(name, words, holds)| {
        let bound = schema.get(name)?;
        (!holds(number, bound.as_f64()?)).then(|| format!("must be {words} {bound}"))
    })
}

/// A name that a caller chose.
pub(super) fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}
