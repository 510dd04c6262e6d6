//! From the texts of keys to types; every refusal names its key and the cure.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::ConfigError;
use crate::ephemeral::Rate;
use crate::ephemeral::redis::RedisUrl;
use crate::storage::Database;
use crate::storage::postgres::{BadPostgresUrl, PostgresUrl};

/// The highest rate: beyond it a limit limits nothing.
const MOST_PER_RATE: u32 = 1_000_000;

pub(super) fn address(key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
    let wrong = |_| ConfigError::new(key, "write an address and a port, like 127.0.0.1:8080");
    text.parse().map_err(wrong)
}

pub(super) fn database(url: &str, connections: u32) -> Result<Database, ConfigError> {
    let wrong = |problem: &str| ConfigError::new("database_url", problem);
    match PostgresUrl::parse(url) {
        Ok(_) if !(2..=1000).contains(&connections) => {
            return Err(ConfigError::new("database_connections", "write a number from 2 to 1000"));
        }
        Ok(url) => return Ok(Database::Postgres { url, connections }),
        Err(BadPostgresUrl::Foreign) => {}
        Err(bad) => return Err(wrong(&bad.to_string())),
    }
    if !url.starts_with("sqlite:") {
        return Err(wrong(
            "write postgres://user:password@host/database, or sqlite:// and the path of a file",
        ));
    }
    Database::in_file(url).ok_or_else(|| wrong("write the path of a file, like sqlite://./data/mandate.db"))
}

/// PostgreSQL without Redis would be one replica that looks like many.
pub(super) fn redis(
    url: Option<&str>,
    prefix: &str,
    database: &Database,
) -> Result<Option<RedisUrl>, ConfigError> {
    let Some(url) = url else {
        return match database {
            Database::Sqlite(_) => Ok(None),
            Database::Postgres { .. } => Err(ConfigError::new(
                "redis_url",
                "PostgreSQL is for several replicas, which share limits and claims in Redis; write redis://host",
            )),
        };
    };
    let shaped = |prefix: &str| {
        !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if !shaped(prefix) {
        return Err(ConfigError::new("redis_prefix", "write letters, digits, dots and dashes"));
    }
    RedisUrl::parse(url, prefix).map(Some).ok_or_else(|| {
        let cure =
            "write redis://host:6379 or rediss://user:password@host; nodes of a cluster go with commas";
        ConfigError::new("redis_url", cure)
    })
}

pub(super) fn duration(key: &str, text: &str) -> Result<Duration, ConfigError> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration >= Duration::from_secs(1) => Ok(duration),
        Ok(_) => {
            Err(ConfigError::new(key, format!("{text:?} is too short; write a second or more, like 60s")))
        }
        Err(_) => {
            Err(ConfigError::new(key, format!("{text:?} is no duration; write it like 60s, 1h or 30d")))
        }
    }
}

pub(super) fn per(key: &str, count: u32, seconds: u64) -> Result<Rate, ConfigError> {
    with_burst(key, count, None, seconds)
}

/// A steady rate; without a burst of its own all of it may come at once.
pub(super) fn with_burst(
    key: &str,
    count: u32,
    burst: Option<u32>,
    seconds: u64,
) -> Result<Rate, ConfigError> {
    let burst = burst.unwrap_or(count);
    if ![count, burst].iter().all(|number| (1..=MOST_PER_RATE).contains(number)) {
        return Err(ConfigError::new(key, format!("write a number from 1 to {MOST_PER_RATE}")));
    }
    Ok(Rate { count, per: Duration::from_secs(seconds), burst })
}

pub(super) fn one_of<T: Copy>(key: &str, text: &str, known: &[(&str, T)]) -> Result<T, ConfigError> {
    known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        ConfigError::new(key, format!("{text:?} is not known; write one of {}", names.join(", ")))
    })
}

/// A list; or one text, as the environment has it, whose parts are separated by commas. For lists below a table that
/// has a name of its own: the others are known by name to what reads the environment.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Many(texts) => texts,
        Written::One(text) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        }
    })
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
