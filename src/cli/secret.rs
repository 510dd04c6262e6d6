//! Secrets come from a terminal without echo, from standard input or from a file; never from arguments, which
//! every user of the machine can read.

use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use super::Failure;
use crate::identity::password::Password;

/// The longest password that is read, in bytes: more than one may have.
const LONGEST: u64 = 64 * 1024;

/// Reads a new password; from standard input where the file is `-`.
pub(super) fn new_password(file: Option<&Path>) -> Result<Password, Failure> {
    let typed = match file {
        Some(path) if path != Path::new("-") => {
            let wrong = |why: &dyn std::fmt::Display| {
                Failure::Said(format!("--password-file: {}: {why}", path.display()))
            };
            let file = std::fs::File::open(path).map_err(|error| wrong(&error))?;
            first_line(file)
                .map_err(|error| wrong(&error))?
                .ok_or_else(|| wrong(&"its first line is empty"))?
        }
        None if std::io::stdin().is_terminal() => prompt()?,
        _ => {
            let line = first_line(std::io::stdin().lock()).map_err(|error| unreadable(&error))?;
            line.ok_or_else(|| Failure::Said(NONE.to_owned()))?
        }
    };
    Password::chosen(&typed).map_err(|error| Failure::Said(error.to_string()))
}

/// Nobody gave one.
const NONE: &str = "no password came on standard input: type it at a terminal, send it on standard input, or name a \
                    file with --password-file";

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::Said(format!("the password cannot be read: {error}"))
}

fn prompt() -> Result<String, Failure> {
    let ask = |question: &str| rpassword::prompt_password(question).map_err(|error| unreadable(&error));
    let first = ask("Password: ")?;
    if first.is_empty() {
        return Err(Failure::Said("no password was typed".to_owned()));
    }
    if first == ask("Again: ")? {
        Ok(first)
    } else {
        Err(Failure::Said("the two passwords differ".to_owned()))
    }
}

/// The first line, unless there is nothing in it.
fn first_line(from: impl Read) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    BufReader::new(from.take(LONGEST)).read_line(&mut line)?;
    let line = line.lines().next().unwrap_or_default();
    Ok(Some(line.to_owned()).filter(|line| !line.is_empty()))
}
