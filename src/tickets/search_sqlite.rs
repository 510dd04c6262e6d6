//! Full-text search by SQLite's FTS5: the one place whose SQL is for one database.
//!
//! Results come in two tiers: first the tickets that have every phrase in their title, then those that have
//! them anywhere, each tier newest first. The obvious alternative is `bm25`, and it fails twice. It must score
//! every match before it can show the first ten, which takes 60 ms when half of 100 000 tickets match; and its
//! scores move with every ticket that is added, so that a page boundary means nothing a moment later. Here the
//! order of two tickets never changes, a new ticket comes before every cursor, and the index stops reading as
//! soon as the page is full.
//!
//! To make that so, whatever filters a search is a word of the index, so that the engine intersects sorted
//! lists and never looks at a ticket it will not show: the words of titles once more, marked, and the status
//! and the reporter as words of their own. The marks are private-use characters, which no word of a caller can
//! hold. The join with `tickets` applies the visibility rule itself: the index only makes it cheap.

use super::query::{Position, Query, Tier};
use super::search::{Page, Search};
use super::store::{characters, indexed_comments, ticket};
use super::ticket::{Ticket, TicketId};
use super::words::words;
use crate::oauth::UserId;
use crate::oauth::secret::SecretHash;
use crate::storage::{Result, Store, Tx};

/// Marks a word of a title.
const TITLE: char = '\u{e000}';
/// Marks a status.
const STATUS: char = '\u{e001}';
/// Marks a reporter.
const REPORTER: char = '\u{e002}';
/// The word that every ticket has.
const EVERY: &str = "\u{e003}every";
/// One page of the tickets in sight that match.
pub(super) async fn search(store: &Store, search: Search<'_>) -> Result<Page> {
    let mut found: Vec<(Tier, Ticket)> = Vec::new();
    let (from, below) =
        search.after.map_or((Tier::Title, i64::MAX), |position| (position.tier, position.number));
    for tier in [Tier::Title, Tier::Anywhere] {
        let Some(expression) = expression(&search, tier) else { continue };
        if found.len() > search.limit || (tier, from) == (Tier::Title, Tier::Anywhere) {
            continue;
        }
        search.tell(tier, 0, 1).await;
        let below = if tier == from { below } else { i64::MAX };
        let rows = sqlx::query(concat!(
            "SELECT ",
            ticket_columns!(),
            " FROM ticket_search CROSS JOIN tickets ON tickets.number = ticket_search.rowid \
             JOIN users ON users.user_id = tickets.reporter_id \
             WHERE ticket_search MATCH $3 AND ticket_search.rowid < $4 AND ",
            in_sight!(),
            " ORDER BY ticket_search.rowid DESC LIMIT $5"
        ))
        .bind(characters(search.excerpt))
        .bind(search.sight.bound())
        .bind(expression)
        .bind(below)
        .bind(i64::try_from(search.limit + 1 - found.len()).unwrap_or(1))
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

/// The FTS5 expression of one tier. `None` when the tier is empty by nature.
fn expression(search: &Search<'_>, tier: Tier) -> Option<String> {
    let mut facets = vec![quote(EVERY)];
    if search.status.is_some() || search.sight.only().is_some() {
        facets.clear();
    }
    facets.extend(search.status.map(|status| quote(&status_word(status.as_str()))));
    facets.extend(search.sight.only().map(|reporter| quote(&reporter_word(reporter))));
    let facets = facets.join(" AND ");
    match (search.query, tier) {
        (Query::Everything, Tier::Title) => None,
        (Query::Everything, Tier::Anywhere) => Some(facets),
        (Query::Phrases(phrases), Tier::Title) => Some(format!("{} AND {facets}", in_titles(phrases))),
        (Query::Phrases(phrases), Tier::Anywhere) => {
            let anywhere: Vec<_> = phrases.iter().map(|phrase| quote(&phrase.join(" "))).collect();
            Some(format!("({} AND {facets}) NOT ({})", anywhere.join(" AND "), in_titles(phrases)))
        }
    }
}

fn in_titles(phrases: &[Vec<String>]) -> String {
    phrases.iter().map(|phrase| quote(&marked(phrase))).collect::<Vec<_>>().join(" AND ")
}

// Words hold no quotes, so nothing needs escaping.
fn quote(phrase: &str) -> String {
    format!("\"{phrase}\"")
}

fn marked(words: &[String]) -> String {
    words.iter().map(|word| format!("{TITLE}{word}")).collect::<Vec<_>>().join(" ")
}

fn status_word(status: &str) -> String {
    format!("{STATUS}{status}")
}

// Ids tell upper from lower case and the index does not, hence a digest in lower case.
fn reporter_word(reporter: &UserId) -> String {
    let digest = SecretHash::of(reporter.as_str());
    let halves = digest.as_str().bytes().take(16).flat_map(|byte| [byte >> 4, byte & 15]);
    let letters: String = halves.map(|half| char::from(b'a' + half)).collect();
    format!("{REPORTER}{letters}")
}

/// Brings the index up to date with a ticket, in the transaction that changed it.
pub(super) async fn index(tx: &mut Tx, id: TicketId) -> Result<()> {
    let (title, body, status, reporter): (String, String, String, String) =
        sqlx::query_as("SELECT title, body, status, reporter_id FROM tickets WHERE number = $1")
            .bind(id.number())
            .fetch_one(&mut **tx)
            .await?;
    let comments = indexed_comments(tx, id).await?;
    let title = words(&format!("{id} {title}"));
    let mut text = vec![title.join(" "), marked(&title), words(&body).join(" ")];
    text.extend(comments.iter().map(|comment| words(comment).join(" ")));
    text.extend([status_word(&status), reporter_word(&UserId::new(reporter)), EVERY.to_owned()]);
    sqlx::query("DELETE FROM ticket_search WHERE rowid = $1").bind(id.number()).execute(&mut **tx).await?;
    sqlx::query("INSERT INTO ticket_search (rowid, words) VALUES ($1, $2)")
        .bind(id.number())
        .bind(text.join("\n"))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
