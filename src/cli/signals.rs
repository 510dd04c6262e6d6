//! What the operating system tells this process. It is heard from the moment that one of these is made; until then a
//! signal does what it does by default, which is to end the process on the spot.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// Who wants it to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// SIGTERM: whatever keeps it running.
    Supervisor,
    /// SIGINT: somebody at the keyboard.
    Hand,
}

/// SIGTERM and SIGINT.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Hears them from now on.
    pub(super) fn listen() -> Result<Self, Failure> {
        Ok(Self { terminate: hear(SignalKind::terminate())?, interrupt: hear(SignalKind::interrupt())? })
    }

    /// Waits for the next one. None is lost when it is not waited for any more.
    pub(super) async fn asked(&mut self) -> By {
        tokio::select! {
            _ = self.terminate.recv() => By::Supervisor,
            _ = self.interrupt.recv() => By::Hand,
        }
    }

    /// Waits for the next SIGINT.
    pub(super) async fn interrupted(&mut self) {
        self.interrupt.recv().await;
    }
}

/// SIGHUP.
pub(super) struct Hangup(Signal);

impl Hangup {
    /// Hears it from now on.
    pub(super) fn listen() -> Result<Self, Failure> {
        Ok(Self(hear(SignalKind::hangup())?))
    }

    /// Waits for the next one.
    pub(super) async fn heard(&mut self) {
        self.0.recv().await;
    }
}

fn hear(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Said(format!("signals cannot be heard: {error}")))
}
