//! The reference domain: tickets, who may see which, and how they are found.
//!
//! Owns the ticket's types and limits, the statements that read and change tickets, and the visibility rule.
//! Knows nothing of tokens, tools or HTTP: whoever asks says on whose behalf, as a [`Sight`].

/// The visibility rule, in SQL, once. It stands in every statement that reads or changes a ticket, so that a
/// ticket out of sight is the same as none. `$2` is [`Sight::bound`].
macro_rules! in_sight {
    () => {
        "($2 IS NULL OR tickets.reporter_id = $2)"
    };
}

/// What is read of a ticket. `$1` is how many characters of the body.
macro_rules! ticket_columns {
    () => {
        "tickets.number, users.username, tickets.title, substr(tickets.body, 1, $1) AS excerpt, \
         length(tickets.body) AS body_length, tickets.status, tickets.priority, tickets.resolution, \
         tickets.created_at, tickets.updated_at, tickets.closed_at"
    };
}

pub mod demo;
pub mod lists;
pub mod query;
pub mod search;
mod search_postgres;
mod search_sqlite;
pub mod store;
mod ticket;
mod words;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod postgres_figures;

pub use ticket::{
    Body, Comment, CommentId, Excerpt, Flaw, IdPrefix, Priority, Resolution, Status, Ticket, TicketId, Title,
};

use crate::oauth::UserId;
use crate::storage::users::Role;

/// Which tickets somebody may see, and therefore act on: a requester their own, an agent all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight(Option<UserId>);

impl Sight {
    /// What a user of this role sees, whatever their token says.
    pub fn of(role: Role, user_id: &UserId) -> Self {
        match role {
            Role::Agent => Self(None),
            Role::Requester => Self(Some(user_id.clone())),
        }
    }

    /// The only reporter whose tickets are in sight, or `None` when all are.
    pub fn only(&self) -> Option<&UserId> {
        self.0.as_ref()
    }

    /// The value of `$2` in the visibility rule.
    fn bound(&self) -> Option<String> {
        self.0.as_ref().map(|user_id| user_id.as_str().to_owned())
    }
}
