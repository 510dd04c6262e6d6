//! `mandate audit list|export|verify`.

use std::collections::HashMap;
use std::io::{BufWriter, ErrorKind, Write};

use chrono::{DateTime, NaiveDate, NaiveTime};
use clap::{Args, Subcommand, ValueEnum};

use super::Failure;
use super::output::{say, table, unwritable};
use crate::audit::verify::verify;
use crate::audit::{self, Kind};
use crate::clock::Timestamp;
use crate::oauth::UserId;
use crate::storage::Store;
use crate::storage::audit::{Filter, Place, Record};
use crate::web::text::display_name;

/// How many events are read at once.
const PAGE: u32 = 500;

/// Read and verify the audit log.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// List events, newest first.
    #[command(after_help = "Example:\n  mandate audit list --user alice --outcome refused --limit 20")]
    List(List),
    /// Write every event as JSON Lines, oldest first, with its chain, link and seal. What is recorded while it
    /// runs may be left out.
    #[command(after_help = "Example:\n  mandate audit export --since 2026-11-01 > audit.jsonl")]
    Export {
        /// Leave out what happened before: a date, or a time as in RFC 3339.
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        since: Option<Timestamp>,
        /// Leave out what happened then or later.
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        until: Option<Timestamp>,
    },
    /// Check that no event was changed, removed, inserted or reordered. Names each that was and exits with 1;
    /// else exits with 0. The server may go on writing meanwhile.
    #[command(
        after_help = "What a chain's seals cannot show is that the whole chain was put back to an earlier state: keep \
                      its end, which this prints, elsewhere, or an export.\n\nExample:\n  mandate audit verify"
    )]
    Verify,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// On behalf of this user: a username, or an id.
    #[arg(long)]
    user: Option<String>,
    /// By the client with this id.
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
    /// Under the grant with this id.
    #[arg(long, value_name = "GRANT_ID")]
    grant: Option<String>,
    /// Of this kind.
    #[arg(long, value_parser = kinds())]
    event: Option<String>,
    /// With this outcome.
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// As JSON Lines instead of a table.
    #[arg(long)]
    json: bool,
}

/// An outcome as written on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => audit::Outcome::Done.as_str(),
            Self::Refused => audit::Outcome::Refused.as_str(),
        }
    }
}

fn kinds() -> clap::builder::PossibleValuesParser {
    Kind::ALL.map(Kind::as_str).into()
}

pub(super) async fn run(command: Audit, store: &Store) -> Result<(), Failure> {
    match command {
        Audit::List(asked) => list(store, asked).await,
        Audit::Export { since, until } => export(store, since, until).await,
        Audit::Verify => check(store).await,
    }
}

async fn list(store: &Store, asked: List) -> Result<(), Failure> {
    let user_id = match asked.user {
        Some(user) => Some(find_user(store, user).await?),
        None => None,
    };
    let filter = Filter {
        user_id,
        client_id: asked.client,
        grant_id: asked.grant,
        event: asked.event,
        outcome: asked.outcome.map(|outcome| outcome.as_str().to_owned()),
    };
    let mut records: Vec<Record> = Vec::new();
    let mut left = asked.limit;
    while left > 0 {
        let before = records.last().map(place);
        let page = store.find_records(&filter, before, left.min(PAGE)).await?;
        let Ok(count @ 1..) = u32::try_from(page.len()) else { break };
        left = left.saturating_sub(count);
        records.extend(page);
    }
    if asked.json {
        let mut lines = Lines::new();
        return lines.write(&records).and_then(|()| lines.end());
    }
    let users = store.list_users().await?;
    let names = users.into_iter().map(|user| (user.user_id.as_str().to_owned(), user.username)).collect();
    let rows: Vec<_> = records.iter().map(|record| row(record, &names)).collect();
    table(&["TIME", "EVENT", "OUTCOME", "USER", "CLIENT", "GRANT", "WHAT"], &rows);
    Ok(())
}

/// The id of a user who is named by id or by name. A removed account has an id only.
async fn find_user(store: &Store, text: String) -> Result<String, Failure> {
    match store.find_user_by_name(&text).await? {
        Some(user) => Ok(user.user_id.as_str().to_owned()),
        None if [UserId::PREFIX, UserId::MACHINE_PREFIX].iter().any(|of| text.starts_with(of)) => Ok(text),
        None => Err(Failure::Said(format!(
            "--user: there is no account named {text}; `mandate user list` shows them all"
        ))),
    }
}

