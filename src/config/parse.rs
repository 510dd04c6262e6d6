//! From the texts of keys to types; every refusal names its key and the cure.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::ConfigError;
use crate::ephemeral::Rate;
use crate::storage::Database;

pub(super) fn database(url: &str) -> Result<Database, ConfigError> {
    let wrong = |problem: &str| ConfigError::new("database_url", problem);
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some(path) if path.is_empty() || path.contains(['?', ':']) => {
            Err(wrong("write the path of a file, like sqlite://./data/mandate.db"))
        }
        Some(path) => Ok(Database::Sqlite(PathBuf::from(path))),
        None => Err(wrong("this version keeps its data in SQLite; write sqlite:// and the path of a file")),
    }
}

pub(super) fn duration(key: &str, text: &str) -> Result<Duration, ConfigError> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration >= Duration::from_secs(1) => Ok(duration),
        _ => Err(ConfigError::new(key, format!("{text:?} is no duration; write it like 60s, 1h or 30d"))),
    }
}

pub(super) fn per(key: &str, burst: u32, seconds: u64) -> Result<Rate, ConfigError> {
    if burst == 0 {
        return Err(ConfigError::new(key, "write a number of at least 1"));
    }
    Ok(Rate { burst, per: Duration::from_secs(seconds) })
}

pub(super) fn one_of<T: Copy>(key: &str, text: &str, known: &[(&str, T)]) -> Result<T, ConfigError> {
    known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        ConfigError::new(key, format!("{text:?} is not known; write one of {}", names.join(", ")))
    })
}

pub(super) fn networks(key: &str, texts: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    let parse = |text: &String| {
        let host = || text.parse::<std::net::IpAddr>().map(IpNet::from);
        text.parse()
            .or_else(|_| host())
            .map_err(|_| ConfigError::new(key, format!("{text:?} is no network; write it like 10.0.0.0/8")))
    };
    texts.iter().map(parse).collect()
}

/// Schemes that run in a browser or belong to the web can never be a way back to an app.
pub(super) fn schemes(schemes: Vec<String>) -> Result<Vec<String>, ConfigError> {
    const NEVER: [&str; 9] =
        ["http", "https", "javascript", "data", "file", "blob", "about", "vbscript", "view-source"];
    let shaped = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
    };
    match schemes.iter().find(|scheme| NEVER.contains(&scheme.as_str()) || !shaped(scheme)) {
        Some(bad) => Err(ConfigError::new(
            "clients.private_use_schemes",
            format!("{bad:?} cannot be a private-use scheme; write it in lower case without a colon"),
        )),
        None => Ok(schemes),
    }
}
