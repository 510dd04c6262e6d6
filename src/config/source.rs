//! Where the value of a key comes from, for whoever looks for what has to be changed.

use std::fmt;
use std::path::{Path, PathBuf};

use super::raw;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A variable of the environment, which wins over the file.
    Environment(String),
    /// The configuration file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl Source {
    /// Where the value of `key`, which stands in no table, comes from when `file` is the configuration file.
    pub fn of(key: &str, file: Option<&Path>) -> Self {
        if raw::is_in_environment(key) {
            return Self::Environment(format!("MANDATE_{}", key.to_uppercase()));
        }
        match file {
            Some(file) if raw::is_in_file(key, file) => Self::File(file.to_owned()),
            _ => Self::Default,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(variable) => write!(f, "from {variable}"),
            Self::File(path) => write!(f, "from {}", path.display()),
            Self::Default => f.write_str("the default"),
        }
    }
}
