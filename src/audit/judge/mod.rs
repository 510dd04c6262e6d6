//! Judges the links of one chain, in their order, against their seals.
//!
//! A link whose seal fits what stands before it is as it was written, and so is everything before it. One that does
//! not fit is a suspect: it may have been changed, or moved here, or only what stands before it was. Which of
//! these is told at the end, when it is known what other suspects there are: an event whose seal was made after
//! another suspect's, or for another number, is genuine and was moved; and the seal of a changed event is
//! vouched for by the link after it.

mod suspects;

use super::chain::{ChainKey, is_same, number, place};
use super::finding::Fault;
use crate::storage::audit::{AuditRow, ChainEnd, Link};

/// How many suspects of a chain are told apart; the others are counted. Each is compared with each.
const SUSPECTS: usize = 200;
/// How far to either side an event is looked for that was moved together with its neighbours.
const NEAR: i64 = 3;

/// A chain being judged.
#[derive(Debug)]
pub struct Judge<'a> {
    key: &'a ChainKey,
    end: ChainEnd,
    has_end: bool,
    /// The link that comes next.
    next: i64,
    /// By how much the links of what comes next were changed.
    shift: i64,
    before: Before,
    events: u64,
    faults: Vec<Fault>,
    suspects: Vec<Suspect>,
    /// Seals that a moved event may follow, besides those that suspects know.
    seals: Vec<String>,
    more: u64,
}

/// What is known of the seal before the next link.
#[derive(Debug)]
enum Before {
    /// Nothing: its event is gone.
    Unknown,
    /// The seal as it stands there.
    Stored(String),
    /// The seal as it stands there, and the one that what stands there should have.
    Doubtful(String, String),
}

#[derive(Debug)]
struct Suspect {
    link: Link,
    before: Option<String>,
    computed: Option<String>,
    /// The one before it is a suspect too.
    follows_suspect: bool,
    vouched: Vouched,
}

/// Which seal of a suspect the link after it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vouched {
    None,
    Stored,
    Computed,
}

