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
        (json!({ "additionalProperties": { "type": "array" } }), json!({ "a": 1 }), "it.a: must be a list"),
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
    assert!(wrong[0].ends_with(".next.next: must be one of the kinds that the schema lists"), "{wrong:?}");
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
