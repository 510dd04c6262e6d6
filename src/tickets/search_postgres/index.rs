//! What the search index of PostgreSQL holds of a ticket.

use unicode_normalization::UnicodeNormalization as _;

use super::super::store::indexed_comments;
use super::super::ticket::TicketId;
use super::super::words::{is_combining_diacritic, words};
use crate::storage::{Result, Tx};

/// A word without its diacritics, as the index of the other database folds it too. Case and endings are the text
/// search configuration's affair.
pub(super) fn folded(word: &str) -> String {
    word.nfd().filter(|c| !is_combining_diacritic(*c)).collect()
}

/// Brings the index up to date with a ticket, in the transaction that changed it.
pub(in crate::tickets) async fn index(tx: &mut Tx, id: TicketId) -> Result<()> {
    let (title, body): (String, String) = sqlx::query_as("SELECT title, body FROM tickets WHERE number = $1")
        .bind(id.number())
        .fetch_one(&mut **tx)
        .await?;
    let comments = indexed_comments(tx, id).await?;
    let title = words(&format!("{id} {title}"));
    let mut text = words(&body);
    text.extend(comments.iter().flat_map(|comment| words(comment)));
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
