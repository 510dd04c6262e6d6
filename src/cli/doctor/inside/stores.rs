//! The database and Redis: whether they are there, new enough, of this version's schema, and agree on the time.

use std::time::Duration;

use crate::cli::doctor::findings::{
    DATABASE_ABSENT, DATABASE_AWAY, DATABASE_CLOCK, DATABASE_EMPTY, DATABASE_OLD, DATABASE_READS_ONLY,
    DEMO_ACCOUNTS, Finding, REDIS_AWAY, REDIS_CLOCK, REDIS_EVICTS, REDIS_FORGETS, REDIS_OLD, SCHEMA_AHEAD,
    SCHEMA_BEHIND, SCHEMA_NEWER,
};
use crate::cli::doctor::report::Report;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::Config;
use crate::ephemeral::redis::RedisUrl;
use crate::ephemeral::redis::survey as of_redis;
use crate::storage::survey::{self, Survey};

/// The oldest versions that are supported.
const POSTGRES: u32 = 15;
const REDIS: u32 = 7;
/// How far apart two clocks may be.
const APART: Duration = Duration::from_secs(5);
/// Whom the demo lets in. One of the names alone may be anybody's.
const DEMO: [&str; 2] = ["alice", "bob"];

pub(super) async fn database(config: &Config, report: &mut Report) {
    let seen = match survey::survey(&config.database, &DEMO).await {
        Ok(Some(seen)) => seen,
        Ok(None) => {
            report.found(&DATABASE_ABSENT, format!("({})", config.database));
            return;
        }
        Err(error) => {
            report.found(&DATABASE_AWAY, format!("({}: {error})", config.database));
            return;
        }
    };
    report.ok(format!("{} answers, version {}", config.database, seen.version));
    for (finding, detail) in judge(&seen) {
        report.found(finding, detail);
    }
    if seen.behind.is_empty() && seen.ahead.is_empty() {
        report.ok("its schema is this version's");
    }
    if config.public_url.is_https() && seen.accounts.len() == DEMO.len() {
        report.found(&DEMO_ACCOUNTS, format!("({})", seen.accounts.join(", ")));
    }
    if let Some(now) = seen.now {
        clock(now, &DATABASE_CLOCK, report);
    }
}

fn judge(seen: &Survey) -> Vec<(&'static Finding, String)> {
    let listed = |steps: &[i64]| {
        let steps: Vec<String> = steps.iter().map(i64::to_string).collect();
        format!("(steps {})", steps.join(", "))
    };
    let mut found = Vec::new();
    if seen.postgres.is_some_and(|major| major < POSTGRES) {
        found.push((&DATABASE_OLD, format!("({})", seen.version)));
    }
    if seen.reads_only {
        found.push((&DATABASE_READS_ONLY, String::new()));
    }
    if !seen.ahead.is_empty() {
        let ahead = if seen.lets_in { &SCHEMA_NEWER } else { &SCHEMA_AHEAD };
        found.push((ahead, listed(&seen.ahead)));
    } else if seen.is_empty() {
        found.push((&DATABASE_EMPTY, String::new()));
    } else if !seen.behind.is_empty() {
        found.push((&SCHEMA_BEHIND, listed(&seen.behind)));
    }
    found
}

pub(super) async fn redis(url: &RedisUrl, report: &mut Report) {
    for (node, seen) in of_redis::survey(url).await {
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                report.found(&REDIS_AWAY, format!("({node}: {error})"));
                continue;
            }
        };
        report.ok(format!("{node} answers, version {}", seen.version));
        for (finding, detail) in judge_redis(&seen) {
            report.found(finding, format!("({node}: {detail})"));
        }
        clock(seen.now, &REDIS_CLOCK, report);
    }
}

fn judge_redis(seen: &of_redis::Survey) -> Vec<(&'static Finding, String)> {
    let mut found = Vec::new();
    let major = seen.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < REDIS) {
        found.push((&REDIS_OLD, seen.version.clone()));
    }
    if !seen.policy.is_empty() && seen.policy != "noeviction" {
        found.push((&REDIS_EVICTS, format!("maxmemory-policy {}", seen.policy)));
    }
    if seen.persists == Some(false) {
        found.push((&REDIS_FORGETS, "no save, no appendonly".to_owned()));
    }
    found
}

fn clock(theirs: Timestamp, finding: &'static Finding, report: &mut Report) {
    let ours = SystemClock.now();
    if theirs.since(ours).max(ours.since(theirs)) > APART {
        report.found(finding, format!("(its: {}, ours: {})", theirs.rfc3339(), ours.rfc3339()));
    } else {
        report.ok("its clock agrees with this machine's");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_and_other_schemas_are_told() {
        let good = Survey {
            version: "17.5".into(),
            postgres: Some(17),
            behind: vec![],
            ahead: vec![],
            lets_in: true,
            now: None,
            reads_only: false,
            accounts: vec![],
        };
        let ids =
            |seen: &Survey| -> Vec<&str> { judge(seen).iter().map(|(finding, _)| finding.id).collect() };
        for (seen, expected) in [
            (good.clone(), vec![]),
            (Survey { postgres: Some(14), ..good.clone() }, vec!["database-old"]),
            (Survey { postgres: None, ..good.clone() }, vec![]),
            (Survey { reads_only: true, ..good.clone() }, vec!["database-reads-only"]),
            (Survey { behind: vec![11], ..good.clone() }, vec!["schema-behind"]),
            (Survey { behind: vec![1, 2, 11], ..good.clone() }, vec!["database-empty"]),
            (Survey { ahead: vec![99], ..good.clone() }, vec!["schema-newer"]),
            (
                Survey { behind: vec![11], ahead: vec![99], lets_in: false, ..good.clone() },
                vec!["schema-ahead"],
            ),
        ] {
            assert_eq!(ids(&seen), expected, "{seen:?}");
        }
    }

    #[test]
    fn redis_must_be_new_enough_and_throw_nothing_away() {
        let seen = |version: &str, policy: &str, persists| of_redis::Survey {
            version: version.into(),
            policy: policy.into(),
            persists,
            now: Timestamp(0),
        };
        for (seen, expected) in [
            (seen("7.0.15", "noeviction", Some(true)), vec![]),
            (seen("8.2.0", "", None), vec![]),
            (seen("6.2.1", "noeviction", Some(true)), vec!["redis-old"]),
            (seen("7.4.5", "volatile-ttl", Some(false)), vec!["redis-evicts", "redis-forgets"]),
        ] {
            let found: Vec<&str> = judge_redis(&seen).iter().map(|(finding, _)| finding.id).collect();
            assert_eq!(found, expected, "{seen:?}");
        }
    }

    #[test]
    fn clocks_may_differ_by_seconds() {
        for (apart, expected) in [(2, false), (60, true)] {
            let mut report = Report::new(crate::cli::doctor::report::Form::Json);
            clock(SystemClock.now().plus(Duration::from_secs(apart)), &REDIS_CLOCK, &mut report);
            assert_eq!(report.has(&REDIS_CLOCK), expected);
        }
    }
}
