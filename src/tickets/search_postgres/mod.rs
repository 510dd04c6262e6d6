//! Full-text search by PostgreSQL's `tsvector` and a GIN index.
//!
//! The order is that of every database here: tickets with every phrase in their title first, then the others, each
//! newest first, so that a page boundary means the same a moment later.
//!
//! A GIN index tells which tickets have a word, all at once and in no order, and whoever wants the newest ten of half
//! a million must fetch them all. Walking the tickets from the newest ends soon when a word is common, and never
//! when it is rare or stands in old tickets alone. The planner cannot choose, because it knows how many tickets have
//! a word and not which. So nothing is left to it (the words reach it as subqueries, which it does not look into),
//! and a page is found in steps, each of which is cheap whatever the words are:
//!
//! 1. the newest [`WALKED`] tickets in sight are looked at: enough when the words are common, or there are no more;
//! 2. the newest blocks of numbers are asked of the index, which knows a ticket's block as it knows its words: the
//!    lists are intersected there, and only what matches is fetched;
//! 3. the index is asked for everything, and given up when there are more than [`FEW`]: enough when they are rare;
//! 4. more and more blocks are asked until the page is full.

mod index;

use std::ops::RangeInclusive;

use sqlx::Row as _;

use super::query::{Position, Query, Tier};
use super::search::{Page, Search};
use super::store::{characters, ticket};
use super::ticket::Ticket;
use crate::storage::{Result, Store};
use index::folded;
pub(super) use index::index;

/// How many tickets are looked at before the index is asked.
const WALKED: usize = 100;
/// How many matches are fetched to be sorted here.
const FEW: usize = 1000;
/// A block is 4096 numbers: the `12` of the index.
const BLOCK_BITS: u32 = 12;
/// How many blocks are asked at first, and at most.
const BLOCKS: RangeInclusive<i64> = 2..=16;

// The columns of the index, as it was made. Words of the title have weight A.
macro_rules! title_words {
    () => {
        "ts_filter(tickets.words, '{a}')"
    };
}
macro_rules! facets {
    () => {
        "array_to_tsvector(ARRAY['status ' || tickets.status, 'reporter ' || tickets.reporter_id, \
         'block ' || CAST(tickets.number >> 12 AS TEXT)])"
    };
}
// Every phrase, and every word.
macro_rules! phrases {
    () => {
        "(SELECT to_tsquery('mandate', $1))"
    };
}
macro_rules! single_words {
    () => {
        "(SELECT to_tsquery('mandate', $3))"
    };
}

/// Looks at the newest tickets. What narrows stands twice, so that there is something for an index to go by.
macro_rules! walk {
    ($narrowed:literal) => {
        concat!(
            "SELECT tickets.number, CASE WHEN $1 = '' THEN 1 WHEN ",
            title_words!(),
            " @@ ",
            phrases!(),
            " THEN 2 WHEN tickets.words @@ ",
            phrases!(),
            " THEN 1 ELSE 0 END AS tier FROM tickets WHERE tickets.number < $3 AND ($5 IS NULL OR tickets.status = $5)",
            $narrowed,
            " AND ",
            in_sight!(),
            " ORDER BY tickets.number DESC LIMIT $4"
        )
    };
}

/// Asks the index for all that has the words, up to a number of tickets. Phrases are looked for in what was found:
/// two words may stand side by side seldom, and in every ticket.
macro_rules! few {
    ($words:expr, $phrases:expr, $narrowed:expr) => {
        concat!(
            "SELECT tickets.number, CASE WHEN ",
            $phrases,
            " THEN 1 ELSE 0 END AS matches FROM (SELECT tickets.number, tickets.words FROM tickets WHERE ",
            $words,
            " @@ ",
            single_words!(),
            " AND ",
            $narrowed,
            " AND ",
            in_sight!(),
            " LIMIT $5) AS tickets"
        )
    };
}
macro_rules! narrowed {
    () => {
        concat!(facets!(), " @@ (SELECT CAST($4 AS TSQUERY))")
    };
}

/// Asks the index for some blocks.
macro_rules! blocks {
    ($phrases:expr) => {
        concat!(
            "SELECT tickets.number FROM tickets WHERE ",
            $phrases,
            " AND ",
            facets!(),
            " @@ (SELECT CAST($3 AS TSQUERY)) AND tickets.number < $4 AND ",
            in_sight!(),
            " ORDER BY tickets.number DESC LIMIT $5"
        )
    };
}
macro_rules! in_title {
    () => {
        concat!(title_words!(), " @@ ", phrases!())
    };
}
macro_rules! anywhere {
    () => {
        concat!("tickets.words @@ ", phrases!(), " AND NOT ", in_title!())
    };
}

