//! Verifies the whole audit log, in pages, while it is being written.
//!
//! The end of a chain is read before its links, and these are judged up to it: what is appended meanwhile comes
//! after. An event and the end that it moves are committed together, so a link that was seen lies within an end
//! that is read afterwards; one beyond that was put there by somebody else.

use super::chain::CHAINS;
use super::finding::{Fault, Finding};
use super::judge::Judge;
use crate::storage::audit::ChainEnd;
use crate::storage::{Result, Store};

/// How many links are read at once.
const PAGE: u32 = 500;
/// How many events beyond an end, or without a place, are looked at one by one.
const NAMED: u32 = 100;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Each chain, as far as it was judged.
    pub chains: Vec<Judged>,
    /// How many events are older than chains: nothing can be said about those.
    pub unchained: i64,
    /// What is wrong; empty when all is as it was written.
    pub findings: Vec<Finding>,
}

/// A chain that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its end, as it was when the judging began.
    pub end: ChainEnd,
    /// How many of its events were judged.
    pub events: u64,
}

/// Verifies every chain.
pub async fn verify(store: &Store) -> Result<Report> {
    let ends = store.list_chain_ends().await?;
    // All chains begin at the same link: that of the last event before there were chains.
    let first_link = ends.iter().map(|end| end.first_link).min().unwrap_or(0);
    let mut report = Report { chains: Vec::new(), unchained: 0, findings: Vec::new() };
    for chain in 0..CHAINS {
        verify_chain(store, chain, first_link, &mut report).await?;
    }
    let strays = store.list_strays(first_link, NAMED + 1).await?;
    let more = strays.len() > usize::try_from(NAMED).unwrap_or(0);
    let named = strays.iter().take(usize::try_from(NAMED).unwrap_or(0));
    report.findings.extend(named.map(|seq| Finding::Stray { seq: *seq }));
    report.findings.extend(more.then_some(Finding::MoreStrays));
    let unplaced = store.count_unchained_events().await?;
    let strays = i64::try_from(strays.len()).unwrap_or(i64::MAX);
    report.unchained = if more { unplaced } else { unplaced.saturating_sub(strays).max(0) };
    Ok(report)
}

async fn verify_chain(store: &Store, chain: i64, first_link: i64, report: &mut Report) -> Result<()> {
    let found = store.find_chain_end(chain).await?;
    let mut faults = Vec::new();
    let mut end = found.clone().unwrap_or_else(|| {
        faults.push(Fault::EndRemoved);
        // Without a seal that fits: all links that are there are judged.
        let (last_seal, end_seal) = (String::new(), "removed".to_owned());
        ChainEnd { chain, first_link, link: first_link, last_seal, end_seal }
    });
    if end.first_link != first_link {
        faults.push(Fault::Begin);
        end.first_link = first_link;
    }
    let mut judge = Judge::new(store.chain_key(), end.clone());
    let judged_to = walk(store, chain, &mut judge).await?;
    if judge.last_link().is_some() {
        look_beyond(store, chain, judged_to, &mut judge).await?;
    }
    let verdict = judge.verdict();
    // An end that is not recorded cannot fit its seal either.
    let is_said = |fault: &Fault| faults.contains(fault) || (found.is_none() && *fault == Fault::End);
    let further: Vec<_> = verdict.faults.into_iter().filter(|fault| !is_said(fault)).collect();
    faults.extend(further);
    report.findings.extend(faults.into_iter().map(|fault| Finding::InChain { chain, fault }));
    report.chains.push(Judged { end, events: verdict.events });
    Ok(())
}

/// Judges the links up to the end; returns the last link that was looked at.
async fn walk(store: &Store, chain: i64, judge: &mut Judge<'_>) -> Result<i64> {
    let mut after = i64::MIN;
    loop {
        let page = store.list_links(chain, after, PAGE).await?;
        let Some(last) = page.last().map(|link| link.link) else { return Ok(after) };
        for link in page {
            if judge.last_link().is_some_and(|end| link.link > end) {
                return Ok(after);
            }
            after = link.link;
            judge.take(link);
        }
        after = last;
    }
}

/// Looks for links that lie beyond the end even as it is now.
async fn look_beyond(store: &Store, chain: i64, judged_to: i64, judge: &mut Judge<'_>) -> Result<()> {
    let (Some(last), Some(judged)) = (store.find_last_link(chain).await?, judge.last_link()) else {
        return Ok(());
    };
    let Some(end) = store.find_chain_end(chain).await? else { return Ok(()) };
    // By as much as the links were moved, the end as it is now was too.
    let end = judged.max(end.link).max(judged_to);
    if last > end {
        for link in store.list_links(chain, end, NAMED).await? {
            judge.beyond(link);
        }
    }
    Ok(())
}
