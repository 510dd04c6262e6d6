//! The command line of a program that others built: the same one under its name.

use clap::Command;
use clap::builder::StyledStr;

use crate::extension::Checked;

/// The name of our own program, as everything here is written.
pub(super) const OURS: &str = "mandate";

/// The command line under the program's name, where that is not our own.
pub(super) fn command(command: Command, program: &Checked) -> Command {
    if program.is_mandate() {
        return command;
    }
    let about = format!(
        "{}: an MCP server with its own OAuth 2.1 authorization server, built on Mandate",
        program.title()
    );
    let command = named(command, program.name()).name(program.name()).version(program.version()).about(about);
    if program.own().has_tickets() {
        return command;
    }
    let without_tickets = |command: Command| command.mut_arg("demo", |demo| demo.help(DEMO).long_help(DEMO));
    command.mut_subcommand("serve", without_tickets).mut_subcommand("stdio", without_tickets)
}

const DEMO: &str = "Add two users to an empty database, to try it out with";

/// A sentence in which commands, as `mandate keys list`, have another name.
pub(super) fn quoted(text: &str, name: &str) -> String {
    text.replace(&format!("`{OURS} "), &format!("`{name} "))
}

/// Examples and sentences name the program.
fn named(mut command: Command, name: &str) -> Command {
    // Files beside the configuration have the name that the examples give them.
    let file = |text: &str| text.replace(&format!("./{OURS}."), &format!("./{name}."));
    let of = |text: Option<&StyledStr>| text.map(|text| file(&quoted(&text.to_string(), name)));
    if let Some(example) = command.get_after_help() {
        // In an example every such word is the program, be it in the name of a file that it writes.
        let example = example.to_string().replace(OURS, name);
        command = command.after_help(example);
    }
    if let Some(about) = of(command.get_about()) {
        command = command.about(about);
    }
    if let Some(about) = of(command.get_long_about()) {
        command = command.long_about(about);
    }
    let command = command.mut_args(|mut argument| {
        let (help, long) = (of(argument.get_help()), of(argument.get_long_help()));
        if let Some(help) = help {
            argument = argument.help(help);
        }
        if let Some(long) = long {
            argument = argument.long_help(long);
        }
        argument
    });
    command.mut_subcommands(|inner| named(inner, name))
}

#[cfg(test)]
mod tests {
    use super::super::man::whole;
    use super::*;
    use crate::extension::testing::tests::program;

    /// All that the help of a command says, and of those below it.
    fn said(command: &mut Command) -> String {
        let own = command.render_long_help().to_string();
        command.get_subcommands_mut().fold(own, |all, below| all + &said(below))
    }

    #[test]
    fn no_help_names_another_program() {
        let all = said(&mut whole(&program().check().unwrap()));
        let named: Vec<&str> = all.lines().filter(|line| line.contains(OURS)).collect();
        assert_eq!(named, [""; 0]);
        assert!(all.contains("who man --dir") && all.contains("`who backup`"), "{all}");
    }

    #[test]
    fn sentences_name_the_program_and_nothing_else_is_changed() {
        let text = "see `mandate keys list` in /etc/mandate/mandate.toml";
        assert_eq!(quoted(text, "notes"), "see `notes keys list` in /etc/mandate/mandate.toml");
        assert_eq!(quoted(text, OURS), text);
    }
}
