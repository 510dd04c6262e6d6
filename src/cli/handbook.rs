//! All commands as a page of Markdown, from what `--help` is made of.

use clap::{Arg, Command};

use super::examples::{self, Piece};
use super::naming;

const PREAMBLE: &str = "\
<!-- Written by `mandate man --markdown`: change what `--help` says in src/cli instead. -->
# Commands

Each command explains itself with `--help`, or at length as a manual page, `mandate man keys rotate | man -l -`. It ends
with 0 when it did its work, with 1 when it did not, and then says why in one sentence on standard error; with 2 when it
was called wrongly.
";

/// The whole page.
pub(super) fn markdown(program: &Command) -> String {
    let mut page = naming::quoted(PREAMBLE, program.get_name());
    page += "\n## Of every command\n\n";
    page += &rows(program.get_arguments().filter(|argument| argument.is_global_set()));
    for command in program.get_subcommands() {
        section(command, &mut page);
    }
    page
}

fn section(command: &Command, page: &mut String) {
    if command.is_hide_set() {
        return;
    }
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let level = if name.split(' ').count() > 2 { "###" } else { "##" };
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    *page += &format!("\n{level} `{name}`\n\n{}\n", sentence(&about));
    if command.has_subcommands() {
        command.get_subcommands().for_each(|below| section(below, page));
        return;
    }
    let usage = command.clone().render_usage().to_string();
    *page += &format!("\n```text\n{}\n```\n", usage.trim_start_matches("Usage: ").trim_end());
    let own = command.get_arguments().filter(|argument| !argument.is_global_set() && !argument.is_hide_set());
    let mut own = own.filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version")).peekable();
    if own.peek().is_some() {
        *page += &format!("\n{}", rows(own));
    }
    for piece in examples::of(command) {
        match piece {
            Piece::Words(words) => *page += &format!("\n{words}\n"),
            Piece::Lines(lines) => *page += &format!("\n```text\n{lines}\n```\n"),
        }
    }
}

fn rows<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    arguments.fold("| option | meaning |\n|---|---|\n".to_owned(), |table, argument| table + &row(argument))
}

fn row(argument: &Arg) -> String {
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let mut meaning = sentence(&help.map(ToString::to_string).unwrap_or_default());
    if argument.get_action().takes_values() {
        let values = argument.get_possible_values();
        let names: Vec<String> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        if !names.is_empty() {
            meaning += &format!(" One of {}.", names.join(", "));
        }
        let defaults = argument.get_default_values().iter().map(|value| format!("`{}`", value.display()));
        let defaults: Vec<String> = defaults.collect();
        if !defaults.is_empty() {
            meaning += &format!(" Default: {}.", defaults.join(", "));
        }
    }
    format!("| `{}` | {} |\n", argument.to_string().replace('|', "\\|"), meaning.replace('|', "\\|"))
}

/// In one line, with the full stop that `--help` leaves out.
fn sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.ends_with('.') { text } else { text + "." }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::man::whole;
    use super::*;
    use crate::extension::Program;

    fn mandate() -> Command {
        whole(&Program::mandate().check().unwrap())
    }

    #[test]
    fn the_book_has_every_command_as_it_is() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/reference/commands.md");
        let written = fs::read_to_string(&path).unwrap_or_default();
        let update = "cargo run -- man --markdown > docs/src/reference/commands.md";
        assert!(written == markdown(&mandate()), "{} is not what --help says: {update}", path.display());
    }

    #[test]
    fn every_command_and_option_explains_itself_and_every_command_has_an_example() {
        fn look(command: &Command) {
            let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
            assert!(command.get_about().is_some(), "{name} does not say what it does");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name}: {argument} does not say what it is for");
            }
            let examples = examples::of(command);
            let is_typed = |piece: &Piece| matches!(piece, Piece::Lines(lines) if lines.contains(name));
            assert!(examples.iter().any(is_typed), "{name} has no example with its name: {examples:?}");
            command.get_subcommands().for_each(look);
        }
        look(&mandate());
    }
}
