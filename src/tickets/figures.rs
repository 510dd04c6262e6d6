//! How fast search is on SQLite; `postgres_figures.rs` is about PostgreSQL. Run with `cargo test --release --lib figures -- --ignored --nocapture`.

use std::time::{Duration, SystemTime};

use super::query::{Position, Query};
use super::search::{Search, search};
use super::store::{self, NewTicket};
use super::{Body, Priority, Resolution, Sight, Status, TicketId, Title};
use crate::audit::chain::ChainKey;
use crate::clock::Timestamp;
use crate::oauth::UserId;
use crate::storage::users::{self, Role, User};
use crate::storage::{Database, Store, commit};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const TICKETS: usize = 100_000;
const REPORTERS: usize = 50;
const NOUNS: [&str; 24] = [
    "laptop",
    "monitor",
    "docking",
    "keyboard",
    "badge",
    "projector",
    "headset",
    "router",
    "calendar",
    "invoice",
    "password",
    "licence",
    "backup",
    "certificate",
    "mailbox",
    "phone",
    "tablet",
    "camera",
    "switch",
    "cable",
    "portal",
    "payroll",
    "scanner",
    "server",
];
const VERBS: [&str; 12] = [
    "fails",
    "restarts",
    "hangs",
    "flickers",
    "asks",
    "refuses",
    "disappears",
    "expires",
    "duplicates",
    "waits",
    "overheats",
    "blocks",
];

fn body(number: usize) -> String {
    let greeting = if number.is_multiple_of(2) { "The printer is involved." } else { "Hello." };
    let steps = (0..12).map(|step| {
        let (noun, verb) = (NOUNS[(number * 7 + step * 5) % 24], VERBS[(number * 11 + step * 3) % 12]);
        format!("Since this morning the {noun} in room {} {verb} again.", (number + step) % 400)
    });
    std::iter::once(greeting.to_owned()).chain(steps).collect::<Vec<_>>().join(" ")
}

async fn fill(store: &Store) {
    let mut tx = store.write().await.unwrap();
    for number in 0..REPORTERS {
        let user = User {
            user_id: UserId::new(format!("user_{number}")),
            username: format!("user{number}"),
            role: Role::Requester,
            password_hash: "x".into(),
            created_at: NOW,
            disabled_at: None,
        };
        users::record(&mut tx, &user).await.unwrap();
    }
    for number in 0..TICKETS {
        // The first tenth of the tickets speak of the gateway in their titles, so that the newest do not.
        let title = match number % 5 {
            0 => format!("Printer {} in room {}", VERBS[number % 12], number % 400),
            _ if number < TICKETS / 10 => format!("Gateway {}", number % 90),
            _ => format!("{} {} in room {}", NOUNS[number % 24], VERBS[number % 12], number % 400),
        };
        let new = NewTicket {
            reporter_id: &UserId::new(format!("user_{}", number % REPORTERS)),
            title: &Title::parse(title).unwrap(),
            body: &Body::parse(body(number)).unwrap(),
            priority: Priority::Medium,
        };
        let id = store::record(&mut tx, new, NOW).await.unwrap();
        if number % 3 == 0 {
            let done = Resolution::parse("done").unwrap();
            let everybody = Sight::of(Role::Agent, &UserId::new("user_0"));
            store::close(&mut tx, &everybody, id, Some(&done), NOW).await.unwrap();
        }
    }
    commit(tx).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn wall() -> SystemTime {
    SystemTime::now()
}

struct Case {
    name: &'static str,
    query: &'static str,
    status: Option<Status>,
    sight: Sight,
    deep: bool,
}

fn cases() -> Vec<Case> {
    let all = Sight::of(Role::Agent, &UserId::new("user_0"));
    let own = Sight::of(Role::Requester, &UserId::new("user_7"));
    let case =
        |name, query, status, sight: &Sight, deep| Case { name, query, status, sight: sight.clone(), deep };
    vec![
        case("half of all match, a fifth in the title", "printer", None, &all, false),
        case("half match, second tier, 20 000 titles skipped", "printer", None, &all, true),
        case("half match, open only", "printer", Some(Status::Open), &all, false),
        case("half match, own closed ones", "printer", Some(Status::Closed), &own, false),
        case("all match, none in a title", "morning", None, &all, false),
        case("six common words", "since this morning the printer again", Some(Status::Open), &all, false),
        case("a title word of old tickets only", "gateway", None, &all, false),
        case("old titles and a common word", "gateway morning", Some(Status::Open), &own, false),
        case("a phrase", "room-399", None, &all, false),
        case("no match", "zeppelin", None, &all, false),
        case("two words never together", "gateway zeppelin", None, &all, false),
        case("newest of all", "*", None, &all, false),
        case("newest own pending, of which there are none", "*", Some(Status::Pending), &own, false),
        case("one ticket by its id", "T-4711", None, &all, false),
    ]
}

#[tokio::test]
#[ignore = "takes a minute; prints figures"]
async fn search_on_100_000_tickets_prints_its_figures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let store = Store::open(&Database::Sqlite(path.clone()), ChainKey::new([7; 32])).await.unwrap();
    let started = wall();
    fill(&store).await;
    let size = std::fs::metadata(&path).unwrap().len() / 1_000_000;
    println!("{TICKETS} tickets in {:?}, {size} MB", started.elapsed().unwrap());
    for case in cases() {
        let query = Query::parse(case.query).unwrap();
        let after = case.deep.then_some(Position { tier: super::query::Tier::Title, number: 1 });
        let asked = Search {
            sight: &case.sight,
            query: &query,
            status: case.status,
            after,
            limit: 10,
            excerpt: 300,
            progress: None,
        };
        let mut times: Vec<Duration> = Vec::new();
        let mut found = 0;
        for _ in 0..50 {
            let started = wall();
            found = search(&store, asked).await.unwrap().tickets.len();
            times.push(started.elapsed().unwrap());
        }
        times.sort();
        println!("{:>9.3?} median {:>9.3?} worst  {found:>2} found  {}", times[25], times[49], case.name);
    }
    let started = wall();
    let mut tx = store.write().await.unwrap();
    let title = Title::parse("One more").unwrap();
    let text = Body::parse(body(1)).unwrap();
    let reporter_id = UserId::new("user_1");
    let new = NewTicket { reporter_id: &reporter_id, title: &title, body: &text, priority: Priority::Low };
    let id = store::record(&mut tx, new, NOW).await.unwrap();
    commit(tx).await.unwrap();
    println!("{:>9.3?} to open one more", started.elapsed().unwrap());
    assert_eq!(id, TicketId::of(i64::try_from(TICKETS).unwrap() + 1));
}
