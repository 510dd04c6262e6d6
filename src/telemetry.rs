//! Logs: readable or JSON lines on standard error, so that standard output stays for people and pipes.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{ConfigError, Log};

/// Always below `warn`: strangers can make the certificate check complain at will, and the MCP library tells of
/// each request three times.
const QUIET: &str = "rustls_platform_verifier=off,sqlx=warn,rmcp=warn";

/// Starts logging.
pub fn init(log: &Log) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", log.filter)).map_err(|error| {
        ConfigError::new("log", format!("{error}; write it like info or info,mandate=debug"))
    })?;
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // Whoever read the log may be gone. To complain of that on the same pipe would panic, and take the
        // request or the stop that logs with it.
        .log_internal_errors(false);
    let started = if log.json { lines.json().try_init() } else { lines.with_ansi(false).try_init() };
    started.map_err(|error| ConfigError::new("log", error.to_string()))
}
