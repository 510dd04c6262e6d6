//! A running `mandate stdio`, and the two ways to talk to it: the official Rust SDK, and lines by hand.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, CallToolResult, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RunningService, ServiceError};
use rmcp::{RoleClient, ServiceExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;

use crate::binary::Place;
use crate::support::PASSWORD;

/// A client of the SDK that is connected.
pub(crate) type Client = RunningService<RoleClient, ()>;

/// A place with alice, who sees every ticket, and bob, who sees his own.
pub(crate) async fn place() -> Place {
    let place = Place::new().await;
    for (name, role) in [("alice", "agent"), ("bob", "requester")] {
        place.done(&["user", "add", name, "--role", role], PASSWORD);
    }
    place
}

/// The running program. What is left of it ends with the test.
pub(crate) struct Program {
    child: Child,
}

impl Program {
    /// Starts it for a user.
    pub(crate) fn start(place: &Place, user: &str, options: &[&str]) -> Self {
        Self::start_with(place, user, options, &[])
    }

    /// The same with settings.
    pub(crate) fn start_with(place: &Place, user: &str, options: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut command = place.command(&[&["stdio", "--user", user], options].concat());
        command.envs(settings.iter().copied());
        Self::run(&mut command)
    }

    /// The same with a command of one's own.
    pub(crate) fn run(command: &mut std::process::Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { child: command.spawn().unwrap() }
    }

    fn pipes(&mut self) -> (pipe::Receiver, pipe::Sender) {
        let (input, output) = (self.child.stdin.take().unwrap(), self.child.stdout.take().unwrap());
        let output = pipe::Receiver::from_owned_fd(output.into()).unwrap();
        (output, pipe::Sender::from_owned_fd(input.into()).unwrap())
    }

    /// Says all this and goes on saying what `again` makes, reading nothing, until the program takes no more: it
    /// waits for a reader itself. Its pipes stay open with what is returned.
    pub(crate) async fn choke(
        &mut self,
        first: &[Value],
        again: impl Fn(i64) -> Value,
    ) -> (pipe::Receiver, pipe::Sender) {
        let (output, mut input) = self.pipes();
        for message in first {
            input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        }
        for id in 1.. {
            let line = format!("{}\n", again(id));
            let writing = input.write_all(line.as_bytes());
            // It has taken nothing for long.
            if tokio::time::timeout(Duration::from_secs(2), writing).await.is_err() {
                break;
            }
        }
        (output, input)
    }

    /// A client that says `initialize`.
    pub(crate) async fn legacy(&mut self) -> Client {
        ().serve(self.pipes()).await.unwrap()
    }

    /// A client of 2026-07-28.
    pub(crate) async fn modern(&mut self) -> Client {
        let lifecycle =
            ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
        ().serve_with_lifecycle(self.pipes(), lifecycle).await.unwrap()
    }

    /// Lines by hand.
    pub(crate) fn lines(&mut self) -> Lines {
        let output = BufReader::new(self.child.stdout.take().unwrap());
        Lines { input: self.child.stdin.take(), output }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; its exit code and what it logged.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Calls a tool.
pub(crate) async fn call(
    client: &Client,
    tool: &'static str,
    arguments: Value,
) -> Result<CallToolResult, ServiceError> {
    let arguments = arguments.as_object().unwrap().clone();
    client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await
}

/// The structured content of a call that must be done.
pub(crate) async fn done(client: &Client, tool: &'static str, arguments: Value) -> Value {
    let result = call(client, tool, arguments).await.unwrap();
    assert_ne!(result.is_error, Some(true), "{result:?}");
    result.structured_content.unwrap()
}

/// The code and the text of the error with which a call must be refused.
pub(crate) async fn refused(client: &Client, tool: &'static str, arguments: Value) -> (i32, String) {
    match call(client, tool, arguments).await {
        Err(ServiceError::McpError(error)) => (error.code.0, error.message.into_owned()),
        other => panic!("not refused: {other:?}"),
    }
}

/// The program's input and output.
pub(crate) struct Lines {
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Lines {
    /// Writes a line.
    pub(crate) fn write(&mut self, line: &str) {
        self.write_bytes(line.as_bytes());
    }

    /// Writes a line of anything.
    pub(crate) fn write_bytes(&mut self, line: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line).unwrap();
        input.write_all(b"\n").unwrap();
    }

    /// Ends the input.
    pub(crate) fn close(&mut self) {
        self.input = None;
    }

    /// The next line, which must be JSON-RPC. `None` after the last.
    pub(crate) fn read(&mut self) -> Option<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        Some(message)
    }

    /// Writes a message and reads what is said next.
    pub(crate) fn ask(&mut self, message: &Value) -> Value {
        self.write(&message.to_string());
        self.read().unwrap()
    }

    /// Says `initialize` and what follows it.
    pub(crate) fn initialize(&mut self) -> Value {
        self.initialize_with(&json!({}))
    }

    /// The same as a client that can do this.
    pub(crate) fn initialize_with(&mut self, capabilities: &Value) -> Value {
        let client = json!({ "name": "by hand", "version": "1" });
        let params =
            json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": client });
        let answer =
            self.ask(&json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }));
        self.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        answer
    }
}
