//! What commands say, under the name of the program. A closed pipe is no reason to fail; a full disk is, for whoever
//! keeps what was said.

use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, OnceLock};

use super::{Failure, naming};

/// What went wrong first with standard output, until somebody asks.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// The name under which everything is said: that of our own program, unless another said its own first.
static NAME: OnceLock<&'static str> = OnceLock::new();

/// Everything is said under this name from now on.
pub(super) fn speak_as(name: &'static str) {
    let _ = NAME.set(name);
}

/// A sentence of ours, in which commands have the name of the program.
pub(super) fn named(text: &str) -> String {
    naming::quoted(text, NAME.get().copied().unwrap_or(naming::OURS))
}

/// Writes a command line of the program that is worth running, to standard output.
pub(super) fn hint(command: &str) {
    say(&format!("  {} {command}", NAME.get().copied().unwrap_or(naming::OURS)));
}

/// Writes a line to standard output.
pub(super) fn say(line: &str) {
    note(writeln!(io::stdout(), "{line}"));
}

/// Writes what is no line to standard output.
pub(super) fn write(bytes: &[u8]) {
    note(io::stdout().write_all(bytes));
}

/// Whether all that was said since the last look has arrived. A reader that had enough is no failure.
pub(super) fn check() -> Result<(), Failure> {
    note(io::stdout().flush());
    match lost().take() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(unwritable(&error)),
        _ => Ok(()),
    }
}

/// The failure that standard output cannot be written.
pub(super) fn unwritable(error: &io::Error) -> Failure {
    Failure::Said(format!("standard output cannot be written: {error}"))
}

fn note(done: io::Result<()>) {
    if let Err(error) = done {
        lost().get_or_insert(error);
    }
}

fn lost() -> std::sync::MutexGuard<'static, Option<io::Error>> {
    LOST.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Writes a complaint to standard error.
pub(super) fn complain(line: &str) {
    let name = NAME.get().copied().unwrap_or(naming::OURS);
    let _ = writeln!(std::io::stderr(), "{name}: {}", named(line));
}

/// Writes a line beside what a command is for, to standard error.
pub(super) fn aside(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes rows as aligned columns.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) {
    let columns = header.len();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(header.get(column).map(|title| title.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    say(&line(header.to_vec()));
    for row in rows {
        say(&line(row.iter().map(String::as_str).collect()));
    }
}
