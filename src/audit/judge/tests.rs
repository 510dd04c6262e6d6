use super::*;
use crate::clock::Timestamp;

const CHAIN: i64 = 3;

fn key() -> ChainKey {
    ChainKey::new([7; 32])
}

fn row(link: i64) -> AuditRow {
    AuditRow {
        seq: number(CHAIN, link),
        at: Timestamp(1_000 + link),
        event: "tool_call".into(),
        outcome: "done".into(),
        user_id: Some("user_1".into()),
        client_id: Some("client_1".into()),
        grant_id: Some("grant_1".into()),
        tool: Some("close_ticket".into()),
        arguments: Some(format!("{{\"id\":\"T-{link}\"}}")),
        idempotency_key: None,
        reference: None,
        trace_id: None,
        detail: None,
    }
}

/// A chain of `count` links after the link `first`, and its end.
fn written(first: i64, count: i64) -> (Vec<Link>, ChainEnd) {
    let mut last_seal = String::new();
    let mut links = Vec::new();
    for link in first + 1..=first + count {
        let row = row(link);
        last_seal = key().seal(&last_seal, &row).unwrap();
        links.push(Link { chain: CHAIN, link, seal: last_seal.clone(), row });
    }
    let link = first + count;
    let end_seal = key().seal_end(CHAIN, link, &last_seal).unwrap();
    (links, ChainEnd { chain: CHAIN, first_link: first, link, last_seal, end_seal })
}

/// What is found after `change` was done to ten links.
fn found(change: impl FnOnce(&mut Vec<Link>, &mut ChainEnd)) -> Vec<Fault> {
    let (mut links, mut end) = written(0, 10);
    change(&mut links, &mut end);
    links.sort_by_key(|link| link.link);
    judged(links, end)
}

fn judged(links: Vec<Link>, end: ChainEnd) -> Vec<Fault> {
    let key = key();
    let mut judge = Judge::new(&key, end);
    for link in links {
        if judge.last_link().is_some_and(|last| link.link > last) {
            judge.beyond(link);
        } else {
            judge.take(link);
        }
    }
    judge.verdict().faults
}

#[test]
fn a_chain_as_it_was_written_has_no_fault() {
    assert_eq!(found(|_, _| {}), []);
    for (first, count) in [(0, 1), (0, 2), (4711, 5)] {
        let (links, end) = written(first, count);
        assert_eq!(judged(links, end), []);
    }
    let end_seal = String::new();
    let empty = ChainEnd { chain: CHAIN, first_link: 5, link: 5, last_seal: String::new(), end_seal };
    assert_eq!(judged(Vec::new(), empty), []);
}

#[test]
fn what_comes_after_the_end_that_was_read_is_left_alone() {
    let (mut links, end) = written(0, 10);
    let (later, _) = written(0, 12);
    links.extend(later.into_iter().skip(10));
    let key = key();
    let mut judge = Judge::new(&key, end);
    for link in links {
        if judge.last_link().is_some_and(|last| link.link <= last) {
            judge.take(link);
        }
    }
    assert_eq!(judge.verdict(), Verdict { events: 10, faults: Vec::new() });
}

#[test]
fn a_changed_event_is_named_wherever_it_stands() {
    for place in [0, 4, 9] {
        let link = i64::try_from(place).unwrap() + 1;
        assert_eq!(found(|links, _| links[place].row.tool = None), [Fault::Changed { link }]);
        assert_eq!(found(|links, _| links[place].seal = "x".into()), [Fault::SealChanged { link }]);
        let both = found(|links, _| {
            links[place].row.tool = None;
            links[place].seal = "x".into();
        });
        assert_eq!(both, [Fault::Replaced { link }]);
        let seq = number(CHAIN, 77);
        assert_eq!(found(|links, _| links[place].row.seq = seq), [Fault::Renumbered { link, seq }]);
    }
    let two = found(|links, _| {
        links[2].row.at = Timestamp(0);
        links[6].row.detail = Some("x".into());
    });
    assert_eq!(two, [Fault::Changed { link: 3 }, Fault::Changed { link: 7 }]);
}

#[test]
fn removed_events_are_named_with_their_places() {
    for (gone, expected) in [
        (0..1, Fault::Removed { first: 1, last: 1 }),
        (4..5, Fault::Removed { first: 5, last: 5 }),
        (4..7, Fault::Removed { first: 5, last: 7 }),
        (9..10, Fault::Removed { first: 10, last: 10 }),
        (0..10, Fault::Removed { first: 1, last: 10 }),
    ] {
        assert_eq!(found(|links, _| drop(links.drain(gone))), [expected]);
    }
}

