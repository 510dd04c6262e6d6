//! `mandate migrate`.

use clap::Args;

use super::Failure;
use super::output::say;
use crate::app::open_store;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::extension::Checked;
use crate::random::Random;
use crate::storage::Schema;

/// Bring the database to the schema of this version, and end.
///
/// The server does the same when it starts. This is for those who want it done once, before any replica starts.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mandate migrate")]
pub(super) struct Migrate {}

/// Makes no signing keys: a job that migrates need not know which are wanted, and none has to be made before a replica
/// signs.
pub(super) async fn run(_: &Migrate, config: Config, program: &Checked) -> Result<(), Failure> {
    let (store, _) = open_store(&config, &Random::system()).await?;
    let prepared = program.prepare(&store, SystemClock.now()).await;
    prepared.map_err(|error| Failure::Said(error.to_string()))?;
    let (database, version) = (&config.database, env!("CARGO_PKG_VERSION"));
    say(&match store.schema() {
        Schema::Own(schema) => format!("The schema of {database} is that of Mandate {version}: {schema}."),
        Schema::Newer(schema) => {
            format!(
                "The schema of {database} is {schema}, that of a newer version. Mandate {version} may run on it."
            )
        }
    });
    if !program.is_mandate() {
        say(&format!("The tables of {} are those of {}.", program.title(), program.version()));
    }
    store.close().await;
    Ok(())
}
