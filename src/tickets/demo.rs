//! Two hundred tickets of a made-up company, the same at every start, so that there is something to search.
//!
//! `demo.json` holds forty matters, each written once with blanks and five ways to fill them: five tickets that
//! read differently and could all have been opened by somebody. Who, when and how it went follows from the
//! number alone.

use std::time::Duration;

use serde::Deserialize;

use super::store::{self, NewComment, NewTicket};
use super::{Body, Priority, Resolution, Sight, TicketId, Title};
use crate::clock::Timestamp;
use crate::oauth::UserId;
use crate::storage::users::Role;
use crate::storage::{Result, StorageError, Tx};

/// The usernames of those who report tickets besides alice and bob. Nobody needs to be able to sign in as them.
pub const COLLEAGUES: [&str; 6] = ["carla", "daichi", "elif", "farid", "greta", "hugo"];

/// How many tickets there are.
pub const TICKETS: usize = 200;
/// How many ways there are to fill a matter's blanks.
const WAYS: usize = 5;
/// How long ago the first ticket was opened.
const SPAN: Duration = Duration::from_hours(150 * 24);

const MATTERS: &str = include_str!("demo.json");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matter {
    /// Who alone reports it, if not anybody.
    #[serde(default)]
    by: Option<String>,
    title: String,
    body: String,
    priority: String,
    /// For each way, what `{0}`, `{1}` … stand for.
    fill: Vec<Vec<String>>,
    /// Said in turn by alice and the reporter.
    #[serde(default)]
    comments: Vec<String>,
    resolution: String,
}

impl Matter {
    fn filled(&self, text: &str, way: usize) -> String {
        let values = self.fill.get(way).map(Vec::as_slice).unwrap_or_default();
        values
            .iter()
            .enumerate()
            .fold(text.to_owned(), |text, (blank, value)| text.replace(&format!("{{{blank}}}"), value))
    }
}

/// How a ticket went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Untouched,
    Discussed,
    Waiting,
    Closed,
}

/// Half of the old tickets are closed; of the rest, some are being talked about and some wait.
fn course(number: usize) -> Course {
    match number % 10 {
        0 | 2 | 5 | 8 => Course::Closed,
        1 | 7 => Course::Waiting,
        3 | 6 => Course::Discussed,
        _ => Course::Untouched,
    }
}

/// Whose ticket it is: of who writes that language, where the matter says so; else alice, who works on tickets,
/// opens few and bob many.
fn reporter<'a>(matter: &Matter, number: usize, people: &'a [UserId]) -> Option<&'a UserId> {
    let named = COLLEAGUES.iter().position(|name| matter.by.as_deref() == Some(*name));
    let place = match (named, number % 9) {
        (Some(named), _) => 2 + named,
        (None, 0 | 4) => 1,
        (None, 8) if number.is_multiple_of(2) => 0,
        (None, other) => 2 + (number / 9 + other) % COLLEAGUES.len(),
    };
    people.get(place)
}

/// Opens the tickets. `people` are alice (an agent), bob and the [`COLLEAGUES`], in this order.
pub async fn fill(tx: &mut Tx, people: &[UserId], now: Timestamp) -> Result<()> {
    let matters: Vec<Matter> =
        serde_json::from_str(MATTERS).map_err(|error| StorageError::corrupt("demo.json", error))?;
    for number in 0..TICKETS {
        // Coprime steps, so that neighbours are about different things.
        let matter = matters.get((number * 7) % matters.len().max(1));
        let Some(matter) = matter else { continue };
        let Some(reporter) = reporter(matter, number, people) else { continue };
        let step = SPAN / u32::try_from(TICKETS).unwrap_or(1);
        let opened = now.minus(SPAN).plus(step * u32::try_from(number).unwrap_or(0));
        let way = number / matters.len().max(1) % WAYS;
        let ticket = open(tx, matter, way, reporter, opened).await?;
        go_on(tx, matter, way, number, Cast { ticket, reporter, agent: people.first() }, opened).await?;
    }
    Ok(())
}

fn made<T>(parsed: std::result::Result<T, super::Flaw>) -> Result<T> {
    parsed.map_err(|flaw| StorageError::corrupt("demo.json", flaw))
}