/// One page of the tickets in sight that match.
pub(super) async fn search(store: &Store, search: Search<'_>) -> Result<Page> {
    let asked = Asked::new(store, search);
    let (from, below) =
        search.after.map_or((Tier::Title, i64::MAX), |position| (position.tier, position.number));
    let mut found: Vec<Position> = Vec::new();
    for tier in [Tier::Title, Tier::Anywhere] {
        let is_empty = (search.query, tier) == (&Query::Everything, Tier::Title);
        if is_empty || found.len() > search.limit || (tier, from) == (Tier::Title, Tier::Anywhere) {
            continue;
        }
        search.tell(tier, 0, 1).await;
        let below = if tier == from { below } else { i64::MAX };
        let numbers = asked.find(tier, below, search.limit + 1 - found.len()).await?;
        found.extend(numbers.into_iter().map(|number| Position { tier, number }));
    }
    let more = found.len() > search.limit;
    found.truncate(search.limit);
    let next = found.last().copied().filter(|_| more);
    Ok(Page { tickets: asked.read(&found).await?, next })
}

/// A search in the words of the database.
struct Asked<'a> {
    store: &'a Store,
    search: Search<'a>,
    sight: Option<String>,
    status: Option<&'static str>,
    /// Every phrase; empty when every ticket is asked for.
    phrases: String,
    /// Every word.
    words: String,
}

impl<'a> Asked<'a> {
    fn new(store: &'a Store, search: Search<'a>) -> Self {
        let (phrases, words) = match search.query {
            Query::Everything => (String::new(), String::new()),
            Query::Phrases(phrases) => (
                joined(phrases, " <-> "),
                phrases.iter().flatten().map(|word| quoted(word)).collect::<Vec<_>>().join(" & "),
            ),
        };
        let status = search.status.map(super::Status::as_str);
        Self { store, search, sight: search.sight.bound(), status, phrases, words }
    }

    /// The newest `most` tickets of a tier with numbers below `below`.
    async fn find(&self, tier: Tier, below: i64, most: usize) -> Result<Vec<i64>> {
        let is_everything = self.phrases.is_empty();
        let length = if is_everything { most } else { WALKED };
        let newest = self.walk(below, length).await?;
        let mut found: Vec<i64> =
            newest.iter().filter(|(_, of)| *of == Some(tier)).map(|(number, _)| *number).take(most).collect();
        let Some((reached, _)) = newest.last().filter(|_| newest.len() == length) else { return Ok(found) };
        let all = newest.first().map_or(0, |(number, _)| *number);
        let mut top = (reached - 1) >> BLOCK_BITS;
        let mut width = *BLOCKS.start();
        let mut may_be_few = true;
        while !is_everything && found.len() < most && top >= 0 {
            self.search.tell(tier, all - ((top + 1) << BLOCK_BITS), all).await;
            let bottom = (top - width + 1).max(0);
            found.extend(self.blocks(tier, bottom..=top, *reached, most - found.len()).await?);
            top = bottom - 1;
            width = (width * 2).min(*BLOCKS.end());
            if may_be_few && found.len() < most && top >= 0 {
                may_be_few = false;
                if let Some(mut all) = self.few(tier).await? {
                    all.retain(|number| *number < below);
                    all.truncate(most);
                    return Ok(all);
                }
            }
        }
        Ok(found)
    }

    /// The newest tickets below a number, each with the tier that it is in.
    async fn walk(&self, below: i64, length: usize) -> Result<Vec<(i64, Option<Tier>)>> {
        let rows = sqlx::query(match (self.sight.is_some(), self.status.is_some()) {
            (false, false) => walk!(""),
            (false, true) => walk!(" AND tickets.status = $5"),
            (true, false) => walk!(" AND tickets.reporter_id = $2"),
            (true, true) => walk!(" AND tickets.reporter_id = $2 AND tickets.status = $5"),
        })
        .bind(&self.phrases)
        .bind(&self.sight)
        .bind(below)
        .bind(bound(length))
        .bind(self.status)
        .fetch_all(self.store.read())
        .await?;
        let tier = |tier: i32| match tier {
            2 => Some(Tier::Title),
            1 => Some(Tier::Anywhere),
            _ => None,
        };
        rows.iter().map(|row| Ok((row.try_get("number")?, tier(row.try_get("tier")?)))).collect()
    }

