//! What `--version` says. The greeting of the server and its MCP metadata have the number alone: clients compare it.

/// The number, and in parentheses the commit with its day, or `dev`.
pub(super) const VERSION: &str = env!("VERSION_WITH_COMMIT");
