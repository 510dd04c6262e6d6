//! The real binary: what it says at start, how it stops, how it refuses to start, and the commands that share its
//! store.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use sqlx::Executor as _;
use tempfile::TempDir;

use crate::support::browser::Address;
use crate::support::http;
use crate::support::profile::Profile;

/// A port that nobody listens on. From below the range out of which systems give ports to connections, and each
/// one once, so that nobody else takes it before the binary does.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id() % 20_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A folder of its own, stores of its own, and the settings that point the binary at them.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) port: u16,
    /// Its stores.
    pub(crate) profile: Profile,
}

impl Place {
    /// On this run's profile.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::fresh(&folder.path().join("data/mandate.db")).await;
        Self { folder, port: free_port(), profile }
    }

    /// On a file, whatever the profile: for what is about files.
    pub(crate) fn on_a_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::Embedded { file: folder.path().join("data/mandate.db") };
        Self { folder, port: free_port(), profile }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// The binary with these arguments, in an environment that says nothing else.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_mandate")), arguments)
    }

    /// The same of another binary.
    pub(crate) fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(self.folder.path());
        command.env("MANDATE_LISTEN", format!("127.0.0.1:{}", self.port));
        command.env("MANDATE_PUBLIC_URL", self.url(""));
        if let Profile::Services { database_url, redis_url, prefix } = &self.profile {
            command.env("MANDATE_DATABASE_URL", database_url).env("MANDATE_REDIS_URL", redis_url);
            command.env("MANDATE_REDIS_PREFIX", prefix).env("MANDATE_SECRET_KEY_FILE", "data/mandate.key");
        }
        command
    }

    /// Runs a command to its end with this on its standard input.
    fn run(&self, arguments: &[&str], input: &str) -> Output {
        ended(&mut self.command(arguments), input)
    }

    /// Runs a command that must do its work; returns what it says.
    pub(crate) fn done(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail; returns its one sentence.
    pub(crate) fn refused(&self, arguments: &[&str], input: &str) -> String {
        complaint(&self.run(arguments, input))
    }

    /// Changes the database behind the binary's back.
    pub(crate) async fn change_database(&self, statement: &'static str) {
        let pool = self.profile.database().await;
        pool.execute(statement).await.unwrap();
        pool.close().await;
    }

    /// The kinds of the audit log's events, oldest first.
    async fn audited(&self) -> Vec<String> {
        let pool = self.profile.database().await;
        // By time first: numbers are in order within a chain only.
        let rows = sqlx::query_as("SELECT event FROM audit_events ORDER BY at, seq").fetch_all(&pool).await;
        pool.close().await;
        rows.unwrap().into_iter().map(|(event,): (String,)| event).collect()
    }
}

impl Address for Place {
    fn at(&self, path: &str) -> String {
        self.url(path)
    }
}

pub(crate) fn ended(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that asks nothing may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The sentence with which a command failed: one line, no stack, no debug output.
#[track_caller]
pub(crate) fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let last = text.trim_end().lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("mandate: "), "{text}");
    assert_eq!(text.matches("mandate: ").count(), 1, "{text}");
    assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{text}");
    last["mandate: ".len()..].to_owned()
}

/// A serving binary; ended with the test.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) said: String,
}

