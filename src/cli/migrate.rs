//! `mandate migrate`.

use clap::Args;

use super::output::say;
use super::{Failure, open};
use crate::config::Config;
use crate::extension::Checked;

/// Bring the database to the schema of this version, and end.
///
/// The server does the same when it starts. This is for those who want it done once, before any replica starts.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mandate migrate")]
pub(super) struct Migrate {}

pub(super) async fn run(_: &Migrate, config: Config, program: &Checked) -> Result<(), Failure> {
    let app = open(config, program).await?;
    let own = if program.is_mandate() {
        String::new()
    } else {
        format!(", with {} {}", program.title(), program.version())
    };
    say(&format!(
        "The schema of {} is that of Mandate {}{own}.",
        app.config.database,
        env!("CARGO_PKG_VERSION")
    ));
    app.store.close().await;
    Ok(())
}
