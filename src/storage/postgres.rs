//! What is particular to PostgreSQL: how it is reached, and how numbers are handed out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, Connection as _, Executor as _};
use tokio::sync::Semaphore;
use url::Url;

use super::bounded::Bounded;
use super::{Begin, Kind, OpenError, Patience, Result, Schema, StorageError, Tx, migrations};

/// How long a request waits for a connection before it is told to come back.
const ACQUIRE_WITHIN: Duration = Duration::from_millis(800);
/// How long a statement may take before it counts as lost, and a transaction.
pub(super) const PATIENCE: Patience = Patience {
    statement: Duration::from_millis(900),
    request: Duration::from_millis(1100),
    work: Duration::from_mins(1),
};
/// Work that nobody waits for in a browser waits for others and for the disk.
pub(super) const BEGIN: Begin = Begin {
    request: "BEGIN",
    work: "BEGIN; SET LOCAL statement_timeout = 30000; SET LOCAL lock_timeout = 30000; \
           SET LOCAL idle_in_transaction_session_timeout = 30000",
};
/// How long a start waits for the server, and how often it looks.
const START_WITHIN: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// A connection is renewed after this time, so that a moved or resized server is noticed.
const LIFETIME: Duration = Duration::from_mins(30);
/// The server's own bounds: a statement that nobody waits for any more ends there too, and a transaction whose
/// process is gone without a word gives its locks back. In milliseconds.
const SESSION: &str = "SET statement_timeout = 1000; SET lock_timeout = 800; \
    SET idle_in_transaction_session_timeout = 5000";

/// Where a PostgreSQL database is, with the password that opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(Url);

/// Why a text is no [`PostgresUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPostgresUrl {
    /// Another kind of URL, or none.
    #[error("write postgres://user:password@host/database")]
    Foreign,
    /// What follows the `?` is no parameter: perhaps a part of the password, so it is not said again.
    #[error(
        "what follows ? is no parameter that is taken ({list}); in a name or a password write %3F for ?, %2F for / and \
         %40 for @",
        list = PARAMETERS.join(", ")
    )]
    Query,
    /// A parameter of this name is not taken.
    #[error("the parameter {0:?} is not taken; those that are: {list}", list = PARAMETERS.join(", "))]
    Parameter(String),
    /// `sslmode` says something else.
    #[error("sslmode is one of {}", SSL_MODES.join(", "))]
    SslMode,
}

/// The parameters that are taken: of the usual ones those that name no secrets. Others would be logged with their
/// value.
const PARAMETERS: [&str; 7] =
    ["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "application_name", "statement-cache-capacity"];
/// What `sslmode` can be. Up to `require` nobody looks at whose certificate it is.
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

impl PostgresUrl {
    /// Parses `postgres://user:password@host:port/database`, with parameters.
    pub fn parse(text: &str) -> std::result::Result<Self, BadPostgresUrl> {
        let url = Url::parse(text).map_err(|_| BadPostgresUrl::Foreign)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") || url.path().len() <= 1 {
            return Err(BadPostgresUrl::Foreign);
        }
        let url = Self(url);
        let unknown = url.0.query_pairs().find(|(name, _)| !PARAMETERS.contains(&name.as_ref()));
        if let Some((name, value)) = unknown {
            let is_name =
                name.len() <= 40 && name.chars().all(|c| c.is_ascii_lowercase() || "_-".contains(c));
            return Err(match url.0.query() {
                Some(query) if is_name && !value.is_empty() && !query.contains('@') => {
                    BadPostgresUrl::Parameter(name.into_owned())
                }
                _ => BadPostgresUrl::Query,
            });
        }
        match url.parameter("sslmode") {
            Some(mode) if !SSL_MODES.contains(&mode.as_str()) => Err(BadPostgresUrl::SslMode),
            _ => Ok(url),
        }
    }

    /// The host; `None` for a socket of this machine.
    pub fn host(&self) -> Option<String> {
        let written = || Some(percent_decode_str(self.0.host_str()?).decode_utf8_lossy().into_owned());
        self.parameter("host").or_else(written).filter(|host| !host.starts_with('/'))
    }

    /// Whether it is looked at whose certificate the server has. To have any one that the public authorities gave out,
    /// as `verify-ca` is content with without a CA of one's own, proves nothing.
    pub fn checks_certificate(&self) -> bool {
        match self.parameter("sslmode").as_deref() {
            Some("verify-full") => true,
            Some("verify-ca") => self.parameter("sslrootcert").is_some(),
            _ => false,
        }
    }

    /// The last one of this name counts, as for the driver.
    fn parameter(&self, wanted: &str) -> Option<String> {
        let named = self.0.query_pairs().filter(|(name, _)| name == wanted);
        named.last().map(|(_, value)| value.into_owned())
    }

    /// One connection, without a pool.
    pub(super) async fn connect(&self) -> sqlx::Result<AnyConnection> {
        AnyConnection::connect(self.0.as_str()).await
    }
}

/// Host and database: what may be said aloud.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or("a local socket");
        let port = self.0.port().map_or_else(String::new, |port| format!(":{port}"));
        write!(f, "{host}{port}{}", self.0.path())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

