use std::collections::HashMap;
use std::fs;
use std::path::Path;

use config::{Config as Layers, Environment};
use serde_json::Value;

use super::markdown;
use super::schema::{Key, schema, tables, text};
use crate::config::Config;
use crate::config::raw::{self, Raw};

#[test]
fn every_key_and_every_table_says_what_it_is_for() {
    let schema = schema();
    let tables = tables(&schema);
    assert!(tables.len() > 8, "{tables:?}");
    for table in &tables {
        assert!(!table.description.is_empty(), "[{}] has no doc comment", table.path);
        assert!(!table.keys.is_empty(), "{table:?}");
        for key in &table.keys {
            assert!(!text(key.schema, "description").is_empty(), "{} has no doc comment", key.path);
        }
    }
}

#[test]
fn the_book_has_the_reference_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/reference/configuration.md");
    let written = fs::read_to_string(&path).unwrap_or_default();
    let update = "cargo run -- config reference > docs/src/reference/configuration.md";
    assert!(written == markdown(), "{} is not what is configured: {update}", path.display());
}

#[test]
fn the_example_of_the_reference_is_good() {
    let page = markdown();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(Config::written(example).unwrap().public_url.issuer(), "https://tickets.example.com");
}

/// A value that the key takes, as the environment has it, and as it comes out.
fn sample(key: &Key<'_>) -> (String, Value) {
    let several = ("a,b".into(), ["a", "b"].as_slice().into());
    if key.schema.get("type").is_some_and(Value::is_array) {
        return several;
    }
    match text(key.schema, "type") {
        "boolean" => ("true".into(), true.into()),
        "integer" => ("7".into(), 7.into()),
        "array" => several,
        _ => ("some text".into(), "some text".into()),
    }
}

#[test]
fn every_variable_that_is_named_sets_its_key_and_no_list_is_forgotten() {
    let schema = schema();
    let tables = tables(&schema);
    for key in tables.iter().flat_map(|table| &table.keys) {
        let Some(variable) = key.variable() else { continue };
        let named = |text: &str| text.replace("<name>", "acme").replace("<tool>", "acme");
        let (given, expected) = sample(key);
        let mut variables =
            HashMap::from([(named(&variable.to_ascii_lowercase()).to_ascii_uppercase(), given)]);
        if key.path.starts_with("mcp.tools.") {
            // The only entries without a default.
            variables.entry("MANDATE_MCP__TOOLS__ACME__PER_MINUTE".into()).or_insert_with(|| "1".into());
        }
        let source: Environment = raw::environment().source(Some(variables));
        let read: Raw = Layers::builder().add_source(source).build().unwrap().try_deserialize().unwrap();
        let read = serde_json::to_value(read).unwrap();
        let pointer = format!("/{}", named(&key.path).replace('.', "/"));
        assert_eq!(read.pointer(&pointer), Some(&expected), "{variable} does not set {}", key.path);
    }
}

#[test]
fn the_schema_has_no_null_no_reference_and_no_width() {
    // No null, no width of a number and no reference is left: editors know less than validators.
    let text = schema().to_string();
    for strange in ["\"null\"", "\"$ref\"", "\"uint32\"", "\"default\":null"] {
        assert!(!text.contains(strange), "{strange} in {text}");
    }
    let schema = schema();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["log_format"]["enum"], serde_json::json!(["text", "json"]));
    assert_eq!(schema["properties"]["tokens"]["properties"]["code_lifetime"]["default"], "60s");
}
