//! What is written and is no key is refused by its own name, with the key that was probably meant.

use serde_json::Value;

use super::schema::{schema, tables};
use crate::config::ConfigError;

/// What each variable begins with.
const PREFIX: &str = "MANDATE_";
/// How alike two names are at least when one is taken for the other mistyped: 1 is the same.
const ALIKE: f64 = 0.7;

/// Refuses the first of these variables that sets no key.
pub(in crate::config) fn check_variables<'a>(
    names: impl Iterator<Item = &'a String>,
) -> Result<(), ConfigError> {
    let schema = schema();
    for name in names {
        let key = name.get(PREFIX.len()..).unwrap_or_default().to_lowercase().replace("__", ".");
        let found = key.split('.').try_fold(&schema, below);
        match found {
            None => {
                let meant = meant(&schema, &key).map(|path| variable(&path));
                return Err(ConfigError::new(name, unknown("it sets no key", meant.as_deref())));
            }
            Some(table) if is_table(table) => {
                let problem = format!(
                    "it stands for the table [{key}], and only keys have a value; name one of them, as {name}__…"
                );
                return Err(ConfigError::new(name, problem));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Refuses the first key of a file that is none. `written` is what the file holds, and `named` where it lies.
pub(in crate::config) fn check_file(written: &Value, named: &str) -> Result<(), ConfigError> {
    let schema = schema();
    let Some(key) = stray(&schema, written, "") else { return Ok(()) };
    let meant = meant(&schema, &key);
    Err(ConfigError::new(key, unknown(&format!("it is no key (in {named})"), meant.as_deref())))
}

fn unknown(what: &str, meant: Option<&str>) -> String {
    match meant {
        Some(meant) => format!("{what}; did you mean {meant}?"),
        None => format!("{what}; `config reference` lists them all"),
    }
}

fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
}

/// What is said of an entry of this table.
fn below<'a>(table: &'a Value, name: &str) -> Option<&'a Value> {
    let known = table.get("properties").and_then(|known| known.get(name));
    known.or_else(|| table.get("additionalProperties").filter(|any| any.is_object()))
}

fn is_table(schema: &Value) -> bool {
    schema.get("properties").is_some() || schema.get("additionalProperties").is_some()
}

/// The path of the first key that is none.
fn stray(schema: &Value, written: &Value, path: &str) -> Option<String> {
    // A table where a value is expected, and the other way around: whoever reads it says so.
    let members = written.as_object().filter(|_| is_table(schema))?;
    members.iter().find_map(|(name, value)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match below(schema, name) {
            Some(schema) => stray(schema, value, &path),
            None => Some(path),
        }
    })
}

/// The key that was probably meant: the one that is written most alike, or else the only one of that name, in
/// whichever table.
fn meant(schema: &Value, written: &str) -> Option<String> {
    let tables = tables(schema);
    let known: Vec<String> =
        tables.iter().flat_map(|table| &table.keys).map(|key| with_names(&key.path, written)).collect();
    let plain = |path: &str| path.to_lowercase().replace('.', "_");
    let written_plain = plain(written);
    let alike = |path: &String| strsim::normalized_damerau_levenshtein(&plain(path), &written_plain);
    let nearest = known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let mut namesakes = known.iter().filter(|path| last(path) == last(written));
    nearest.filter(|path| alike(path) >= ALIKE).cloned().or_else(|| {
        match (namesakes.next(), namesakes.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        }
    })
}

/// The path of a key with the names of tables that were written in the place of those that anybody chooses.
fn with_names(path: &str, written: &str) -> String {
    let mut written = written.split('.');
    let own = path.split('.').map(|part| match written.next() {
        Some(name) if part.starts_with('<') => name,
        _ => part,
    });
    own.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_sets_no_key_is_named_with_the_one_that_was_meant() {
        for (name, said) in [
            ("MANDATE_MCP_WRITES", "did you mean MANDATE_MCP__WRITES?"),
            ("MANDATE_MCP__WRITE", "did you mean MANDATE_MCP__WRITES?"),
            ("MANDATE_PUBLIC_ULR", "did you mean MANDATE_PUBLIC_URL?"),
            ("MANDATE_WRITES", "did you mean MANDATE_MCP__WRITES?"),
            ("mandate_listn", "did you mean MANDATE_LISTEN?"),
            ("MANDATE_ISSUERS__ACME__ISUER", "did you mean MANDATE_ISSUERS__ACME__ISSUER?"),
            ("MANDATE_TOKENS__ACCESS_LIFETIME", "did you mean MANDATE_TOKENS__ACCESS_TOKEN_LIFETIME?"),
            ("MANDATE_NO_SUCH_KEY", "`config reference` lists"),
            ("MANDATE_LISTEN__PORT", "did you mean MANDATE_"),
            ("MANDATE_MCP", "name one of them, as MANDATE_MCP__…"),
            ("MANDATE_ISSUERS__ACME", "the table [issuers.acme]"),
        ] {
            let refused = check_variables([name.to_owned()].iter()).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("{name}: ")) && refused.contains(said), "{refused}");
        }
        for name in ["MANDATE_LISTEN", "mandate_listen", "MANDATE_ISSUERS__ACME__SCOPES__READ"] {
            assert!(check_variables([name.to_owned()].iter()).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_key_of_the_file_that_is_none_is_named_with_its_table_and_the_one_that_was_meant() {
        for (text, path, said) in [
            ("[mcp]\nwrits = true", "mcp.writs", "did you mean mcp.writes?"),
            ("writes = true", "writes", "did you mean mcp.writes?"),
            (
                "[mcp]\naccess_token_lifetime = '1h'",
                "mcp.access_token_lifetime",
                "tokens.access_token_lifetime?",
            ),
            ("[providers.acme]\nisuer = 'x'", "providers.acme.isuer", "did you mean providers.acme.issuer?"),
            ("[mpc]\nwrites = true", "mpc", "it is no key (in m.toml); `config reference`"),
            ("Public_URL = 'https://m.example'", "Public_URL", "did you mean public_url?"),
        ] {
            let written: Value = toml(text);
            let refused = check_file(&written, "m.toml").unwrap_err().to_string();
            assert!(refused.starts_with(&format!("{path}: ")) && refused.contains(said), "{refused}");
        }
        for good in [
            "",
            "[issuers.a.scopes]\n\"Tickets.Read\" = 'tickets:read'",
            "listen = ['127.0.0.1:1']",
            "mcp = 1",
        ] {
            assert!(check_file(&toml(good), "m.toml").is_ok(), "{good}");
        }
    }

    fn toml(text: &str) -> Value {
        let layers =
            config::Config::builder().add_source(config::File::from_str(text, config::FileFormat::Toml));
        layers.build().unwrap().try_deserialize().unwrap()
    }
}
