//! What each statement costs on a million tickets. See `storage/figures.rs` for how it is found out and run.

use super::query::{Position, Query, Tier};
use super::search::{Search, search};
use super::store::{self, NewComment, NewTicket};
use super::{Body, Priority, Resolution, Sight, Status, TicketId, Title};
use crate::clock::Timestamp;
use crate::oauth::UserId;
use crate::storage::figures::Figures;
use crate::storage::undo;
use crate::storage::users::Role;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

struct Case {
    name: &'static str,
    query: &'static str,
    status: Option<Status>,
    sight: Sight,
    after: Option<Position>,
}

fn cases() -> Vec<Case> {
    let user = |name: &str| UserId::new(format!("user_{name}"));
    let all = Sight::of(Role::Agent, &user("1"));
    let (most, few) = (Sight::of(Role::Requester, &user("1")), Sight::of(Role::Requester, &user("2")));
    let case =
        |name, query, status, sight: &Sight| Case { name, query, status, sight: sight.clone(), after: None };
    let deep = |name, query, tier, number| Case {
        after: Some(Position { tier, number }),
        ..case(name, query, None, &all)
    };
    let (open, pending, closed) = (Some(Status::Open), Some(Status::Pending), Some(Status::Closed));
    vec![
        case("no ticket has it", "hindenburg", None, &all),
        case("rare", "zeppelin", None, &all),
        case("in half of all, in a fifth of the titles", "printer", None, &all),
        case("in all, in no title", "morning", None, &all),
        case("two common words", "printer room", None, &all),
        case("six common words, open", "since this morning the printer room", open, &all),
        case("two words of 500 000 tickets, never together", "seven ten", None, &all),
        case("in the oldest half alone", "seven", None, &all),
        case("in the titles of the oldest tenth alone", "gateway", None, &all),
        case("old titles and a common word", "gateway morning", None, &all),
        case("a phrase", "room-399", None, &all),
        case("a phrase of common words, in no ticket", "morning-printer", None, &all),
        case("common, open", "printer", open, &all),
        case("common, pending", "morning", pending, &all),
        case("a ticket by its id", "T-4711", None, &all),
        case("20 own tickets, common", "morning", None, &few),
        case("20 own tickets, common, closed", "morning", closed, &few),
        case("20 own tickets, none", "hindenburg", None, &few),
        case("300 000 own tickets, common", "morning", None, &most),
        case("300 000 own tickets, pending, of which are none", "morning", pending, &most),
        case("300 000 own tickets, rare", "zeppelin", None, &most),
        case("300 000 own tickets, old titles, open", "gateway", open, &most),
        deep("second tier", "printer", Tier::Anywhere, i64::MAX),
        deep("common, far back", "morning", Tier::Anywhere, 500_000),
        deep("common, last page", "morning", Tier::Anywhere, 5),
        deep("in the newest half alone, past its end", "ten", Tier::Anywhere, 500_000),
        case("*", "*", None, &all),
        case("*, open", "*", open, &all),
        case("*, own", "*", None, &few),
        case("*, own pending, of which are none", "*", pending, &most),
        deep("*, far back", "*", Tier::Anywhere, 300_000),
    ]
}

#[tokio::test]
#[ignore = "takes minutes; prints figures"]
async fn plans_of_a_million_tickets_go_by_an_index() {
    let Some(figures) = Figures::open(&[include_str!("postgres_figures.sql")]).await else { return };
    for case in cases() {
        let query = Query::parse(case.query).unwrap();
        let asked = Search {
            sight: &case.sight,
            query: &query,
            status: case.status,
            after: case.after,
            limit: 10,
            excerpt: 300,
        };
        figures
            .show(case.name, async |store| {
                search(store, asked).await.unwrap();
            })
            .await;
    }
    one_ticket(&figures).await;
    figures.judge();
}

async fn one_ticket(figures: &Figures) {
    let all = Sight::of(Role::Agent, &UserId::new("user_1"));
    for (name, number) in [("a ticket with 5000 comments", 1000), ("a ticket with one comment", 777_777)] {
        figures
            .show(name, async |store| {
                let ticket = store::find(store, &all, TicketId::of(number)).await.unwrap().unwrap();
                store::list_comments(
                    store,
                    &ticket,
                    store::Comments { before: None, limit: 50, excerpt: 2000 },
                )
                .await
                .unwrap();
            })
            .await;
    }
    let author = UserId::new("user_1");
    let text =
        Body::parse("It prints nothing since this morning, though all lamps are green.".to_owned()).unwrap();
    figures
        .show("open a ticket", async |store| {
            let title = Title::parse("Printer in room 17".to_owned()).unwrap();
            let new = NewTicket { reporter_id: &author, title: &title, body: &text, priority: Priority::Low };
            let mut tx = store.write().await.unwrap();
            store::record(&mut tx, new, NOW).await.unwrap();
            undo(tx).await.unwrap();
        })
        .await;
    figures
        .show("comment on a ticket, close it", async |store| {
            let mut tx = store.write().await.unwrap();
            let new = NewComment { ticket: TicketId::of(999_999), author_id: &author, body: &text };
            store::add_comment(&mut tx, &all, new, NOW).await.unwrap().unwrap();
            let done = Resolution::parse("A new cable.".to_owned()).unwrap();
            store::close(&mut tx, &all, TicketId::of(999_999), Some(&done), NOW).await.unwrap();
            undo(tx).await.unwrap();
        })
        .await;
}
