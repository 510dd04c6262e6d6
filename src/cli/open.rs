//! Opening the application for a command, and the rule of who may make what is not there.
//!
//! A slip in a path or a shell in the wrong folder leads to a place where there is nothing. Who starts an installation
//! makes it there: the server, what serves over standard input and output, what brings the schema up to date and what
//! adds the first account. To everybody else it is a mistake: in a new, empty database nothing is found, nothing is
//! wrong, and whatever is disabled stays let in where it matters.

use std::path::Path;
use std::sync::Arc;

use super::Failure;
use crate::app::{App, StartError, look_at_keys, open_store};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::{Config, ConfigError, Source};
use crate::extension::Checked;
use crate::keys::Keys;
use crate::random::Random;
use crate::storage::survey::is_ours;
use crate::storage::{Database, Store};

/// Opens the application with the tables of the program's extensions. Makes what is not there: the database, its tables
/// and the key file.
pub(super) async fn open(config: Config, program: &Checked) -> Result<App, Failure> {
    let app = App::open(config, Arc::new(SystemClock), Random::system()).await?;
    program.prepare(&app.store, app.now()).await.map_err(|error| Failure::Said(error.to_string()))?;
    Ok(app)
}

/// With what a command opens an installation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'a> {
    pub(super) file: Option<&'a Path>,
    pub(super) program: &'a Checked,
}

/// What is stored of an installation, for commands that only read it.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) store: Store,
    pub(super) keys: Keys,
    pub(super) now: Timestamp,
}

impl Opening<'_> {
    /// Reads the configuration.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        Config::load_for(self.file, self.program.own().clone())
    }

    /// As [`open`] does.
    pub(super) async fn new_or_existing(&self) -> Result<App, Failure> {
        Box::pin(open(self.config()?, self.program)).await
    }

    /// Opens an installation that there is. An older schema is brought up to date.
    pub(super) async fn existing(&self) -> Result<App, Failure> {
        let config = self.config()?;
        check_existing(&config, self.file).await?;
        Box::pin(open(config, self.program)).await
    }

    /// Opens what is stored of an installation that there is. Redis is not asked: while something is wrong with it, one
    /// wants to read on. An older schema is brought up to date; tables of extensions, which nothing here reads, are left
    /// as they are.
    pub(super) async fn stored(&self) -> Result<Stored, Failure> {
        let config = self.config()?;
        check_existing(&config, self.file).await?;
        let (store, sealing) = open_store(&config, &Random::system()).await?;
        let keys = look_at_keys(&store, sealing, &config).await?;
        Ok(Stored { store, keys, now: SystemClock.now() })
    }
}

async fn check_existing(config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    if let Database::Sqlite(path) = &config.database {
        check_file(path, file)?;
    }
    if !is_ours(&config.database).await.map_err(StartError::from)? {
        let name = match &config.database {
            Database::Sqlite(path) => path.display().to_string(),
            Database::Postgres { url, .. } => url.to_string(),
        };
        return Err(Failure::Said(format!(
            "{DATABASE}: the database {name} ({}) has no tables of this server: {}; `mandate migrate` makes them",
            Source::of(DATABASE, file),
            other(DATABASE)
        )));
    }
    let key = &config.secret_key_file;
    if key.exists() {
        return Ok(());
    }
    let source = match Source::of(KEY, file) {
        Source::Default => "beside the database".to_owned(),
        said => said.to_string(),
    };
    Err(Failure::Said(format!(
        "{KEY}: there is no key file at {} ({source}), and a new one would not belong to this database: {}",
        key.display(),
        other(KEY)
    )))
}

/// Refuses a SQLite database that is not there; `file` is the configuration file.
pub(super) fn check_file(path: &Path, file: Option<&Path>) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let (path, source) = (path.display(), Source::of(DATABASE, file));
    Err(Failure::Said(format!("{DATABASE}: there is no database at {path} ({source}): {}", other(DATABASE))))
}

/// What names another one.
fn other(key: &str) -> String {
    format!("run this where the server runs, or name its own with --config or MANDATE_{}", key.to_uppercase())
}

const DATABASE: &str = "database_url";
const KEY: &str = "secret_key_file";
