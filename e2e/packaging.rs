//! What makes the binary pleasant to install and to look things up in: its version, completions, manual pages, the check
//! of its configuration; and what is in the crate.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::binary::{Place, Running};

#[path = "../build.rs"]
#[expect(dead_code, reason = "what a build alone does")]
mod build_script;

const SECRET: &str = "correct-horse-battery";

fn run(place: &Place, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = place.command(arguments);
    let Output { status, stdout, stderr } = command.envs(variables.iter().copied()).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

/// Whether it is a short commit with its day.
fn is_commit_and_day(mark: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    mark.split_once(' ').is_some_and(|(commit, day)| {
        let parts: Vec<&str> = day.split('-').collect();
        let commit = commit.strip_suffix("-dirty").unwrap_or(commit);
        commit.len() == 7
            && commit.bytes().all(|b| b.is_ascii_hexdigit())
            && parts.iter().map(|part| part.len()).eq([4, 2, 2])
            && parts.iter().all(|part| digits(part))
    })
}

#[test]
fn the_version_names_the_commit_or_says_that_it_is_of_a_developer() {
    let place = Place::on_a_file();
    let said = place.done(&["--version"], "");
    let number = env!("CARGO_PKG_VERSION");
    let mark =
        said.trim_end().strip_prefix(&format!("mandate {number} (")).unwrap_or_else(|| panic!("{said}"));
    let mark = mark.strip_suffix(')').unwrap();
    assert!(mark == "dev" || mark == "unknown commit" || is_commit_and_day(mark), "{said}");
    let running = Running::start(&place, &[]);
    assert!(running.said.starts_with(&format!("Mandate {number} is ready.\n")), "{}", running.said);
}

#[test]
fn a_build_knows_its_commit_from_git_from_the_crate_or_from_who_starts_it() {
    use build_script::{Origin, checked_out, day, found, is_commit, mark, packaged};

    for (seconds, expected) in [
        (0, "1970-01-01"),
        (951_782_400, "2000-02-29"),
        (1_709_251_199, "2024-02-29"),
        (1_795_392_000, "2026-11-23"),
        (4_107_542_400, "2100-03-01"),
    ] {
        assert_eq!(day(seconds), expected);
    }
    for (text, expected) in [
        ("0123456", true),
        ("0123456789abcdef0123456789abcdef01234567", true),
        ("012345", false),
        ("HEAD of it", false),
        ("gpg: 0123456", false),
    ] {
        assert_eq!(is_commit(text), expected, "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let of = |commit: Option<&str>, time| Origin { commit: commit.map(str::to_owned), time, is_dirty: false };
    let nowhere = || found(of(None, Some(5)), path.to_str().unwrap());
    assert_eq!(mark(&nowhere()), "unknown commit");
    // A crate in a registry knows the commit alone; who starts the build may know the time.
    fs::write(path.join(".cargo_vcs_info.json"), format!(r#"{{"git": {{"sha1": "{commit}"}}}}"#)).unwrap();
    assert_eq!(mark(&packaged(path).unwrap()), "0123456");
    assert_eq!(mark(&nowhere()), "0123456 1970-01-01");
    let dirty = format!(r#"{{"git": {{"sha1": "{commit}", "dirty": true}}}}"#);
    fs::write(path.join(".cargo_vcs_info.json"), dirty).unwrap();
    assert_eq!(mark(&nowhere()), "0123456-dirty 1970-01-01");
    let given = of(Some("fedcba9876"), Some(951_782_400));
    assert_eq!(mark(&found(given, path.to_str().unwrap())), "fedcba9 2000-02-29");
    fs::remove_file(path.join(".cargo_vcs_info.json")).unwrap();
    // The folder of a crate may lie in somebody's repository, which says nothing of it.
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]);
        let output = git.arg("-C").arg(path).args(arguments).env("GIT_COMMITTER_DATE", "951782400 +0900");
        let output = output.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    git(&["init", "--quiet"]);
    git(&["commit", "--quiet", "--allow-empty", "--message", "first"]);
    let inner = path.join("inner");
    fs::create_dir(&inner).unwrap();
    assert_eq!(checked_out(&inner), None);
    let short = git(&["rev-parse", "HEAD"])[..7].to_owned();
    let clean = format!("{short} 2000-02-29");
    assert_eq!(mark(&checked_out(path).unwrap()), clean);
    // What no binary is made of may differ.
    fs::write(path.join("notes.txt"), "mine").unwrap();
    assert_eq!(mark(&checked_out(path).unwrap()), clean);
    fs::create_dir(path.join("src")).unwrap();
    fs::write(path.join("src/new.rs"), "").unwrap();
    assert_eq!(mark(&checked_out(path).unwrap()), format!("{short}-dirty 2000-02-29"));
}

#[test]
fn bash_completes_commands_and_options() {
    let place = Place::on_a_file();
    fs::write(place.path("mandate.bash"), place.done(&["completions", "bash"], "")).unwrap();
    let complete = |words: &[&str]| {
        let script = format!(
            "source mandate.bash; complete -p mandate >&2; COMP_WORDS=({}); COMP_CWORD={}; \
             _mandate mandate '{}' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1,
            words.last().unwrap()
        );
        let mut bash = Command::new("bash");
        let output = bash.args(["--norc", "-euc", &script]).current_dir(place.path("")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete(&["mandate", "ke"]), "keys\n");
    assert_eq!(complete(&["mandate", "config", "che"]), "check\n");
    assert_eq!(complete(&["mandate", "keys", "rotate", "--rev"]), "--revoke\n");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(place.done(&["completions", shell], "").contains("healthcheck"), "{shell}");
    }
}

/// The commands that `--help` lists below this one.
pub(crate) fn commands(place: &Place, path: &[&str]) -> Vec<String> {
    let help = place.done(&[path, &["--help"]].concat(), "");
    let Some((_, list)) = help.split_once("Commands:\n") else { return Vec::new() };
    let names = list.lines().take_while(|line| line.starts_with("  "));
    let names = names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !matches!(*name, "" | "help")).map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_manual_page_with_examples() {
    let place = Place::on_a_file();
    let said = place.done(&["man", "--dir", "pages/man1"], "");
    let pages = fs::read_dir(place.path("pages/man1")).unwrap();
    let pages: BTreeSet<PathBuf> = pages.map(|entry| entry.unwrap().path()).collect();
    assert!(said.starts_with(&format!("{} pages are in ", pages.len())), "{said}");
    let mut expected = BTreeSet::from(["mandate.1".to_owned()]);
    for command in commands(&place, &[]) {
        expected.insert(format!("mandate-{command}.1"));
        let below = commands(&place, &[&command]);
        expected.extend(below.iter().map(|name| format!("mandate-{command}-{name}.1")));
    }
    let names = pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap().to_owned());
    assert_eq!(names.collect::<BTreeSet<_>>(), expected);
    assert!(expected.len() > 20 && expected.contains("mandate-keys-rotate.1"), "{expected:?}");
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES"] {
            let (_, rest) =
                text.split_once(&format!(".SH {section}\n")).unwrap_or_else(|| panic!("{page:?}"));
            let body = rest.split(".SH ").next().unwrap();
            assert!(
                body.lines().any(|line| !line.is_empty() && !line.starts_with('.')),
                "{page:?}: {section}"
            );
        }
        without_warnings(page);
    }
    // One page by name, as `man -l -` takes it.
    let one = place.done(&["man", "keys", "rotate"], "");
    assert_eq!(one, fs::read_to_string(place.path("pages/man1/mandate-keys-rotate.1")).unwrap());
    assert!(place.refused(&["man", "keys", "turn"], "").contains("turn"));
}

/// What groff says of a page, where there is a groff.
fn without_warnings(page: &Path) {
    let output = Command::new("groff").args(["-Kutf8", "-man", "-Tutf8", "-ww", "-z"]).arg(page).output();
    if let Ok(output) = output {
        assert!(output.status.success() && output.stderr.is_empty(), "{page:?}: {output:?}");
    }
}

#[test]
fn a_good_configuration_is_explained_without_its_secrets_and_nothing_is_made() {
    let place = Place::on_a_file();
    fs::write(place.path("secret"), SECRET).unwrap();
    fs::write(
        place.path("mandate.toml"),
        "[providers.acme]\nissuer = \"https://id.acme.example\"\nclient_id = \"c\"\nclient_secret_file = \"secret\"\n",
    )
    .unwrap();
    let database = format!("postgres://mandate:{SECRET}@db.example/mandate");
    let redis = format!("rediss://u:{SECRET}@redis.example");
    let variables = [
        ("MANDATE_DATABASE_URL", database.as_str()),
        ("MANDATE_REDIS_URL", &redis),
        ("MANDATE_SECRET_KEY_FILE", "key"),
    ];
    let (code, said) = run(&place, &["config", "check", "--config", "mandate.toml"], &variables);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "is good",
        "mandate.toml",
        &place.url(""),
        "PostgreSQL, db.example",
        "Redis, redis.example",
        "id.acme.example",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    assert!(!said.contains(SECRET), "{said}");
    // The defaults name a file and a folder; neither is made.
    assert_eq!(run(&place, &["config", "check"], &[]).0, Some(0));
    let left: BTreeSet<_> =
        fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mandate.toml", "secret"].map(Into::into).into());
}

#[test]
fn a_bad_configuration_is_refused_in_one_sentence_without_its_secrets() {
    let place = Place::on_a_file();
    let unfit = format!("mysql://mandate:{SECRET}@db");
    let odd = format!("https://{SECRET}@redis");
    fs::write(place.path("broken.toml"), "listen = \n").unwrap();
    for (arguments, variable, key) in [
        (&["config", "check"][..], ("MANDATE_DATABASE_URL", unfit.as_str()), "database_url: "),
        (&["config", "check"], ("MANDATE_REDIS_URL", &odd), "redis_url: "),
        (&["config", "check"], ("MANDATE_LOG", "a=b=c"), "log: "),
        (&["config", "check"], ("MANDATE_MCP__TOOLS__NO_TOOL__PER_MINUTE", "1"), "mcp.tools.no_tool: "),
        (&["config", "check"], ("MANDATE_NO_SUCH_KEY", "1"), "MANDATE_NO_SUCH_KEY: "),
        (&["config", "check", "--config", "broken.toml"], ("NO_COLOR", "1"), "--config: "),
        (&["config", "check", "--config", "none.toml"], ("NO_COLOR", "1"), "--config: "),
    ] {
        let (code, said) = run(&place, arguments, &[variable]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with(&format!("mandate: {key}")) && said.lines().count() == 1, "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}

#[test]
fn reference_and_schema_are_printed_whatever_the_configuration_is() {
    let place = Place::on_a_file();
    let wrong = [("MANDATE_LISTEN", "nowhere")];
    let (code, reference) = run(&place, &["config", "reference"], &wrong);
    assert!(code == Some(0) && reference.contains("### `tokens.code_lifetime`"), "{reference}");
    assert!(
        reference.contains("`MANDATE_TOKENS__CODE_LIFETIME` · a duration · default `\"60s\"`"),
        "{reference}"
    );
    let (code, schema) = run(&place, &["config", "schema"], &wrong);
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["tokens"]["properties"]["signing_algorithm"]["default"], "ES256");
}

#[test]
fn the_crate_has_what_it_is_built_from_and_none_of_the_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    let output = cargo.args(["package", "--list", "--allow-dirty", "--offline"]).current_dir(root).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).unwrap();
    let listed: BTreeSet<&str> = listed.lines().collect();
    let mut needed = Vec::new();
    for folder in ["src", "migrations", "templates"] {
        files(&root.join(folder), &mut needed);
    }
    let needed = needed.iter().map(|path| path.strip_prefix(root).unwrap().to_str().unwrap());
    let tops = ["build.rs", "Cargo.lock", "README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];
    for file in needed.chain(tops) {
        assert!(listed.contains(file), "{file} is not in the crate");
    }
    for file in listed {
        let known = ["src/", "migrations/", "templates/", "Cargo.toml", ".cargo_vcs_info.json"];
        let is_known = known.iter().any(|start| file.starts_with(start)) || tops.contains(&file);
        assert!(is_known, "{file} is in the crate, and nobody needs it there");
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}
