//! Replicas of the real binary behind a balancer.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use super::proxy::Proxy;
use super::turns::Turns;
use super::wait_until;
use crate::binary::free_port;
use crate::support::browser::Address;
use crate::support::services::postgres::shared_postgres;
use crate::support::services::redis::shared_redis;
use crate::support::{PASSWORD, http};

/// Limits that no test reaches which is not about them.
const GENEROUS: [(&str, &str); 8] = [
    ("MANDATE_MCP__READS_PER_MINUTE", "1000000"),
    ("MANDATE_MCP__WRITES_PER_MINUTE", "1000000"),
    ("MANDATE_LIMITS__AUTHORIZATIONS_PER_MINUTE", "1000000"),
    ("MANDATE_LIMITS__TOKEN_REQUESTS_PER_MINUTE", "1000000"),
    ("MANDATE_LIMITS__REGISTRATIONS_PER_HOUR", "1000000"),
    ("MANDATE_DRAIN_DELAY", "1s"),
    ("MANDATE_SECRET_KEY_FILE", "mandate.key"),
    ("MANDATE_LOG", "info"),
];

/// The replicas; they end with this value.
pub(crate) struct Fleet {
    /// A client whose requests go through no proxy but ours, for as many as are sent.
    pub(crate) http: reqwest::Client,
    folder: TempDir,
    settings: Vec<(String, String)>,
    replicas: Vec<Replica>,
    proxy: Proxy,
}

struct Replica {
    port: u16,
    /// What it runs from its next start on.
    program: Mutex<PathBuf>,
    child: Mutex<Option<Child>>,
}

/// One replica, reached without the balancer.
#[derive(Clone, Debug)]
pub(crate) struct Direct(u16);

impl Address for Direct {
    fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.0)
    }
}

impl Address for Fleet {
    fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.proxy.port())
    }
}

impl Fleet {
    /// Starts so many at the same moment on this database and this Redis, and waits until all are ready.
    pub(crate) fn start(count: usize, database_url: &str, redis_url: &str, more: &[(&str, &str)]) -> Self {
        Self::start_of(Path::new(env!("CARGO_BIN_EXE_mandate")), count, (database_url, redis_url), more)
    }

    /// The same of another binary.
    pub(crate) fn start_of(
        program: &Path,
        count: usize,
        (database_url, redis_url): (&str, &str),
        more: &[(&str, &str)],
    ) -> Self {
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let proxy = Proxy::start(&ports);
        let public_url = format!("http://127.0.0.1:{}", proxy.port());
        let own = [
            ("MANDATE_PUBLIC_URL", public_url.as_str()),
            ("MANDATE_DATABASE_URL", database_url),
            ("MANDATE_REDIS_URL", redis_url),
        ];
        let settings = GENEROUS.iter().chain(&own).chain(more);
        let settings = settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let replica =
            |port| Replica { port, program: Mutex::new(program.to_owned()), child: Mutex::new(None) };
        let replicas = ports.into_iter().map(replica).collect();
        let folder = tempfile::tempdir().unwrap();
        let fleet = Self { http: http(), folder, settings, replicas, proxy };
        let begun: Vec<Starting> = (0..count).map(|number| fleet.spawn(number)).collect();
        for (number, starting) in begun.into_iter().enumerate() {
            assert!(fleet.greeted(number, starting), "replica {number} ended: {}", fleet.log(number));
        }
        (0..count).for_each(|number| fleet.wait_for(number));
        fleet
    }

    /// Starts so many on the servers that all tests share; `None` when one is not installed.
    pub(crate) async fn shared(count: usize, more: &[(&str, &str)]) -> Option<Self> {
        let (postgres, redis) = (shared_postgres()?, shared_redis()?);
        let url = postgres.fresh_database().await;
        let (_, name) = url.rsplit_once('/').unwrap();
        let settings = [&[("MANDATE_REDIS_PREFIX", name)], more].concat();
        Some(Self::start(count, &url, &redis.url(), &settings))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.replicas.len()
    }

    /// One of them, reached directly; numbers wrap around.
    pub(crate) fn replica(&self, number: usize) -> Direct {
        Direct(self.replicas[number % self.replicas.len()].port)
    }

