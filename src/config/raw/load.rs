//! From the file and the environment to the keys.

use std::path::Path;

use config::{Config as Layers, ConfigError as LayerError, Environment, File, FileFormat, Source as _};

use super::Raw;
use crate::config::ConfigError;

/// Keys that hold lists: in the environment their values are separated by commas.
const LISTS: [&str; 4] =
    ["trusted_proxies", "clients.private_use_schemes", "outbound.allowed_hosts", "mcp.allowed_origins"];

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
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::new("--config", format!("{}: {error}", path.display())))?;
        let file = File::from_str(&text, FileFormat::Toml);
        // Built alone first, so that what is no TOML is said of the file.
        Layers::builder().add_source(file.clone()).build().map_err(|error| {
            ConfigError::new("--config", format!("{}: {}", path.display(), one_line(&error.to_string())))
        })?;
        layers = layers.add_source(file);
    }
    layers.add_source(environment()).build().and_then(Layers::try_deserialize).map_err(explain)
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

fn explain(error: LayerError) -> ConfigError {
    match error {
        LayerError::Type { key: Some(key), unexpected, expected, .. } => {
            ConfigError::new(key, format!("{unexpected} stands where {expected} is expected"))
        }
        LayerError::At { key: Some(key), error, .. } => ConfigError::new(key, error.to_string()),
        other => ConfigError::new("configuration", other.to_string()),
    }
}
