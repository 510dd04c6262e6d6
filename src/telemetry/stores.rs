//! Round trips to the database and to Redis, watched. Only what is done and to which table is told: statements are
//! ours, their values are not.

use tracing::{Instrument as _, Span};

use super::{Metrics, spans};
use crate::clock::Stopwatch;

/// What statements begin with, as far as they are told apart.
const STATEMENTS: [&str; 9] =
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "ROLLBACK", "LOCK"];
/// The commands of Redis that are told apart; `EVALSHA` runs a script.
const COMMANDS: [&str; 14] = [
    "SET",
    "GET",
    "GETDEL",
    "DEL",
    "EVALSHA",
    "PUBLISH",
    "SUBSCRIBE",
    "INCR",
    "EXPIRE",
    "PEXPIRE",
    "EXISTS",
    "ZADD",
    "ZREM",
    "ZCARD",
];
/// All others.
const OTHER: &str = "OTHER";

/// Watches one store, or one pool of connections to it.
#[derive(Clone, Debug, Default)]
pub struct StoreWatch(Option<Watched>);

#[derive(Clone, Debug)]
struct Watched {
    metrics: Metrics,
    system: &'static str,
    pool: &'static str,
}

impl StoreWatch {
    /// Watches for these metrics. `system` is OpenTelemetry's name for the kind of store.
    pub fn new(metrics: &Metrics, system: &'static str, pool: &'static str) -> Self {
        Self(Some(Watched { metrics: metrics.clone(), system, pool }))
    }

    /// Runs a statement.
    pub async fn statement<T, E>(
        &self,
        sql: &str,
        running: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(watched) = &self.0 else { return running.await };
        let operation = known(sql.split_whitespace().next().unwrap_or_default(), &STATEMENTS);
        watched.measure(operation, spans::statement(watched.system, operation, table(sql)), running).await
    }

    /// Sends a command of this name, which is its first word.
    pub async fn command<T, E>(
        &self,
        name: &[u8],
        running: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(watched) = &self.0 else { return running.await };
        let operation = known(std::str::from_utf8(name).unwrap_or_default(), &COMMANDS);
        watched.measure(operation, spans::statement(watched.system, operation, None), running).await
    }

    /// Obtains a connection.
    pub async fn connection<T, E>(&self, waiting: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let Some(watched) = &self.0 else { return waiting.await };
        let since = Stopwatch::start();
        let obtained = waiting.await;
        watched.metrics.connection_obtained(watched.pool, since.elapsed());
        obtained
    }
}

impl Watched {
    async fn measure<T, E>(
        &self,
        operation: &'static str,
        span: Span,
        running: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let since = Stopwatch::start();
        let done = running.instrument(span).await;
        self.metrics.statement_ended(self.system, operation, done.is_err(), since.elapsed());
        done
    }
}

fn known(word: &str, words: &[&'static str]) -> &'static str {
    words
        .iter()
        .find(|known| word.trim_end_matches(';').eq_ignore_ascii_case(known))
        .copied()
        .unwrap_or(OTHER)
}

/// The first table that a statement of ours names.
fn table(sql: &str) -> Option<&str> {
    let mut words = sql.split_whitespace();
    words.find(|word| ["FROM", "INTO", "UPDATE"].iter().any(|before| word.eq_ignore_ascii_case(before)))?;
    let name = words.next()?.split('(').next()?.trim_end_matches([',', ';', ')']);
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    (!name.is_empty() && is_name(name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_told_by_what_it_does_to_which_table() {
        let cases = [
            ("SELECT a FROM grants WHERE b = $1", "SELECT", Some("grants")),
            ("INSERT INTO codes (a) VALUES ($1)", "INSERT", Some("codes")),
            ("UPDATE grants SET a = 1", "UPDATE", Some("grants")),
            ("DELETE FROM sessions", "DELETE", Some("sessions")),
            ("BEGIN IMMEDIATE", "BEGIN", None),
            ("BEGIN; SET LOCAL x = 1", "BEGIN", None),
            ("COMMIT", "COMMIT", None),
            ("SELECT 1", "SELECT", None),
            ("SELECT x FROM (SELECT y FROM t)", "SELECT", None),
            ("SELECT x FROM 'a secret'", "SELECT", None),
            ("VACUUM", OTHER, None),
            ("", OTHER, None),
        ];
        for (sql, operation, about) in cases {
            assert_eq!(
                known(sql.split_whitespace().next().unwrap_or_default(), &STATEMENTS),
                operation,
                "{sql}"
            );
            assert_eq!(table(sql), about, "{sql}");
        }
        assert_eq!(known("getdel", &COMMANDS), "GETDEL");
        assert_eq!(known("a-key", &COMMANDS), OTHER);
    }
}
