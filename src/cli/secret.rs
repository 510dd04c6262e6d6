//! Secrets come from a terminal without echo, from standard input or from a file; never from arguments, which
//! every user of the machine can read.

use std::io::{BufRead, IsTerminal};
use std::path::Path;

use super::Failure;
use crate::identity::password::Password;

/// Reads a new password.
pub(super) fn new_password(file: Option<&Path>) -> Result<Password, Failure> {
    let typed = match file {
        Some(path) => first_line(
            &std::fs::read_to_string(path)
                .map_err(|error| Failure::Said(format!("--password-file: {}: {error}", path.display())))?,
        ),
        None if std::io::stdin().is_terminal() => prompt()?,
        None => {
            let mut line = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut line)
                .map_err(|error| Failure::Said(format!("the password cannot be read: {error}")))?;
            first_line(&line)
        }
    };
    Password::chosen(&typed).map_err(|error| Failure::Said(error.to_string()))
}

fn prompt() -> Result<String, Failure> {
    let ask = |question: &str| {
        rpassword::prompt_password(question)
            .map_err(|error| Failure::Said(format!("the password cannot be read: {error}")))
    };
    let (first, second) = (ask("Password: ")?, ask("Again: ")?);
    if first == second { Ok(first) } else { Err(Failure::Said("the two passwords differ".to_owned())) }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
