//! The command line: one file per command.

mod audit;
mod backup;
mod client;
mod client_add;
mod completions;
mod config;
mod connect;
mod demo;
mod doctor;
mod examples;
mod grant;
mod greeting;
mod handbook;
mod healthcheck;
mod keys;
mod lasting;
mod man;
mod migrate;
mod naming;
mod open;
mod operator;
mod output;
mod restore;
mod secret;
mod serve;
mod signals;
mod stdio;
mod token;
mod user;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::app::StartError;
use crate::extension::{Checked, Program};
use crate::oauth::Error;
use crate::storage::StorageError;
use crate::telemetry::InitError;
use open::Opening;

/// An OAuth 2.1 authorization server and an MCP server in one binary.
#[derive(Debug, Parser)]
#[command(name = "mandate", version = version::VERSION, after_help = "Example:\n  mandate serve --demo")]
struct Arguments {
    /// The configuration file; none unless it is named, here or by `MANDATE_CONFIG`. Every key can also be set by a
    /// `MANDATE_…` environment variable.
    #[arg(long, global = true, value_name = "FILE", env = "MANDATE_CONFIG", hide_env = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Serve),
    /// Serve the MCP tools over standard input and output, on behalf of one user.
    Stdio(stdio::Stdio),
    /// Manage local accounts.
    #[command(subcommand)]
    User(user::User),
    /// Manage clients that are registered by hand.
    #[command(subcommand)]
    Client(client::Client),
    /// See what clients were granted, and end a grant.
    #[command(subcommand)]
    Grant(grant::Grant),
    /// Manage the keys that sign access tokens.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Issue tokens by hand.
    #[command(subcommand)]
    Token(token::Token),
    /// Read and verify the audit log.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Write the whole database to one file while the server runs.
    Backup(backup::Backup),
    /// Put a backup in the database's place.
    Restore(restore::Restore),
    /// Bring the database to the schema of this version, and end.
    Migrate(migrate::Migrate),
    /// Ask a server on this machine whether it is ready.
    Healthcheck(healthcheck::Healthcheck),
    /// Try a server from outside as clients do, and say what is wrong and what cures it.
    Doctor(doctor::Doctor),
    /// Connect an MCP client that only speaks stdio to any MCP server.
    Connect(connect::Connect),
    /// Check the configuration, and look up what can be configured.
    #[command(subcommand)]
    Config(config::Command),
    /// Print what lets a shell complete commands and options.
    Completions(completions::Completions),
    /// Print the manual page of a command, or write those of all.
    Man(man::Man),
}

/// Why a command did not do its work, in one sentence.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{}", said(.0))]
    Refused(#[from] Error),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{0}")]
    Said(String),
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        Self::Said(error.to_string())
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::Start(error.into())
    }
}

fn said(error: &Error) -> String {
    match &error.detail {
        Some(detail) => format!("{} ({detail})", error.description),
        None => error.description.to_owned(),
    }
}

/// Runs `mandate`: parses the arguments, runs the command and says in one sentence what went wrong.
pub fn main() -> ExitCode {
    main_with(Program::mandate())
}

/// Runs a program of your own: the same commands under its name, with its tools, its scopes and its tables. What is
/// wrong with it is said in one sentence, before anything else is done.
pub fn main_with(program: Program) -> ExitCode {
    output::speak_as(program.name());
    let program = match program.check() {
        Ok(program) => program,
        Err(refused) => {
            output::complain(&refused.to_string());
            return ExitCode::FAILURE;
        }
    };
    let parsed = command(&program).get_matches();
    let arguments = Arguments::from_arg_matches(&parsed).unwrap_or_else(|error| error.exit());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("the runtime cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(arguments, &program));
    // Not waited for: a read of standard input that never ends.
    runtime.shutdown_background();
    match ended.and_then(|()| output::check()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments, program: &Checked) -> Result<(), Failure> {
    let file = arguments.config.as_deref();
    let opening = Opening { file, program };
    let config = || opening.config();
    match arguments.command {
        Command::Serve(command) => serve::run(&command, (config()?, file), program).await,
        Command::Stdio(command) => stdio::run(&command, config()?, program).await,
        Command::User(command) => Box::pin(user::run(command, opening)).await,
        Command::Client(command) => Box::pin(client::run(command, opening)).await,
        Command::Grant(command) => Box::pin(grant::run(command, opening)).await,
        Command::Keys(command) => keys::run(command, opening).await,
        Command::Token(command) => token::run(command, &opening.existing().await?).await,
        Command::Audit(command) => audit::run(command, &opening.stored().await?.store).await,
        Command::Backup(command) => backup::run(&command, &config()?, file).await,
        Command::Restore(command) => restore::run(&command, config()?, program).await,
        Command::Migrate(command) => migrate::run(&command, config()?, program).await,
        Command::Healthcheck(command) => healthcheck::run(command, config()?).await,
        Command::Doctor(command) => doctor::run(command, config).await,
        // A client, of any server: the configuration of one is nothing to it.
        Command::Connect(command) => connect::run(command).await,
        Command::Config(command) => {
            config::run(&command, (config, arguments.config.as_deref()), program).await
        }
        Command::Completions(command) => {
            completions::run(&command, program);
            Ok(())
        }
        Command::Man(command) => man::run(&command, program),
    }
}

/// Every command and option, under the program's name.
fn command(program: &Checked) -> clap::Command {
    naming::command(Arguments::command(), program)
}