    /// All tickets of a tier, newest first; `None` when there are too many.
    async fn few(&self, tier: Tier) -> Result<Option<Vec<i64>>> {
        let narrowed = self.narrowed();
        let rows = sqlx::query(match (tier, narrowed.is_empty()) {
            (Tier::Title, false) => few!(title_words!(), in_title!(), narrowed!()),
            (Tier::Title, true) => few!(title_words!(), in_title!(), "$4 = ''"),
            (Tier::Anywhere, false) => few!("tickets.words", anywhere!(), narrowed!()),
            (Tier::Anywhere, true) => few!("tickets.words", anywhere!(), "$4 = ''"),
        })
        .bind(&self.phrases)
        .bind(&self.sight)
        .bind(&self.words)
        .bind(narrowed.join(" & "))
        .bind(bound(FEW + 1))
        .fetch_all(self.store.read())
        .await?;
        if rows.len() > FEW {
            return Ok(None);
        }
        let mut all = Vec::new();
        for row in &rows {
            if row.try_get::<i32, _>("matches")? == 1 {
                all.push(row.try_get("number")?);
            }
        }
        all.sort_unstable_by(|a: &i64, b| b.cmp(a));
        Ok(Some(all))
    }

    /// The newest tickets of a tier in some blocks.
    async fn blocks(
        &self,
        tier: Tier,
        blocks: RangeInclusive<i64>,
        below: i64,
        most: usize,
    ) -> Result<Vec<i64>> {
        let blocks: Vec<_> = blocks.map(|block| format!("'block {block}'")).collect();
        let mut facets = self.narrowed();
        facets.push(format!("({})", blocks.join(" | ")));
        let rows = sqlx::query(match tier {
            Tier::Title => blocks!(in_title!()),
            Tier::Anywhere => blocks!(anywhere!()),
        })
        .bind(&self.phrases)
        .bind(&self.sight)
        .bind(facets.join(" & "))
        .bind(below)
        .bind(bound(most))
        .fetch_all(self.store.read())
        .await?;
        rows.iter().map(|row| Ok(row.try_get("number")?)).collect()
    }

    /// Sight and status as the index has them.
    fn narrowed(&self) -> Vec<String> {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('\'', "''");
        let status = self.status.map(|status| format!("'status {status}'"));
        let reporter = self.sight.as_deref().map(|reporter| format!("'reporter {}'", escaped(reporter)));
        status.into_iter().chain(reporter).collect()
    }

    /// The tickets themselves, in this order.
    async fn read(&self, found: &[Position]) -> Result<Vec<Ticket>> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let numbers: Vec<_> = found.iter().map(|position| position.number.to_string()).collect();
        let rows = sqlx::query(concat!(
            "SELECT ",
            ticket_columns!(),
            " FROM tickets JOIN users ON users.user_id = tickets.reporter_id \
             WHERE tickets.number = ANY (CAST(string_to_array($3, ' ') AS BIGINT[])) \
             AND ($4 IS NULL OR tickets.status = $4) AND ",
            in_sight!()
        ))
        .bind(characters(self.search.excerpt))
        .bind(&self.sight)
        .bind(numbers.join(" "))
        .bind(self.status)
        .fetch_all(self.store.read())
        .await?;
        let mut tickets = rows.iter().map(ticket).collect::<Result<Vec<_>>>()?;
        tickets.sort_by_key(|ticket| found.iter().position(|at| at.number == ticket.id.number()));
        Ok(tickets)
    }
}

