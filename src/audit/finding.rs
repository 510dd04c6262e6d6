//! What can be found wrong with the audit log, each said in one line.

use std::fmt;

use super::chain::number;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// In a chain.
    InChain {
        /// The chain.
        chain: i64,
        /// What is wrong.
        fault: Fault,
    },
    /// An event that was put in without a place in any chain.
    Stray {
        /// Its number.
        seq: i64,
    },
    /// There are more strays than are named.
    MoreStrays,
}

/// What is wrong in a chain. Links are places in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An event is not the one that its seal was made for; its seal is.
    Changed {
        /// Where.
        link: i64,
    },
    /// A seal was changed; its event was not.
    SealChanged {
        /// Where.
        link: i64,
    },
    /// Neither an event nor its seal is what stood here.
    Replaced {
        /// Where.
        link: i64,
    },
    /// An event carries another number than its own.
    Renumbered {
        /// Where.
        link: i64,
        /// The number.
        seq: i64,
    },
    /// So many events that follow each other stand where they were not written.
    Moved {
        /// Where the first one belongs.
        from: i64,
        /// Where it stands.
        to: i64,
        /// How many.
        count: i64,
    },
    /// Events are gone.
    Removed {
        /// The first.
        first: i64,
        /// The last.
        last: i64,
    },
    /// Events were put in.
    Inserted {
        /// The first.
        first: i64,
        /// The last.
        last: i64,
    },
    /// Where the chain begins was changed.
    Begin,
    /// Where the chain ends was changed.
    End,
    /// Where the chain ends is not recorded any more.
    EndRemoved,
    /// So many further events do not fit their seals.
    More {
        /// How many.
        count: u64,
    },
}

struct Links(i64, i64, i64);

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(chain, first, last) = *self;
        if first == last {
            return write!(f, "chain {chain}, link {first} (seq {})", number(chain, first));
        }
        let (from, to) = (number(chain, first), number(chain, last));
        write!(f, "chain {chain}, links {first} to {last} (seq {from} to {to})")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (chain, fault) = match self {
            Self::InChain { chain, fault } => (*chain, fault),
            Self::Stray { seq } => return write!(f, "seq {seq}: inserted, it has no place in any chain"),
            Self::MoreStrays => return f.write_str("further events: inserted without a place in any chain"),
        };
        let at = |link: i64| Links(chain, link, link);
        match *fault {
            Fault::Changed { link } => write!(f, "{}: changed, it does not fit its seal", at(link)),
            Fault::SealChanged { link } => write!(f, "{}: its seal was changed", at(link)),
            Fault::Replaced { link } => write!(
                f,
                "{}: changed or replaced, its seal included; whether the one after it is as it was cannot be \
                 told",
                at(link)
            ),
            Fault::Renumbered { link, seq } => {
                write!(f, "{}: reordered, it carries the number {seq}", at(link))
            }
            Fault::Moved { from, to, count } => {
                let (there, here) = (Links(chain, from, from + count - 1), Links(chain, to, to + count - 1));
                write!(f, "{here}: reordered, what stands there belongs to {there}")
            }
            Fault::Removed { first, last } => write!(
                f,
                "{}: removed; whether what came after is as it was cannot be told",
                Links(chain, first, last)
            ),
            Fault::Inserted { first, last } => write!(f, "{}: inserted", Links(chain, first, last)),
            Fault::Begin => write!(f, "chain {chain}: where it begins was changed"),
            Fault::End => write!(f, "chain {chain}: where it ends was changed"),
            Fault::EndRemoved => write!(f, "chain {chain}: the record of where it ends was removed"),
            Fault::More { count } => write!(f, "chain {chain}: {count} more do not fit their seals"),
        }
    }
}