/// Connects with at most `connections` at once.
pub(super) async fn open(
    url: &PostgresUrl,
    connections: u32,
    room: &Arc<Semaphore>,
) -> std::result::Result<(Bounded, Schema), OpenError> {
    let schema = migrate(url).await?;
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_WITHIN)
        .max_lifetime(LIFETIME)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(SESSION).await?;
                Ok(())
            })
        });
    let pool = pool.connect(url.0.as_str()).await.map_err(unreachable)?;
    Ok((Bounded::new(pool, PATIENCE.statement, room.clone()), schema))
}

/// Brings the schema up to date over a connection without bounds: an index on a big table takes its time, and
/// of several replicas that start together all but one wait for the lock.
async fn migrate(url: &PostgresUrl) -> std::result::Result<Schema, OpenError> {
    wait_for(url).await?;
    let pool = AnyPoolOptions::new().max_connections(1).connect(url.0.as_str()).await.map_err(unreachable)?;
    let done = migrations::run(&pool, Kind::Postgres).await;
    pool.close().await;
    done
}

/// Waits a little for a server that is started at the same time. What goes wrong otherwise is said at once.
pub(super) async fn wait_for(url: &PostgresUrl) -> std::result::Result<(), OpenError> {
    let mut waited = Duration::ZERO;
    loop {
        let connecting = tokio::time::timeout(START_WITHIN, AnyConnection::connect(url.0.as_str()));
        let connected =
            connecting.await.map_err(|_| OpenError::Unreachable("it does not answer".to_owned()))?;
        match connected {
            Ok(connection) => return connection.close().await.map_err(unreachable),
            Err(sqlx::Error::Io(_)) if waited < START_WITHIN => {
                tokio::time::sleep(RETRY_AFTER).await;
                waited += RETRY_AFTER;
            }
            Err(error) => return Err(unreachable(error)),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it maps errors")]
pub(super) fn unreachable(error: sqlx::Error) -> OpenError {
    OpenError::Unreachable(match &error {
        sqlx::Error::Database(database) => database.message().to_owned(),
        sqlx::Error::Io(io) => io.to_string(),
        other => other.to_string(),
    })
}

/// Whether the server answers, and can be written to.
pub(super) async fn ping(store: &Bounded) -> Result<()> {
    let (in_recovery,): (bool,) = sqlx::query_as("SELECT pg_is_in_recovery()").fetch_one(store).await?;
    if in_recovery { Err(StorageError::Away("the server only reads".to_owned())) } else { Ok(()) }
}

/// Keeps others from changing the schema until the transaction ends; waits for whoever is at it.
pub(super) async fn hold_schema(connection: &mut AnyConnection) -> Result<()> {
    // Any number will do, as long as it is the same in every replica.
    sqlx::query("SELECT pg_advisory_xact_lock(7308327)").execute(connection).await?;
    Ok(())
}

/// The next number. From a sequence, which no transaction waits for: a number whose transaction was undone is
/// left out.
pub(super) async fn next_number(tx: &mut Tx, counter: &'static str) -> Result<i64> {
    let (value,): (i64,) = sqlx::query_as("SELECT nextval(CAST($1 || '_number' AS regclass))")
        .bind(counter)
        .fetch_one(&mut **tx)
        .await?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_with_parameters_that_hold_no_secret() {
        let parse =
            |parameters: &str| PostgresUrl::parse(&format!("postgres://a:s@db.example/c{parameters}"));
        for good in
            ["", "?sslmode=verify-full&sslrootcert=/ca.pem", "?application_name=x", "?host=/run/postgresql"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        for (bad, said) in [
            ("?connect_timeout=5", "\"connect_timeout\" is not taken; those that are: sslmode, "),
            ("?sslmode=verify-full&password=s3cret", "\"password\" is not taken"),
            ("?s3cret", "in a name or a password write %3F for ?"),
            ("?password:s3cret", "what follows ? is no parameter"),
            ("?sslmode=bogus", "sslmode is one of disable, allow, prefer, require, verify-ca, verify-full"),
        ] {
            let sentence = parse(bad).unwrap_err().to_string();
            assert!(sentence.contains(said) && !sentence.contains("s3cret"), "{sentence}");
        }
        // Passwords that were not escaped.
        for text in [
            "postgres://u:12/x?s3cret@h/db",
            "postgres://u:/a8?Zs3cret@h.example/db",
            "postgres://u:1/a?s=3@h/d",
        ] {
            assert_eq!(PostgresUrl::parse(text), Err(BadPostgresUrl::Query), "{text}");
        }
        for foreign in ["", "mysql://a@b/c", "postgres://a@b", "postgres://a@b/"] {
            assert_eq!(PostgresUrl::parse(foreign), Err(BadPostgresUrl::Foreign), "{foreign}");
        }
    }

    #[test]
    fn only_some_modes_look_at_the_certificate() {
        for (parameters, host, checks) in [
            ("", Some("db.example"), false),
            ("?sslmode=require", Some("db.example"), false),
            ("?sslmode=verify-ca", Some("db.example"), false),
            ("?sslmode=verify-ca&sslrootcert=ca.pem", Some("db.example"), true),
            ("?sslmode=disable&sslmode=verify-full", Some("db.example"), true),
            ("?host=other.example", Some("other.example"), false),
            ("?host=/run/postgresql", None, false),
        ] {
            let url = PostgresUrl::parse(&format!("postgres://a@db.example/c{parameters}")).unwrap();
            assert_eq!((url.host().as_deref(), url.checks_certificate()), (host, checks), "{parameters}");
        }
        assert_eq!(PostgresUrl::parse("postgres://a@%2Frun%2Fpostgresql/c").unwrap().host(), None);
    }
}
