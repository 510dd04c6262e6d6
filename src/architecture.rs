//! Tests that the house stays as it was planned: which way its parts lean, and what has only one home.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors of the house, top to bottom. A module may name those on floors below its own, and its own.
const FLOORS: [&[&str]; 10] = [
    &["main"],
    &["cli"],
    // What others build upon.
    &["extension"],
    &["server"],
    // The bridge is a client: it names nothing of the server but vocabulary, clock and randomness.
    &["authz", "mcp", "connect"],
    &["identity", "tickets", "app", "web"],
    &["config"],
    &["audit", "storage", "ephemeral", "keys"],
    // Below the stores, because they are watched, too.
    &["telemetry"],
    &["oauth", "clock", "random"],
];

/// What may be named in few places only: the text, and where.
const HOMES: [(&str, &[&str]); 14] = [
    ("oxide_auth", &["authz/engine/"]),
    ("openidconnect::", &["identity/upstream/"]),
    (
        "sqlx::",
        &[
            "storage/",
            "tickets/store.rs",
            "tickets/lists.rs",
            "tickets/search_sqlite.rs",
            "tickets/search_postgres/",
        ],
    ),
    ("use ::redis", &["ephemeral/redis/"]),
    ("opentelemetry", &["telemetry/"]),
    ("prometheus_client", &["telemetry/"]),
    (
        "WWW_AUTHENTICATE",
        &["mcp/challenge.rs", "authz/error.rs", "web/cors.rs", "mcp/cors.rs", "connect/challenge.rs"],
    ),
    ("std::env::", &["config/"]),
    ("SystemTime::now", &["clock.rs"]),
    ("Instant::now", &["clock.rs"]),
    ("SystemRandom", &["random.rs", "keys/signing.rs"]),
    // The bridge runs on somebody's own machine: localhost and the intranet are what it is for, and the guards of
    // the server's client would refuse them. So would they our own listener.
    // And they would hide from the doctor what it is to find.
    ("reqwest::", &["web/outbound/", "connect/", "cli/healthcheck.rs", "cli/doctor/"]),
    // Not the resource server: a token that came in goes nowhere else (MCP security best practices).
    // What is asked of a provider is a part of finding out who somebody is.
    // The doctor looks at what is configured of it.
    ("outbound", &["web/", "config/", "authz/", "app/", "identity/upstream/", "cli/doctor/"]),
    ("tokio::spawn", &[]),
];

/// Pairs that never name each other, though they live on one floor.
const STRANGERS: [(&str, &str); 4] =
    [("authz", "mcp"), ("identity", "tickets"), ("authz", "connect"), ("mcp", "connect")];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file with its path below `src/` and its code without tests and comments.
fn code() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let relative = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let is_test = |name: &str| {
        [
            "/tests/",
            "tests.rs",
            "contract.rs",
            "everywhere.rs",
            "architecture.rs",
            "gallery.rs",
            "samples.rs",
            "figures.rs",
        ]
        .iter()
        .any(|mark| name.contains(mark))
    };
    let named = paths.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap()));
    named
        .filter(|(name, _)| !is_test(name))
        .map(|(name, text)| {
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            (name, lines.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn top_module(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

/// The modules that a file names: `use crate::x` and `crate::x::…`.
fn named_modules(code: &str) -> Vec<&str> {
    let mut rest = code;
    let mut named = Vec::new();
    while let Some(at) = rest.find("crate::") {
        rest = &rest[at + "crate::".len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        named.push(&rest[..end]);
    }
    named
}

#[test]
fn no_part_leans_on_one_above_it() {
    for (file, code) in code() {
        let own = top_module(&file);
        let Some(floor) = floor_of(own) else {
            assert_eq!(file, "lib.rs", "{file} stands on no floor");
            continue;
        };
        for named in named_modules(&code) {
            let Some(other) = floor_of(named) else { continue };
            assert!(other >= floor, "{file} names {named}, which is above it");
            let strangers =
                STRANGERS.iter().any(|(a, b)| (*a == own && *b == named) || (*b == own && *a == named));
            assert!(!strangers, "{file} names {named}, which it must not know");
        }
    }
}

#[test]
fn what_has_one_home_is_named_nowhere_else() {
    for (file, code) in code() {
        for (text, homes) in HOMES {
            let at_home = homes.iter().any(|home| file.starts_with(home));
            assert!(at_home || !code.contains(text), "{file} names {text}, whose home is {homes:?}");
        }
    }
}

#[test]
fn files_stay_small() {
    for (file, code) in code() {
        let lines = code.lines().count();
        assert!(lines <= 300, "{file} has {lines} lines without tests and comments: split it");
    }
}
