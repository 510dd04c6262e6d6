//! PostgreSQL for tests: every test gets a database of its own on a server that they share, or a server of its own
//! to break.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::keeper::{Keeper, folder_of};

/// No automatic vacuum: it would wander through hundreds of databases that live for a second.
const SETTINGS: &str = "-c listen_addresses=127.0.0.1 -c max_connections=300 -c shared_buffers=32MB \
     -c autovacuum=off -c log_checkpoints=off -c dynamic_shared_memory_type=mmap";
/// A crash of the machine may lose data, one of the server may not: the system has what was committed.
const FAST: &str = "-c fsync=off -c full_page_writes=off";
/// Room for millions of rows.
const ROOMY: &str = "-c fsync=off -c full_page_writes=off -c shared_buffers=1GB -c maintenance_work_mem=512MB \
     -c max_wal_size=8GB";
/// PostgreSQL refuses to run as root.
const NOT_AS_ROOT: &str = "setpriv --reuid=postgres --regid=postgres --clear-groups";

/// The server that the tests of this process share; `None` when PostgreSQL is not installed.
pub(crate) fn shared_postgres() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    SHARED.get_or_init(|| Postgres::installed().then(Postgres::start)).as_ref()
}

/// A running server; it and its data end with this value. Its user is `postgres`, without a password.
pub(crate) struct Postgres {
    keeper: Keeper,
    port: u16,
    settings: &'static str,
    databases: AtomicU32,
}

impl Postgres {
    /// Whether PostgreSQL is installed. If not, this says so on standard error once, or panics when
    /// `MANDATE_TEST_SERVICES` is `required`.
    pub(crate) fn installed() -> bool {
        programs().is_some()
    }

    /// Starts a server on new data: a commit survives the server, though not the machine.
    pub(crate) fn start() -> Self {
        Self::start_with(FAST)
    }

    /// Starts a server on new data that flushes every commit to the disk, as in production.
    pub(crate) fn start_durable() -> Self {
        Self::start_with("")
    }

    /// Starts a server on new data that has memory for millions of rows.
    pub(crate) fn start_roomy() -> Self {
        Self::start_with(ROOMY)
    }

    fn start_with(settings: &'static str) -> Self {
        let programs = programs().expect("PostgreSQL is not installed: apt-get install postgresql");
        let keeper = Keeper::open("postgres", "QUIT", programs);
        if runs_as_root() {
            keeper.run("chown postgres: .");
        }
        let initdb = "initdb --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync";
        keeper.run(&as_itself(initdb));
        let command = |port| server_command(port, settings);
        let port = keeper.start_somewhere(command, |port| is_ready(&keeper, port));
        Self { keeper, port, settings, databases: AtomicU32::new(0) }
    }

    /// Creates an empty database; returns its URL.
    pub(crate) async fn fresh_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        // From template0, to which nobody can be connected. Copying its files takes half the time of writing them
        // to the log, and a third when many copy at once.
        let strategy = if self.major_version() >= 15 { "STRATEGY file_copy" } else { "" };
        let statement = format!("CREATE DATABASE {name} TEMPLATE template0 {strategy}");
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        connection.execute(AssertSqlSafe(statement)).await.unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    /// Crashes the server (immediate shutdown: connections break, transactions are lost) and starts it again.
    pub(crate) fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Ends the server as a crash does. Connections are refused until [`Self::start_again`].
    pub(crate) fn stop(&self) {
        self.keeper.halt();
    }

    /// Starts a stopped server on its data and its port.
    pub(crate) fn start_again(&self) {
        let command = server_command(self.port, self.settings);
        let started = self.keeper.start(&command, || is_ready(&self.keeper, self.port));
        assert!(started, "somebody took port {}", self.port);
    }

    /// Stops all its processes: connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.keeper.freeze();
    }

    /// Lets a frozen server go on.
    pub(crate) fn thaw(&self) {
        self.keeper.thaw();
    }

    /// Where its data is.
    pub(crate) fn folder(&self) -> &Path {
        &self.keeper.folder
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn major_version(&self) -> u32 {
        let version = std::fs::read_to_string(self.keeper.folder.join("data/PG_VERSION")).unwrap();
        version.trim_end().parse().unwrap()
    }
}

/// The folder with the programs of the newest version. Debian keeps one for each version, outside of `PATH`.
fn programs() -> Option<&'static Path> {
    static PROGRAMS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let newest = || {
        let folders = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut versions: Vec<(u32, PathBuf)> = folders
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .collect();
        versions.sort_by(|a, b| b.cmp(a));
        let folders = versions.into_iter().map(|(_, folder)| folder).collect();
        folder_of("postgres", folders, "postgresql")
    };
    PROGRAMS.get_or_init(newest).as_deref()
}

/// One of its programs, such as `pg_dump`.
pub(crate) fn program(name: &str) -> PathBuf {
    programs().expect("PostgreSQL is not installed: apt-get install postgresql").join(name)
}

fn runs_as_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn as_itself(command: &str) -> String {
    if runs_as_root() { format!("{NOT_AS_ROOT} {command}") } else { command.to_owned() }
}

/// Its socket file is in the data folder, see [`is_ready`].
fn server_command(port: u16, settings: &str) -> String {
    as_itself(&format!("postgres -D data -p {port} -k . {SETTINGS} {settings}"))
}

/// Asked through the socket file, where nobody else can answer; the server listens on its port before.
fn is_ready(keeper: &Keeper, port: u16) -> bool {
    let mut command = Command::new(programs().unwrap().join("pg_isready"));
    command.arg("--quiet").arg("--host").arg(keeper.folder.join("data")).args(["--port", &port.to_string()]);
    command.status().unwrap().success()
}
