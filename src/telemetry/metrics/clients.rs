//! The label of a client. Anyone can register as many clients as they like, so only what an operator vouches for
//! has a name of its own, and even of that no more than so many.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::instrument::Word;

/// How many registered clients have names of their own, and as many hosts of documents: beyond them they are counted
/// together.
const MOST: usize = 100;
/// The longest name, in bytes.
const LONGEST: usize = 128;
/// Clients beyond the cap.
const OTHER: &str = "other";

/// Who a client is, as far as metrics tell them apart.
#[derive(Clone, Copy, Debug)]
pub enum ClientName<'a> {
    /// Registered by an operator: its id.
    Registered(&'a str),
    /// With a metadata document: the document's host.
    Document(&'a str),
    /// Registered by itself.
    Dynamic,
    /// Known to nobody any more.
    Unknown,
}

/// The names that are in use. Whoever has a domain can host any number of documents under it, so hosts have places of
/// their own and take none from those whom the operator registered.
#[derive(Debug, Default)]
pub(super) struct ClientNames {
    registered: Names,
    hosts: Names,
}

impl ClientNames {
    /// The label of a client.
    pub(super) fn label(&self, client: ClientName<'_>) -> Word {
        match client {
            ClientName::Dynamic => "dynamic".into(),
            ClientName::Unknown => "unknown".into(),
            ClientName::Registered(id) => self.registered.label(id),
            ClientName::Document(host) => self.hosts.label(host),
        }
    }
}

#[derive(Debug, Default)]
struct Names(Mutex<BTreeSet<String>>);

impl Names {
    fn label(&self, name: &str) -> Word {
        // Whoever panicked while holding the lock left a whole set behind.
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !used.contains(name) {
            if used.len() >= MOST || name.len() > LONGEST {
                return OTHER.into();
            }
            used.insert(name.to_owned());
        }
        name.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_clients_makes_no_more_than_so_many_names() {
        let names = ClientNames::default();
        let mut made = BTreeSet::new();
        for number in 0..1000 {
            made.insert(names.label(ClientName::Registered(&format!("client_{number}"))));
            made.insert(names.label(ClientName::Document(&format!("{number}.example"))));
            made.insert(names.label(ClientName::Dynamic));
        }
        assert_eq!(made.len(), 2 * MOST + 2, "{made:?}");
        assert_eq!(names.label(ClientName::Registered("client_0")), "client_0", "who has a name keeps it");
        let names = ClientNames::default();
        for number in 0..1000 {
            names.label(ClientName::Document(&format!("{number}.example")));
        }
        let registered = names.label(ClientName::Registered("client_a"));
        assert_eq!(registered, "client_a", "hosts take no place of the operator's clients");
        assert_eq!(ClientNames::default().label(ClientName::Document(&"h".repeat(200))), OTHER);
    }
}