/// A row of the table. What others wrote may not steer the terminal.
fn row(record: &Record, names: &HashMap<String, String>) -> Vec<String> {
    let event = &record.row;
    let user = event.user_id.as_ref().map(|id| names.get(id).unwrap_or(id).as_str());
    let what = [&event.tool, &event.arguments, &event.detail].map(|part| part.as_deref().unwrap_or_default());
    let shown = |text: Option<&str>| match text.map(display_name) {
        Some(text) if !text.is_empty() => text,
        _ => "-".to_owned(),
    };
    vec![
        event.at.rfc3339(),
        shown(Some(&event.event)),
        shown(Some(&event.outcome)),
        shown(user),
        shown(event.client_id.as_deref()),
        shown(event.grant_id.as_deref()),
        what.map(display_name).into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "),
    ]
}

fn place(record: &Record) -> Place {
    Place { at: record.row.at, seq: record.row.seq }
}

async fn export(store: &Store, since: Option<Timestamp>, until: Option<Timestamp>) -> Result<(), Failure> {
    let mut lines = Lines::new();
    let mut after = Place { at: since.unwrap_or(Timestamp(i64::MIN)), seq: i64::MIN };
    let until = until.unwrap_or(Timestamp(i64::MAX));
    while !lines.is_closed {
        let page = store.list_records(after, until, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = place(last);
        lines.write(&page)?;
    }
    lines.end()
}

async fn check(store: &Store) -> Result<(), Failure> {
    let report = verify(store).await?;
    for finding in &report.findings {
        say(&finding.to_string());
    }
    let judged: u64 = report.chains.iter().map(|chain| chain.events).sum();
    if !report.findings.is_empty() {
        let found = report.findings.len();
        let findings = if found == 1 { "1 finding".to_owned() } else { format!("{found} findings") };
        return Err(Failure::Said(format!(
            "the audit log is not as it was written: {findings} in {judged} events"
        )));
    }
    say(&format!("The audit log is as it was written: {judged} events in {} chains.", report.chains.len()));
    if report.unchained > 0 {
        say(&format!("Events from before there were chains, which cannot be checked: {}.", report.unchained));
    }
    let rows: Vec<Vec<String>> = report
        .chains
        .iter()
        .map(|chain| {
            let seal = if chain.end.end_seal.is_empty() { "-" } else { &chain.end.end_seal };
            let [number, events, link] =
                [chain.end.chain.to_string(), chain.events.to_string(), chain.end.link.to_string()];
            vec![number, events, link, seal.to_owned()]
        })
        .collect();
    table(&["CHAIN", "EVENTS", "LAST_LINK", "END_SEAL"], &rows);
    Ok(())
}

/// JSON Lines on standard output. Unlike what people read, a line that cannot be written is a failure: whoever
/// keeps the log elsewhere must know that it is whole. A reader that had enough is none.
struct Lines {
    out: BufWriter<std::io::Stdout>,
    is_closed: bool,
}

impl Lines {
    fn new() -> Self {
        Self { out: BufWriter::new(std::io::stdout()), is_closed: false }
    }

    fn write(&mut self, records: &[Record]) -> Result<(), Failure> {
        for record in records {
            let line = serde_json::to_string(record).map_err(|error| Failure::Said(error.to_string()))?;
            let done = writeln!(self.out, "{line}");
            self.judge(done)?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        let done = self.out.flush();
        self.judge(done)
    }

    fn judge(&mut self, done: std::io::Result<()>) -> Result<(), Failure> {
        match done {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.is_closed = true,
            Err(error) => return Err(unwritable(&error)),
            Ok(()) => {}
        }
        Ok(())
    }
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let moment = DateTime::parse_from_rfc3339(text).map(|moment| moment.timestamp_millis());
    let midnight =
        || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let parsed = moment.or_else(|_| midnight().map(|moment| moment.timestamp_millis()));
    parsed.map(Timestamp).map_err(|_| "write 2026-11-23, or 2026-11-23T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_says_when_each_kind_is_recorded() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/operate/audit.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (_, table) = page.split_once("| `--event` | recorded when |\n|---|---|\n").unwrap();
        let cells = table.lines().map_while(|line| line.strip_prefix("| ")?.split(" | ").next());
        let named: Vec<&str> =
            cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`')).collect();
        let all: std::collections::BTreeSet<&str> = Kind::ALL.map(Kind::as_str).into();
        assert_eq!(named.len(), all.len());
        assert_eq!(std::collections::BTreeSet::from_iter(named), all);
    }

    #[test]
    fn a_time_is_a_date_or_rfc_3339() {
        let day = Timestamp(1_795_392_000_000);
        for (text, expected) in [
            ("2026-11-23", Some(day)),
            ("2026-11-23T00:00:00Z", Some(day)),
            ("2026-11-23T01:00:00+01:00", Some(day)),
            ("2026-11-23T00:00:00", None),
            ("23.11.2026", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text).ok(), expected, "{text}");
        }
    }
}