impl Running {
    /// Starts, and waits for the last line of the greeting.
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        Self::wait_for(place.command(&[&["serve"], arguments].concat()).stderr(Stdio::null()))
    }

    /// As [`Self::start`], with its log going there.
    pub(crate) fn start_with_log(place: &Place, log: Stdio) -> Self {
        Self::wait_for(place.command(&["serve"]).stderr(log))
    }

    /// Starts this command, and waits for the last line of the greeting.
    pub(crate) fn wait_for(command: &mut Command) -> Self {
        Self::wait_for_line(command, "mcpServers")
    }

    /// The same up to a line with this in it: a server without an MCP endpoint names no clients.
    pub(crate) fn wait_for_line(command: &mut Command, last: &str) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains(last) {
            assert_ne!(lines.read_line(&mut said).unwrap(), 0, "it ended: {said}");
        }
        Self { child, said }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Its exit code, once it has ended.
    pub(crate) fn exit_code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// The word after `label`, up to the next blank.
    pub(crate) fn word_after(&self, label: &str) -> &str {
        let (_, rest) =
            self.said.split_once(label).unwrap_or_else(|| panic!("no {label:?} in {}", self.said));
        rest.split_whitespace().next().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn status(url: &str) -> StatusCode {
    http().get(url).send().await.unwrap().status()
}

#[tokio::test]
async fn the_demo_says_what_there_is_and_serves_it() {
    let place = Place::new().await;
    let running = Running::start(&place, &["--demo"]);
    let stores = match &place.profile {
        Profile::Embedded { .. } => ["SQLite", "mandate.db", "in process"],
        Profile::Services { .. } => ["PostgreSQL, 127.0.0.1:", "connections", "Redis, 127.0.0.1:"],
    };
    for expected in
        ["Mandate", &place.url("/account"), &place.url("/mcp"), "alice", "bob"].into_iter().chain(stores)
    {
        assert!(running.said.contains(expected), "{expected} in {}", running.said);
    }
    for client in ["claude mcp add", "code --add-mcp", "mcp.json"] {
        assert!(running.said.contains(client), "{client}");
    }
    assert!(!running.said.contains("/setup"), "there are accounts already: {}", running.said);
    assert_eq!(status(&place.url("/ready")).await, StatusCode::OK);
    assert_eq!(status(&place.url("/.well-known/oauth-authorization-server")).await, StatusCode::OK);
    let unauthenticated = http().post(place.url("/mcp")).body("{}").send().await.unwrap();
    assert_eq!(unauthenticated.status(), StatusCode::UNAUTHORIZED);
    assert!(place.path("data/mandate.key").exists());
    assert_eq!(place.path("data/mandate.db").exists(), !Profile::is_services());
    let listed = place.done(&["user", "list"], "");
    assert_eq!(listed.matches("disabled").count(), 6, "{listed}");
    assert!(running.said.contains("6 more, who only wrote tickets, are disabled"), "{}", running.said);
    // The same two users with the same passwords the next time.
    let password =
        |running: &Running, name: &str| running.word_after(&format!("{name:<8} password ")).to_owned();
    let (alice, bob) = (password(&running, "alice"), password(&running, "bob"));
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
    let again = Running::start(&place, &["--demo"]);
    assert_eq!(password(&again, "alice"), alice);
    // And of what is not as it was, that it is not.
    place.done(&["user", "password", "alice"], "a long enough password\n");
    drop(again);
    let again = Running::start(&place, &["--demo"]);
    assert!(again.said.contains("alice    password was changed"), "{}", again.said);
    assert_eq!(password(&again, "bob"), bob);
    place.done(&["user", "disable", "bob"], "");
    drop(again);
    let again = Running::start(&place, &["--demo"]);
    assert!(again.said.contains("bob      disabled") && !again.said.contains(&bob), "{}", again.said);
}

#[tokio::test]
async fn a_demo_adds_nothing_to_the_accounts_of_others() {
    let place = Place::new().await;
    place.done(&["user", "add", "alice"], "a long enough password\n");
    let running = Running::start(&place, &["--demo"]);
    assert!(running.said.contains("accounts of its own already"), "{}", running.said);
    assert!(!running.said.contains("password") && !running.said.contains("6 more"), "{}", running.said);
}

#[tokio::test]
async fn a_demo_password_signs_in() {
    let place = Place::new().await;
    let running = Running::start(&place, &["--demo"]);
    for username in ["alice", "bob"] {
        let page = http().get(place.url("/login")).send().await.unwrap();
        let cookies: Vec<_> = page.headers().get_all("set-cookie").iter().collect();
        let cookie = cookies.iter().map(|value| value.to_str().unwrap().split(';').next().unwrap());
        let cookie = cookie.collect::<Vec<_>>().join("; ");
        let body = page.text().await.unwrap();
        let csrf = body.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let password = running.word_after(&format!("{username:<8} password "));
        let form = [("csrf", csrf.as_str()), ("username", username), ("password", password)];
        let request = http().post(place.url("/login")).header("cookie", cookie).form(&form);
        let answer = request.header("sec-fetch-site", "same-origin").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{username}");
    }
}

#[tokio::test]
async fn an_empty_database_gets_a_setup_link_that_opens_a_page() {
    let place = Place::new().await;
    let running = Running::start(&place, &[]);
    let link = running.said.split_whitespace().find(|word| word.contains("/setup")).unwrap();
    assert!(link.starts_with(&place.url("/setup")), "{link}");
    assert!(!running.said.contains("password "), "{}", running.said);
    let page = http().get(link).send().await.unwrap();
    assert!(page.status().is_success() || page.status().is_redirection(), "{page:?}");
    drop(running);
    place.done(&["user", "add", "root", "--role", "agent"], "a long enough password\n");
    let running = Running::start(&place, &[]);
    assert!(!running.said.contains("/setup"), "{}", running.said);
}

#[tokio::test]
async fn sigterm_lets_a_request_finish_and_exits_0() {
    let place = Place::new().await;
    let running = Running::start(&place, &[]);
    let address: SocketAddr = ([127, 0, 0, 1], place.port).into();
    // Under way: the head and half of the body have arrived.
    let mut under_way = TcpStream::connect(address).unwrap();
    let body = "grant_type=refresh_token&client_id=client_unknown";
    let (first, rest) = body.split_at(20);
    let head = format!(
        "POST /token HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    under_way.write_all(head.as_bytes()).unwrap();
    // 100 Continue is sent when a handler reads the body: now the request is surely being answered.
    let mut lines = BufReader::new(under_way.try_clone().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.contains("100 Continue"), "{line}");
    under_way.write_all(first.as_bytes()).unwrap();
    running.terminate();
    // It has heard when nobody new is let in.
    while TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    under_way.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    lines.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 401") && answer.contains("invalid_client"), "{answer}");
    assert_eq!(running.exit_code(), Some(0));
}

#[tokio::test]
async fn sigterm_right_after_the_greeting_exits_0() {
    let place = Place::new().await;
    let running = Running::start(&place, &[]);
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_stops_neither_requests_nor_the_stop() {
    let place = Place::new().await;
    let mut running = Running::start_with_log(&place, Stdio::piped());
    drop(running.child.stderr.take());
    let form = [("client_id", "client_unknown")];
    for _ in 0..2 {
        let refused = http().post(place.url("/token")).form(&form).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "a refusal is logged");
    }
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
}

#[tokio::test]
async fn a_wrong_setting_ends_the_start_with_its_key_and_the_cure() {
    let place = Place::new().await;
    for (variable, value, key, cure) in [
        ("MANDATE_PUBLIC_URL", "tickets.example", "public_url", "https://"),
        ("MANDATE_PUBLIC_URL", "http://tickets.example", "public_url", "https"),
        ("MANDATE_PUBLIC_URL", "https://t.example/mcp", "public_url", "without path"),
        ("MANDATE_LISTEN", "8080", "listen", "127.0.0.1:8080"),
        ("MANDATE_LISTEN", "192.0.2.1:8080", "listen", "address of this machine"),
        ("MANDATE_DATABASE_URL", "mysql://x", "database_url", "sqlite://"),
        ("MANDATE_LOG_FORMAT", "xml", "log_format", "text, json"),
        ("MANDATE_TOKENS__SIGNING_ALGORITHM", "HS256", "tokens.signing_algorithm", "ES256"),
        ("MANDATE_TOKENS__CODE_LIFETIME", "1h", "tokens.code_lifetime", "ten minutes"),
        ("MANDATE_TOKENS__ACCESS_TOKEN_LIFETIME", "soon", "tokens.access_token_lifetime", "1h"),
        ("MANDATE_MCP__WRITES", "perhaps", "mcp.writes", "boolean"),
        ("MANDATE_MCP__READS_PER_MINUTE", "0", "mcp.reads_per_minute", "from 1 to"),
        ("MANDATE_TRUSTED_PROXIES", "proxy", "trusted_proxies", "10.0.0.0/8"),
        ("MANDATE_OUTBOUND__ALLOWED_HOSTS", "https://x/", "outbound.allowed_hosts", "host:port"),
        ("MANDATE_OUTBOUND__EXTRA_CA_FILE", "/nowhere.pem", "outbound.extra_ca_file: ", "leave the key out"),
        ("MANDATE_CLIENTS__PRELOADED_DOCUMENTS", "/nowhere", "clients.preloaded_documents", "/nowhere"),
        ("MANDATE_TOKENS__ACCESS_TOKEN_LIFETIME", "0s", "tokens.access_token_lifetime", "a second or more"),
        ("MANDATE_LOG", "inof", "log: \"inof\" is no level", "info"),
        ("MANDATE_LOG", "mandate=inof", "log: ", "info"),
        ("MANDATE_PUBLIC_ULR", "http://localhost", "MANDATE_PUBLIC_ULR: ", "mean MANDATE_PUBLIC_URL?"),
        ("MANDATE_MCP__WRITE", "false", "MANDATE_MCP__WRITE: ", "mean MANDATE_MCP__WRITES?"),
        ("MANDATE_MCP_WRITES", "false", "MANDATE_MCP_WRITES: ", "mean MANDATE_MCP__WRITES?"),
        ("MANDATE_MCP__TOOLS__GET_TICKET__BURST", "1", "mcp.tools.get_ticket.per_minute: ", "must be there"),
        ("MANDATE_AUTHORIZATION_SERVER", "off", "authorization_server", "[issuers.<name>]"),
        ("MANDATE_AUTHORIZATION_SERVER", "false", "authorization_server", "on, off"),
        ("MANDATE_ISSUERS__ACME__ISSUER", "http://acme.example", "issuers.acme.issuer", "https"),
        (
            "MANDATE_ISSUERS__ACME__ISUER",
            "x",
            "MANDATE_ISSUERS__ACME__ISUER: ",
            "mean MANDATE_ISSUERS__ACME__ISSUER?",
        ),
    ] {
        let sentence = complaint(&ended(place.command(&["serve"]).env(variable, value), ""));
        assert!(sentence.contains(key) && sentence.contains(cure), "{variable}={value}: {sentence}");
        assert!(sentence.len() < 300, "{sentence}");
    }
}

#[tokio::test]
async fn a_wrong_file_ends_the_start_with_its_key_and_the_cure() {
    let place = Place::new().await;
    let file = place.path("mandate.toml");
    for (text, key, cure) in [
        (
            "public_ulr = \"http://localhost\"",
            "public_ulr: it is no key (in mandate.toml)",
            "mean public_url?",
        ),
        (
            "[tokens]\naccess_lifetime = \"1h\"",
            "tokens.access_lifetime: ",
            "mean tokens.access_token_lifetime?",
        ),
        ("[mcp]\nwrites = \"perhaps\"", "mcp.writes", "boolean"),
        ("[mcp.tools.create_tiket]\nper_minute = 1", "mcp.tools.create_tiket: ", "create_ticket"),
        ("[mcp.tools.create_ticket]\nper_minute = 0", "mcp.tools.create_ticket: ", "from 1 to"),
        (
            "[mcp.tools.create_ticket]\nper_hour = 1",
            "ticket.per_hour: ",
            "mean mcp.tools.create_ticket.per_minute?",
        ),
        ("listen = 8080", "listen", "127.0.0.1:8080"),
        ("listen = ", "mandate.toml", "line 1"),
    ] {
        std::fs::write(&file, text).unwrap();
        let mut command = place.command(&["serve", "--config", "mandate.toml"]);
        let sentence = complaint(&ended(command.env_remove("MANDATE_LISTEN"), ""));
        assert!(sentence.contains(key) && sentence.contains(cure), "{text}: {sentence}");
    }
    let sentence = place.refused(&["serve", "--config", "missing.toml"], "");
    assert!(sentence.contains("missing.toml"), "{sentence}");
    // A variable wins over the file.
    std::fs::write(&file, "public_url = \"nonsense\"").unwrap();
    place.done(&["--config", "mandate.toml", "migrate"], "");
}

#[tokio::test]
async fn a_resource_server_alone_says_who_signs_people_in_and_has_no_setup_link() {
    let place = Place::new().await;
    let table = r#"
        authorization_server = "off"
        [issuers.acme]
        issuer = "https://login.acme.example/Tenant"
        audience = ["api://Tickets"]
        scope_prefix = "api://Tickets/"
        [issuers.acme.scopes]
        "Tickets.Read.All" = "tickets:read"
        "Tickets.Write" = "tickets:write"
        [issuers.acme.accounts]
        create = true
        role_claim = "groups"
        agents = ["Support"]
        requesters = ["Staff"]
    "#;
    std::fs::write(place.path("mandate.toml"), table).unwrap();
    let running = Running::start(&place, &["--config", "mandate.toml"]);
    assert!(running.said.contains("https://login.acme.example/Tenant (acme)"), "{}", running.said);
    assert!(!running.said.contains("/setup") && !running.said.contains("/account"), "{}", running.said);
    let metadata = http().get(place.url("/.well-known/oauth-protected-resource")).send().await.unwrap();
    let metadata: serde_json::Value = metadata.json().await.unwrap();
    assert_eq!(metadata["authorization_servers"][0], "https://login.acme.example/Tenant");
    let names = ["api://Tickets/Tickets.Read.All", "api://Tickets/Tickets.Write"];
    assert_eq!(
        metadata["scopes_supported"],
        serde_json::json!(names),
        "in the case that they are written in"
    );
    assert_eq!(status(&place.url("/account")).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sighup_switches_the_tools_that_write() {
    let place = Place::new().await;
    let file = place.path("mandate.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[mcp]\nwrites = true");
    let running =
        Running::wait_for(place.command(&["--config", "mandate.toml", "serve"]).stderr(Stdio::null()));
    let document = place.url("/.well-known/oauth-protected-resource");
    let offered =
        async || http().get(&document).send().await.unwrap().text().await.unwrap().contains("tickets:write");
    let becomes = async |expected: bool| {
        let waiting = async { while offered().await != expected {} };
        tokio::time::timeout(crate::support::events::PATIENCE, waiting).await.expect("it is not switched");
    };
    assert!(offered().await);
    write("[mcp]\nwrites = false");
    running.signal("-HUP");
    becomes(false).await;
    write("nonsense");
    running.signal("-HUP");
    write("[mcp]\nwrites = true");
    running.signal("-HUP");
    becomes(true).await;
}

#[tokio::test]
async fn a_port_in_use_ends_the_start() {
    let place = Place::new().await;
    let _other = TcpListener::bind(("127.0.0.1", place.port)).unwrap();
    let sentence = place.refused(&["serve"], "");
    for part in ["listen: ", "another port", "MANDATE_LISTEN=127.0.0.1:", "MANDATE_PUBLIC_URL"] {
        assert!(sentence.contains(part), "{part} in {sentence}");
    }
}

#[tokio::test]
async fn why_a_start_ended_is_said_once_for_people_and_once_for_programs() {
    let place = Place::on_a_file();
    let _other = TcpListener::bind(("127.0.0.1", place.port)).unwrap();
    for (format, lines) in [("text", 1), ("json", 2)] {
        let output = ended(place.command(&["serve"]).env("MANDATE_LOG_FORMAT", format), "");
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(said.lines().count(), lines, "{said}");
        assert!(said.lines().all(|line| line.contains("another port")), "{said}");
        complaint(&output);
    }
}

#[tokio::test]
async fn a_signal_during_a_slow_start_is_heard() {
    let place = Place::on_a_file();
    // A database that takes its time.
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://mandate@{}/mandate?sslmode=disable", database.local_addr().unwrap());
    let mut command = place.command(&["serve"]);
    command.env("MANDATE_DATABASE_URL", url).env("MANDATE_REDIS_URL", "redis://127.0.0.1:9");
    command.env("MANDATE_SECRET_KEY_FILE", "mandate.key").stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running { child: command.spawn().unwrap(), said: String::new() };
    let _asked = database.accept().unwrap();
    running.signal("-HUP");
    running.terminate();
    assert_eq!(running.child.wait().unwrap().code(), Some(0), "neither of them ends it on the spot");
}

#[tokio::test]
async fn what_fails_after_the_store_was_opened_leaves_it_closed() {
    let place = Place::on_a_file();
    place.done(&["migrate"], "");
    let log = place.path("data/mandate.db-wal");
    assert!(!log.exists());
    assert!(place.refused(&["stdio", "--user", "nobody"], "").contains("nobody"));
    assert!(!log.exists(), "SQLite's log goes with the last that closes the database");
}

#[tokio::test]
async fn what_cannot_be_written_is_a_failure_unless_the_reader_had_enough() {
    let place = Place::on_a_file();
    place.done(&["migrate"], "");
    for arguments in [&["config", "schema"][..], &["config", "check"], &["user", "list"], &["man", "serve"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let sentence =
            complaint(&place.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap());
        assert!(sentence.starts_with("standard output cannot be written: "), "{arguments:?}: {sentence}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.command(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_ends_the_start() {
    let place = Place::on_a_file();
    std::fs::create_dir(place.path("data")).unwrap();
    let file = place.path("data/mandate.db");
    std::fs::write(&file, "this is no database, it is a text of some length".repeat(50)).unwrap();
    let garbage = place.refused(&["serve"], "");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let folder = place.refused(&["serve"], "");
    for sentence in [garbage, folder] {
        assert!(
            sentence.starts_with("database_url: ") && sentence.contains("cannot be opened"),
            "{sentence}"
        );
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_ends_the_start() {
    let place = Place::new().await;
    place.done(&["migrate"], "");
    let newest = "UPDATE _sqlx_migrations SET version = 9999 \
                  WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
    place.change_database(newest).await;
    let sentence = place.refused(&["serve"], "");
    assert!(sentence.starts_with("database_url: ") && sentence.contains("newer version"), "{sentence}");
}

/// Runs a command with these settings over the place's own; an empty one removes its variable.
fn refused_with(place: &Place, arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let mut command = place.command(arguments);
    // Several at once: each on a port of its own.
    command.env("MANDATE_LISTEN", "127.0.0.1:0");
    for (variable, value) in settings {
        match *value {
            "" => command.env_remove(variable),
            value => command.env(variable, value),
        };
    }
    complaint(&ended(&mut command, ""))
}

#[tokio::test]
async fn a_store_that_is_away_ends_the_start_with_its_key_and_without_its_password() {
    // One for each, since one server alone serves a file.
    let places = [Place::new().await, Place::new().await, Place::new().await];
    for place in &places {
        place.done(&["migrate"], "");
    }
    let nobody = free_port();
    let postgres = format!("postgres://mandate:hunter2@127.0.0.1:{nobody}/mandate");
    let redis = format!("redis://mandate:hunter2@127.0.0.1:{nobody}");
    let cluster = format!("{redis},{redis}");
    let postgres = [
        ("MANDATE_DATABASE_URL", postgres.as_str()),
        ("MANDATE_REDIS_URL", redis.as_str()),
        ("MANDATE_SECRET_KEY_FILE", "mandate.key"),
    ];
    let cases = [
        (&postgres[..], "database_url: "),
        (&[("MANDATE_REDIS_URL", redis.as_str())], "redis_url: "),
        (&[("MANDATE_REDIS_URL", cluster.as_str())], "redis_url: "),
    ];
    // At the same time, because a database that is starting is waited for.
    std::thread::scope(|scope| {
        for ((settings, key), place) in cases.into_iter().zip(&places) {
            for arguments in [&["serve"][..], &["user", "enable", "nobody"]] {
                scope.spawn(move || {
                    let sentence = refused_with(place, arguments, settings);
                    let says = |words| sentence.contains(words);
                    assert!(sentence.starts_with(key) && says("check that the server runs"), "{sentence}");
                    assert!(!says("hunter2"), "{sentence}");
                });
            }
        }
    });
}

#[tokio::test]
async fn a_start_that_waits_for_the_database_is_stopped_at_once() {
    let place = Place::on_a_file();
    // With signing keys and without an account: the start records a link with which to make one.
    place.done(&["migrate"], "");
    place.done(&["client", "add", "--name", "App", "--redirect-uri", "https://app.example/cb"], "");
    let pool = place.profile.database().await;
    let mut writer = pool.acquire().await.unwrap();
    writer.execute("BEGIN IMMEDIATE").await.unwrap();
    let mut command = place.command(&["serve"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // It listens before it opens the database.
    while TcpStream::connect(("127.0.0.1", place.port)).is_err() {
        assert_eq!(child.try_wait().unwrap(), None);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    // SQLite itself waits five seconds for the lock, of which one has passed.
    let ended = tokio::time::timeout(Duration::from_secs(3), async {
        while child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    ended.await.expect("it does not wait for the lock");
    assert!(child.wait().unwrap().success());
    drop(writer);
    pool.close().await;
}

#[tokio::test]
async fn what_only_reads_asks_no_redis() {
    let place = Place::new().await;
    place.done(&["user", "add", "carol"], "a long enough password\n");
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    let alone = |arguments: &[&str]| ended(place.command(arguments).env("MANDATE_REDIS_URL", &nobody), "");
    for (arguments, shown) in [
        (&["user", "list"][..], "carol"),
        (&["client", "list"], "CLIENT_ID"),
        (&["grant", "list"], "LAST_USED"),
        (&["keys", "list"], "signing"),
        (&["audit", "list"], "account_changed"),
        (&["audit", "export"], "account_changed"),
        (&["audit", "verify"], "as it was written"),
    ] {
        let output = alone(arguments);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(shown), "{arguments:?}: {output:?}");
    }
    // What ends somebody's access is told to all who remember it.
    let sentence = complaint(&alone(&["user", "disable", "carol"]));
    assert!(sentence.starts_with("redis_url: "), "{sentence}");
}

#[tokio::test]
async fn a_redis_that_does_not_let_us_in_ends_the_start() {
    let place = Place::new().await;
    let Profile::Services { redis_url, .. } = &place.profile else { return };
    let with_password = redis_url.replace("redis://", "redis://mandate:hunter2@");
    let sentence = refused_with(&place, &["serve"], &[("MANDATE_REDIS_URL", &with_password)]);
    assert!(sentence.starts_with("redis_url: ") && sentence.contains("password"), "{sentence}");
    assert!(!sentence.contains("hunter2"), "{sentence}");
}

#[tokio::test]
async fn postgresql_needs_redis_and_a_key_file_that_replicas_share() {
    let place = Place::on_a_file();
    let url = "postgres://mandate:hunter2@127.0.0.1/mandate";
    let (database, file) = (("MANDATE_DATABASE_URL", url), ("MANDATE_SECRET_KEY_FILE", "mandate.key"));
    let redis = ("MANDATE_REDIS_URL", "redis://127.0.0.1");
    let cases = [
        (vec![database, file], "redis_url: "),
        (vec![database, redis], "secret_key_file: "),
        (vec![database, file, ("MANDATE_REDIS_URL", "127.0.0.1:6379")], "redis_url: "),
        (vec![database, file, redis, ("MANDATE_REDIS_PREFIX", "a b")], "redis_prefix: "),
        (vec![database, file, redis, ("MANDATE_DATABASE_CONNECTIONS", "0")], "database_connections: "),
    ];
    for (settings, key) in cases {
        let sentence = refused_with(&place, &["serve"], &settings);
        assert!(sentence.starts_with(key) && !sentence.contains("hunter2"), "{sentence}");
    }
}

#[tokio::test]
async fn a_key_file_of_another_database_ends_the_start() {
    let place = Place::new().await;
    // Makes the first keys that are sealed.
    place.done(&["user", "add", "alice"], "a long enough password\n");
    std::fs::write(place.path("data/mandate.key"), format!("{}\n", "A".repeat(43))).unwrap();
    let other = place.refused(&["serve"], "");
    for reading in [["user", "list"], ["audit", "verify"]] {
        assert_eq!(place.refused(&reading, ""), other, "{reading:?}");
    }
    std::fs::write(place.path("data/mandate.key"), "short").unwrap();
    let short = place.refused(&["serve"], "");
    for sentence in [other, short] {
        assert!(sentence.starts_with("secret_key_file: "), "{sentence}");
    }
}

#[tokio::test]
async fn accounts_are_managed_on_the_store_of_the_running_server() {
    let place = Place::new().await;
    let _running = Running::start(&place, &[]);
    let said = place.done(&["user", "add", "carol", "--role", "agent"], "a long enough password\n");
    assert!(said.contains("carol") && said.contains("agent"), "{said}");
    std::fs::write(place.path("password.txt"), "another long password\nnot this line\n").unwrap();
    place.done(&["user", "add", "dave", "--password-file", "password.txt"], "");
    let listed = place.done(&["user", "list"], "");
    let row =
        |listed: &str, name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row(&listed, "carol").contains("agent") && row(&listed, "carol").contains("active"), "{listed}");
    assert!(row(&listed, "dave").contains("requester"), "{listed}");
    assert!(place.refused(&["user", "add", "Carol"], "a long enough password\n").contains("already"));
    assert!(place.refused(&["user", "add", "erin"], "short\n").to_lowercase().contains("password"));
    for nothing in ["", "\n"] {
        let sentence = place.refused(&["user", "add", "erin"], nothing);
        assert!(sentence.starts_with("no password came on standard input"), "{sentence}");
    }
    std::fs::write(place.path("empty.txt"), "\n").unwrap();
    let sentence = place.refused(&["user", "add", "erin", "--password-file", "empty.txt"], "");
    assert!(sentence.contains("empty.txt: its first line is empty"), "{sentence}");
    place.done(&["user", "add", "frank", "--password-file", "-"], "a long enough password\n");
    place.refused(&["user", "add", "a b/c"], "a long enough password\n");
    place.done(&["user", "password", "dave"], "a third long password\n");
    place.done(&["user", "disable", "carol"], "");
    assert!(row(&place.done(&["user", "list"], ""), "carol").contains("disabled"));
    place.done(&["user", "enable", "carol"], "");
    assert!(row(&place.done(&["user", "list"], ""), "carol").contains("active"));
    assert!(place.refused(&["user", "enable", "carol"], "").contains("not disabled"));
    assert!(place.done(&["user", "role", "dave", "agent"], "").contains("The role of dave is agent"));
    assert!(row(&place.done(&["user", "list"], ""), "dave").contains("agent"));
    assert!(
        place.refused(&["user", "role", "Dave", "agent"], "").contains("the role of dave is agent already")
    );
    assert_eq!(
        place.audited().await,
        ["account_changed"; 7],
        "three added, a password, a disabling and its end, a role"
    );
    for arguments in [
        &["disable", "nobody"][..],
        &["enable", "nobody"],
        &["password", "nobody"],
        &["role", "nobody", "agent"],
    ] {
        let sentence = place.refused(&[&["user"], arguments].concat(), "a long enough password\n");
        assert!(sentence.contains("nobody") && sentence.contains("user list"), "{sentence}");
    }
    assert_eq!(status(&place.url("/ready")).await, StatusCode::OK);
}

#[tokio::test]
async fn a_role_that_an_issuer_says_is_changed_there() {
    let place = Place::new().await;
    place.done(&["user", "add", "carol"], "a long enough password\n");
    // Linked, and not there since roles follow a claim: the next word undoes what is changed here all the same.
    let linked = "INSERT INTO identities (issuer, subject, user_id, linked_at) \
                  SELECT 'https://login.acme.example', 'c', user_id, 1 FROM users WHERE username = 'carol'";
    place.change_database(linked).await;
    let table = "[issuers.acme]\nissuer = \"https://login.acme.example\"\naudience = [\"api://t\"]\n\
                 [issuers.acme.scopes]\n\"read\" = \"tickets:read\"\n";
    let roles = "[issuers.acme.accounts]\nrole_claim = \"groups\"\nagents = [\"support\"]\n";
    std::fs::write(place.path("mandate.toml"), [table, roles].concat()).unwrap();
    let named = ["--config", "mandate.toml", "user", "role", "carol", "agent"];
    let sentence = place.refused(&named, "");
    assert!(
        sentence.contains("https://login.acme.example says") && sentence.contains("change it there"),
        "{sentence}"
    );
    // Of an issuer whose word no longer counts, or that is no longer listened to, there is no next one.
    std::fs::write(place.path("mandate.toml"), table).unwrap();
    place.done(&named, "");
    place.done(&["user", "role", "carol", "requester"], "");
}

#[tokio::test]
async fn clients_are_managed_on_the_store_of_the_running_server() {
    let place = Place::new().await;
    let _running = Running::start(&place, &[]);
    let uri = ["--redirect-uri", "https://reports.example/cb"];
    let added = place.done(&[&["client", "add", "--name", "Reports"], &uri[..]].concat(), "");
    let value =
        |label: &str| added.split_once(label).unwrap().1.split_whitespace().next().unwrap().to_owned();
    let (client_id, secret) = (value("client_id: "), value("client_secret: "));
    let form = [("grant_type", "refresh_token"), ("refresh_token", "x")];
    let with = async |secret: &str| {
        let request = http().post(place.url("/token")).basic_auth(&client_id, Some(secret)).form(&form);
        request.send().await.unwrap().status()
    };
    assert_eq!(with(&secret).await, StatusCode::BAD_REQUEST, "known at once, without a restart");
    assert_eq!(with("wrong").await, StatusCode::UNAUTHORIZED);
    let named = ["client", "add", "--name", "App", "--client-id", "app", "--auth-method", "none"];
    let public = place.done(&[&named[..], &["--redirect-uri", "http://127.0.0.1/cb"]].concat(), "");
    assert!(public.contains("client_id: app") && !public.contains("secret"), "{public}");
    assert!(place.refused(&[&named[..], &uri].concat(), "").contains("already"));
    let listed = place.done(&["client", "list"], "");
    assert!(listed.contains(&client_id) && listed.contains("Reports") && listed.contains("app"), "{listed}");
    assert!(!listed.contains(&secret));
    for uri in ["javascript:alert(1)", "http://reports.example/cb", "https://x.example/#f", "x"] {
        let sentence = place.refused(&["client", "add", "--name", "X", "--redirect-uri", uri], "");
        assert!(sentence.contains("https"), "{sentence}");
    }
    let bad_id = ["client", "add", "--name", "X", "--client-id", "user_1"];
    assert!(place.refused(&[&bad_id[..], &uri].concat(), "").contains("--client-id"));
    let keys = ["client", "add", "--name", "X", "--auth-method", "private_key_jwt"];
    assert!(place.refused(&[&keys[..], &uri].concat(), "").contains("jwks"));
    let unseen = "No client with this id has been seen here";
    assert!(!place.done(&["client", "disable", &client_id], "").contains(unseen));
    assert!(place.done(&["client", "disable", "acme:reports"], "").contains(unseen));
    assert!(place.done(&["client", "disable", &client_id], "").contains("already"));
    assert_eq!(with(&secret).await, StatusCode::UNAUTHORIZED, "at once");
    let listed = place.done(&["client", "list"], "");
    for id in [&client_id, "acme:reports"] {
        let row = listed.lines().find(|line| line.starts_with(id)).unwrap();
        assert!(row.contains("disabled"), "{listed}");
    }
    place.done(&["client", "enable", &client_id], "");
    assert_eq!(with(&secret).await, StatusCode::BAD_REQUEST, "at once");
    assert!(place.refused(&["client", "enable", &client_id], "").contains("client list"));
    assert!(place.refused(&["client", "disable", ""], "").contains("ASCII"));
    place.done(&["client", "remove", &client_id], "");
    assert_eq!(with(&secret).await, StatusCode::UNAUTHORIZED);
    let kinds = ["registered", "registered", "disabled", "disabled", "enabled", "removed"];
    assert_eq!(place.audited().await, kinds.map(|kind| format!("client_{kind}")));
    let sentence = place.refused(&["client", "remove", &client_id], "");
    assert!(sentence.contains(&client_id) && sentence.contains("client list"), "{sentence}");
}

#[tokio::test]
async fn the_audit_log_is_listed_exported_and_verified_beside_the_running_server() {
    let place = Place::new().await;
    let _running = Running::start(&place, &[]);
    place.done(&["user", "add", "carol"], "a long enough password\n");
    for client_id in ["one", "two"] {
        let named = ["client", "add", "--name", "\u{1b}[31mApp", "--client-id", client_id];
        place.done(&[&named[..], &["--redirect-uri", "https://app.example/cb"]].concat(), "");
    }
    place.done(&["client", "remove", "one"], "");
    let listed = place.done(&["audit", "list"], "");
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].starts_with("TIME") && lines.len() == 5, "{listed}");
    assert!(lines[1].contains("client_removed") && lines[4].contains("carol"), "newest first: {listed}");
    assert_eq!(place.done(&["audit", "list", "--client", "one", "--limit", "1"], "").lines().count(), 2);
    assert_eq!(place.done(&["audit", "list", "--user", "carol", "--outcome", "done"], "").lines().count(), 2);
    assert!(place.refused(&["audit", "list", "--user", "nobody"], "").contains("user list"));
    let json = |text: &str| -> Vec<serde_json::Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let mut newest_first = json(&place.done(&["audit", "list", "--json"], ""));
    newest_first.reverse();
    let exported = json(&place.done(&["audit", "export"], ""));
    assert_eq!(exported, newest_first);
    assert_eq!(exported.len(), 4);
    for event in &exported {
        assert!(event["seal"].is_string() && event["chain"].is_i64() && event["link"].is_i64(), "{event}");
    }
    assert_eq!(place.done(&["audit", "export", "--until", "2026-01-01"], ""), "");
    assert_eq!(json(&place.done(&["audit", "export", "--since", "2026-01-01T00:00:00Z"], "")).len(), 4);
    let verified = place.done(&["audit", "verify"], "");
    assert!(verified.contains("as it was written: 4 events in 16 chains"), "{verified}");
    place.change_database("UPDATE audit_events SET client_id = 'other' WHERE event = 'client_removed'").await;
    let output = place.run(&["audit", "verify"], "");
    let findings = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(complaint(&output).contains("1 finding in 4 events"));
    let removed = &exported[3];
    let named =
        format!("chain {}, link {} (seq {}): changed", removed["chain"], removed["link"], removed["seq"]);
    assert!(findings.starts_with(&named) && findings.lines().count() == 1, "{findings}");
}

#[tokio::test]
async fn every_command_has_help_with_an_example_and_takes_no_secret_as_an_argument() {
    let place = Place::new().await;
    for command in [
        &[][..],
        &["serve"],
        &["user", "add"],
        &["user", "list"],
        &["user", "disable"],
        &["user", "password"],
        &["client", "add"],
        &["client", "list"],
        &["client", "remove"],
        &["grant", "list"],
        &["grant", "revoke"],
        &["keys", "list"],
        &["keys", "rotate"],
        &["token", "mint"],
        &["audit", "list"],
        &["audit", "export"],
        &["audit", "verify"],
        &["backup"],
        &["restore"],
        &["connect"],
        &["doctor"],
    ] {
        let help = place.done(&[command, &["--help"]].concat(), "");
        assert!(help.contains("Example:"), "{command:?}: {help}");
        for option in ["--password ", "--secret ", "--token ", "--client-secret "] {
            assert!(!help.contains(option), "{command:?}: {help}");
        }
    }
    assert!(!place.path("data").exists(), "help opens nothing");
}

#[tokio::test]
async fn a_healthcheck_says_whether_the_server_is_ready() {
    let place = Place::new().await;
    let refused = place.refused(&["healthcheck"], "");
    assert!(refused.contains(&format!("http://127.0.0.1:{}/ready is not ready: ", place.port)), "{refused}");
    let running = Running::start(&place, &["--demo"]);
    assert_eq!(place.done(&["healthcheck"], ""), "ready\n");
    assert_eq!(place.done(&["healthcheck", "--url", &place.url("/live")], ""), "ready\n");
    let refused = place.refused(&["healthcheck", "--url", &place.url("/nowhere")], "");
    assert!(refused.ends_with("is not ready: 404 Not Found"), "{refused}");
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
}

#[tokio::test]
async fn a_database_can_be_brought_up_to_date_before_any_server_starts() {
    let place = Place::new().await;
    for _ in 0..2 {
        let said = place.done(&["migrate"], "");
        assert!(said.starts_with("The schema of ") && said.contains(env!("CARGO_PKG_VERSION")), "{said}");
    }
    assert!(place.done(&["user", "list"], "").contains("USERNAME"));
}
