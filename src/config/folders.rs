//! Where the programs of one user keep their files, and where this one lies. Read from the environment, as the platform has it.

use std::env;
use std::path::PathBuf;

/// This program's own file, for whoever runs it once more.
pub fn program() -> Option<PathBuf> {
    env::current_exe().ok()
}

/// The folder for data of this user's programs: `$XDG_DATA_HOME`, else `~/.local/share`; on macOS
/// `~/Library/Application Support`. Nothing when the system does not say where the user is at home.
pub fn user_data() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let named = env::var_os("XDG_DATA_HOME").map(PathBuf::from).and_then(absolute);
    named.or_else(|| {
        let home = env::home_dir().and_then(absolute)?;
        let below = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
        Some(home.join(below))
    })
}