fn bound(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

// Words hold no quotes, so nothing needs escaping.
fn quoted(word: &str) -> String {
    format!("'{}'", folded(word))
}

fn joined(phrases: &[Vec<String>], by: &str) -> String {
    let phrase = |words: &Vec<String>| {
        format!("({})", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(by))
    };
    phrases.iter().map(phrase).collect::<Vec<_>>().join(" & ")
}

#[cfg(test)]
mod tests {
    use super::super::{Sight, Status};
    use super::*;
    use crate::oauth::UserId;
    use crate::storage::everywhere;
    use crate::storage::users::Role;
    use crate::storage::{Kind, commit};

    /// More than two blocks, so that every step is taken. Words: one in all, one in some titles, one in more than a
    /// few old tickets, one in few, two in halves that share nothing.
    const TICKETS: &str = "INSERT INTO tickets (number, reporter_id, title, body, status, priority, created_at, \
        updated_at, words) SELECT number, 'user_' || reporter, title, body, status, 'low', 1, 1, \
        setweight(to_tsvector('mandate', title), 'A') || to_tsvector('mandate', body) FROM (SELECT number, \
        CASE WHEN number % 1500 = 7 THEN 2 ELSE 1 END AS reporter, \
        CASE WHEN number % 5 = 0 THEN 'printer' WHEN number < 1500 THEN 'gateway' ELSE 'x' END AS title, \
        CASE WHEN number < 3500 THEN 'seven' ELSE 'ten' END || CASE WHEN number % 900 = 8 THEN ' zeppelin' ELSE '' END \
        || CASE WHEN number % 2 = 0 THEN ' printer' ELSE '' END || ' this morning' AS body, \
        CASE WHEN number % 100 < 85 THEN 'closed' WHEN number % 100 < 98 THEN 'open' ELSE 'pending' END AS status \
        FROM generate_series($1, $1 + 299) AS number) AS made";
    const USERS: &str = "INSERT INTO users (user_id, username, username_key, role, password_hash, created_at) \
        VALUES ('user_1', '1', '1', 'requester', 'x', 1), ('user_2', '2', '2', 'requester', 'x', 1)";

    /// Writes down what it is told.
    #[derive(Debug, Default)]
    struct Watcher(std::sync::Mutex<Vec<u32>>);

    #[async_trait::async_trait]
    impl super::super::search::Progress for Watcher {
        async fn reached(&self, percent: u32) {
            self.0.lock().unwrap().push(percent);
        }
    }

    /// What is found by looking at every ticket.
    async fn expected(asked: &Asked<'_>) -> Vec<i64> {
        let rows: Vec<(i64,)> = sqlx::query_as(concat!(
            "SELECT number FROM tickets WHERE ($1 = '' OR words @@ to_tsquery('mandate', $1)) \
             AND ($3 IS NULL OR status = $3) AND ",
            in_sight!(),
            " ORDER BY CASE WHEN ts_filter(words, '{a}') @@ to_tsquery('mandate', $1) THEN 0 ELSE 1 END, number DESC"
        ))
        .bind(&asked.phrases)
        .bind(&asked.sight)
        .bind(asked.status)
        .fetch_all(asked.store.read())
        .await
        .unwrap();
        rows.into_iter().map(|(number,)| number).collect()
    }

    #[tokio::test]
    async fn every_page_is_what_looking_at_each_ticket_finds() {
        let all = everywhere::open().await;
        let Some(opened) = all.iter().find(|opened| opened.store.kind() == Kind::Postgres) else { return };
        let mut tx = opened.store.write().await.unwrap();
        sqlx::query(USERS).execute(&mut *tx).await.unwrap();
        commit(tx).await.unwrap();
        // Each transaction has to end in time on a busy machine.
        for first in (1..9_000_i64).step_by(300) {
            let mut tx = opened.store.write().await.unwrap();
            sqlx::query(TICKETS).bind(first).execute(&mut *tx).await.unwrap();
            commit(tx).await.unwrap();
        }
        let (first, second) = (UserId::new("user_1"), UserId::new("user_2"));
        let sights = [Role::Agent, Role::Requester].map(|role| Sight::of(role, &first));
        let sights = sights.into_iter().chain([Sight::of(Role::Requester, &second)]);
        let queries = [
            "*",
            "printer",
            "morning",
            "gateway",
            "seven",
            "seven ten",
            "zeppelin",
            "this-morning",
            "morning-this",
        ];
        let mut most_told = 0;
        for sight in sights {
            for (status, query) in [None, Some(Status::Open), Some(Status::Pending)]
                .into_iter()
                .flat_map(|status| queries.map(|query| (status, query)))
            {
                let query = Query::parse(query).unwrap();
                let watcher = Watcher::default();
                let mut asked = Search {
                    sight: &sight,
                    query: &query,
                    status,
                    after: None,
                    limit: 500,
                    excerpt: 1,
                    progress: Some(&watcher),
                };
                let mut found = Vec::new();
                loop {
                    let page = search(&opened.store, asked).await.unwrap();
                    let told = std::mem::take(&mut *watcher.0.lock().unwrap());
                    assert!(told.is_sorted() && told.last() < Some(&100), "{query:?} {status:?}: {told:?}");
                    most_told = most_told.max(told.len());
                    found.extend(page.tickets.iter().map(|ticket| ticket.id.number()));
                    asked.after = page.next;
                    if asked.after.is_none() {
                        break;
                    }
                }
                assert_eq!(
                    found,
                    expected(&Asked::new(&opened.store, asked)).await,
                    "{query:?} {status:?} {sight:?}"
                );
            }
        }
        assert!(most_told > 3, "some searches take several steps of either tier");
    }
}
