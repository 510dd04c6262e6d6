//! `mandate completions`.

use clap::Args;
use clap_complete::Shell;

use super::output::write;
use crate::extension::Checked;

/// Print what lets a shell complete commands and options.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  mandate completions bash > ~/.local/share/bash-completion/completions/mandate

For the Z shell, into a folder of its fpath:
  mandate completions zsh > ~/.zfunc/_mandate

For fish:
  mandate completions fish > ~/.config/fish/completions/mandate.fish")]
pub(super) struct Completions {
    /// Which shell.
    shell: Shell,
}

pub(super) fn run(command: &Completions, program: &Checked) {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut super::command(program), program.name(), &mut script);
    write(&script);
}
