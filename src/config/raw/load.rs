//! From the file and the environment to the keys.

use std::collections::HashMap;
use std::path::Path;

use config::{Config as Layers, ConfigError as LayerError, Environment, File, FileFormat, Source as _};

use super::Raw;
use crate::config::ConfigError;
use crate::config::reference::known;

/// Keys that hold lists: in the environment their values are separated by commas.
const LISTS: [&str; 4] =
    ["trusted_proxies", "clients.private_use_schemes", "outbound.allowed_hosts", "mcp.allowed_origins"];

/// What variables begin with that set keys, in any case.
const PREFIX: &str = "MANDATE_";
/// The variable that names the file, and sets no key.
const FILE: &str = "MANDATE_CONFIG";

/// How variables name keys.
pub(in crate::config) fn environment() -> Environment {
    let environment = Environment::with_prefix("MANDATE")
        .prefix_separator("_")
        .separator("__")
        .try_parsing(true)
        .list_separator(",");
    LISTS.iter().fold(environment, |environment, key| environment.with_list_parse_key(key))
}

/// Reads the file and the environment over it.
pub(in crate::config) fn load(file: Option<&Path>) -> Result<Raw, ConfigError> {
    let mut layers = Layers::builder();
    if let Some(path) = file {
        let named = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let cure = "name a file that can be read, here or in MANDATE_CONFIG";
            ConfigError::new("--config", format!("{named}: {error}; {cure}"))
        })?;
        let file = File::from_str(&text, FileFormat::Toml);
        // Alone first, so that what is no TOML, and no key, is said of the file.
        let alone = Layers::builder().add_source(file.clone()).build();
        let written = alone.and_then(Layers::try_deserialize).map_err(|error| {
            ConfigError::new("--config", format!("{named}: {}", one_line(&error.to_string())))
        })?;
        known::check_file(&written, &named.to_string())?;
        layers = layers.add_source(file);
    }
    let variables = variables()?;
    known::check_variables(variables.keys())?;
    let environment = environment().source(Some(variables));
    layers.add_source(environment).build().and_then(Layers::try_deserialize).map_err(explain)
}

/// The variables that set keys.
fn variables() -> Result<HashMap<String, String>, ConfigError> {
    let is_ours = |name: &str| {
        name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)) && name != FILE
    };
    let names = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    names
        .filter(|(name, _)| is_ours(name))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(ConfigError::new(name, "its value is no UTF-8; write it anew")),
        })
        .collect()
}

/// Whether a variable says something of this key.
pub(in crate::config) fn is_in_environment(key: &str) -> bool {
    environment().collect().is_ok_and(|said| said.contains_key(key))
}

/// Whether the file says something of this key.
pub(in crate::config) fn is_in_file(key: &str, file: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else { return false };
    File::from_str(&text, FileFormat::Toml).collect().is_ok_and(|said| said.contains_key(key))
}

/// Reads a text as a file is read, without the environment.
pub(in crate::config) fn read(text: &str) -> Result<Raw, ConfigError> {
    let layers = Layers::builder().add_source(File::from_str(text, FileFormat::Toml));
    layers.build().and_then(Layers::try_deserialize).map_err(explain)
}

/// A parser's message without the lines that draw the place: its first line says where, its last one what.
fn one_line(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    lines.next_back().map_or_else(|| first.to_owned(), |last| format!("{first}: {last}"))
}

/// What our types are to whoever writes the file.
const A_TABLE: &str = "a table of keys";

fn explain(error: LayerError) -> ConfigError {
    match error {
        LayerError::Type { key: Some(key), unexpected, expected, .. } => {
            let expected = if expected.starts_with("struct ") { A_TABLE } else { expected };
            ConfigError::new(key, format!("{unexpected} stands where {expected} is expected"))
        }
        LayerError::NotFound(key) => {
            ConfigError::new(key, "it must be there: its table has no default for it")
        }
        LayerError::At { key: Some(key), error, .. } => {
            let text = error.to_string();
            let problem = match text.split_once("expected struct ") {
                Some((before, _)) => format!("{before}expected {A_TABLE}"),
                None => text,
            };
            ConfigError::new(key, problem)
        }
        other => ConfigError::new("configuration", other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_kind_is_refused_without_words_of_the_program() {
        for (text, said) in [
            ("mcp = 1", "mcp: "),
            ("[tls]\ncertificate_file = []", "tls.certificate_file: "),
            ("[issuers.acme]\nscopes = 'all'", "issuers.acme"),
            ("[mcp.tools]\nsearch_tickets = 5", "mcp.tools.search_tickets"),
            ("providers = 'acme'", "providers: "),
        ] {
            let Err(error) = read(text) else { panic!("{text} is taken") };
            let sentence = error.to_string();
            assert!(sentence.starts_with(said) && sentence.contains("expected"), "{text}: {sentence}");
            assert!(!sentence.contains("struct"), "{text}: {sentence}");
        }
    }
}
