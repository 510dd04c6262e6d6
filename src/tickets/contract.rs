//! What the ticket store promises.

use std::collections::BTreeSet;

use super::lists::{self, Pressing};
use super::query::{Position, Query};
use super::search::{Page, Search, search};
use super::store::{self, Closing, NewComment, NewTicket};
use super::{Body, IdPrefix, Priority, Resolution, Sight, Status, TicketId, Title};
use crate::clock::Timestamp;
use crate::oauth::UserId;
use crate::storage::commit;
use crate::storage::everywhere::{self, Opened};
use crate::storage::users::{self, Role, User};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn id(name: &str) -> UserId {
    UserId::new(format!("user_{name}"))
}

fn agent() -> Sight {
    Sight::of(Role::Agent, &id("alice"))
}

fn requester(name: &str) -> Sight {
    Sight::of(Role::Requester, &id(name))
}

/// An empty store of each kind with three people.
async fn open() -> Vec<Opened> {
    let all = everywhere::open().await;
    for Opened { store, .. } in &all {
        let mut tx = store.write().await.unwrap();
        for name in ["alice", "bob", "carol"] {
            let user = User {
                user_id: id(name),
                username: name.to_owned(),
                role: Role::Requester,
                password_hash: "x".into(),
                created_at: NOW,
                disabled_at: None,
            };
            users::record(&mut tx, &user).await.unwrap();
        }
        commit(tx).await.unwrap();
    }
    all
}

impl Opened {
    async fn add(&self, reporter: &str, title: &str, body: &str) -> TicketId {
        let mut tx = self.store.write().await.unwrap();
        let new = NewTicket {
            reporter_id: &id(reporter),
            title: &Title::parse(title).unwrap(),
            body: &Body::parse(body).unwrap(),
            priority: Priority::Medium,
        };
        let id = store::record(&mut tx, new, NOW).await.unwrap();
        commit(tx).await.unwrap();
        id
    }

    async fn comment(&self, sight: &Sight, ticket: TicketId, text: &str) -> Option<Status> {
        let mut tx = self.store.write().await.unwrap();
        let body = Body::parse(text).unwrap();
        let new = NewComment { ticket, author_id: &id("bob"), body: &body };
        let commented = store::add_comment(&mut tx, sight, new, NOW).await.unwrap();
        commit(tx).await.unwrap();
        commented.map(|commented| commented.status)
    }

    async fn close(&self, sight: &Sight, ticket: TicketId, resolution: &str) -> Closing {
        let mut tx = self.store.write().await.unwrap();
        let resolution = Resolution::parse(resolution).unwrap();
        let closing = store::close(&mut tx, sight, ticket, Some(&resolution), NOW).await.unwrap();
        commit(tx).await.unwrap();
        closing
    }

    async fn page(
        &self,
        sight: &Sight,
        query: &str,
        status: Option<Status>,
        after: Option<Position>,
    ) -> Page {
        let query = Query::parse(query).unwrap();
        let asked = Search { sight, query: &query, status, after, limit: 3, excerpt: 20 };
        search(&self.store, asked).await.unwrap()
    }

    async fn all(&self, sight: &Sight, query: &str, status: Option<Status>) -> Vec<String> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.page(sight, query, status, after).await;
            found.extend(page.tickets.iter().map(|ticket| ticket.id.to_string()));
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    }
}

