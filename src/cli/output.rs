//! What commands say, under the name of the program. A closed pipe is no reason to fail.

use std::io::Write;
use std::sync::OnceLock;

use super::naming;

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
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes what is no line to standard output.
pub(super) fn write(bytes: &[u8]) {
    let _ = std::io::stdout().write_all(bytes);
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
