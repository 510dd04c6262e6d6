//! What a server under test stands on: a file and its own memory, or PostgreSQL and Redis. The variable
//! `MANDATE_TEST_PROFILE` chooses for the whole run: `embedded`, which is the default, or `services`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mandate::config::Config;
use mandate::ephemeral::redis::RedisUrl;
use mandate::storage::Database;
use mandate::storage::postgres::PostgresUrl;
use sqlx::Row as _;

use super::services::postgres::shared_postgres;
use super::services::redis::{self, shared_redis};

/// How many connections to PostgreSQL a server of a test opens at most.
pub(crate) const CONNECTIONS: u32 = 6;
const NEEDED: &str = "MANDATE_TEST_PROFILE=services needs PostgreSQL and Redis: e2e/run tools";

/// The stores of one server.
#[derive(Clone, Debug)]
pub(crate) enum Profile {
    /// One process: SQLite, and the rest in memory.
    Embedded {
        /// The database's file.
        file: PathBuf,
    },
    /// A database of its own in PostgreSQL, and keys of its own in Redis.
    Services {
        /// Where the database is.
        database_url: String,
        /// Where Redis is.
        redis_url: String,
        /// What every key of the server begins with.
        prefix: String,
    },
}

impl Profile {
    /// Whether this run is on PostgreSQL and Redis.
    pub(crate) fn is_services() -> bool {
        let chosen = std::env::var_os("MANDATE_TEST_PROFILE").unwrap_or_default();
        match chosen.to_str() {
            Some("" | "embedded") => false,
            Some("services") => true,
            _ => panic!("MANDATE_TEST_PROFILE is embedded or services, not {}", chosen.display()),
        }
    }

    /// Empty stores of this run's kind; a file is put at `file`.
    pub(crate) async fn fresh(file: &Path) -> Self {
        static SERVERS: AtomicU32 = AtomicU32::new(0);
        if !Self::is_services() {
            return Self::Embedded { file: file.to_owned() };
        }
        let database_url = shared_postgres().expect(NEEDED).fresh_database().await;
        let redis_url = shared_redis().expect(NEEDED).url();
        let prefix = format!("server-{}", SERVERS.fetch_add(1, Ordering::Relaxed));
        Self::Services { database_url, redis_url, prefix }
    }

    /// Points a server at them.
    pub(crate) fn configure(&self, config: &mut Config) {
        match self {
            Self::Embedded { file } => config.database = Database::Sqlite(file.clone()),
            Self::Services { database_url, redis_url, prefix } => {
                let url = PostgresUrl::parse(database_url).unwrap();
                config.database = Database::Postgres { url, connections: CONNECTIONS };
                config.redis = Some(RedisUrl::parse(redis_url, prefix).unwrap());
            }
        }
    }

    /// Lets time go by where a store has a clock of its own.
    pub(crate) fn age(&self, duration: Duration) {
        if let Self::Services { redis_url, prefix, .. } = self {
            redis::age(redis_url, prefix, duration);
        }
    }

    /// Loses what may be lost. What is in memory is lost with its process.
    pub(crate) fn forget_the_perishable(&self) {
        if let Self::Services { redis_url, prefix, .. } = self {
            redis::forget(redis_url, prefix);
        }
    }

    /// The database, for looking behind the server's back.
    pub(crate) async fn database(&self) -> sqlx::AnyPool {
        sqlx::any::install_default_drivers();
        let url = match self {
            Self::Embedded { file } => format!("sqlite://{}", file.display()),
            Self::Services { database_url, .. } => database_url.clone(),
        };
        sqlx::any::AnyPoolOptions::new().max_connections(1).connect(&url).await.unwrap()
    }

    /// Everything that is kept, as it is kept: the file's bytes, or every row of every table and every key.
    pub(crate) async fn everything_stored(&self) -> String {
        match self {
            Self::Embedded { file } => {
                let name = file.file_name().unwrap().to_str().unwrap();
                let files =
                    std::fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
                let ours = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(name));
                let bytes: Vec<u8> = ours.flat_map(|path| std::fs::read(path).unwrap()).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Self::Services { redis_url, prefix, .. } => {
                let rows = rows(&self.database().await).await;
                let keys = redis::dump(redis_url, prefix);
                assert!(!rows.is_empty() && !keys.is_empty());
                rows + &keys
            }
        }
    }
}

/// Every row of every table of ours in PostgreSQL, as text.
async fn rows(pool: &sqlx::AnyPool) -> String {
    let tables = "SELECT CAST(table_name AS text) AS name FROM information_schema.tables \
                  WHERE table_schema = 'public' ORDER BY table_name";
    let mut text = String::new();
    for table in sqlx::query(tables).fetch_all(pool).await.unwrap() {
        let table: String = table.get("name");
        let statement = format!("SELECT CAST(t AS text) AS line FROM \"{table}\" AS t");
        for row in sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(pool).await.unwrap() {
            text.push_str(&format!("{table} {}\n", row.get::<String, _>("line")));
        }
    }
    pool.close().await;
    text
}
