//! What commands say. A closed pipe is no reason to fail.

use std::io::Write;

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
    let _ = writeln!(std::io::stderr(), "mandate: {line}");
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
