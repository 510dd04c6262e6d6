//! The turn of whoever gets the next token, in this process and among all: how it is waited for, what is done in it,
//! and what the next one is told.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;

use super::challenge::Challenge;
use super::login::{Login, LoginError};
use super::record::{Record, Secret};
use super::respite::Respite;
use super::store;
use crate::clock::Timestamp;
use crate::oauth::Scopes;

/// How long a sign-in that came to nothing is not asked for again: a model tries a refused call several times.
const NOT_AGAIN: Duration = Duration::from_mins(1);

/// What became of the last tries; seen only by whoever has the turn.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// A sign-in that came to nothing: for which scopes, when, and why.
    failed: Option<(Scopes, Timestamp, LoginError)>,
    /// The last fault, for all who waited for the turn meanwhile.
    fault: Option<LoginError>,
    /// When to refresh again.
    pub(super) respite: Respite,
}

/// Held by whoever gets the next token, for all requests of all processes.
#[derive(Debug)]
pub(super) struct Turn {
    #[expect(dead_code, reason = "it is held")]
    pub(super) among_processes: store::Turn,
    pub(super) memory: OwnedMutexGuard<Memory>,
}

impl Login {
    /// Waits for the turn. Nothing when by then there is a token that `serves`. A fault that was met meanwhile is met
    /// by all who waited, or they would meet it one after the other. Nothing has begun before the turn is there, so
    /// whoever waits may stop waiting.
    pub(super) async fn take_turn(
        &self,
        stale: Option<&Secret>,
        serves: impl Fn(&Record) -> bool,
    ) -> Result<Option<Turn>, LoginError> {
        let is_served = || self.current().is_some_and(|record| serves(&record));
        let faults = self.faults.load(Ordering::Acquire);
        let memory = self.turn.clone().lock_owned().await;
        if is_served() {
            return Ok(None);
        }
        if let Some(fault) = &memory.fault
            && self.faults.load(Ordering::Acquire) != faults
        {
            return Err(fault.clone());
        }
        let among_processes = if let Some(turn) = self.store.try_turn()? {
            turn
        } else {
            // Another process that has it may have asked the person.
            let _under_way = self.begin_sign_in();
            self.store.turn().await?
        };
        let turn = Turn { among_processes, memory };
        if self.adopt(stale).await? && is_served() {
            return Ok(None);
        }
        Ok(Some(turn))
    }

    /// Does work to its end, though whoever began it may not wait for it: what an authorization server has given must
    /// be kept, and a person who signs in does so for all.
    pub(super) async fn to_the_end(
        &self,
        work: impl Future<Output = Result<(), LoginError>> + Send + 'static,
    ) -> Result<(), LoginError> {
        let done = self.aside(work).await;
        done.unwrap_or_else(|broken| Err(LoginError::Away(broken.to_string())))
    }

    /// Does work that nobody need wait for.
    pub(super) fn aside(
        &self,
        work: impl Future<Output = Result<(), LoginError>> + Send + 'static,
    ) -> JoinHandle<Result<(), LoginError>> {
        self.work.spawn(work)
    }

    /// Lets the next one have the turn, and everybody who waited for it know of a fault.
    pub(super) fn end_turn(&self, mut turn: Turn, done: Result<(), LoginError>) -> Result<(), LoginError> {
        turn.memory.fault = done.as_ref().err().filter(|error| error.is_fault()).cloned();
        if turn.memory.fault.is_some() {
            self.faults.fetch_add(1, Ordering::AcqRel);
        }
        done
    }

    /// Notes that even the new token did not reach far enough, so that the person is not asked over and over.
    pub(super) async fn note_fruitless(&self, challenge: &Challenge) {
        let needed = challenge.scope.clone().unwrap_or_default();
        let why = LoginError::Denied(format!("the server wants {needed}, though it was allowed"));
        self.turn.lock().await.failed = Some((needed, self.clock.now(), why));
    }

    /// Notes that the server refuses even a new token, so that the person is not asked over and over.
    pub(super) async fn note_refused(&self) {
        let why = LoginError::Denied("the server refuses the tokens that it asked for".to_owned());
        self.turn.lock().await.failed = Some((Scopes::default(), self.clock.now(), why));
    }

    /// Whether the same, or less, came to nothing a moment ago.
    pub(super) fn recall(&self, memory: &Memory, needed: &Scopes) -> Result<(), LoginError> {
        match &memory.failed {
            Some((scopes, at, why))
                if scopes.is_subset(needed) && self.clock.now().since(*at) < NOT_AGAIN =>
            {
                Err(why.clone())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn remember(
        &self,
        memory: &mut Memory,
        needed: Scopes,
        done: Result<(), LoginError>,
    ) -> Result<(), LoginError> {
        memory.failed = match &done {
            // A fault is not the person's word: it may be over with the next request.
            Ok(()) => None,
            Err(why) if why.is_fault() => None,
            Err(why) => Some((needed, self.clock.now(), why.clone())),
        };
        done
    }
}
