//! `mandate doctor`: a healthy server has no fault, and each way to break one is found by its own name.

mod front;
mod inside;
mod meddling;
mod outside;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mandate::config::PublicUrl;
use mandate::storage::users::Role;
use serde_json::Value;

use crate::support::Server;
use crate::support::mcp::{BOTH, mint};
use front::{Front, Meddling, Running};

/// What it said.
pub(crate) struct Said {
    /// The exit code.
    pub(crate) code: i32,
    /// The report.
    pub(crate) report: Value,
    /// Everything that was written, for what must not be in it.
    pub(crate) all: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let all = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
        let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{all}"));
        Self { code: output.status.code().unwrap(), report, all }
    }

    /// The names of what was found at these levels, in alphabetical order.
    pub(crate) fn found(&self, levels: &[&str]) -> Vec<&str> {
        let lines = self.report["findings"].as_array().unwrap().iter();
        let wanted = lines.filter(|line| levels.contains(&line["level"].as_str().unwrap()));
        let mut ids: Vec<&str> = wanted.map(|line| line["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        ids
    }

    /// What clients meet. A busy machine is slow without anybody's fault, so that counts only where it is `expected`.
    pub(crate) fn trouble(&self, expected: &[&str]) -> Vec<&str> {
        let mut found = self.found(&["warning", "fault"]);
        found.retain(|id| *id != "slow" || expected.contains(id));
        found
    }
}

/// Runs it with these arguments and this on its standard input, while the test's own servers go on.
pub(crate) async fn doctor(arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mandate"));
    command.arg("doctor").arg("--json").args(arguments).env_clear().current_dir("/");
    let input = input.to_owned();
    tokio::task::spawn_blocking(move || run(&mut command, &input)).await.unwrap()
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command, input: &str) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Said::of(&child.wait_with_output().unwrap())
}

/// A server behind a proxy that meddles.
pub(crate) struct Scene {
    _server: Server,
    /// A token for it.
    pub(crate) token: String,
    proxy: Running,
    url: String,
}

impl Scene {
    /// Starts both.
    pub(crate) async fn start(tls: bool, meddling: Meddling) -> Self {
        let front = Front::bind(tls).await;
        let url = front.url();
        let public_url = PublicUrl::parse(&url).unwrap();
        let server = Server::start_with(|config| config.public_url = public_url).await;
        let alice = server.add_user("alice", Role::Agent).await;
        let token = mint(&server, &alice.user_id, "client_doctor", BOTH).await.token;
        let proxy = front.serve(server.address, meddling);
        Self { _server: server, token, proxy, url }
    }

    /// Examines it from outside.
    pub(crate) async fn examine(&self, with_token: bool) -> Said {
        let ca_file = self.proxy.ca_file();
        let mut arguments = vec![self.url.as_str()];
        if let Some(ca_file) = ca_file.as_deref().map(shown) {
            arguments.extend(["--ca-file", ca_file]);
        }
        if with_token {
            arguments.extend(["--token-file", "-"]);
        }
        doctor(&arguments, &self.token).await
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The authority of its certificate.
    pub(crate) fn ca_file(&self) -> Option<PathBuf> {
        self.proxy.ca_file()
    }
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}
