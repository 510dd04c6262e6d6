//! What an operator can rely on: every change of the audit log is found, and nothing is found where there is none.

use sqlx::AssertSqlSafe;

use super::super::everywhere::{self, Opened};
use super::super::{StorageError, Store, commit};
use super::{Link, record};
use crate::audit::chain::{CHAINS, chain_of, number};
use crate::audit::finding::{Fault, Finding};
use crate::audit::verify::verify;
use crate::audit::{Event, Kind, Outcome};
use crate::clock::Timestamp;
use crate::oauth::{ClientId, GrantId, UserId};

const EVENTS: i64 = 8;

fn event(grant: &str, number: i64) -> Event {
    let mut event = Event::new(Kind::ToolCall, Outcome::Done)
        .user(&UserId::new("user_alice"))
        .client(&ClientId::new("client_1"))
        .grant(&GrantId::new(grant))
        .detail(format!("deed {number}"));
    event.tool = Some("close_ticket");
    event.arguments = Some(format!("{{\"id\":\"T-{number}\"}}"));
    event.idempotency_key = Some(format!("key {number}"));
    event.reference = Some(format!("reference {number}"));
    event.trace_id = Some("0af7651916cd43dd8448eb211c80319c".into());
    event
}

async fn write(store: &Store, grant: &str, number: i64) {
    let mut tx = store.write().await.unwrap();
    record(&mut tx, Timestamp(1_000 + number), &event(grant, number));
    commit(tx).await.unwrap();
}

/// The chain of the grant `g`.
fn chain() -> i64 {
    chain_of(&event("g", 0))
}

/// A grant whose events go to another chain than those of `g`.
fn other_grant() -> String {
    let names = (0..).map(|number| format!("other{number}"));
    names.into_iter().find(|name| chain_of(&event(name, 0)) != chain()).unwrap()
}

/// Stores with events in two chains.
async fn written() -> Vec<Opened> {
    let all = everywhere::open().await;
    for Opened { store, .. } in &all {
        for number in 1..=EVENTS {
            write(store, "g", number).await;
            write(store, &other_grant(), number).await;
        }
    }
    all
}

/// Changes the database behind the server's back.
async fn tamper(store: &Store, statements: &[String]) {
    let mut tx = store.write().await.unwrap();
    for statement in statements {
        let done = sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut *tx).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement}");
    }
    commit(tx).await.unwrap();
}

async fn found(store: &Store) -> Vec<Finding> {
    verify(store).await.unwrap().findings
}

/// Written logs that are put back after each change.
struct Logs(Vec<Opened>);

impl Logs {
    async fn written() -> Self {
        let all = written().await;
        for Opened { store, .. } in &all {
            let mut tx = store.write().await.unwrap();
            for table in ["events", "chains"] {
                let keep = format!("CREATE TABLE kept_{table} AS SELECT * FROM audit_{table}");
                sqlx::query(AssertSqlSafe(keep)).execute(&mut *tx).await.unwrap();
            }
            commit(tx).await.unwrap();
        }
        Self(all)
    }

    /// What is found after these statements, in each store. `{chain}` is the chain of `g`.
    async fn found_after(&self, statements: &[&str]) -> Vec<Vec<Finding>> {
        let mut all = Vec::new();
        for Opened { store, .. } in &self.0 {
            let statements: Vec<_> = statements.iter().map(|text| in_chain(text)).collect();
            tamper(store, &statements).await;
            all.push(found(store).await);
            for table in ["events", "chains"] {
                let put_back = [
                    format!("DELETE FROM audit_{table}"),
                    format!("INSERT INTO audit_{table} SELECT * FROM kept_{table}"),
                ];
                tamper(store, &put_back).await;
            }
            assert_eq!(found(store).await, [], "it was put back");
        }
        all
    }

    async fn assert_found(&self, statements: &[&str], expected: &[Fault]) {
        for found in self.found_after(statements).await {
            assert_eq!(found, faults(expected), "{statements:?}");
        }
    }
}

fn in_chain(text: &str) -> String {
    text.replace("{chain}", &chain().to_string())
}

fn faults(faults: &[Fault]) -> Vec<Finding> {
    faults.iter().map(|fault| Finding::InChain { chain: chain(), fault: fault.clone() }).collect()
}

