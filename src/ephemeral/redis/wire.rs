//! The bus between replicas: one channel of Redis, which each of them hears.
//!
//! A connection that only listens never notices that it is dead. So every replica says a word from time to time,
//! and where none is heard for long the connection is made anew. Whoever listens is told of the gap.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Client, Cmd, ConnectionInfo, cmd};
use futures::StreamExt;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::RedisUrl;
use super::line::Line;
use crate::ephemeral::Result;
use crate::ephemeral::bus::{Bus, Heard, Listener, Notice};

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How often each replica says that the bus works.
const BEAT_EVERY: Duration = Duration::from_secs(3);
/// After how long a silence the connection counts as dead.
const SILENT_FOR: Duration = Duration::from_secs(10);
/// How long to wait before the next attempt to connect.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// One end of the bus.
pub(super) struct Wire {
    channel: String,
    line: Line,
    bus: Arc<Bus>,
    _listening: DropGuard,
}

impl Wire {
    /// Begins to listen, in the background.
    pub(super) fn open(url: &RedisUrl, line: Line) -> Self {
        let channel = format!("{}:bus", url.prefix());
        let (bus, stop) = (Arc::new(Bus::default()), CancellationToken::new());
        let tasks = TaskTracker::new();
        let hearing = hear_for_ever(url.clone(), channel.clone(), bus.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(hearing));
        let beating = beat_for_ever(line.clone(), channel.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(beating));
        Self { channel, line, bus, _listening: stop.drop_guard() }
    }

    /// Tells every replica, this one included.
    pub(super) async fn publish(&self, notice: &Notice) -> Result<()> {
        self.line.ask::<i64>(&saying(&self.channel, notice)).await.map(|_| ())
    }

    /// Begins to listen.
    pub(super) fn listen(&self) -> Listener {
        self.bus.listen()
    }
}

fn saying(channel: &str, notice: &Notice) -> Cmd {
    let text = serde_json::to_string(notice).unwrap_or_default();
    let mut command = cmd("PUBLISH");
    command.arg(channel).arg(text);
    command
}

async fn beat_for_ever(line: Line, channel: String) {
    loop {
        // When this fails, whoever listens finds out. A replica with too much to do is not dead, so it says its word
        // in any case: were all busy and silent, all would lay the bus anew, and have still more to do.
        let _ = line.ask_in_any_case::<i64>(&saying(&channel, &Notice::Beat)).await;
        tokio::time::sleep(BEAT_EVERY).await;
    }
}

async fn hear_for_ever(url: RedisUrl, channel: String, bus: Arc<Bus>) {
    let mut was_told = false;
    loop {
        // Every node of a cluster hears what is said to any of them.
        for node in url.nodes().unwrap_or_default() {
            match hear(node, &channel, &bus).await {
                Ok(()) => was_told = false,
                Err(error) if !was_told => {
                    was_told = true;
                    tracing::warn!(detail = error.category(), "replicas cannot be heard");
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// Listens until the connection is lost or silent.
async fn hear(node: ConnectionInfo, channel: &str, bus: &Bus) -> ::redis::RedisResult<()> {
    let connecting = async {
        let mut listening = Client::open(node)?.get_async_pubsub().await?;
        listening.subscribe(channel).await?;
        Ok::<_, ::redis::RedisError>(listening)
    };
    let timed_out = |_| ::redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    let listening = tokio::time::timeout(CONNECT_WITHIN, connecting).await.map_err(timed_out)??;
    bus.tell(Heard::Gap);
    let mut messages = listening.into_on_message();
    while let Ok(Some(message)) = tokio::time::timeout(SILENT_FOR, messages.next()).await {
        let text: String = message.get_payload()?;
        // What another version says and we do not know concerns nobody here.
        match serde_json::from_str(&text) {
            Ok(Notice::Beat) | Err(_) => {}
            Ok(notice) => bus.tell(Heard::Notice(notice)),
        }
    }
    bus.tell(Heard::Gap);
    Ok(())
}