#[test]
fn an_event_that_was_put_between_two_is_told_from_those_that_made_room() {
    let inserted = found(|links, _| {
        let forged = Link { seal: "forged".into(), ..links[4].clone() };
        for link in &mut links[4..] {
            link.link += 1;
        }
        links.push(forged);
    });
    assert_eq!(inserted, [Fault::Moved { from: 5, to: 6, count: 6 }, Fault::Inserted { first: 5, last: 5 }]);
    let renumbered_too = found(|links, _| {
        let copied = links[1].clone();
        for link in &mut links[4..] {
            link.link += 1;
            link.row.seq += super::super::chain::CHAINS;
        }
        let row = AuditRow { seq: number(CHAIN, 5), ..copied.row };
        links.push(Link { link: 5, row, ..copied });
    });
    assert!(renumbered_too.contains(&Fault::Moved { from: 6, to: 7, count: 5 }), "{renumbered_too:?}");
    assert!(renumbered_too.contains(&Fault::Replaced { link: 5 }), "{renumbered_too:?}");
}

#[test]
fn an_event_beyond_the_end_or_before_the_beginning_was_inserted() {
    let beyond = found(|links, _| {
        let copied = Link { link: 11, ..links[3].clone() };
        links.push(Link { row: AuditRow { seq: number(CHAIN, 11), ..copied.row.clone() }, ..copied });
    });
    assert_eq!(beyond, [Fault::Inserted { first: 11, last: 11 }]);
    let before = found(|links, _| links.push(Link { link: 0, ..links[3].clone() }));
    assert_eq!(before, [Fault::Inserted { first: 0, last: 0 }]);
}

#[test]
fn swapped_events_are_told_from_changed_ones() {
    for (one, other) in [(4, 6), (4, 5), (0, 9), (2, 8)] {
        let (a, b) = (i64::try_from(one).unwrap() + 1, i64::try_from(other).unwrap() + 1);
        let faults = found(|links, _| {
            links[one].link = b;
            links[other].link = a;
        });
        let mut expected =
            vec![Fault::Moved { from: b, to: a, count: 1 }, Fault::Moved { from: a, to: b, count: 1 }];
        if other == one + 1 {
            expected.sort_by_key(|fault| matches!(fault, Fault::Moved { from, .. } if *from == a));
        }
        assert_eq!(faults, expected, "{one} and {other}");
    }
    let numbers = found(|links, _| {
        let (one, other) = (links[4].row.seq, links[6].row.seq);
        links[4].row.seq = other;
        links[6].row.seq = one;
    });
    let renumbered = |link, own| Fault::Renumbered { link, seq: number(CHAIN, own) };
    assert_eq!(numbers, [renumbered(5, 7), renumbered(7, 5)]);
}

#[test]
fn an_event_that_was_moved_away_is_not_called_removed() {
    let moved = found(|links, _| links[4].link = 500);
    assert_eq!(moved, [Fault::Moved { from: 5, to: 500, count: 1 }]);
}

#[test]
fn an_end_that_was_moved_is_named() {
    assert_eq!(found(|_, end| end.link += 1), [Fault::End]);
    assert_eq!(found(|_, end| end.last_seal = "x".into()), [Fault::End]);
    assert_eq!(found(|_, end| end.end_seal = "x".into()), [Fault::End]);
    assert_eq!(found(|_, end| end.end_seal.clear()), [Fault::End]);
    let shortened = found(|links, end| {
        links.truncate(7);
        end.link = 7;
        end.last_seal.clone_from(&links[6].seal);
    });
    assert_eq!(shortened, [Fault::End], "the seal of an end is of its link");
    let (_, earlier) = written(0, 7);
    let set_back = found(|_, end| *end = earlier);
    assert_eq!(set_back, [Fault::End], "what follows on beyond an earlier end is no forgery");
}

#[test]
fn a_beginning_that_was_moved_is_named() {
    let raised = found(|links, end| {
        drop(links.drain(..3));
        end.first_link = 3;
    });
    assert_eq!(raised, [Fault::Changed { link: 4 }], "nothing begins a chain but its first event");
    assert_eq!(found(|_, end| end.first_link = -5), [Fault::Begin]);
    assert_eq!(found(|_, end| end.first_link = 5), [Fault::Begin]);
}

#[test]
fn a_key_that_is_not_ours_seals_nothing() {
    let (links, _) = written(0, 3);
    let other = ChainKey::new([8; 32]);
    let last_seal = links[2].seal.clone();
    let end_seal = other.seal_end(CHAIN, 3, &last_seal).unwrap();
    let end = ChainEnd { chain: CHAIN, first_link: 0, link: 3, last_seal, end_seal };
    assert_eq!(judged(links, end), [Fault::End]);
}

#[test]
fn so_many_changes_are_counted_and_not_named() {
    let (mut links, end) = written(0, 1_000);
    for link in links.iter_mut().step_by(2) {
        link.row.tool = None;
    }
    let faults = judged(links, end);
    assert_eq!(faults.last(), Some(&Fault::More { count: 300 }));
    assert_eq!(faults.len(), SUSPECTS + 1);
}
