//! The shell under which a server runs, so that neither its processes nor its folder outlive the test process:
//! `keeper.sh` says how.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// What both servers write when somebody else listens on their port.
const PORT_TAKEN: &str = "Address already in use";

/// A folder and the server that runs in it; both end with this value.
pub(super) struct Keeper {
    /// The server's folder; in its file `log` is what the server wrote since its last start.
    pub(super) folder: PathBuf,
    shell: Mutex<Shell>,
}

struct Shell {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Keeper {
    /// Makes the folder. Commands are looked for in `programs` first; `end` is the signal that ends the server.
    pub(super) fn open(name: &str, end: &str, programs: &Path) -> Self {
        let path = std::env::join_paths(std::iter::once(programs.to_owned()).chain(search_path())).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", include_str!("keeper.sh"), "keeper", &format!("mandate-{name}"), end]);
        command.env("PATH", path).env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own: Ctrl-C ends the tests, and the keeper tidies up after them.
        let mut child = command.process_group(0).spawn().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut folder = String::new();
        answers.read_line(&mut folder).unwrap();
        assert!(folder.ends_with('\n'), "no folder could be made for {name}");
        Self { folder: PathBuf::from(folder.trim_end()), shell: Mutex::new(Shell { child, answers }) }
    }

    /// Runs a command to its end. Its words are separated by blanks; there is no quoting.
    pub(super) fn run(&self, command: &str) {
        let code = self.say(&format!("run {command}"));
        assert_eq!(code, "0", "{command}: {}", self.log());
    }

    /// Starts the server on a free port, which is returned once the server is ready.
    pub(super) fn start_somewhere(
        &self,
        command: impl Fn(u16) -> String,
        ready: impl Fn(u16) -> bool,
    ) -> u16 {
        loop {
            let port = free_port();
            if self.start(&command(port), || ready(port)) {
                return port;
            }
        }
    }

    /// Starts the server and waits until it is ready; false when its port is taken.
    pub(super) fn start(&self, command: &str, ready: impl Fn() -> bool) -> bool {
        self.say(&format!("start {command}"));
        let mut taken = false;
        let settled = eventually(|| {
            taken = self.log().contains(PORT_TAKEN);
            taken || ready()
        });
        assert!(settled, "not ready after {PATIENCE:?}: {command}\n{}", self.log());
        if taken {
            self.halt();
        }
        !taken
    }

    /// Ends the server at once, as a crash does; its folder stays.
    pub(super) fn halt(&self) {
        self.say("halt");
    }

    /// Stops every process of the server (SIGSTOP).
    pub(super) fn freeze(&self) {
        self.say("freeze");
    }

    /// Lets a frozen server go on.
    pub(super) fn thaw(&self) {
        self.say("thaw");
    }

    /// What the server wrote since its last start.
    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("log")).unwrap_or_default()).into_owned()
    }

    fn say(&self, line: &str) -> String {
        let mut shell = self.shell.lock().unwrap();
        writeln!(shell.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        shell.answers.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "the keeper of {} has ended", self.folder.display());
        answer.trim_end().to_owned()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Ok(shell) = self.shell.get_mut() {
            // Closes the keeper's input first.
            let _ = shell.child.wait();
        }
    }
}

/// Asks until the answer is yes; false when it never was.
#[expect(clippy::disallowed_methods, reason = "other processes do not live by the clock of a test")]
pub(super) fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !done() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// The folder of a program: the first of these that has it, then of `PATH`. `None`, after a line on standard error,
/// when it is not installed, and a panic when `MANDATE_TEST_SERVICES` is `required`.
pub(super) fn folder_of(program: &str, first: Vec<PathBuf>, package: &str) -> Option<PathBuf> {
    let found = first.into_iter().chain(search_path()).find(|folder| folder.join(program).is_file());
    if found.is_none() {
        let missing = format!("{program} is not installed (apt-get install {package})");
        let required = std::env::var_os("MANDATE_TEST_SERVICES") == Some(OsString::from("required"));
        assert!(!required, "{missing}, and MANDATE_TEST_SERVICES=required");
        // Not eprintln!, which the test runner keeps to itself when a test passes.
        let _ = writeln!(std::io::stderr(), "WARNING: {missing}: NOTHING IS TESTED ON IT");
    }
    found
}

fn search_path() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

/// A port that nobody listens on, each one once. From below the range out of which systems give ports to
/// connections, so that a server that is stopped finds it free when it comes back; and half that range away from
/// where the ports of the binary under test begin.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from((std::process::id() + 10_000) % 20_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
