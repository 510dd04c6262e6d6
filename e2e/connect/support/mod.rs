//! The bridge as a child process, and the person whose browser it opens.

pub(crate) mod stub;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;

use crate::support::browser::{Address, Browser, Loaded};
use crate::support::http;
use crate::support::mcp::{LEGACY, MODERN};

/// How long anything may take before a test fails. Nothing is expected to take as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(10);

/// One person's machine: a home, and a browser that only notes where it was sent.
pub(crate) struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    /// A machine on which nothing has happened yet.
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let script = home.path().join("browser");
        let text =
            format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> '{}'\n", home.path().join("visited").display());
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { home }
    }

    /// A path in the home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The binary with these arguments after `connect`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mandate"));
        command.arg("connect").args(arguments).env_clear().current_dir(self.home.path());
        command.env("HOME", self.home.path()).env("BROWSER", self.path("browser"));
        command
    }

    /// Starts a bridge to this endpoint.
    pub(crate) fn connect(&self, url: &str) -> Bridge {
        self.connect_with(&["--token-store", "file", url])
    }

    /// Starts a bridge with these arguments.
    pub(crate) fn connect_with(&self, arguments: &[&str]) -> Bridge {
        Bridge::start(self.command(arguments))
    }

    /// Where the browser was sent so far.
    pub(crate) fn visited(&self) -> Vec<Url> {
        let text = std::fs::read_to_string(self.path("visited")).unwrap_or_default();
        // What is being written has no end yet.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| Url::parse(line.trim()).unwrap()).collect()
    }

    /// Waits until the browser was sent somewhere for the `nth` time.
    pub(crate) async fn sent_to(&self, nth: usize) -> Url {
        until(|| self.visited().get(nth - 1).cloned()).await
    }

    /// The one file with tokens.
    pub(crate) fn token_file(&self) -> PathBuf {
        let folder = self.path(".local/share/mandate/connect");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "json")).unwrap()
    }

    /// What is kept.
    pub(crate) fn kept(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.token_file()).unwrap()).unwrap()
    }
}

/// Waits for something that happens elsewhere.
pub(crate) async fn until<T>(look: impl Fn() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it did not happen")
}

/// A running bridge.
pub(crate) struct Bridge {
    child: Child,
    input: Option<ChildStdin>,
    output: mpsc::UnboundedReceiver<Value>,
    told: Arc<Mutex<String>>,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bridge {
    /// Starts this command on pipes.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, output) = mpsc::unbounded_channel();
        let lines = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let message =
                    serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON on stdout: {line}"));
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let told = Arc::<Mutex<String>>::default();
        let (mut errors, telling) = (child.stderr.take().unwrap(), told.clone());
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = errors.read(&mut piece) {
                telling.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..read]));
            }
        });
        let input = child.stdin.take();
        Self { child, input, output, told }
    }

    /// What it said to the person.
    pub(crate) fn told(&self) -> String {
        self.told.lock().unwrap().clone()
    }

    /// Writes a line.
    pub(crate) fn write(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Writes a message.
    pub(crate) fn send(&mut self, message: &Value) {
        self.write(&message.to_string());
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        let next = tokio::time::timeout(PATIENCE, self.output.recv()).await;
        next.unwrap_or_else(|_| panic!("nothing comes: {}", self.told())).expect("stdout is closed")
    }

    /// The answer to a request; what comes before it is left out.
    pub(crate) async fn answer(&mut self, id: &Value) -> Value {
        loop {
            let message = self.next().await;
            if message["id"] == *id && message.get("method").is_none() {
                return message;
            }
        }
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(&mut self, id: u64, method: &str, params: &Value) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        self.answer(&json!(id)).await
    }

    /// Asks as a client of the stateless era.
    pub(crate) async fn ask_modern(&mut self, id: u64, method: &str, params: &Value) -> Value {
        self.ask(id, method, &modern(params)).await
    }

    /// Calls a tool as a client of the stateless era.
    pub(crate) async fn call(&mut self, id: u64, tool: &str, arguments: &Value) -> Value {
        self.ask_modern(id, "tools/call", &json!({ "name": tool, "arguments": arguments })).await
    }

    /// Begins as a client with sessions does.
    pub(crate) async fn initialize(&mut self) -> Value {
        self.send(&initialize(0));
        let answer = self.answer(&json!(0)).await;
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        answer
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Closes standard input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Closes standard input and waits for the end.
    pub(crate) async fn close(&mut self) -> ExitStatus {
        self.end_input();
        self.ended().await
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it does not end")
    }
}

/// A machine that is signed in, with its bridge.
pub(crate) async fn signed_in(stub: &stub::Stub) -> (Machine, Bridge) {
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.send(&initialize(0));
    let page = stub::visit(&machine.sent_to(1).await).await;
    assert!(page.contains("Signed in"), "{page}");
    bridge.answer(&json!(0)).await;
    (machine, bridge)
}

/// The first request of a client with sessions.
pub(crate) fn initialize(id: u64) -> Value {
    let client = json!({ "name": "test", "version": "1" });
    json!({ "jsonrpc": "2.0", "id": id, "method": "initialize", "params": {
        "protocolVersion": LEGACY, "capabilities": { "elicitation": {}, "sampling": {} }, "clientInfo": client } })
}

/// The parameters of a request in the stateless era.
pub(crate) fn modern(params: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    params
}

/// Signs in where the browser was sent and ticks these boxes; what the bridge shows in the end.
pub(crate) async fn allow(server: &dyn Address, url: &Url, username: &str, scopes: &[&str]) -> String {
    decide(server, url, username, "allow", scopes).await
}

/// Presses a button of the consent page.
pub(crate) async fn decide(
    server: &dyn Address,
    url: &Url,
    username: &str,
    decision: &str,
    scopes: &[&str],
) -> String {
    let mut browser = Browser::new(server);
    let (path, page) = browser.open_consent(&path_of(url), username).await;
    come_back(&browser.decide(&path, &page, decision, scopes).await).await
}

/// The path and query of a URL.
pub(crate) fn path_of(url: &Url) -> String {
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

/// Follows the redirect to the bridge.
pub(crate) async fn come_back(loaded: &Loaded) -> String {
    http().get(&loaded.location).send().await.unwrap().text().await.unwrap()
}

/// A parameter of a URL.
pub(crate) fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(found, _)| found == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The permissions of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
