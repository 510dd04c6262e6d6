//! `log` and `log_format`: which lines are written, and how.

use super::ConfigError;
use super::parse::one_of;
use crate::telemetry::Log;

/// The levels, and what switches lines off.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
/// The crate, whose name alone stands for all of its lines.
const OURS: &str = env!("CARGO_PKG_NAME");

/// Parses both keys. Of the directives it is checked that a word alone is a level: a name of a part that does not exist
/// would be taken for one, and let nothing through. All else of them is judged where they are put to use.
pub(super) fn parse(filter: String, format: &str) -> Result<Log, ConfigError> {
    let json = one_of("log_format", format, &[("text", false), ("json", true)])?;
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let is_known =
        |word: &str| word.is_empty() || is_level(word) || word == OURS || word.contains(['=', '[', ':']);
    match filter.split(',').map(str::trim).find(|word| !is_known(word)) {
        None => Ok(Log { filter, json }),
        Some(word) => Err(ConfigError::new(
            "log",
            format!(
                "{word:?} is no level; write one of {}, or what a part of the program logs, like {OURS}::mcp=debug",
                LEVELS.join(", ")
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_alone_is_a_level() {
        let parsed = |filter: &str| parse(filter.to_owned(), "text").map_err(|error| error.to_string());
        for good in [
            "info",
            "INFO",
            "off",
            "info,mandate::mcp=debug",
            "warn, hyper=info",
            "mandate",
            "",
            "[span]=debug",
        ] {
            assert_eq!(parsed(good).map(|log| log.filter).as_deref(), Ok(good));
        }
        for (bad, word) in
            [("inof", "inof"), ("warning", "warning"), ("info,debgu", "debgu"), ("hyper", "hyper")]
        {
            let refused = parsed(bad).unwrap_err();
            assert!(
                refused.starts_with(&format!("log: \"{word}\" is no level; write one of error, ")),
                "{refused}"
            );
        }
    }
}