    /// A file in the folder that the replicas run in.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A setting, as a variable of the environment.
    pub(crate) fn setting(&self, name: &str) -> &str {
        let found = self.settings.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap()
    }

    /// An address at which every request reaches another replica than the one before.
    pub(crate) fn turns(&self, first: usize) -> Turns {
        Turns::new((0..self.len()).map(|number| self.replica(first + number).at("")).collect())
    }

    /// Lets a replica run another binary from its next start on.
    pub(crate) fn change_program(&self, number: usize, program: &Path) {
        program.clone_into(&mut self.replicas[number].program.lock().unwrap());
    }

    /// Starts a replica that must refuse; returns the one sentence that it says.
    pub(crate) fn refused(&self, number: usize) -> String {
        let mut command = self.command_of(number, &["serve"]);
        command.env("MANDATE_LOG", "off").env("MANDATE_LISTEN", "127.0.0.1:0");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        said.trim_end().to_owned()
    }

    /// Ends a replica as a crash does.
    pub(crate) fn kill(&self, number: usize) {
        let child = self.replicas[number].child.lock().unwrap().take();
        let mut child = child.expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts a replica as a supervisor does, again when it ends because something is away, and waits until the
    /// balancer sends requests to it.
    pub(crate) fn begin(&self, number: usize) {
        wait_until("a replica starts", || {
            let starting = self.spawn(number);
            self.greeted(number, starting)
        });
        self.wait_for(number);
    }

    /// Asks a replica to stop and waits for its end; returns its exit code.
    pub(crate) fn stop(&self, number: usize) -> Option<i32> {
        let child = self.replicas[number].child.lock().unwrap().take();
        let mut child = child.expect("it runs");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        child.wait().unwrap().code()
    }

    /// The process id of a replica that runs.
    pub(crate) fn pid(&self, number: usize) -> u32 {
        self.replicas[number].child.lock().unwrap().as_ref().expect("it runs").id()
    }

    /// Runs a command of the binary on the replicas' store; returns what it says.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Adds an account with everybody's password.
    pub(crate) fn add_user(&self, username: &str) {
        self.run(&["user", "add", username, "--role", "agent"], &format!("{PASSWORD}\n"));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(0, arguments)
    }

    /// A command of the binary that a replica runs.
    fn command_of(&self, number: usize, arguments: &[&str]) -> Command {
        let mut command = Command::new(&*self.replicas[number].program.lock().unwrap());
        command.args(arguments).env_clear().current_dir(self.folder.path());
        command.envs(self.settings.iter().map(|(key, value)| (key, value)));
        command
    }

    fn spawn(&self, number: usize) -> Starting {
        let log = OpenOptions::new().append(true).create(true).open(self.log_file(number)).unwrap();
        let mut command = self.command_of(number, &["serve"]);
        command.env("MANDATE_LISTEN", format!("127.0.0.1:{}", self.replicas[number].port));
        Starting(command.stdout(Stdio::piped()).stderr(Stdio::from(log)).spawn().unwrap())
    }

    /// Waits for the last line of the greeting; false when the process ends before.
    fn greeted(&self, number: usize, Starting(mut child): Starting) -> bool {
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("mcpServers") {
            if lines.read_line(&mut said).unwrap() == 0 {
                child.wait().unwrap();
                return false;
            }
        }
        *self.replicas[number].child.lock().unwrap() = Some(child);
        true
    }

    fn wait_for(&self, number: usize) {
        wait_until("a replica is ready", || self.proxy.sends_to(number));
    }

    fn log_file(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("replica-{number}.log"))
    }

    /// What a replica wrote.
    pub(crate) fn log(&self, number: usize) -> String {
        std::fs::read_to_string(self.log_file(number)).unwrap_or_default()
    }
}

struct Starting(Child);

impl Drop for Fleet {
    fn drop(&mut self) {
        for (number, replica) in self.replicas.iter().enumerate() {
            let child = replica.child.lock().map(|mut child| child.take()).unwrap_or_default();
            if let Some(mut child) = child {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
            }
            if std::thread::panicking() {
                let log = self.log(number);
                let last: Vec<&str> = log.lines().rev().take(40).collect();
                for line in last.into_iter().rev() {
                    eprintln!("replica {number}: {line}");
                }
            }
        }
    }
}
