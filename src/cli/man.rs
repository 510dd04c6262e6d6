//! `mandate man`: manual pages, and the same as a page of the book.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, roman};

use super::examples::{self, Piece};
use super::output::{say, write};
use super::{Failure, handbook};
use crate::extension::Checked;

/// Print the manual page of a command, or write those of all.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  mandate man keys rotate | man -l -

Every page, where man finds them:
  mandate man --dir ~/.local/share/man/man1")]
pub(super) struct Man {
    /// The command, such as `keys rotate`; the program itself, unless it is named.
    #[arg(value_name = "COMMAND")]
    path: Vec<String>,
    /// Write a page for every command into this folder instead.
    #[arg(long, value_name = "DIR", conflicts_with = "path")]
    dir: Option<PathBuf>,
    /// Print all commands as one page of Markdown instead.
    #[arg(long, conflicts_with_all = ["path", "dir"])]
    markdown: bool,
}

pub(super) fn run(command: &Man, program: &Checked) -> Result<(), Failure> {
    let source = Source::of(program);
    let program = whole(program);
    if command.markdown {
        say(handbook::markdown(&program).trim_end());
        return Ok(());
    }
    if let Some(folder) = &command.dir {
        let unwritten = |error: io::Error| Failure::Said(format!("--dir: {}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(unwritten)?;
        let count = write_all(&program, folder, &source).map_err(unwritten)?;
        say(&format!("{count} pages are in {}.", folder.display()));
        return Ok(());
    }
    let mut named = &program;
    for name in &command.path {
        let next = named.find_subcommand(name);
        named =
            next.ok_or_else(|| Failure::Said(format!("no command is called {name}; see `mandate --help`")))?;
    }
    write(page(named, &source).map_err(|error| Failure::Said(error.to_string()))?.as_slice());
    Ok(())
}

/// What stands at the foot and at the head of every page.
struct Source {
    title: &'static str,
    version: String,
}

impl Source {
    fn of(program: &Checked) -> Self {
        let title = if program.is_mandate() { "Mandate" } else { program.title() };
        Self { title, version: format!("{title} {}", program.version()) }
    }
}

/// The program with everything below it, each with its full name.
pub(super) fn whole(program: &Checked) -> Command {
    let mut program = super::command(program).disable_help_subcommand(true);
    program.build();
    program
}

fn write_all(command: &Command, folder: &Path, source: &Source) -> io::Result<usize> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(folder.join(format!("{name}.1")), page(command, source)?)?;
    let mut count = 1;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        count += write_all(below, folder, source)?;
    }
    Ok(count)
}

fn page(command: &Command, source: &Source) -> io::Result<Vec<u8>> {
    let mut written = Vec::new();
    // What stands below the help is laid out here: it is examples, and has its own section.
    let plain = command.clone().after_help(None::<&str>).version(None::<&str>);
    let page = Page::new(plain).source(&source.version).manual(source.title);
    page.render(&mut written)?;
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for piece in examples::of(command) {
        match piece {
            Piece::Words(words) => roff.control("PP", []).text([roman(words)]),
            Piece::Lines(lines) => {
                roff.control("PP", []).control("RS", ["4"]).control("nf", []);
                for line in lines.lines() {
                    roff.text([roman(line)]);
                }
                roff.control("fi", []).control("RE", [])
            }
        };
    }
    roff.to_writer(&mut written)?;
    Ok(written)
}