#[tokio::test]
async fn a_requester_sees_own_tickets_only_and_an_agent_all() {
    for opened in open().await {
        let bobs = opened.add("bob", "Printer offline", "It blinks.").await;
        let carols = opened.add("carol", "Printer jam", "Paper.").await;
        for (sight, visible, hidden) in [(requester("bob"), bobs, carols), (requester("carol"), carols, bobs)]
        {
            assert!(store::find(&opened.store, &sight, visible).await.unwrap().is_some());
            assert_eq!(store::find(&opened.store, &sight, hidden).await.unwrap(), None);
            assert_eq!(opened.all(&sight, "printer", None).await, [visible.to_string()]);
            assert_eq!(opened.all(&sight, "*", None).await, [visible.to_string()]);
            assert_eq!(opened.comment(&sight, hidden, "mine now").await, None);
            assert_eq!(opened.close(&sight, hidden, "gone").await, Closing::NotFound);
        }
        assert_eq!(opened.all(&agent(), "printer", None).await.len(), 2);
        let untouched = store::find(&opened.store, &agent(), carols).await.unwrap().unwrap();
        assert_eq!((untouched.status, untouched.resolution.is_none()), (Status::Open, true));
        assert_eq!(
            store::list_comments(
                &opened.store,
                &untouched,
                store::Comments { before: None, limit: 10, excerpt: 10 }
            )
            .await
            .unwrap()
            .0,
            0
        );
    }
}

#[tokio::test]
async fn closing_twice_keeps_the_first_resolution_and_says_so() {
    for opened in open().await {
        let ticket = opened.add("bob", "VPN drops", "Every hour.").await;
        assert_eq!(opened.close(&requester("bob"), ticket, "fixed").await, Closing::Closed);
        assert_eq!(opened.close(&agent(), ticket, "again").await, Closing::AlreadyClosed(NOW));
        let closed = store::find(&opened.store, &agent(), ticket).await.unwrap().unwrap();
        assert_eq!((closed.status, closed.resolution.as_deref()), (Status::Closed, Some("fixed")));
        assert_eq!(closed.closed_at, Some(NOW));
        assert_eq!(opened.close(&agent(), TicketId::of(99), "x").await, Closing::NotFound);
    }
}

#[tokio::test]
async fn what_presses_most_comes_first_and_only_from_sight() {
    for opened in open().await {
        let mut tx = opened.store.write().await.unwrap();
        for (reporter, priority) in [
            ("bob", Priority::Low),
            ("bob", Priority::High),
            ("carol", Priority::High),
            ("bob", Priority::Medium),
            ("bob", Priority::High),
        ] {
            let (title, body) = (Title::parse("t").unwrap(), Body::parse("b").unwrap());
            let new = NewTicket { reporter_id: &id(reporter), title: &title, body: &body, priority };
            store::record(&mut tx, new, NOW).await.unwrap();
        }
        commit(tx).await.unwrap();
        assert_eq!(opened.close(&agent(), TicketId::of(5), "x").await, Closing::Closed);
        let all = Pressing { status: Status::Open, priority: None, limit: 9, excerpt: 1 };
        for (sight, wanted, expected) in [
            (agent(), all, (vec![2, 3, 4, 1], false)),
            (agent(), Pressing { limit: 3, ..all }, (vec![2, 3, 4], true)),
            (agent(), Pressing { limit: 2, ..all }, (vec![2, 3], true)),
            (agent(), Pressing { priority: Some(Priority::Low), ..all }, (vec![1], false)),
            (agent(), Pressing { status: Status::Closed, ..all }, (vec![5], false)),
            (requester("bob"), all, (vec![2, 4, 1], false)),
        ] {
            let (tickets, more) = lists::list_pressing(&opened.store, &sight, wanted).await.unwrap();
            let numbers: Vec<i64> = tickets.iter().map(|ticket| ticket.id.number()).collect();
            assert_eq!((numbers, more), expected, "{wanted:?}");
        }
    }
}

