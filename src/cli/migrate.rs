//! `mandate migrate`.

use clap::Args;

use super::Failure;
use super::open::open;
use super::output::say;
use crate::config::Config;
use crate::extension::Checked;
use crate::storage::Schema;

/// Bring the database to the schema of this version, and end.
///
/// The server does the same when it starts. This is for those who want it done once, before any replica starts.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mandate migrate")]
pub(super) struct Migrate {}

pub(super) async fn run(_: &Migrate, config: Config, program: &Checked) -> Result<(), Failure> {
    let app = open(config, program).await?;
    let (database, version) = (&app.config.database, env!("CARGO_PKG_VERSION"));
    say(&match app.store.schema() {
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
    app.store.close().await;
    Ok(())
}
