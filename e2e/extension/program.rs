//! Its own program has every command of ours, under its name.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::binary::{Place, Running};
use crate::stdio::program::{Program, done, refused};
use crate::support::PASSWORD;

/// The program, which is built with the tests.
fn notes() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_mandate")).with_file_name("examples").join("notes");
    assert!(program.exists(), "build it first: cargo build --example notes");
    program
}

fn output(place: &Place, arguments: &[&str]) -> Output {
    command(place, arguments).output().unwrap()
}

/// The command with the settings of this place.
fn command(place: &Place, arguments: &[&str]) -> Command {
    let ours = place.command(arguments);
    let mut command = Command::new(notes());
    command.args(arguments).env_clear().current_dir(ours.get_current_dir().unwrap());
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[tokio::test]
async fn help_names_the_program_and_no_tickets() {
    let place = Place::new().await;
    let help = |arguments: &[&str]| String::from_utf8(output(&place, arguments).stdout).unwrap();
    let all = help(&["--help"]);
    for said in ["Notes: an MCP server", "Usage: notes", "notes serve --demo", "healthcheck", "audit"] {
        assert!(all.contains(said), "{said}: {all}");
    }
    assert_eq!(help(&["--version"]).trim(), format!("notes {}", env!("CARGO_PKG_VERSION")));
    for command in ["serve", "stdio", "migrate"] {
        let help = help(&[command, "--help"]);
        assert!(help.contains(&format!("notes {command}")), "{help}");
        assert!(!help.contains("mandate ") && !help.contains("ticket"), "{help}");
    }
}

#[tokio::test]
async fn what_it_complains_of_and_its_pages_name_the_program() {
    let place = Place::new().await;
    let complaint = |arguments: &[&str]| {
        let output = output(&place, arguments);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(output(&place, &["migrate"]).status.success());
    let said = complaint(&["user", "disable", "nobody"]);
    assert_eq!(said, "notes: there is no account named nobody; `notes user list` shows them all\n");
    let said = complaint(&["man", "nothing"]);
    assert_eq!(said, "notes: no command is called nothing; see `notes --help`\n");
    let page = String::from_utf8(output(&place, &["man", "restore"]).stdout).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(page.contains(&format!("\"Notes {version}\"")) && page.contains("notes backup"), "{page}");
    assert!(!page.contains("mandate"), "{page}");
}

#[tokio::test]
async fn it_greets_with_its_name_and_its_demo_has_people_alone() {
    let place = Place::new().await;
    let running = Running::wait_for_line(&mut command(&place, &["serve", "--demo"]), "/mcp\"}}}");
    for said in ["Notes ", " is ready.", "alice", "--transport http notes http://"] {
        assert!(running.said.contains(said), "{said}: {}", running.said);
    }
    assert!(!running.said.contains("ticket"), "{}", running.said);
}

#[tokio::test]
async fn stdio_serves_its_tools() {
    let place = Place::new().await;
    let mut adding = command(&place, &["user", "add", "alice", "--role", "agent"]);
    let mut adding = adding.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut adding.stdin.take().unwrap(), PASSWORD.as_bytes()).unwrap();
    assert!(adding.wait().unwrap().success());
    let mut reading = Program::run(&mut command(&place, &["stdio", "--user", "alice"]));
    let client = reading.modern().await;
    assert_eq!(done(&client, "list_notes", json!({})).await["notes"], json!([]));
    refused(&client, "add_note", json!({ "text": "no" })).await;
    drop(client);
    let mut writing = Program::run(&mut command(&place, &["stdio", "--user", "alice", "--write"]));
    let client = writing.modern().await;
    let kept = done(&client, "add_note", json!({ "text": "Buy milk" })).await;
    assert_eq!(done(&client, "list_notes", json!({})).await["notes"], json!([kept]));
}

#[tokio::test]
async fn migrate_makes_its_tables_and_a_database_of_a_later_version_is_refused() {
    let place = Place::new().await;
    let said = String::from_utf8(output(&place, &["migrate"]).stdout).unwrap();
    assert!(said.contains("The tables of Notes are those of 0.1.0."), "{said}");
    place
        .change_database("INSERT INTO x_notes (note_id, user_id, text, created_at) VALUES ('a', 'b', 'c', 1)")
        .await;
    assert!(output(&place, &["migrate"]).status.success());
    place
        .change_database(
            "INSERT INTO extension_steps (owner, number, name, digest, taken_at) VALUES ('notes', 1, 'later', 'x', 1)",
        )
        .await;
    let refused = output(&place, &["migrate"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("written by a newer version"), "{said}");
}
