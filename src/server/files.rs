//! How many connections the system lets the process have: each is an open file.

/// Files that are open besides connections: databases and their pools, listeners, logs, and what is sent elsewhere.
const OTHERS: usize = 128;

/// As many connections as are wished for, or as the process may have. Where the system does not tell, as it was wished.
pub(super) fn most_connections(wished: usize) -> usize {
    let Some(files) = std::fs::read_to_string("/proc/self/limits").ok().and_then(|text| open_files(&text))
    else {
        return wished;
    };
    let most = files.saturating_sub(OTHERS).max(files / 2).max(1);
    if most < wished {
        tracing::info!(
            "at most {most} connections are open at once, fewer than limits.connections: this process may open {files} \
             files (ulimit -n, LimitNOFILE)"
        );
    }
    most.min(wished)
}

/// The soft limit, as Linux tells it (`proc_pid_limits(5)`).
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_in_force_is_the_first_number() {
        let told = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max core file size        0                    unlimited            bytes\n\
                    Max open files            1024                 524288               files\n";
        assert_eq!(open_files(told), Some(1024));
        assert_eq!(
            open_files("Max open files            unlimited            unlimited            files"),
            None
        );
        assert_eq!(open_files(""), None);
    }

    #[test]
    fn no_more_connections_are_wished_for_than_there_are() {
        assert_eq!(most_connections(1), 1);
    }
}
