//! Full-text search by PostgreSQL's `tsvector` and a GIN index.
//!
//! The order is that of every database here: tickets with every phrase in their title first, then the others, each
//! newest first, so that a page boundary means the same a moment later. The words are a column of the ticket
//! itself, so that the planner can choose: it walks the index of words when they are rare, and the tickets from
//! the newest when they are common; statistics of single words tell it which. Words of the title have weight A.

use unicode_normalization::UnicodeNormalization as _;

use super::query::{Position, Query, Tier};
use super::search::{Page, Search};
use super::store::{characters, ticket};
use super::ticket::{Ticket, TicketId};
use super::words::{is_combining_diacritic, words};
use crate::storage::{Result, Store, Tx};

/// How many of a ticket's comments are searched, from the first: what bounds the cost of adding one, since a
/// ticket is indexed as a whole.
const COMMENTS_INDEXED: i64 = 30;

/// One page of the tickets in sight that match.
pub(super) async fn search(store: &Store, search: Search<'_>) -> Result<Page> {
    let mut found: Vec<(Tier, Ticket)> = Vec::new();
    let (from, below) =
        search.after.map_or((Tier::Title, i64::MAX), |position| (position.tier, position.number));
    for tier in [Tier::Title, Tier::Anywhere] {
        let Some(expression) = expression(search.query, tier) else { continue };
        if found.len() > search.limit || (tier, from) == (Tier::Title, Tier::Anywhere) {
            continue;
        }
        let below = if tier == from { below } else { i64::MAX };
        let rows = sqlx::query(match search.query {
            Query::Everything => concat!(
                "SELECT ",
                ticket_columns!(),
                " FROM tickets JOIN users ON users.user_id = tickets.reporter_id \
                 WHERE tickets.number < $4 AND ($6 IS NULL OR tickets.status = $6) AND $3 = '' AND ",
                in_sight!(),
                " ORDER BY tickets.number DESC LIMIT $5"
            ),
            Query::Phrases(_) => concat!(
                "SELECT ",
                ticket_columns!(),
                " FROM tickets JOIN users ON users.user_id = tickets.reporter_id \
                 WHERE tickets.words @@ to_tsquery('mandate', $3) AND tickets.number < $4 \
                 AND ($6 IS NULL OR tickets.status = $6) AND ",
                in_sight!(),
                " ORDER BY tickets.number DESC LIMIT $5"
            ),
        })
        .bind(characters(search.excerpt))
        .bind(search.sight.bound())
        .bind(expression)
        .bind(below)
        .bind(i64::try_from(search.limit + 1 - found.len()).unwrap_or(1))
        .bind(search.status.map(|status| status.as_str().to_owned()))
        // Planned for these very words: a plan for any words cannot know which are rare.
        .persistent(false)
        .fetch_all(store.read())
        .await?;
        for row in &rows {
            found.push((tier, ticket(row)?));
        }
    }
    let more = found.len() > search.limit;
    found.truncate(search.limit);
    let next =
        found.last().filter(|_| more).map(|(tier, last)| Position { tier: *tier, number: last.id.number() });
    Ok(Page { tickets: found.into_iter().map(|(_, ticket)| ticket).collect(), next })
}

/// The `tsquery` of one tier. `None` when the tier is empty by nature.
fn expression(query: &Query, tier: Tier) -> Option<String> {
    match (query, tier) {
        (Query::Everything, Tier::Title) => None,
        (Query::Everything, Tier::Anywhere) => Some(String::new()),
        (Query::Phrases(phrases), Tier::Title) => Some(all(phrases, ":A")),
        (Query::Phrases(phrases), Tier::Anywhere) => {
            Some(format!("({}) & !({})", all(phrases, ""), all(phrases, ":A")))
        }
    }
}

/// A word without its diacritics, as the index of the other database folds it too. Case and endings are the text
/// search configuration's affair.
fn folded(word: &str) -> String {
    word.nfd().filter(|c| !is_combining_diacritic(*c)).collect()
}

// Words hold no quotes, so nothing needs escaping.
fn all(phrases: &[Vec<String>], weight: &str) -> String {
    let phrase = |words: &Vec<String>| {
        let words: Vec<_> = words.iter().map(|word| format!("'{}'{weight}", folded(word))).collect();
        format!("({})", words.join(" <-> "))
    };
    phrases.iter().map(phrase).collect::<Vec<_>>().join(" & ")
}

/// Brings the index up to date with a ticket, in the transaction that changed it.
pub(super) async fn index(tx: &mut Tx, id: TicketId) -> Result<()> {
    let (title, body): (String, String) = sqlx::query_as("SELECT title, body FROM tickets WHERE number = $1")
        .bind(id.number())
        .fetch_one(&mut **tx)
        .await?;
    let comments: Vec<(String,)> =
        sqlx::query_as("SELECT body FROM comments WHERE ticket_number = $1 ORDER BY number LIMIT $2")
            .bind(id.number())
            .bind(COMMENTS_INDEXED)
            .fetch_all(&mut **tx)
            .await?;
    let title = words(&format!("{id} {title}"));
    let mut text = words(&body);
    text.extend(comments.iter().flat_map(|(comment,)| words(comment)));
    let column = |words: &[String]| words.iter().map(|word| folded(word)).collect::<Vec<_>>().join(" ");
    sqlx::query(
        "UPDATE tickets SET words = setweight(to_tsvector('mandate', $2), 'A') || to_tsvector('mandate', $3) \
         WHERE number = $1",
    )
    .bind(id.number())
    .bind(column(&title))
    .bind(column(&text))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