#[tokio::test]
async fn an_untouched_log_has_no_findings() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let empty = verify(&store).await.unwrap();
        assert_eq!((empty.findings, empty.unchained, empty.chains.len()), (Vec::new(), 0, 16));
    }
    for Opened { store, _folder, .. } in written().await {
        let report = verify(&store).await.unwrap();
        assert_eq!(report.findings, []);
        let events: Vec<_> =
            report.chains.iter().map(|chain| chain.events).filter(|events| *events > 0).collect();
        assert_eq!(events, [8, 8]);
        for chain in report.chains {
            assert_eq!(chain.end.link - chain.end.first_link, i64::try_from(chain.events).unwrap());
        }
    }
}

#[tokio::test]
async fn of_32_writers_at_once_none_waits_for_ever_and_no_link_is_left_out() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let writing = (0..32).map(async |writer: i64| {
            for round in 0..3 {
                let mut tries = 0;
                // On a slow disk a writer may find no connection in time, as it may in a request: then it asks again.
                let mut tx = loop {
                    match store.write().await {
                        Ok(tx) => break tx,
                        Err(StorageError::Away(_)) if tries < 10 => tries += 1,
                        Err(error) => panic!("{error}"),
                    }
                };
                // Of several grants in one transaction, in an order of its own: the way to a deadlock, if there is one.
                for step in 0..4 {
                    let grant = format!("g{}", (writer * 7 + step * (writer % 5 + 1)) % 9);
                    record(&mut tx, Timestamp(round), &event(&grant, step));
                }
                commit(tx).await.unwrap();
            }
        });
        let verifying = async {
            for _ in 0..10 {
                assert_eq!(found(&store).await, [], "while others write");
            }
        };
        futures::future::join(futures::future::join_all(writing), verifying).await;
        let report = verify(&store).await.unwrap();
        assert_eq!(report.findings, []);
        assert_eq!(report.chains.iter().map(|chain| chain.events).sum::<u64>(), 32 * 3 * 4);
        for chain in 0..CHAINS {
            let links = store.list_links(chain, 0, 1_000).await.unwrap();
            let places: Vec<_> = links.iter().map(|link| link.link).collect();
            assert_eq!(places, (1..=i64::try_from(links.len()).unwrap()).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn a_change_of_any_column_is_found() {
    let logs = Logs::written().await;
    let link = 5;
    let columns = [
        "at = at + 1",
        "event = 'sign_in'",
        "outcome = 'refused'",
        "user_id = 'user_bob'",
        "client_id = 'client_2'",
        "grant_id = 'g2'",
        "tool = 'create_ticket'",
        "arguments = '{}'",
        "idempotency_key = NULL",
        "reference = ''",
        "trace_id = NULL",
        "detail = 'another deed'",
    ];
    for column in columns {
        let statement = format!("UPDATE audit_events SET {column} WHERE chain = {{chain}} AND link = {link}");
        logs.assert_found(&[&statement], &[Fault::Changed { link }]).await;
    }
    let place = "WHERE chain = {chain} AND link = 5";
    let seal = format!("UPDATE audit_events SET seal = 'x' {place}");
    logs.assert_found(&[&seal], &[Fault::SealChanged { link }]).await;
    let no_seal = format!("UPDATE audit_events SET seal = NULL {place}");
    logs.assert_found(&[&no_seal], &[Fault::SealChanged { link }]).await;
    let seq = format!("UPDATE audit_events SET seq = 99999 {place}");
    logs.assert_found(&[&seq], &[Fault::Renumbered { link, seq: 99_999 }]).await;
    let link_itself = format!("UPDATE audit_events SET link = 77 {place}");
    logs.assert_found(&[&link_itself], &[Fault::Moved { from: 5, to: 77, count: 1 }]).await;
    for out_of_all in ["chain = NULL", "link = NULL", "chain = 16", "chain = -1"] {
        let statement = format!("UPDATE audit_events SET {out_of_all} {place}");
        for found in logs.found_after(&[&statement]).await {
            let mut expected = faults(&[Fault::Removed { first: 5, last: 5 }]);
            expected.push(Finding::Stray { seq: number(chain(), 5) });
            assert_eq!(found, expected, "{out_of_all}");
        }
    }
    let to_another = (chain() + 1) % CHAINS;
    let statement = format!("UPDATE audit_events SET chain = {to_another}, link = 50 {place}");
    for mut found in logs.found_after(&[&statement]).await {
        found.sort_by_key(|finding| !matches!(finding, Finding::InChain { chain: c, .. } if *c == chain()));
        let mut expected = faults(&[Fault::Removed { first: 5, last: 5 }]);
        expected.push(Finding::InChain { chain: to_another, fault: Fault::Inserted { first: 50, last: 50 } });
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_removed_row_is_found() {
    let logs = Logs::written().await;
    for (which, first, last) in [
        ("link = 1", 1, 1),
        ("link = 5", 5, 5),
        ("link = 8", 8, 8),
        ("link > 2 AND link < 6", 3, 5),
        ("link > 0", 1, 8),
    ] {
        let statement = format!("DELETE FROM audit_events WHERE chain = {{chain}} AND {which}");
        logs.assert_found(&[&statement], &[Fault::Removed { first, last }]).await;
    }
}

const COPY: &str = "INSERT INTO audit_events (seq, at, event, outcome, user_id, client_id, grant_id, tool, arguments, \
    idempotency_key, reference, trace_id, detail, chain, link, seal) SELECT {seq}, at, event, outcome, user_id, \
    client_id, grant_id, tool, arguments, idempotency_key, reference, trace_id, detail, {to}, {link}, seal \
    FROM audit_events WHERE chain = {chain} AND link = 3";

fn copy(seq: i64, to: &str, link: &str) -> String {
    COPY.replace("{seq}", &seq.to_string()).replace("{to}", to).replace("{link}", link)
}

#[tokio::test]
async fn an_inserted_row_is_found() {
    let logs = Logs::written().await;
    let beyond = copy(number(chain(), 9), "{chain}", "9");
    logs.assert_found(&[&beyond], &[Fault::Inserted { first: 9, last: 9 }]).await;
    let before = copy(number(chain(), 0), "{chain}", "0");
    logs.assert_found(&[&before], &[Fault::Inserted { first: 0, last: 0 }]).await;
    for (to, link) in [("NULL", "NULL"), ("NULL", "9"), ("{chain}", "NULL"), ("16", "1"), ("-1", "9")] {
        for found in logs.found_after(&[&copy(99_999, to, link)]).await {
            assert_eq!(found, [Finding::Stray { seq: 99_999 }], "{to} {link}");
        }
    }
    let make_room = [
        "UPDATE audit_events SET link = link + 1000 WHERE chain = {chain} AND link >= 6",
        "UPDATE audit_events SET link = link - 999 WHERE chain = {chain} AND link >= 1000",
    ];
    let between = copy(99_999, "{chain}", "6");
    let made = [Fault::Moved { from: 6, to: 7, count: 3 }, Fault::Inserted { first: 6, last: 6 }];
    logs.assert_found(&[make_room[0], make_room[1], &between], &made).await;
}

#[tokio::test]
async fn a_row_in_the_place_of_another_is_found() {
    let logs = Logs::written().await;
    let gone = "DELETE FROM audit_events WHERE chain = {chain} AND link = 6";
    let copied = copy(number(chain(), 6), "{chain}", "6");
    logs.assert_found(&[gone, &copied], &[Fault::Replaced { link: 6 }]).await;
    let forged =
        "UPDATE audit_events SET detail = 'forged', seal = 'forged' WHERE chain = {chain} AND link = 6";
    logs.assert_found(&[forged], &[Fault::Replaced { link: 6 }]).await;
}

#[tokio::test]
async fn reordered_rows_are_found() {
    let logs = Logs::written().await;
    for (one, other) in [(3, 6), (3, 4), (1, 8)] {
        let swap = |column: &str, first: i64, second: i64| {
            let set = |to: i64, from: i64| {
                format!(
                    "UPDATE audit_events SET {column} = {to} WHERE chain = {{chain}} AND {column} = {from}"
                )
            };
            [set(-7, first), set(first, second), set(second, -7)]
        };
        let swapped = swap("link", one, other);
        let statements: Vec<&str> = swapped.iter().map(String::as_str).collect();
        for found in logs.found_after(&statements).await {
            assert_eq!(found.len(), 2, "{found:?}");
            for (from, to) in [(one, other), (other, one)] {
                assert!(found.contains(&faults(&[Fault::Moved { from, to, count: 1 }])[0]), "{found:?}");
            }
        }
        let (one_seq, other_seq) = (number(chain(), one), number(chain(), other));
        let numbers = swap("seq", one_seq, other_seq);
        let statements: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let renumbered = |link, seq| Fault::Renumbered { link, seq };
        logs.assert_found(&statements, &[renumbered(one, other_seq), renumbered(other, one_seq)]).await;
    }
}

#[tokio::test]
async fn a_moved_end_is_found_and_stays_found() {
    let logs = Logs::written().await;
    let end = "WHERE chain = {chain}";
    for change in ["link = 7", "last_seal = 'x'", "end_seal = 'x'", "end_seal = ''"] {
        let statement = format!("UPDATE audit_chains SET {change} {end}");
        logs.assert_found(&[&statement], &[Fault::End]).await;
    }
    for first in [-1, 3] {
        let statement = format!("UPDATE audit_chains SET first_link = {first} {end}");
        for found in logs.found_after(&[&statement]).await {
            assert!(!found.is_empty());
        }
    }
    let removed = format!("DELETE FROM audit_chains {end}");
    logs.assert_found(&[&removed], &[Fault::EndRemoved]).await;
    // The last two are gone, and the end points to the one before as if they had never been.
    let shortened = [
        format!("DELETE FROM audit_events {end} AND link > 6"),
        format!(
            "UPDATE audit_chains SET link = 6, last_seal = (SELECT seal FROM audit_events {end} AND link = 6) {end}"
        ),
    ];
    for Opened { store, _folder, .. } in written().await {
        let statements: Vec<_> = shortened.iter().map(|text| in_chain(text)).collect();
        tamper(&store, &statements).await;
        assert_eq!(found(&store).await, faults(&[Fault::End]));
        write(&store, "g", 9).await;
        assert_eq!(found(&store).await, faults(&[Fault::End]), "what is written later does not make it good");
    }
}

#[tokio::test]
async fn what_is_older_than_chains_is_counted_and_not_judged() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let old = "INSERT INTO audit_events (seq, at, event, outcome) VALUES (1, 1, 'sign_in', 'done'), \
                   (2, 2, 'sign_out', 'done')";
        tamper(&store, &[old.to_owned(), "UPDATE audit_chains SET first_link = 2, link = 2".to_owned()])
            .await;
        write(&store, "g", 1).await;
        let report = verify(&store).await.unwrap();
        assert_eq!((report.unchained, report.findings), (2, Vec::new()));
    }
}

#[tokio::test]
async fn a_log_is_read_newest_first_by_filter_and_oldest_first_in_pages() {
    use super::{Filter, Place};
    for Opened { store, _folder, .. } in written().await {
        let all = store.find_records(&Filter::default(), None, 100).await.unwrap();
        assert_eq!(all.len(), 16);
        assert!(
            all.windows(2).all(|pair| (pair[0].row.at, pair[0].row.seq) > (pair[1].row.at, pair[1].row.seq))
        );
        let filter = Filter { grant_id: Some("g".into()), outcome: Some("done".into()), ..Filter::default() };
        let some = store.find_records(&filter, None, 3).await.unwrap();
        assert_eq!(some.iter().map(|record| record.link.unwrap()).collect::<Vec<_>>(), [8, 7, 6]);
        let before = Place { at: some[2].row.at, seq: some[2].row.seq };
        let next = store.find_records(&filter, Some(before), 3).await.unwrap();
        assert_eq!(next.iter().map(|record| record.link.unwrap()).collect::<Vec<_>>(), [5, 4, 3]);
        for filter in [
            Filter { user_id: Some("user_bob".into()), ..Filter::default() },
            Filter { client_id: Some("c".into()), ..Filter::default() },
            Filter { event: Some("sign_in".into()), ..Filter::default() },
            Filter { outcome: Some("refused".into()), ..Filter::default() },
        ] {
            assert_eq!(store.find_records(&filter, None, 3).await.unwrap(), []);
        }
        let mut after = Place { at: Timestamp(i64::MIN), seq: i64::MIN };
        let mut read = Vec::new();
        loop {
            let page = store.list_records(after, Timestamp(i64::MAX), 5).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Place { at: last.row.at, seq: last.row.seq };
            read.extend(page);
        }
        let mut backwards = all;
        backwards.reverse();
        assert_eq!(read, backwards);
        // As it is exported, it can be checked elsewhere.
        let link =
            read.iter().find(|record| record.chain == Some(chain()) && record.link == Some(1)).unwrap();
        let seal = store.chain_key().seal("", &link.row).unwrap();
        assert_eq!(link.seal.as_ref(), Some(&seal));
        let links: Vec<Link> = store.list_links(chain(), 0, 1).await.unwrap();
        assert_eq!(links[0].row, link.row);
    }
}

#[tokio::test]
async fn a_detail_that_not_every_database_takes_is_written_without_what_it_does_not_take() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let mut tx = store.write().await.unwrap();
        record(&mut tx, Timestamp(1), &event("g", 1).detail("a\0b"));
        commit(tx).await.unwrap();
        let all = store.find_records(&super::Filter::default(), None, 100).await.unwrap();
        assert_eq!(all[0].row.detail.as_deref(), Some("ab"));
        assert!(found(&store).await.is_empty());
    }
}
