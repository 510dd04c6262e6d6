//! The bus: what replicas tell each other at once.
//!
//! A notice is a hint and never a fact: it may be lost with a connection or a crash, and nothing depends on it but
//! how soon somebody hears. Whoever may have missed some is told so, and looks for itself. It carries ids and
//! nothing that somebody wrote.

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// How many notices a slow listener may be behind before it is told that it missed some.
const BEHIND: usize = 1_024;

/// Something that happened on some replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Notice {
    /// A ticket was opened, commented on or closed.
    TicketChanged {
        /// Its id.
        id: String,
    },
    /// Grants have ended.
    GrantsEnded {
        /// Their ids.
        grant_ids: Vec<String>,
    },
    /// A client answered what a running call asked it; the answer lies in the store.
    Answered {
        /// The call that asked.
        call: String,
        /// Which of its questions.
        question: u64,
    },
    /// A client does not want an answer to a request of its session any more.
    Cancelled {
        /// The session.
        session: String,
        /// The request's id, as JSON.
        request_id: String,
    },
    /// A session subscribed to something, or to something less.
    Subscribed {
        /// The session.
        session: String,
    },
    /// A session was ended by its client.
    SessionEnded {
        /// The session.
        session: String,
    },
    /// Tools were switched on or off.
    ToolsChanged,
    /// The signing keys changed.
    KeysChanged,
    /// The bus works.
    Beat,
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// This happened.
    Notice(Notice),
    /// Something may have happened unheard.
    Gap,
}

/// Hands what is heard to every listener of this process.
#[derive(Debug)]
pub struct Bus(broadcast::Sender<Heard>);

impl Default for Bus {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl Bus {
    /// Tells every listener of this process. None is also well.
    pub fn tell(&self, heard: Heard) {
        let _ = self.0.send(heard);
    }

    /// Begins to listen.
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

/// Hears what happens from its making on.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<Heard>);

impl Listener {
    /// What was heard up to now, without waiting.
    pub fn heard(&mut self) -> Vec<Heard> {
        let mut all = Vec::new();
        loop {
            match self.0.try_recv() {
                Ok(heard) => all.push(heard),
                Err(broadcast::error::TryRecvError::Lagged(_)) => all.push(Heard::Gap),
                Err(_) => return all,
            }
        }
    }

    /// The next thing that is heard. When there will be none any more, waits for ever.
    pub async fn next(&mut self) -> Heard {
        match self.0.recv().await {
            Ok(heard) => heard,
            Err(broadcast::error::RecvError::Lagged(_)) => Heard::Gap,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_listener_is_told_that_it_missed_something_and_then_hears_on() {
        let bus = Bus::default();
        let mut listener = bus.listen();
        for number in 0..3_000 {
            bus.tell(Heard::Notice(Notice::TicketChanged { id: format!("T-{number}") }));
        }
        assert_eq!(listener.next().await, Heard::Gap);
        let next = listener.next().await;
        assert_eq!(next, Heard::Notice(Notice::TicketChanged { id: "T-1976".into() }));
    }
}
