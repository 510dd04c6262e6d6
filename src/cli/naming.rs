//! The command line of a program that others built: the same one under its name.

use clap::Command;

use crate::extension::Checked;

/// The command line under the program's name, where that is not our own.
pub(super) fn command(command: Command, program: &Checked) -> Command {
    if program.is_mandate() {
        return command;
    }
    let about = format!(
        "{}: an MCP server with its own OAuth 2.1 authorization server, built on Mandate",
        program.title()
    );
    let command = named(command, program).name(program.name()).version(program.version()).about(about);
    if program.own().has_tickets() {
        return command;
    }
    let without_tickets = |command: Command| command.mut_arg("demo", |demo| demo.help(DEMO).long_help(DEMO));
    command.mut_subcommand("serve", without_tickets).mut_subcommand("stdio", without_tickets)
}

const DEMO: &str = "Add two users to an empty database, to try it out with";

/// Examples name the program.
fn named(command: Command, program: &Checked) -> Command {
    let example = command
        .get_after_help()
        .map(|text| text.to_string().replace("mandate ", &format!("{} ", program.name())));
    let command = command.mut_subcommands(|inner| named(inner, program));
    match example {
        Some(example) => command.after_help(example),
        None => command,
    }
}
