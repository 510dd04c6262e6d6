//! Who may read what must be read by the server alone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::doctor::findings::{KEY_FILE_MISSING, KEY_FILE_OPEN};
use crate::cli::doctor::report::Report;
use crate::config::Config;
use crate::storage::Database;
use crate::storage::files::folder_of;

/// Everybody but the owner and the group: a group of one's own is how files are shared with a service.
const OTHERS: u32 = 0o007;

pub(super) fn check(config: &Config, report: &mut Report) {
    let sealing = config.secret_key_file.as_path();
    if !sealing.exists() {
        report.found(&KEY_FILE_MISSING, format!("({})", sealing.display()));
    }
    let database = match &config.database {
        Database::Sqlite(path) => Some(path.as_path()),
        Database::Postgres { .. } => None,
    };
    let tokens = [&config.tokens.signing_key_file, &config.tokens.next_signing_key_file];
    let tls = config.tls.as_ref().map(|files| files.key.as_path());
    let keys = tokens.into_iter().filter_map(|file| file.as_deref()).chain(tls);
    // The database's own files are made with what the folder allows.
    let database = database.filter(|path| !is_hidden(path));
    let beside: Vec<PathBuf> = database.into_iter().flat_map(files_of).collect();
    for path in [sealing].into_iter().chain(beside.iter().map(PathBuf::as_path)).chain(keys) {
        let Ok(about) = std::fs::metadata(path) else { continue };
        let mode = about.permissions().mode() & 0o777;
        let shown = format!("{} has mode {mode:04o}", path.display());
        if mode & OTHERS != 0 {
            report.found(&KEY_FILE_OPEN, format!("({shown})"));
        } else {
            report.ok(format!("{shown}: nobody else reads it"));
        }
    }
}

/// A database, and what SQLite keeps beside it: the log holds what was written last.
fn files_of(database: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| {
        let mut name = database.as_os_str().to_owned();
        name.push(end);
        name.into()
    })
}

/// A folder that others cannot enter hides what is in it.
fn is_hidden(path: &Path) -> bool {
    std::fs::metadata(folder_of(path)).is_ok_and(|about| about.permissions().mode() & 0o001 == 0)
}
