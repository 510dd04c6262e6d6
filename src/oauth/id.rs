//! Ids, each its own type, so that one can never stand where another is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::random::Random;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps an id that was made here or read from where it was stored.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// An OAuth client: `client_…` when we registered it, an https URL when it is a metadata document.
    ClientId
}
id! {
    /// A user, `user_…`. The prefix keeps users and clients apart in `sub` (OAuth 2.1 §7.4).
    UserId
}
id! {
    /// One grant: who let which client do what, where, until when.
    GrantId
}

impl ClientId {
    /// The ids of what acts without being registered: a program on the machine of its user, and the command that
    /// mints tokens. No registration hands them out.
    pub const RESERVED: [&'static str; 2] = ["stdio", "control-plane"];

    /// A new id for a client that we register; never an https URL.
    pub fn issue(random: &Random) -> Self {
        Self(format!("client_{}", random.id()))
    }
}

impl UserId {
    /// What every user's id starts with, and no client's.
    pub const PREFIX: &'static str = "user_";
    /// What the id of a machine's account starts with, and no person's: in `sub` a machine can never be taken for
    /// somebody (RFC 9068 §5).
    pub const MACHINE_PREFIX: &'static str = "client:";

    /// The account of a machine: it says which client it is.
    pub fn of_machine(client_id: &ClientId) -> Self {
        Self(format!("{}{client_id}", Self::MACHINE_PREFIX))
    }

    /// Whether it is the account of a machine.
    pub fn is_machine(&self) -> bool {
        self.0.starts_with(Self::MACHINE_PREFIX)
    }

    /// The client that acts for itself under this id, if it is that of a machine.
    pub fn machine_client(&self) -> Option<ClientId> {
        self.0.strip_prefix(Self::MACHINE_PREFIX).map(ClientId::new)
    }

    /// A new user's id.
    pub fn issue(random: &Random) -> Self {
        Self(format!("{}{}", Self::PREFIX, random.id()))
    }
}

impl GrantId {
    /// A new grant's id.
    pub fn issue(random: &Random) -> Self {
        Self(format!("grant_{}", random.id()))
    }
}
