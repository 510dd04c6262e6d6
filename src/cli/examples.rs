//! The examples of commands, from what stands below their help.

use clap::Command;

/// A piece of what stands below a command's help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Words.
    Words(String),
    /// Lines to type.
    Lines(String),
}

/// What stands below the help of a command; of one that only has others below it, their examples.
pub(super) fn of(command: &Command) -> Vec<Piece> {
    if let Some(text) = command.get_after_help() {
        return pieces(&text.to_string());
    }
    let below = command.get_subcommands().flat_map(of);
    below.filter(|piece| matches!(piece, Piece::Lines(_))).collect()
}

/// Lines that are set in by two spaces are to be typed. That they are examples is said by a heading.
fn pieces(text: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("  "), found.last_mut()) {
            (Some(typed), Some(Piece::Lines(lines))) => {
                lines.push('\n');
                lines.push_str(typed);
            }
            (Some(typed), _) => found.push(Piece::Lines(typed.to_owned())),
            (None, _) if matches!(line.trim(), "" | "Example:" | "Examples:") => {}
            (None, Some(Piece::Words(words))) => {
                words.push(' ');
                words.push_str(line);
            }
            (None, _) => found.push(Piece::Words(line.to_owned())),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_in_is_typed_and_all_else_is_read() {
        let lines = |text: &str| Piece::Lines(text.to_owned());
        let words = |text: &str| Piece::Words(text.to_owned());
        for (text, expected) in [
            ("Example:\n  mandate serve", vec![lines("mandate serve")]),
            ("Example:\n  a\n  b\n\nOr else:\n  c", vec![lines("a\nb"), words("Or else:"), lines("c")]),
            ("It is\nso.\n\nExample:\n  a", vec![words("It is so."), lines("a")]),
        ] {
            assert_eq!(pieces(text), expected);
        }
    }
}
