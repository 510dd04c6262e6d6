//! `mandate backup`.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::open::check_file;
use super::output::{aside, say};
use super::signals::Stop;
use crate::config::Config;
use crate::keys::{SealingKey, is_sealed_with};
use crate::random::Random;
use crate::storage::Database;
use crate::storage::backup::{Content, FileError, check_free, write};

/// Write the whole database to one file while the server runs.
///
/// The file is consistent, complete in itself, verified, and only yours to read; nothing is overwritten. It holds
/// password hashes, and the signing keys sealed with the secret key file. That file is not in it and is needed to
/// restore it: it never changes, so keep one copy of it, in another place than the backups.
///
/// For SQLite. A PostgreSQL database is backed up by PostgreSQL's own tools.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mandate backup mandate-2026-11-23.backup\n\nTo another machine:\n  \
                        mandate backup - | ssh vault 'cat > mandate-2026-11-23.backup'")]
pub(super) struct Backup {
    /// The file to write; `-` is standard output.
    file: PathBuf,
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Said(error.to_string())
    }
}

/// What to read about databases that are not ours to copy.
pub(super) const PAGE: &str = "the page \"Backup and upgrade\" of the documentation";

/// Does work unless a signal ends the command: the work is dropped then, and with it every file that has no name yet.
pub(super) async fn unless_stopped(
    work: impl Future<Output = Result<(), Failure>>,
    otherwise: &str,
) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    tokio::select! {
        biased;
        done = work => done,
        _ = stop.asked() => Err(Failure::Said(format!("stopped by a signal; {otherwise}"))),
    }
}

pub(super) async fn run(command: &Backup, config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    Box::pin(unless_stopped(back_up(command, config, file), "no backup was finished")).await
}

async fn back_up(command: &Backup, config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    let Database::Sqlite(database) = &config.database else {
        return Err(Failure::Said(format!(
            "the database is PostgreSQL: back it up with `pg_dump --format=custom`, or for any moment with \
             continuous archiving; {PAGE} has the commands"
        )));
    };
    check_file(database, file)?;
    let name = Random::system().id();
    if command.file == Path::new("-") {
        return to_stdout(database, &name, config).await;
    }
    check_free(&command.file)?;
    let written = write(database, &command.file, &name).await?;
    let content = written.publish(&command.file)?;
    say(&summary(&content, &format!("to {}", command.file.display())));
    for line in about_keys(config, &content) {
        say(&line);
    }
    Ok(())
}

/// Written beside the database first: what is piped on is verified already.
async fn to_stdout(database: &Path, name: &str, config: &Config) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::Said("a backup is no text: name a file, or send it to a program".to_owned()));
    }
    let written = write(database, &database.with_extension("backup"), name).await?;
    let from = written.read()?;
    let copied = tokio::task::spawn_blocking(move || pass_on(from)).await;
    let copied = copied.map_err(io::Error::other).and_then(|copied| copied);
    let copied =
        copied.map_err(|error| Failure::Said(format!("standard output cannot be written: {error}")))?;
    if copied != written.content.bytes {
        let all = written.content.bytes;
        return Err(Failure::Said(format!("standard output took {copied} bytes of {all}")));
    }
    aside(&summary(&written.content, "to standard output"));
    for line in about_keys(config, &written.content) {
        aside(&line);
    }
    Ok(())
}

/// Copies all of it to standard output, past this program's buffer: what cannot be written, to the last byte, is an
/// error, and so is a reader who goes away.
fn pass_on(mut from: File) -> io::Result<u64> {
    let mut to = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let copied = io::copy(&mut from, &mut to)?;
    // A pipe is on no disk.
    if to.metadata()?.is_file() {
        to.sync_all()?;
    }
    Ok(copied)
}

fn summary(content: &Content, to: &str) -> String {
    let last =
        content.last_event.map_or("no event yet".to_owned(), |at| format!("last event {}", at.rfc3339()));
    format!("Wrote {} bytes {to}, and verified them: schema {}, {last}.", content.bytes, content.schema)
}

/// What is needed besides.
fn about_keys(config: &Config, content: &Content) -> Vec<String> {
    let file = &config.secret_key_file;
    let shown = file.display();
    let belongs = |sealing: &SealingKey| {
        content.sealed_key.as_ref().is_none_or(|sealed| is_sealed_with(sealing, sealed))
    };
    // Read, and never made here.
    let sealing = file.exists().then(|| SealingKey::load_or_create(file, &Random::system()).ok()).flatten();
    let mut lines = vec![match sealing {
        Some(sealing) if belongs(&sealing) => format!(
            "The key file {shown} is not in it, and is needed to restore it. It never changes: keep one copy of it, in \
             another place than the backups."
        ),
        Some(_) => format!(
            "WARNING: the key file {shown} does not belong to this database. Without the one that does, \
                            this backup cannot be restored."
        ),
        None => {
            format!("WARNING: there is no key file at {shown}. Without it this backup cannot be restored.")
        }
    }];
    let given = [&config.tokens.signing_key_file, &config.tokens.next_signing_key_file];
    for file in given.into_iter().flatten() {
        lines.push(format!("Not in it either: the signing key in {}.", file.display()));
    }
    lines
}
