//! What `mandate --version` says besides the number: the commit and its day.
//!
//! From the environment, where the repository is not at hand (`SOURCE_COMMIT`, `SOURCE_DATE_EPOCH`); else from what Cargo
//! wrote into a packaged crate; else from Git. A debug build asks nobody and says `dev`: it would be compiled anew after
//! each commit, and is nobody's release. A release that is built again after a commit is compiled again. One that is built
//! of files that differ from their commit is marked so.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// As many digits of a commit are shown.
const DIGITS: usize = 7;

/// What the binary is made of: all else may change without another coming of it.
const MADE_OF: [&str; 6] = ["src", "migrations", "templates", "build.rs", "Cargo.toml", "Cargo.lock"];

/// Where a build comes from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The commit, in hexadecimal digits.
    pub(crate) commit: Option<String>,
    /// When it was made, in seconds since 1970.
    pub(crate) time: Option<i64>,
    /// Whether something was changed since.
    pub(crate) is_dirty: bool,
}

fn main() {
    emit("cargo::rerun-if-changed=build.rs");
    emit("cargo::rerun-if-env-changed=SOURCE_COMMIT");
    emit("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let said = |name: &str| env::var_os(name)?.into_string().ok();
    let folder = said("CARGO_MANIFEST_DIR").unwrap_or_default();
    let given = Origin {
        commit: said("SOURCE_COMMIT").filter(|text| is_commit(text)),
        time: said("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()),
        is_dirty: false,
    };
    let is_debug = said("PROFILE").is_some_and(|profile| profile == "debug");
    let mark =
        if is_debug && given.commit.is_none() { "dev".to_owned() } else { mark(&found(given, &folder)) };
    let number = said("CARGO_PKG_VERSION").unwrap_or_default();
    // Not MANDATE_…: `cargo run` passes it on, and such variables are keys of the configuration.
    emit(&format!("cargo::rustc-env=VERSION_WITH_COMMIT={number} ({mark})"));
}

/// What is given goes before what is found.
pub(crate) fn found(given: Origin, folder: &str) -> Origin {
    if given.commit.is_some() {
        return given;
    }
    let folder = Path::new(folder);
    let own = packaged(folder).or_else(|| checked_out(folder)).unwrap_or_default();
    Origin { time: given.time.or(own.time), ..own }
}

/// From a crate as it lies in a registry: Cargo writes the commit into it, and no time.
pub(crate) fn packaged(folder: &Path) -> Option<Origin> {
    let text = fs::read_to_string(folder.join(".cargo_vcs_info.json")).ok()?;
    let commit = text.split("\"sha1\"").nth(1)?.split('"').nth(1)?.to_owned();
    // Where it was packaged so.
    let is_dirty = text.split("\"dirty\":").nth(1).is_some_and(|rest| rest.trim_start().starts_with("true"));
    is_commit(&commit).then_some(Origin { commit: Some(commit), time: None, is_dirty })
}

/// From Git, if the folder is a repository itself: it may lie in somebody else's.
pub(crate) fn checked_out(folder: &Path) -> Option<Origin> {
    folder.join(".git").exists().then_some(())?;
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()
    };
    // Both change with each commit and each checkout.
    for name in ["HEAD", "logs/HEAD"] {
        let path = folder.join(git(&["rev-parse", "--git-path", name])?.trim_end());
        if path.exists() {
            emit(&format!("cargo::rerun-if-changed={}", path.display()));
        }
    }
    let line = git(&["show", "--no-patch", "--no-show-signature", "--format=%H %ct", "HEAD"])?;
    let (commit, time) = line.trim_end().split_once(' ')?;
    is_commit(commit).then_some(())?;
    for name in MADE_OF.iter().filter(|name| folder.join(name).exists()) {
        emit(&format!("cargo::rerun-if-changed={}", folder.join(name).display()));
    }
    // Without a lock: somebody may be at work there.
    let status = ["--no-optional-locks", "status", "--porcelain", "--"];
    let is_dirty = !git(&[&status[..], &MADE_OF].concat())?.trim().is_empty();
    Some(Origin { commit: Some(commit.to_owned()), time: time.parse().ok(), is_dirty })
}

/// Whether a text is a commit, in hexadecimal digits.
pub(crate) fn is_commit(text: &str) -> bool {
    (DIGITS..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What stands in parentheses.
pub(crate) fn mark(origin: &Origin) -> String {
    let commit = origin.commit.as_ref().and_then(|commit| commit.get(..DIGITS));
    let commit =
        commit.map(|digits| if origin.is_dirty { format!("{digits}-dirty") } else { digits.to_owned() });
    match (commit, origin.time) {
        (Some(commit), Some(time)) => format!("{commit} {}", day(time)),
        (Some(commit), None) => commit,
        (None, _) => "unknown commit".to_owned(),
    }
}

/// The day of a time, in UTC, by the civil calendar: years that begin in March, in cycles of 400.
pub(crate) fn day(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let (cycle, of_cycle) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", year + 400 * cycle + next)
}

/// Tells Cargo.
fn emit(line: &str) {
    println!("{line}");
}
