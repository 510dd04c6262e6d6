//! Which program this is, since when it runs, and what it takes from the system. Only scraped: by OTLP the version is
//! an attribute of the resource, and what a process takes is told by whoever watches its machine.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::clock::Timestamp;

/// A running program.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Its version.
    pub version: &'static str,
    /// The commit that it is built of, or a word in its place.
    pub commit: &'static str,
    /// When it was started.
    pub started: Timestamp,
}

/// Tells of this process. The names are those that every program has for the same.
pub(super) fn register(registry: &mut Registry, process: Process) {
    let labels = vec![("version", process.version), ("commit", process.commit)];
    registry.register("mandate_build", "The version that runs", Info::new(labels));
    registry.register_collector(Box::new(Levels { started: process.started }));
}

#[derive(Debug)]
struct Levels {
    started: Timestamp,
}

impl Collector for Levels {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut tell = |name: &str, help: &str, unit: Option<&Unit>, level: Option<i64>| {
            let Some(level) = level else { return Ok(()) };
            ConstGauge::new(level).encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)
        };
        let started = Some(self.started.unix_seconds());
        tell(
            "process_start_time",
            "When the process was started, in unix time",
            Some(&Unit::Seconds),
            started,
        )?;
        let resident = read("status").as_deref().and_then(resident);
        tell("process_resident_memory", "Memory that the process holds", Some(&Unit::Bytes), resident)?;
        tell("process_open_fds", "Files and connections that are open", None, open_files())?;
        let most = most_files().and_then(|most| i64::try_from(most).ok());
        tell("process_max_fds", "How many of them the system allows", None, most)
    }
}

/// A file of what Linux tells of this process; elsewhere there is none.
fn read(name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/self/{name}")).ok()
}

/// The resident set in bytes, of `/proc/self/status`.
fn resident(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes = line.trim().strip_suffix("kB")?.trim_end().parse::<i64>().ok()?;
    kibibytes.checked_mul(1024)
}

/// How many files are open, without the one that is opened to count them.
fn open_files() -> Option<i64> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.flatten().count();
    i64::try_from(open).ok()?.checked_sub(1)
}

/// How many files this process may have open: the soft limit, as Linux tells it (`proc_pid_limits(5)`). Nothing where it
/// is not told or has no end.
pub fn most_files() -> Option<u64> {
    most_in(&read("limits")?)
}

fn most_in(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_tells_is_read_and_what_it_does_not_is_left_out() {
        assert_eq!(resident("VmHWM:\t   90 kB\nVmRSS:\t   12345 kB\n"), Some(12_345 * 1024));
        for odd in ["", "VmRSS:\n", "VmRSS:\t12 MB\n", "VmRSS:\t9223372036854775807 kB\n"] {
            assert_eq!(resident(odd), None, "{odd}");
        }
        let limits = |soft: &str| {
            format!("Limit   Soft Limit  Hard Limit  Units\nMax open files   {soft}   524288   files\n")
        };
        assert_eq!(most_in(&limits("1024")), Some(1024));
        assert_eq!(most_in(&limits("unlimited")), None);
        assert_eq!(most_in(""), None);
    }

    #[test]
    fn the_limit_in_force_is_the_first_number() {
        let told = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max core file size        0                    unlimited            bytes\n\
                    Max open files            1024                 524288               files\n";
        assert_eq!(most_in(told), Some(1024));
        assert_eq!(
            most_in("Max open files            unlimited            unlimited            files"),
            None
        );
        assert_eq!(most_in(""), None);
    }

    #[test]
    fn a_process_tells_its_version_its_start_and_what_it_takes() {
        let mut registry = Registry::default();
        let started = Timestamp(1_800_000_000_999);
        register(&mut registry, Process { version: "1.2.3", commit: "abc1234", started });
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "mandate_build_info{version=\"1.2.3\",commit=\"abc1234\"} 1",
            "# TYPE process_start_time_seconds gauge",
            "process_start_time_seconds 1800000000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        if cfg!(target_os = "linux") {
            let level = |name: &str| {
                let sample = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
                sample.unwrap_or_else(|| panic!("{name} in {text}")).parse::<i64>().unwrap()
            };
            assert!(level("process_resident_memory_bytes") > 1024 * 1024, "{text}");
            assert!((3..=level("process_max_fds")).contains(&level("process_open_fds")), "{text}");
        }
    }
}
