//! Backups and what comes after one was put back: on SQLite by the binary's own commands, on PostgreSQL by
//! PostgreSQL's and the binary's.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

use crate::binary::{Place, Running, complaint, ended};
use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::mcp::Mcp;
use crate::support::profile::Profile;
use crate::support::services::postgres::program;
use crate::support::{PASSWORD, http};

/// Starts a server on which nobody is slowed down.
fn serve(place: &Place) -> Running {
    let mut command = place.command(&["serve"]);
    for (variable, value) in [
        ("MANDATE_MCP__WRITES_PER_MINUTE", "1000000"),
        ("MANDATE_TOKENS__REFRESH_GRACE", "0s"),
        ("MANDATE_DRAIN_DELAY", "0s"),
    ] {
        command.env(variable, value);
    }
    Running::wait_for(command.stderr(Stdio::null()))
}

fn stop(running: Running) {
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
}

fn add_user(place: &Place, username: &str) {
    place.done(&["user", "add", username, "--role", "agent"], &format!("{PASSWORD}\n"));
}

async fn call(place: &Place, token: &str) -> StatusCode {
    Mcp::modern(place, token).call("search_tickets", json!({ "query": "x" })).await.status
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

async fn published_keys(place: &Place) -> Vec<String> {
    let set: Value = http().get(place.url("/jwks")).send().await.unwrap().json().await.unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| text(key, "kid")).collect()
}