/// What was found in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many events were looked at.
    pub events: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl<'a> Judge<'a> {
    /// Begins with a chain that ends, or ended a moment ago, like this.
    pub fn new(key: &'a ChainKey, end: ChainEnd) -> Self {
        let has_end = key.has_sealed(&end);
        let faults = if has_end { Vec::new() } else { vec![Fault::End] };
        Self {
            key,
            has_end,
            next: end.first_link.saturating_add(1),
            shift: 0,
            before: Before::Stored(String::new()),
            events: 0,
            faults,
            suspects: Vec::new(),
            seals: Vec::new(),
            more: 0,
            end,
        }
    }

    /// The last link to be judged, where the chain's end can be trusted; else there is no end but the last link
    /// that is there.
    pub fn last_link(&self) -> Option<i64> {
        self.has_end.then(|| self.end.link.saturating_add(self.shift))
    }

    /// Judges the next link. They come in their order.
    pub fn take(&mut self, link: Link) {
        let here = link.link;
        let begins = self.events == 0 && here != self.next;
        if begins && self.seal("", &link.row).is_some_and(|seal| is_same(&seal, &link.seal)) {
            self.faults.push(Fault::Begin);
            self.next = here;
        }
        if here < self.next {
            self.inserted(here, here);
            return;
        }
        self.events += 1;
        if here > self.next {
            self.faults.push(Fault::Removed { first: self.next, last: here - 1 });
            if let Before::Stored(seal) | Before::Doubtful(seal, _) =
                std::mem::replace(&mut self.before, Before::Unknown)
            {
                self.seals.push(seal);
            }
        }
        self.next = here.saturating_add(1);
        match self.fit(&link) {
            Some((own, vouched)) => self.fits(link, own, vouched),
            None => self.does_not_fit(link),
        }
    }

    fn fits(&mut self, link: Link, own: i64, vouched: Vouched) {
        let here = link.link;
        self.vouch(here - 1, vouched);
        self.shift = here - own;
        if own != here {
            self.moved(own, here);
        } else if link.row.seq != number(self.end.chain, here) {
            self.faults.push(Fault::Renumbered { link: here, seq: link.row.seq });
        }
        self.before = Before::Stored(link.seal);
    }

    fn does_not_fit(&mut self, link: Link) {
        let at_its_place = link.row.seq == number(self.end.chain, link.link);
        let (before, follows_suspect) = match std::mem::replace(&mut self.before, Before::Unknown) {
            Before::Unknown => (None, false),
            Before::Stored(seal) => (Some(seal), false),
            Before::Doubtful(seal, _) => (Some(seal), true),
        };
        let computed = before.as_deref().and_then(|before| self.seal(before, &link.row));
        self.before = match &computed {
            // It is the second in a row, or what stood before is gone: its own seal may well be right.
            None => Before::Stored(link.seal.clone()),
            Some(_) if follows_suspect => Before::Stored(link.seal.clone()),
            Some(computed) => Before::Doubtful(link.seal.clone(), computed.clone()),
        };
        if before.is_none() && at_its_place {
            return;
        }
        if self.suspects.len() >= SUSPECTS {
            self.more += 1;
            return;
        }
        self.suspects.push(Suspect { link, before, computed, follows_suspect, vouched: Vouched::None });
    }

    /// A link that stands beyond the chain's end.
    pub fn beyond(&mut self, link: Link) {
        if self.suspects.len() >= SUSPECTS {
            self.more += 1;
        } else {
            let (before, computed) = (None, None);
            self.suspects.push(Suspect {
                link,
                before,
                computed,
                follows_suspect: false,
                vouched: Vouched::None,
            });
        }
    }

    /// What came of it, once all links up to [`Self::last_link`] were judged.
    pub fn verdict(mut self) -> Verdict {
        if self.has_end {
            self.judge_end();
        }
        self.tell_apart();
        if self.more > 0 {
            self.faults.push(Fault::More { count: self.more });
        }
        Verdict { events: self.events, faults: self.faults }
    }

    fn judge_end(&mut self) {
        let last = self.end.link.saturating_add(self.shift);
        if self.next <= last {
            self.faults.push(Fault::Removed { first: self.next, last });
            if let Before::Stored(seal) | Before::Doubtful(seal, _) = &self.before {
                self.seals.push(seal.clone());
            }
            return;
        }
        let vouched = match &self.before {
            Before::Stored(seal) if is_same(seal, &self.end.last_seal) => Vouched::Stored,
            Before::Doubtful(seal, _) if is_same(seal, &self.end.last_seal) => Vouched::Stored,
            Before::Doubtful(_, seal) if is_same(seal, &self.end.last_seal) => Vouched::Computed,
            _ => Vouched::None,
        };
        let has_suspect = self.suspects.last().is_some_and(|suspect| suspect.link.link == self.next - 1);
        if vouched == Vouched::None && !has_suspect && self.shift == 0 {
            self.faults.push(Fault::Replaced { link: self.next - 1 });
        }
        self.vouch(self.next - 1, vouched);
    }

    fn vouch(&mut self, link: i64, vouched: Vouched) {
        if let Some(suspect) = self.suspects.last_mut().filter(|suspect| suspect.link.link == link) {
            suspect.vouched = vouched;
        }
    }

    /// Where the event of a link belongs, if its seal was made after the link before it, and which seal of that.
    fn fit(&self, link: &Link) -> Option<(i64, Vouched)> {
        let here = link.link;
        let befores: &[(&str, Vouched)] = match &self.before {
            Before::Unknown => &[],
            Before::Stored(seal) => &[(seal, Vouched::Stored)],
            Before::Doubtful(seal, computed) => &[(seal, Vouched::Stored), (computed, Vouched::Computed)],
        };
        let places = [here, here.saturating_sub(self.shift), self.claimed(&link.row)];
        let near = (here.saturating_sub(NEAR)..=here.saturating_add(NEAR)).filter(|near| *near != here);
        for own in places.into_iter().chain(near) {
            for (before, vouched) in befores {
                if self.is_sealed(before, link, own) {
                    return Some((own, *vouched));
                }
            }
        }
        None
    }

    /// The link that an event's number stands for; of another chain's number, none that there is.
    fn claimed(&self, row: &AuditRow) -> i64 {
        let (chain, link) = place(row.seq);
        if chain == self.end.chain { link } else { i64::MIN }
    }

    fn is_sealed(&self, before: &str, link: &Link, own: i64) -> bool {
        let seq = number(self.end.chain, own);
        let seal = if link.row.seq == seq {
            self.seal(before, &link.row)
        } else {
            self.seal(before, &AuditRow { seq, ..link.row.clone() })
        };
        seal.is_some_and(|seal| is_same(&seal, &link.seal))
    }

    fn seal(&self, before: &str, row: &AuditRow) -> Option<String> {
        self.key.seal(before, row).ok()
    }
}

#[cfg(test)]
mod tests;