#[tokio::test]
async fn ids_are_found_by_their_beginning_newest_first_and_only_in_sight() {
    for opened in open().await {
        assert_eq!(
            lists::list_ids(&opened.store, &agent(), &IdPrefix::parse("").unwrap(), 9).await.unwrap(),
            [],
            "there are none yet"
        );
        let mut tx = opened.store.write().await.unwrap();
        for number in 1..=25 {
            let (title, body) = (Title::parse("t").unwrap(), Body::parse("b").unwrap());
            let reporter_id = &id(if number % 2 == 0 { "bob" } else { "carol" });
            let new = NewTicket { reporter_id, title: &title, body: &body, priority: Priority::Low };
            store::record(&mut tx, new, NOW).await.unwrap();
        }
        commit(tx).await.unwrap();
        for (sight, typed, expected) in [
            (agent(), "T-2", vec![25, 24, 23, 22]),
            (requester("bob"), "T-2", vec![24, 22, 20, 2]),
            (requester("carol"), "1", vec![19, 17, 15, 13]),
            (agent(), "", vec![25, 24, 23, 22]),
            (agent(), "9", vec![9]),
            (requester("alice"), "", vec![]),
        ] {
            let prefix = IdPrefix::parse(typed).unwrap();
            let found = lists::list_ids(&opened.store, &sight, &prefix, 4).await.unwrap();
            assert_eq!(found.iter().map(|id| id.number()).collect::<Vec<_>>(), expected, "{typed}");
        }
    }
}

#[tokio::test]
async fn comments_come_in_order_counted_and_cut() {
    for opened in open().await {
        let ticket = opened.add("bob", "VPN drops", "Every hour.").await;
        for text in ["1 first", "2 second", "3 third"] {
            assert_eq!(opened.comment(&requester("bob"), ticket, text).await, Some(Status::Open));
        }
        let ticket = store::find(&opened.store, &agent(), ticket).await.unwrap().unwrap();
        let (count, comments) = store::list_comments(
            &opened.store,
            &ticket,
            store::Comments { before: None, limit: 2, excerpt: 3 },
        )
        .await
        .unwrap();
        let texts: Vec<_> = comments.iter().map(|c| (c.body.text.as_str(), c.body.is_cut)).collect();
        assert_eq!((count, texts), (3, vec![("2 s", true), ("3 t", true)]));
        assert_eq!(comments[0].author, "bob");
        let before = store::Comments { before: Some(comments[0].id), limit: 9, excerpt: 9 };
        let (count, earlier) = store::list_comments(&opened.store, &ticket, before).await.unwrap();
        assert_eq!((count, earlier.len(), earlier[0].body.text.as_str()), (3, 1, "1 first"));
    }
}

#[tokio::test]
async fn a_body_is_cut_at_characters_and_says_so() {
    for opened in open().await {
        let long = opened.add("bob", "Lang", &"ü".repeat(21)).await;
        let short = opened.add("bob", "Kurz", &"ü".repeat(20)).await;
        let page = opened.page(&agent(), "*", None, None).await;
        assert_eq!(page.tickets[0].id, short);
        assert!(!page.tickets[0].body.is_cut);
        assert!(page.tickets[1].body.is_cut);
        assert_eq!(page.tickets[1].body.text, "ü".repeat(20));
        assert_eq!(
            store::find(&opened.store, &agent(), long).await.unwrap().unwrap().body.text,
            "ü".repeat(21)
        );
    }
}

#[tokio::test]
async fn every_phrase_must_be_there_in_title_body_or_comments() {
    for opened in open().await {
        let t = opened.add("bob", "Drucker im Büro offline", "Er blinkt. e-mail an Frau Groß").await;
        let j = opened.add("bob", "VPNにログインできません", "パスワードを変更しました").await;
        let a = opened.add("bob", "الطابعة لا تعمل", "مُحَمَّد يحتاج المساعدة").await;
        opened.comment(&agent(), t, "Der Toner ist leer").await;
        let cases: [(&str, &[TicketId]); 16] = [
            ("drucker", &[t]),
            ("DRUCKER buro", &[t]),
            ("drucker scanner", &[]),
            ("drucker toner blinkt", &[t]),
            ("e-mail", &[t]),
            ("mail-e", &[]),
            ("T-1", &[t]),
            ("t-3", &[a]),
            ("ログイン", &[j]),
            ("ンイグロ", &[]),
            ("パスワード VPN", &[j]),
            ("محمد", &[a]),
            ("الطابعة", &[a]),
            ("open", &[]),
            ("every", &[]),
            ("blinkt OR nothing", &[]),
        ];
        for (query, expected) in cases {
            let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(opened.all(&agent(), query, None).await, expected, "{query}");
        }
    }
}