/// The audit log's events of a kind, newest first.
fn audited(place: &Place, event: &str) -> Vec<String> {
    let lines = place.done(&["audit", "list", "--json", "--event", event], "");
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.map(|event| event["detail"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The files beside the database, without what belongs to it.
fn files(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.path("data")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let stays = ["mandate.db", "mandate.key", "mandate.db.lock", "mandate.db.serve.lock"];
    names.retain(|name| !stays.contains(&name.as_str()));
    names.sort();
    names
}

/// A person with a browser and two connected apps at the moment of the backup, and what they did after it.
struct Story {
    client_id: String,
    kept: Value,
    renewed: Value,
    taken_back: Value,
    cookies: std::collections::BTreeMap<String, String>,
    keys_then: Vec<String>,
    revoked_key: String,
}

impl Story {
    /// Tells it up to the moment at which the server is stopped.
    async fn told(place: &Place, backup: impl AsyncFnOnce()) -> Self {
        add_user(place, "alice");
        let running = serve(place);
        let client = Client::register(place).await;
        let [kept, renewed, taken_back] = [
            client.obtain_tokens("alice").await,
            client.obtain_tokens("alice").await,
            client.obtain_tokens("alice").await,
        ];
        let cookies = Browser::signed_in(place, "alice").await.cookies;
        let keys_then = published_keys(place).await;
        backup().await;
        // Since then one app renewed its tokens, one lost its access, and a key was taken back.
        let (status, _) = client.refresh(&text(&renewed, "refresh_token")).await;
        assert_eq!(status, StatusCode::OK);
        let form = [("token", text(&taken_back, "refresh_token")), ("client_id", client.client_id.clone())];
        let revoked = http().post(place.url("/revoke")).form(&form).send().await.unwrap();
        assert_eq!(revoked.status(), StatusCode::OK);
        assert_eq!(call(place, &text(&taken_back, "access_token")).await, StatusCode::UNAUTHORIZED);
        let revoked_key = keys_then[0].clone();
        place.done(&["keys", "rotate", "--revoke", &revoked_key], "");
        stop(running);
        let client_id = client.client_id;
        Self { client_id, kept, renewed, taken_back, cookies, keys_then, revoked_key }
    }

    /// Everything that was granted before is refused, whatever became of it since, and can be granted again.
    async fn assert_all_has_ended(&self, place: &Place) {
        let running = serve(place);
        let client = Client::known(place, self.client_id.as_str());
        for tokens in [&self.kept, &self.renewed, &self.taken_back] {
            assert_eq!(call(place, &text(tokens, "access_token")).await, StatusCode::UNAUTHORIZED);
            let (status, answer) = client.refresh(&text(tokens, "refresh_token")).await;
            assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
        }
        let mut browser = Browser::new(place);
        browser.cookies.clone_from(&self.cookies);
        let page = browser.get("/account").await;
        assert!(page.location.contains("/login"), "{page:?}");
        let keys = published_keys(place).await;
        assert!(self.keys_then.iter().all(|kid| !keys.contains(kid)), "{keys:?}");
        assert_eq!(keys.len(), 2, "made anew");
        assert_eq!(audited(place, "refresh_reused"), [""; 0], "nobody is taken for a thief");
        let tokens = client.obtain_tokens("alice").await;
        assert_eq!(call(place, &text(&tokens, "access_token")).await, StatusCode::OK);
        assert!(place.done(&["audit", "verify"], "").contains("as it was written"));
        stop(running);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_busy_server_is_whole_private_and_overwrites_nothing() {
    let place = Place::on_a_file();
    add_user(&place, "alice");
    let _running = serve(&place);
    let tokens = Client::register(&place).await.obtain_tokens("alice").await;
    let token = text(&tokens, "access_token");
    let (is_over, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let writing = async {
        let mcp = Mcp::modern(&place, &token);
        while !is_over.load(Ordering::SeqCst) {
            let number = written.fetch_add(1, Ordering::SeqCst);
            let ticket = json!({ "title": "Busy", "body": "Very.", "idempotency_key": number.to_string() });
            let answer = mcp.call("create_ticket", ticket).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        }
    };
    let names = ["one.backup", "two.backup", "three.backup"];
    let backing_up = async {
        for name in names {
            let before = written.load(Ordering::SeqCst);
            let said = tokio::task::block_in_place(|| place.done(&["backup", name], ""));
            assert!(said.contains("verified") && said.contains("mandate.key is not in it"), "{said}");
            while written.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(writing, backing_up);
    for name in names {
        let file = place.path(name);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // A ticket, its effect and its event are written in one transaction.
        let mut database =
            sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        let counted: (i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM tickets), (SELECT COUNT(*) FROM effects), \
             (SELECT COUNT(*) FROM audit_events WHERE event = 'tool_call')",
        )
        .fetch_one(&mut database)
        .await
        .unwrap();
        assert!(counted.0 == counted.1 && counted.1 == counted.2, "{counted:?}");
        database.close().await.unwrap();
    }
    let before = std::fs::read(place.path("one.backup")).unwrap();
    let refused = place.refused(&["backup", "one.backup"], "");
    assert!(refused.contains("one.backup exists already"), "{refused}");
    assert!(std::fs::read(place.path("one.backup")).unwrap() == before);
    // It has no name that another file could have already.
    std::fs::write(place.path("data/mandate.backup"), "of another day").unwrap();
    let piped = place.command(&["backup", "-"]).stderr(Stdio::null()).output().unwrap();
    assert!(piped.status.success() && piped.stdout.starts_with(b"SQLite format 3\0"));
    std::fs::remove_file(place.path("data/mandate.backup")).unwrap();
    assert!(files(&place).iter().all(|name| name.starts_with("mandate.db-")), "{:?}", files(&place));
    assert!(place.refused(&["backup", "nowhere/one.backup"], "").contains("no folder"));
}

#[tokio::test]
async fn a_backup_of_nothing_makes_nothing() {
    let place = Place::on_a_file();
    assert!(place.refused(&["backup", "one.backup"], "").contains("there is no database"));
    assert!(!place.path("data").exists() && !place.path("one.backup").exists());
    place.done(&["migrate"], "");
    std::fs::rename(place.path("data/mandate.key"), place.path("away.key")).unwrap();
    let said = place.done(&["backup", "one.backup"], "");
    assert!(said.contains("WARNING: there is no key file"), "{said}");
    assert!(!place.path("data/mandate.key").exists());
}

/// Starts `mandate backup -` and reads its first byte: it writes then, and cannot go on before somebody reads.
fn piping(place: &Place) -> (Child, ChildStdout) {
    let mut command = place.command(&["backup", "-"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    (child, stdout)
}

/// Whether a file is there that has no name yet.
fn is_writing(place: &Place) -> bool {
    files(place).iter().any(|name| name.contains(".draft"))
}

/// The sentence of a command that is ended by a signal.
fn stopped(child: Child, signal: &str) -> String {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    complaint(&child.wait_with_output().unwrap())
}

#[tokio::test]
async fn a_backup_that_is_not_read_to_its_end_fails() {
    let place = Place::on_a_file();
    add_user(&place, "alice");
    let (child, stdout) = piping(&place);
    drop(stdout);
    let sentence = complaint(&child.wait_with_output().unwrap());
    assert!(sentence.contains("standard output cannot be written"), "{sentence}");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = place.command(&["backup", "-"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert!(complaint(&output).contains("standard output cannot be written"), "{output:?}");
    let file = std::fs::File::create(place.path("one.backup")).unwrap();
    assert!(place.command(&["backup", "-"]).stdout(file).stderr(Stdio::null()).status().unwrap().success());
    place.done(&["restore", "one.backup"], "");
}

#[tokio::test]
async fn a_signal_leaves_no_half_written_file() {
    let place = Place::on_a_file();
    add_user(&place, "alice");
    place.done(&["backup", "one.backup"], "");
    for signal in ["-INT", "-TERM"] {
        let (child, _stdout) = piping(&place);
        assert!(is_writing(&place), "{:?}", files(&place));
        assert!(stopped(child, signal).contains("stopped by a signal; no backup was finished"));
        assert!(!is_writing(&place), "{:?}", files(&place));
    }
    place.refused(&["restore", "missing"], "");
    let before = std::fs::read(place.path("data/mandate.db")).unwrap();
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    for signal in ["-INT", "-TERM"] {
        let mut restoring = place.command(&["restore", "pipe"]);
        let child = restoring.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = std::fs::File::options().write(true).open(place.path("pipe")).unwrap();
        // More than a pipe holds: it is being copied when this has been written.
        pipe.write_all(&before[..200_000]).unwrap();
        assert!(is_writing(&place), "{:?}", files(&place));
        assert!(stopped(child, signal).contains("stopped by a signal; the database is as it was"));
        assert_eq!(files(&place), [""; 0]);
    }
    assert!(std::fs::read(place.path("data/mandate.db")).unwrap() == before);
}

#[tokio::test]
async fn every_command_opens_the_file_that_the_url_names() {
    let place = Place::on_a_file();
    let run = |arguments: &[&str], input: &str| {
        let mut command = place.command(arguments);
        let output = ended(command.env("MANDATE_DATABASE_URL", "sqlite://my%20data/my%20db.db"), input);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["user", "add", "alice", "--role", "agent"], &format!("{PASSWORD}\n"));
    run(&["backup", "one.backup"], "");
    run(&["user", "add", "later", "--role", "agent"], &format!("{PASSWORD}\n"));
    let said = run(&["restore", "one.backup"], "");
    assert!(said.contains("kept as my data/my db.db.before-"), "{said}");
    let entries = std::fs::read_dir(place.path("my data")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.contains(".before-"));
    names.sort();
    assert_eq!(names, ["mandate.key", "my db.db", "my db.db.lock"]);
    let listed = run(&["user", "list"], "");
    assert!(listed.contains("alice") && !listed.contains("later"), "{listed}");
}

#[tokio::test]
async fn a_link_to_the_database_is_another_name_of_it() {
    let place = Place::on_a_file();
    add_user(&place, "alice");
    place.done(&["backup", "one.backup"], "");
    add_user(&place, "later");
    // It has no log beside it any more.
    place.refused(&["restore", "missing"], "");
    let link = place.path("data/mandate.db");
    std::fs::rename(&link, place.path("data/real.db")).unwrap();
    std::os::unix::fs::symlink("real.db", &link).unwrap();
    let running = serve(&place);
    let mut by_its_own_name = place.command(&["restore", "one.backup"]);
    let refused = ended(by_its_own_name.env("MANDATE_DATABASE_URL", "sqlite://data/real.db"), "");
    assert!(complaint(&refused).contains("is in use"), "{refused:?}");
    assert!(place.refused(&["restore", "one.backup"], "").contains("is in use"));
    stop(running);
    place.done(&["restore", "one.backup"], "");
    assert_eq!(std::fs::read_link(&link).unwrap().to_str(), Some("real.db"));
    let there = files(&place);
    assert!(there[0] == "real.db" && there[1].starts_with("real.db.before-"), "{there:?}");
    assert_eq!(there[2..], ["real.db.lock", "real.db.serve.lock"], "beside what the link leads to");
    assert!(!place.done(&["user", "list"], "").contains("later"));
}

#[tokio::test]
async fn what_was_taken_back_since_the_backup_does_not_come_back() {
    let place = Place::on_a_file();
    let story = Story::told(&place, async || {
        place.done(&["backup", "one.backup"], "");
    })
    .await;
    add_user(&place, "later");
    let said = place.done(&["restore", "one.backup"], "");
    assert!(said.contains("Ended 3 grants and ") && said.contains(&story.revoked_key), "{said}");
    // What was there is kept, and nothing of it lies beside the new one, which has a log of its own once it is opened.
    let kept = files(&place);
    assert!(kept.len() == 1 && kept[0].starts_with("mandate.db.before-"), "{kept:?}");
    assert!(!place.done(&["user", "list"], "").contains("later"));
    let mut command = place.command(&["user", "list"]);
    command.env("MANDATE_DATABASE_URL", format!("sqlite://data/{}", kept[0]));
    assert!(String::from_utf8(command.output().unwrap().stdout).unwrap().contains("later"));
    assert_eq!(place.path("data/mandate.db").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let restored = audited(&place, "restored");
    assert!(restored.len() == 1 && restored[0].contains("ended: 3 grants"), "{restored:?}");
    assert!(place.refused(&["keys", "rotate", "--revoke", &story.revoked_key], "").contains("before"));
    story.assert_all_has_ended(&place).await;
}

#[tokio::test]
async fn the_operator_may_keep_grants_and_is_told_what_that_means() {
    let place = Place::on_a_file();
    let story = Story::told(&place, async || {
        place.done(&["backup", "one.backup"], "");
    })
    .await;
    let said = place.done(&["restore", "one.backup", "--keep-grants"], "");
    assert!(said.contains("given again") && said.contains("keys rotate --revoke"), "{said}");
    assert!(audited(&place, "restored")[0].contains("were kept"));
    let running = serve(&place);
    for tokens in [&story.kept, &story.renewed, &story.taken_back] {
        assert_eq!(call(&place, &text(tokens, "access_token")).await, StatusCode::OK);
    }
    assert_eq!(published_keys(&place).await, story.keys_then);
    stop(running);
}

#[test]
fn no_server_begins_while_a_restore_is_finished() {
    let place = Place::on_a_file();
    add_user(&place, "alice");
    // As a server does that has not come to opening the database.
    let starting = std::fs::File::create(place.path("data/mandate.db.serve.lock")).unwrap();
    starting.lock().unwrap();
    let sentence = place.refused(&["restore", "--finish"], "");
    assert!(sentence.contains("another server serves this file"), "{sentence}");
    drop(starting);
    // It reads its key once it has the lock: until that comes it is under way.
    let (key, kept) = (place.path("data/mandate.key"), place.path("kept.key"));
    std::fs::rename(&key, &kept).unwrap();
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    let mut command = place.command(&["restore", "--finish"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    // Opening it waits for who reads.
    let (opened, pipe) = std::sync::mpsc::channel();
    let fifo = key.clone();
    std::thread::spawn(move || opened.send(std::fs::File::options().write(true).open(fifo)));
    let mut pipe = pipe.recv_timeout(Duration::from_mins(1)).expect("it reads its key").unwrap();
    let lock = std::fs::File::open(place.path("data/mandate.db.serve.lock")).unwrap();
    assert!(matches!(lock.try_lock(), Err(std::fs::TryLockError::WouldBlock)));
    let text = std::fs::read(&kept).unwrap();
    std::fs::rename(&kept, &key).unwrap();
    pipe.write_all(&text).unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("Ended 0 grants"));
}

#[tokio::test]
async fn no_database_is_replaced_under_a_server_a_pipe_or_a_stranger() {
    let place = Place::on_a_file();
    add_user(&place, "alice");
    place.done(&["backup", "one.backup"], "");
    let refused = |what: &str| {
        let sentence = place.refused(&["restore", "one.backup"], "");
        assert!(sentence.contains("is in use") && sentence.contains("stop the server"), "{what}: {sentence}");
        assert!(place.refused(&["restore", "--finish"], "").contains("is in use"), "{what}");
    };
    let running = serve(&place);
    refused("a server");
    stop(running);
    let mut stdio = place.command(&["stdio", "--user", "alice"]);
    let mut stdio = stdio.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // It has opened the store once it answers.
    let ping = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
    stdio.stdin.as_mut().unwrap().write_all(ping.as_bytes()).unwrap();
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(stdio.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    refused("a pipe");
    drop(stdio.stdin.take());
    stdio.wait().unwrap();
    // A program that takes no part in our lock, with a connection that does nothing.
    let url = format!("sqlite://{}", place.path("data/mandate.db").display());
    let mut stranger = sqlx::SqliteConnection::connect(&url).await.unwrap();
    stranger.execute("PRAGMA journal_mode = WAL").await.unwrap();
    stranger.execute("SELECT COUNT(*) FROM users").await.unwrap();
    refused("a stranger");
    stranger.close().await.unwrap();
    assert!(files(&place).iter().all(|name| !name.contains("before")), "{:?}", files(&place));
    place.done(&["restore", "one.backup"], "");
}

#[tokio::test]
async fn a_server_that_is_asked_nothing_keeps_its_database() {
    let place = Place::on_a_file();
    add_user(&place, "alice");
    place.done(&["backup", "one.backup"], "");
    let running = serve(&place);
    // Its connections are closed after ten minutes without a request. The lock is there without them.
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let lock = std::os::unix::fs::MetadataExt::ino(&place.path("data/mandate.db.lock").metadata().unwrap());
    let mine = locks.lines().find(|line| line.contains(&format!(":{lock} ")));
    let mine = mine.unwrap_or_else(|| panic!("no lock on {lock} in {locks}"));
    assert!(mine.contains("FLOCK") && mine.contains("READ"), "{mine}");
    assert!(mine.contains(&format!(" {} ", running.child.id())), "{mine}");
    drop(running);
    place.done(&["restore", "one.backup"], "");
}

/// Changes a copy of a file behind everybody's back.
async fn changed(place: &Place, from: &str, to: &str, statement: &'static str) {
    std::fs::copy(place.path(from), place.path(to)).unwrap();
    let url = format!("sqlite://{}", place.path(to).display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
    database.execute(statement).await.unwrap();
    database.close().await.unwrap();
}

#[tokio::test]
async fn what_is_no_good_backup_changes_nothing() {
    let place = Place::on_a_file();
    add_user(&place, "alice");
    place.done(&["backup", "good.backup"], "");
    let good = std::fs::read(place.path("good.backup")).unwrap();
    std::fs::write(place.path("cut"), &good[..good.len() / 2]).unwrap();
    std::fs::write(place.path("text"), "no database at all, but a text of some length\n".repeat(99)).unwrap();
    std::fs::write(place.path("empty"), "").unwrap();
    std::fs::write(place.path("logged"), &good).unwrap();
    std::fs::write(place.path("logged-wal"), "x").unwrap();
    std::fs::write(place.path("half"), &good).unwrap();
    std::fs::write(place.path("half-journal"), "x").unwrap();
    let mut overwritten = good.clone();
    let middle = overwritten.len() / 2;
    overwritten[middle..middle + 8192].fill(0xff);
    std::fs::write(place.path("overwritten"), overwritten).unwrap();
    let foreign = "DELETE FROM _sqlx_migrations WHERE version = 1";
    changed(&place, "good.backup", "foreign", foreign).await;
    let newer = "UPDATE compatibility SET oldest_schema = 9998; \
                 INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'later', TRUE, x'00', 0)";
    changed(&place, "good.backup", "newer", newer).await;
    let tampered = "UPDATE audit_events SET detail = 'nothing at all'";
    changed(&place, "good.backup", "tampered", tampered).await;
    let dangling = "PRAGMA foreign_keys = OFF; \
                    INSERT INTO identities (issuer, subject, user_id, linked_at) VALUES ('i', 's', 'nobody', 1)";
    changed(&place, "good.backup", "dangling", dangling).await;
    place.refused(&["restore", "missing"], "");
    // Now it has no log any more, and is not written to again.
    let before = std::fs::read(place.path("data/mandate.db")).unwrap();
    for (file, why) in [
        ("missing", "there is no file missing"),
        ("cut", "cut is damaged"),
        ("overwritten", "overwritten is damaged"),
        ("text", "text is no database of Mandate"),
        ("empty", "empty is no database of Mandate"),
        ("foreign", "foreign is no database of Mandate"),
        ("dangling", "dangling is damaged (identities names what is not in users)"),
        ("logged", "logged-wal), so it was copied while somebody wrote to it"),
        ("half", "half-journal), so it was copied while somebody wrote to it"),
        ("newer", "a newer version brought the database to schema 9999"),
        ("tampered", "tampered: its audit log is not as it was written"),
        ("data/mandate.db", "is the database itself"),
    ] {
        let sentence = place.refused(&["restore", file], "");
        assert!(sentence.contains(why), "{file}: {sentence}");
    }
    let key = place.path("data/mandate.key");
    let own = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    assert!(place.refused(&["restore", "good.backup"], "").contains("secret_key_file: there is no"));
    assert!(!key.exists(), "none is made");
    std::fs::write(&key, format!("{}\n", "A".repeat(43))).unwrap();
    let other = place.refused(&["restore", "good.backup"], "");
    assert!(other.contains("sealed with another key"), "{other}");
    std::fs::write(&key, own).unwrap();
    assert!(std::fs::read(place.path("data/mandate.db")).unwrap() == before);
    assert_eq!(files(&place), [""; 0]);
    place.done(&["restore", "tampered", "--despite-audit-findings"], "");
    assert!(place.refused(&["audit", "verify"], "").contains("not as it was written"));
}

#[tokio::test]
async fn a_damaged_or_missing_database_is_replaced_and_kept() {
    let place = Place::on_a_file();
    add_user(&place, "alice");
    place.done(&["backup", "one.backup"], "");
    std::fs::write(place.path("data/mandate.db"), "what is left of it".repeat(300)).unwrap();
    std::fs::write(place.path("data/mandate.db-wal"), "and of its log").unwrap();
    place.done(&["restore", "one.backup"], "");
    let kept = files(&place);
    assert_eq!(kept.len(), 2, "{kept:?}");
    let bytes = std::fs::read(place.path("data").join(&kept[0])).unwrap();
    assert!(bytes == "what is left of it".repeat(300).as_bytes());
    assert!(kept[1].ends_with("-wal"), "{kept:?}");
    assert!(place.done(&["user", "list"], "").contains("alice"));
    std::fs::remove_file(place.path("data/mandate.db")).unwrap();
    let said = place.done(&["restore", "one.backup"], "");
    assert!(!said.contains("is kept as"), "{said}");
    assert!(place.done(&["user", "list"], "").contains("alice"));
}

#[tokio::test]
async fn a_backup_of_an_older_schema_is_brought_up_to_date() {
    let place = Place::on_a_file();
    add_user(&place, "alice");
    let newest = "DROP TABLE compatibility; ALTER TABLE users DROP COLUMN role_said_at; \
                  ALTER TABLE users DROP COLUMN role_withheld; DELETE FROM _sqlx_migrations WHERE version >= 12";
    place.done(&["backup", "one.backup"], "");
    changed(&place, "one.backup", "older", newest).await;
    place.done(&["restore", "older"], "");
    // Before another command opens it, and has logs beside it.
    assert_eq!(files(&place).len(), 1);
    assert!(place.done(&["user", "list"], "").contains("alice"));
}

/// Runs one of PostgreSQL's programs to its end.
fn postgres(name: &str, arguments: &[&str]) {
    let output = Command::new(program(name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name} {arguments:?}: {output:?}");
}

#[tokio::test]
async fn on_postgresql_its_own_tools_do_it_and_a_command_ends_what_has_to_end() {
    let place = Place::new().await;
    let Profile::Services { database_url, .. } = &place.profile else { return };
    let (server, name) = database_url.rsplit_once('/').unwrap();
    let dump: PathBuf = place.path("mandate.dump");
    let dump = dump.to_str().unwrap();
    let story = Story::told(&place, async || {
        postgres("pg_dump", &["--format=custom", "--no-owner", "--file", dump, "--dbname", database_url]);
    })
    .await;
    let refused = place.refused(&["backup", "one.backup"], "");
    assert!(refused.contains("pg_dump --format=custom") && refused.contains("documentation"), "{refused}");
    let refused = place.refused(&["restore", "one.backup"], "");
    assert!(refused.contains("pg_restore") && refused.contains("--finish"), "{refused}");
    let maintenance = format!("{server}/postgres");
    postgres("dropdb", &["--maintenance-db", &maintenance, name]);
    postgres("createdb", &["--maintenance-db", &maintenance, "--template", "template0", name]);
    postgres(
        "pg_restore",
        &["--no-owner", "--exit-on-error", "--single-transaction", "--dbname", database_url, dump],
    );
    // It is as it was then: the key that was revoked since signs again.
    assert!(place.done(&["keys", "list"], "").lines().all(|line| !line.contains("revoked")));
    let said = place.done(&["restore", "--finish"], "");
    assert!(said.contains("Ended 3 grants") && said.contains(&story.revoked_key), "{said}");
    assert!(said.contains("Redis"), "{said}");
    assert!(audited(&place, "restored")[0].contains("by other means; ended: 3 grants"));
    story.assert_all_has_ended(&place).await;
    // Done again it finds what was granted since.
    assert!(place.done(&["restore", "--finish"], "").contains("Ended 1 grants"));
}
