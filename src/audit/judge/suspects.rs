//! Tells apart what does not fit: what was changed, what was moved, what was put in, and what is innocent.

use super::super::chain::number;
use super::super::finding::Fault;
use super::{Before, Judge, Suspect, Vouched};

impl Judge<'_> {
    pub(super) fn moved(&mut self, own: i64, here: i64) {
        for fault in &mut self.faults {
            if let Fault::Moved { from, to, count } = fault
                && (*from + *count, *to + *count) == (own, here)
            {
                *count += 1;
                return;
            }
            if let Fault::Moved { from, to, count } = fault
                && (*from - 1, *to - 1) == (own, here)
            {
                (*from, *to, *count) = (own, here, *count + 1);
                return;
            }
        }
        self.faults.push(Fault::Moved { from: own, to: here, count: 1 });
    }

    pub(super) fn inserted(&mut self, begin: i64, end: i64) {
        if let Some(Fault::Inserted { last, .. }) = self.faults.last_mut()
            && *last + 1 == begin
        {
            *last = end;
            return;
        }
        self.faults.push(Fault::Inserted { first: begin, last: end });
    }

    pub(super) fn tell_apart(&mut self) {
        let suspects = std::mem::take(&mut self.suspects);
        let mut seals = std::mem::take(&mut self.seals);
        seals.push(String::new());
        if let Before::Stored(seal) | Before::Doubtful(seal, _) = &self.before {
            seals.push(seal.clone());
        }
        for suspect in &suspects {
            seals.push(suspect.link.seal.clone());
            seals.extend(suspect.before.clone());
            seals.extend(suspect.computed.clone());
        }
        seals.sort_unstable();
        seals.dedup();
        let mut foreign = Vec::new();
        for suspect in suspects {
            let (link, here) = (&suspect.link, suspect.link.link);
            let places = [self.claimed(&link.row), here];
            let own =
                places.into_iter().find(|own| seals.iter().any(|seal| self.is_sealed(seal, link, *own)));
            match own {
                Some(own) if own != here => self.moved(own, here),
                Some(_) if link.row.seq != number(self.end.chain, here) => {
                    self.faults.push(Fault::Renumbered { link: here, seq: link.row.seq });
                }
                // The chain went on to here before its end was set back.
                Some(_) if self.is_beyond(here) => self.end_was_moved(),
                // Genuine and at its place: what stands before it is not.
                Some(_) => {}
                None => foreign.push(suspect),
            }
        }
        for suspect in foreign {
            self.judge_foreign(&suspect);
        }
        let is_gone = |fault: &Fault| match fault {
            Fault::Removed { first, last } => first != last || !self.is_elsewhere(*first),
            _ => true,
        };
        self.faults = self.faults.iter().filter(|fault| is_gone(fault)).cloned().collect();
    }

    /// Whether the event that belongs to a link stands at another.
    fn is_elsewhere(&self, link: i64) -> bool {
        self.faults.iter().any(|fault| match fault {
            Fault::Moved { from, count, .. } => (*from..from.saturating_add(*count)).contains(&link),
            _ => false,
        })
    }

    fn is_beyond(&self, link: i64) -> bool {
        self.has_end && link >= self.next
    }

    fn end_was_moved(&mut self) {
        if !self.faults.contains(&Fault::End) {
            self.faults.push(Fault::End);
        }
    }

    /// What was not sealed for any place that is known.
    fn judge_foreign(&mut self, suspect: &Suspect) {
        let here = suspect.link.link;
        let claims_its_place = suspect.link.row.seq == number(self.end.chain, here);
        if self.is_beyond(here) || self.is_elsewhere(here) {
            self.inserted(here, here);
            return;
        }
        let fault = match suspect.vouched {
            // Whether it or the one before it was changed cannot be told, and the one before it is named.
            Vouched::Stored if suspect.follows_suspect && claims_its_place => return,
            Vouched::Stored => Fault::Changed { link: here },
            Vouched::Computed => Fault::SealChanged { link: here },
            Vouched::None => Fault::Replaced { link: here },
        };
        self.faults.push(fault);
    }
}
