//! What `--version` says. The greeting of the server and its MCP metadata have the number alone: clients compare it.

/// The number, and in parentheses the commit with its day, or `dev`.
pub(super) const VERSION: &str = env!("VERSION_WITH_COMMIT");

/// The number alone.
pub(super) const NUMBER: &str = env!("CARGO_PKG_VERSION");

/// The commit alone, as [`VERSION`] has it; `dev` or `unknown` where it has none.
pub(super) fn commit() -> &'static str {
    commit_in(VERSION)
}

fn commit_in(version: &str) -> &str {
    let mark = version.split_once('(').map_or(version, |(_, mark)| mark);
    mark.split([' ', ')']).next().unwrap_or(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_read_from_what_the_version_says() {
        for (version, commit) in [
            ("0.1.0 (abc1234 2026-11-23)", "abc1234"),
            ("0.1.0 (abc1234-dirty 2026-11-23)", "abc1234-dirty"),
            ("0.1.0 (abc1234)", "abc1234"),
            ("0.1.0 (dev)", "dev"),
            ("0.1.0 (unknown commit)", "unknown"),
        ] {
            assert_eq!(commit_in(version), commit, "{version}");
        }
        assert!(VERSION.starts_with(&format!("{NUMBER} ({}", commit())), "{VERSION}");
    }
}
