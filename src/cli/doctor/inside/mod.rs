//! What only the operator sees: configuration, files, database, Redis.

mod files;
mod settings;
mod stores;

use super::report::Report;
use crate::config::Config;

/// Looks at all of it. Nothing is changed, and nothing made that is not there yet.
pub(super) async fn examine(config: &Config, report: &mut Report) {
    report.group("Configuration");
    settings::check(config, report);
    report.group("Files");
    files::check(config, report);
    report.group("Database");
    stores::database(config, report).await;
    if let Some(url) = &config.redis {
        report.group("Redis");
        stores::redis(url, report).await;
    }
}
