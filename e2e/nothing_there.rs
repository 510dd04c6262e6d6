//! Commands where there is nothing: a folder without a database, a database without our tables, a key file that is away.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::binary::{Place, complaint, ended};
use crate::packaging::commands;
use crate::support::profile::Profile;

const PASSWORD: &str = "a long enough password\n";

/// What a command does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    /// It makes what it needs.
    Makes,
    /// It refuses, and makes nothing.
    Refuses,
    /// It needs nothing, and makes nothing.
    Elsewhere,
    /// It makes what it needs; another test runs it.
    MakesElsewhere,
}

use There::{Elsewhere, Makes, MakesElsewhere, Refuses};

/// Every command, with what else it takes.
const COMMANDS: [(&str, &str, There); 32] = [
    ("serve", "", MakesElsewhere),
    ("stdio", "--demo --user alice", Makes),
    ("user add", "carol", Makes),
    ("user list", "", Refuses),
    ("user disable", "alice", Refuses),
    ("user enable", "alice", Refuses),
    ("user role", "alice agent", Refuses),
    ("user password", "alice", Refuses),
    ("client add", "--name App --redirect-uri https://app.example/cb", Refuses),
    ("client list", "", Refuses),
    ("client disable", "foo", Refuses),
    ("client enable", "foo", Refuses),
    ("client remove", "foo", Refuses),
    ("grant list", "", Refuses),
    ("grant revoke", "grant_1", Refuses),
    ("keys list", "", Refuses),
    ("keys rotate", "", Refuses),
    ("token mint", "--user alice --scope tickets:read", Refuses),
    ("audit list", "", Refuses),
    ("audit export", "", Refuses),
    ("audit verify", "", Refuses),
    ("backup", "one.backup", Refuses),
    ("restore", "one.backup", MakesElsewhere),
    ("migrate", "", Makes),
    ("healthcheck", "", Elsewhere),
    ("doctor", "", Elsewhere),
    ("connect", "http://localhost:9/mcp", Elsewhere),
    ("config check", "", Elsewhere),
    ("config reference", "", Elsewhere),
    ("config schema", "", Elsewhere),
    ("completions", "bash", Elsewhere),
    ("man", "user list", Elsewhere),
];

fn arguments(command: &'static str, more: &'static str) -> Vec<&'static str> {
    command.split(' ').chain(more.split_whitespace()).collect()
}

fn files(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// How many tables there are.
async fn tables(place: &Place) -> i64 {
    let pool = place.profile.database().await;
    let counting = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'";
    let (count,) = sqlx::query_as(counting).fetch_one(&pool).await.unwrap();
    pool.close().await;
    count
}

#[test]
fn of_every_command_it_is_said_whether_it_makes_what_is_not_there() {
    let place = Place::on_a_file();
    let mut all = BTreeSet::new();
    for command in commands(&place, &[]) {
        let below = commands(&place, &[&command]);
        if below.is_empty() {
            all.insert(command);
        } else {
            all.extend(below.iter().map(|name| format!("{command} {name}")));
        }
    }
    assert_eq!(all, COMMANDS.map(|(command, ..)| command.to_owned()).into());
}

#[tokio::test]
async fn where_there_is_no_database_only_what_begins_an_installation_makes_one() {
    for (command, more, does) in COMMANDS {
        let place = Place::new().await;
        let output = match does {
            MakesElsewhere => continue,
            Makes => ended(&mut place.command(&arguments(command, more)), PASSWORD),
            Refuses | Elsewhere => ended(&mut place.command(&arguments(command, more)), ""),
        };
        if does == Makes {
            assert!(
                output.status.success() && place.path("data/mandate.key").exists(),
                "{command}: {output:?}"
            );
            continue;
        }
        assert!(files(&place).is_empty(), "{command} makes {:?}", files(&place));
        if Profile::is_services() {
            assert_eq!(tables(&place).await, 0, "{command}");
        }
        if does == Refuses && (command != "backup" || !Profile::is_services()) {
            let sentence = complaint(&output);
            let expected = if Profile::is_services() {
                ["database_url: the database 127.0.0.1", "(from MANDATE_DATABASE_URL)", "`mandate migrate`"]
            } else {
                [
                    "database_url: there is no database at ./data/mandate.db",
                    "(the default)",
                    "--config or MANDATE_DATABASE_URL",
                ]
            };
            assert!(expected.iter().all(|words| sentence.contains(words)), "{command}: {sentence}");
        }
    }
}

#[test]
fn it_is_said_where_the_place_comes_from() {
    let place = Place::on_a_file();
    fs::write(place.path("mandate.toml"), "database_url = \"sqlite://of-the-file.db\"\n").unwrap();
    let said = |variable: Option<&str>| {
        let mut command = place.command(&["audit", "verify", "--config", "mandate.toml"]);
        if let Some(url) = variable {
            command.env("MANDATE_DATABASE_URL", url);
        }
        complaint(&ended(&mut command, ""))
    };
    assert!(said(None).contains("no database at of-the-file.db (from mandate.toml)"), "{}", said(None));
    let of_both = said(Some("sqlite://of-the-variable.db"));
    assert!(of_both.contains("no database at of-the-variable.db (from MANDATE_DATABASE_URL)"), "{of_both}");
    // Whatever else lies there is not taken for ours.
    fs::write(place.path("of-the-file.db"), "").unwrap();
    assert!(
        said(None).contains("of-the-file.db (from mandate.toml) has no tables of this server"),
        "{}",
        said(None)
    );
    assert_eq!(fs::metadata(place.path("of-the-file.db")).unwrap().len(), 0);
    assert!(!Path::new(&place.path("mandate.key")).exists());
}

#[tokio::test]
async fn a_key_file_that_is_away_is_not_replaced_by_one_that_opens_nothing() {
    let place = Place::new().await;
    place.done(&["migrate"], "");
    fs::rename(place.path("data/mandate.key"), place.path("away.key")).unwrap();
    for (command, more, does) in COMMANDS {
        if does == Refuses && command != "backup" {
            let sentence = place.refused(&arguments(command, more), "");
            assert!(
                sentence.starts_with("secret_key_file: there is no key file at "),
                "{command}: {sentence}"
            );
            assert!(sentence.contains("MANDATE_SECRET_KEY_FILE"), "{sentence}");
        }
    }
    assert!(!place.path("data/mandate.key").exists());
    fs::rename(place.path("away.key"), place.path("data/mandate.key")).unwrap();
    place.done(&["user", "list"], "");
}