async fn open(
    tx: &mut Tx,
    matter: &Matter,
    way: usize,
    reporter_id: &UserId,
    at: Timestamp,
) -> Result<TicketId> {
    let title = made(Title::parse(matter.filled(&matter.title, way)))?;
    let body = made(Body::parse(matter.filled(&matter.body, way)))?;
    let priority = Priority::parse(&matter.priority).unwrap_or(Priority::Medium);
    store::record(tx, NewTicket { reporter_id, title: &title, body: &body, priority }, at).await
}

struct Cast<'a> {
    ticket: TicketId,
    reporter: &'a UserId,
    agent: Option<&'a UserId>,
}

async fn go_on(
    tx: &mut Tx,
    matter: &Matter,
    way: usize,
    number: usize,
    cast: Cast<'_>,
    opened: Timestamp,
) -> Result<()> {
    let course = course(number);
    let Some(agent) = cast.agent.filter(|_| course != Course::Untouched) else { return Ok(()) };
    let everything = Sight::of(Role::Agent, agent);
    let mut at = opened;
    for (turn, comment) in matter.comments.iter().enumerate() {
        at = at.plus(Duration::from_mins(47));
        let body = made(Body::parse(matter.filled(comment, way)))?;
        let author_id = if turn % 2 == 0 { agent } else { cast.reporter };
        let new = NewComment { ticket: cast.ticket, author_id, body: &body };
        store::add_comment(tx, &everything, new, at).await?;
    }
    at = at.plus(Duration::from_hours(3));
    match course {
        Course::Waiting => {
            store::set_pending(tx, cast.ticket, at).await?;
        }
        Course::Closed => {
            let resolution = made(Resolution::parse(matter.filled(&matter.resolution, way)))?;
            store::close(tx, &everything, cast.ticket, Some(&resolution), at).await?;
        }
        Course::Untouched | Course::Discussed => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::audit::chain::ChainKey;
    use std::collections::BTreeSet;

    use super::*;
    use crate::storage::users::{self, User};
    use crate::storage::{Database, Store, commit};
    use crate::tickets::query::Query;
    use crate::tickets::search::{Search, search};
    use crate::tickets::{Status, Ticket};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    async fn filled() -> (Vec<Ticket>, Vec<UserId>) {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open(&Database::Sqlite(folder.path().join("t.db")), ChainKey::new([7; 32])).await.unwrap();
        let mut tx = store.write().await.unwrap();
        let mut people = Vec::new();
        for username in ["alice", "bob"].into_iter().chain(COLLEAGUES) {
            let user = User {
                user_id: UserId::new(format!("user_{username}")),
                username: username.to_owned(),
                role: Role::Requester,
                password_hash: "x".into(),
                created_at: NOW,
                disabled_at: None,
            };
            users::record(&mut tx, &user).await.unwrap();
            people.push(user.user_id);
        }
        fill(&mut tx, &people, NOW).await.unwrap();
        commit(tx).await.unwrap();
        let everything = Sight::of(Role::Agent, &people[0]);
        let asked = Search {
            sight: &everything,
            query: &Query::Everything,
            status: None,
            after: None,
            limit: 1000,
            excerpt: Body::MAX,
            progress: None,
        };
        (search(&store, asked).await.unwrap().tickets, people)
    }

    #[tokio::test]
    async fn the_demo_is_200_tickets_of_which_no_two_read_the_same() {
        let (tickets, people) = filled().await;
        assert_eq!(tickets.len(), TICKETS);
        let texts: BTreeSet<_> = tickets.iter().map(|ticket| (&ticket.title, &ticket.body.text)).collect();
        assert_eq!(texts.len(), TICKETS);
        for ticket in &tickets {
            assert!(!ticket.title.contains('{') && !ticket.body.text.contains('{'), "{}", ticket.title);
            assert!(ticket.created_at < ticket.updated_at || ticket.status == Status::Open);
            assert!(ticket.updated_at <= NOW);
        }
        let reporters: BTreeSet<_> = tickets.iter().map(|ticket| ticket.reporter.as_str()).collect();
        assert_eq!(reporters.len(), people.len());
        for (status, least) in [(Status::Open, 60), (Status::Pending, 30), (Status::Closed, 60)] {
            assert!(tickets.iter().filter(|ticket| ticket.status == status).count() >= least, "{status:?}");
        }
        for priority in Priority::ALL {
            assert!(
                tickets.iter().filter(|ticket| ticket.priority == *priority).count() >= 30,
                "{priority:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_demo_is_the_same_every_time() {
        assert_eq!(filled().await.0, filled().await.0);
    }
}
