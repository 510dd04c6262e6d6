//! The reference as a page of Markdown.

use serde_json::{Map, Value};

use super::environment::{VARIABLES, Variables};
use super::schema::{Key, Table, schema, tables, text};

const PREAMBLE: &str = r#"<!-- Written by `mandate config reference`: change the comments of the keys in src/config instead. -->
# Configuration

Every key has a default, so a server starts without any. Keys are written in a file, which `--config` or the variable
`MANDATE_CONFIG` names, and each can be set in the environment instead, which goes before the file. A `mandate.toml` in the
folder that nobody names is not read.

<!-- config -->
```toml
#:schema ./mandate.schema.json
public_url = "https://tickets.example.com"
trusted_proxies = ["10.0.0.0/8"]

[tokens]
access_token_lifetime = "15m"
```

```text
MANDATE_PUBLIC_URL=https://tickets.example.com
MANDATE_TRUSTED_PROXIES=10.0.0.0/8,192.0.2.7
MANDATE_TOKENS__ACCESS_TOKEN_LIFETIME=15m
```

The name of a variable is `MANDATE_` and the key in capitals; tables are joined by two underscores, and the values of a
list are separated by commas. Where a table's name is yours to choose, as in `[providers.<name>]`, it stands in the variable
in capitals and is read in lower case.

A duration is a number with a unit, or several: `30s`, `15m`, `1h 30m`, `30d`. A path is relative to the folder that the
program is started in.

A key that is unknown or wrong ends the start with one sentence that names it; so does a variable that begins with
`MANDATE_` and names no key. `mandate config check` says the same, or which file was read and what the configuration means.
It reads the files that are named as a start does (secrets, certificate and keys, metadata documents), and then ends:
nothing is listened on, no database, Redis or other host is asked, and nothing is made or changed.

```sh
mandate config check
```

An editor that knows TOML (Taplo, Even Better TOML) completes keys, explains them and marks mistakes with this schema, where
the first line of the file is as above:

```sh
mandate config schema > mandate.schema.json
```
"#;

const ENVIRONMENT: &str = "
## In the environment alone

";

/// The whole reference.
pub fn markdown() -> String {
    let schema = schema();
    let tables = tables(&schema);
    let mut page = PREAMBLE.to_owned();
    for table in &tables {
        page += &section(table);
    }
    page += ENVIRONMENT;
    let groups: Vec<String> = VARIABLES.iter().map(|(title, variables)| group(title, variables)).collect();
    page + &groups.join("\n")
}

fn section(table: &Table<'_>) -> String {
    let (title, described) = match table.path.as_str() {
        "" => ("Outside of tables".to_owned(), "They stand before the first table of the file."),
        path => (format!("`[{path}]`"), table.description),
    };
    let keys: String = table.keys.iter().map(entry).collect();
    format!("\n## {title}\n\n{described}\n{keys}")
}

fn entry(key: &Key<'_>) -> String {
    let variable =
        key.variable().map_or_else(|| "in the file alone".to_owned(), |variable| format!("`{variable}`"));
    let default = match key.schema.get("default") {
        _ if key.is_required => "it must be there".to_owned(),
        None => "not set".to_owned(),
        Some(value) => format!("default `{}`", toml(value)),
    };
    let described = text(key.schema, "description");
    format!("\n### `{}`\n\n{described}\n\n{variable} · {} · {default}\n", key.path, kind(key.schema))
}

/// The value as it stands in the file: that of JSON, but for objects, which are no defaults.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(all) => format!("[{}]", all.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// What may be written, in a few words.
fn kind(schema: &Map<String, Value>) -> String {
    let any_of = |schema: &Map<String, Value>| {
        let names = schema.get("enum").and_then(Value::as_array)?;
        let names: Vec<String> = names.iter().map(|name| format!("`{}`", toml(name))).collect();
        Some(names.join(", "))
    };
    match text(schema, "type") {
        "boolean" => "`true` or `false`".to_owned(),
        "integer" => {
            let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
            match (bound("minimum"), bound("maximum")) {
                (Some(least), Some(most)) => format!("a number from {least} to {most}"),
                _ => "a number".to_owned(),
            }
        }
        "array" => {
            let items = schema.get("items").and_then(Value::as_object);
            match items.and_then(any_of) {
                Some(names) => format!("a list of any of {names}"),
                None => "a list of texts".to_owned(),
            }
        }
        "object" => "a table of texts".to_owned(),
        _ => match (any_of(schema), text(schema, "title")) {
            (Some(names), _) => format!("one of {names}"),
            (None, "") => "a text".to_owned(),
            (None, title) => title.to_owned(),
        },
    }
}

fn group(title: &str, variables: &[Variables]) -> String {
    let row = |(names, meaning): &Variables| format!("| `{}` | {meaning} |\n", names.join("`, `"));
    let rows: String = variables.iter().map(row).collect();
    format!("### {title}\n\n| variable | meaning |\n|---|---|\n{rows}")
}