#[tokio::test]
async fn english_endings_do_not_matter() {
    for opened in open().await {
        let ticket = opened.add("bob", "Printers keep jamming", "x").await.to_string();
        assert_eq!(opened.all(&agent(), "printer jam", None).await, [ticket]);
    }
}

#[tokio::test]
async fn a_status_filter_follows_the_ticket() {
    for opened in open().await {
        let ticket = opened.add("bob", "Monitor flickers", "x").await;
        assert_eq!(opened.all(&agent(), "monitor", Some(Status::Open)).await.len(), 1);
        opened.close(&agent(), ticket, "cable").await;
        assert_eq!(opened.all(&agent(), "monitor", Some(Status::Open)).await.len(), 0);
        assert_eq!(opened.all(&requester("bob"), "monitor", Some(Status::Closed)).await.len(), 1);
        assert_eq!(opened.all(&requester("carol"), "*", Some(Status::Closed)).await.len(), 0);
    }
}

#[tokio::test]
async fn titles_come_first_and_newest_first_within() {
    for opened in open().await {
        for title in ["vpn a", "b", "vpn c", "d", "vpn e"] {
            opened.add("bob", title, "the vpn").await;
        }
        assert_eq!(opened.all(&agent(), "vpn", None).await, ["T-5", "T-3", "T-1", "T-4", "T-2"]);
        // Half of the phrases in the title is not the title.
        assert_eq!(opened.all(&agent(), "vpn the", None).await, ["T-5", "T-4", "T-3", "T-2", "T-1"]);
    }
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_while_tickets_are_added() {
    for opened in open().await {
        pages_neither_repeat_nor_skip(&opened, "vpn").await;
        pages_neither_repeat_nor_skip(&opened, "*").await;
    }
}

async fn pages_neither_repeat_nor_skip(opened: &Opened, query: &str) {
    for number in 0..20 {
        opened.add("bob", if number % 3 == 0 { "vpn" } else { "other" }, "about the vpn").await;
    }
    let before: BTreeSet<String> = opened.all(&agent(), query, None).await.into_iter().collect();
    assert!(before.len() >= 20);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = opened.page(&agent(), query, None, after).await;
        seen.extend(page.tickets.iter().map(|ticket| ticket.id.to_string()));
        opened.add("bob", "vpn", "newer").await;
        opened.add("bob", "newer", "vpn").await;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let seen_once: BTreeSet<String> = seen.iter().cloned().collect();
    assert_eq!(seen.len(), seen_once.len(), "{query}: none twice");
    assert!(before.is_subset(&seen_once), "{query}: none skipped");
}

#[tokio::test]
async fn a_page_that_is_exactly_full_is_the_last_when_nothing_follows() {
    for opened in open().await {
        for _ in 0..3 {
            opened.add("bob", "x", "y").await;
        }
        assert_eq!(opened.page(&agent(), "*", None, None).await.next, None);
        opened.add("bob", "x", "y").await;
        assert!(opened.page(&agent(), "*", None, None).await.next.is_some());
    }
}

#[tokio::test]
async fn no_query_is_an_error_to_the_engine() {
    for opened in open().await {
        opened.add("bob", "x", "y").await;
        let long_words = "x".repeat(500);
        let many_words: String =
            ('a'..='z').flat_map(|a| ('a'..='j').map(move |b| format!("{a}{b} "))).take(166).collect();
        let many_characters = "あ".repeat(500);
        for query in ["AND", "NEAR(a b)", "NOT", "a\"b", "col:x", "^x", "(", "x*", "{a}:b", "-x", "कि", "ก็"]
            .into_iter()
            .chain([long_words.as_str(), many_words.as_str(), many_characters.as_str()])
        {
            if Query::parse(query).is_ok() {
                opened.page(&agent(), query, Some(Status::Open), None).await;
            }
        }
    }
}
