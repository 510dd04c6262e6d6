//! A write happens once: what an idempotency key says about a deed, before it is done.
//!
//! The key's row is written in the transaction of the effect itself, so there is no moment in which one exists
//! without the other: a retry finds the row and gets the first result, or finds nothing and does the deed.

use std::time::Duration;

use serde_json::{Value, json};

use super::principal::Principal;
use super::tools::{Answer, Deed, Tool};
use crate::clock::Timestamp;
use crate::oauth::secret::SecretHash;
use crate::storage::effects::{self, Effect, EffectKey};
use crate::storage::{StorageError, Tx};

/// How long a key is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);

/// What to do about a deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Once {
    /// Do it: the key is new.
    Run,
    /// Do nothing and give this result, which the first call had.
    Replay(Answer),
    /// Do nothing: the key was used for another deed.
    Mismatch,
}

/// One deed under one key.
pub(super) struct Keyed<'a> {
    key: EffectKey<'a>,
    tool: &'static str,
    arguments_digest: String,
}

impl<'a> Keyed<'a> {
    /// A deed of this principal's. The same key of another user or another client is another key.
    pub(super) fn new(principal: &'a Principal, key: &'a str, tool: &Tool, deed: &dyn Deed) -> Self {
        Self {
            key: EffectKey {
                user_id: &principal.user_id,
                client_id: &principal.client_id,
                idempotency_key: key,
            },
            tool: tool.name,
            arguments_digest: SecretHash::of(&deed.arguments().to_string()).as_str().to_owned(),
        }
    }

    /// What to do.
    pub(super) async fn find(&self, tx: &mut Tx, now: Timestamp) -> Result<Once, StorageError> {
        match effects::find(tx, self.key, now.minus(REMEMBERED)).await? {
            None => Ok(Once::Run),
            Some(effect) if effect.tool == self.tool && effect.arguments_digest == self.arguments_digest => {
                parse(&effect.result).map(Once::Replay)
            }
            Some(_) => Ok(Once::Mismatch),
        }
    }

    /// Remembers what came of it.
    pub(super) async fn record(
        &self,
        tx: &mut Tx,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let effect = Effect {
            tool: self.tool.to_owned(),
            arguments_digest: self.arguments_digest.clone(),
            result: json!({ "structured": answer.structured, "text": answer.text }).to_string(),
        };
        effects::record(tx, self.key, &effect, now).await
    }
}

fn parse(result: &str) -> Result<Answer, StorageError> {
    let mut stored: Value =
        serde_json::from_str(result).map_err(|error| StorageError::corrupt("effects.result", error))?;
    let text = stored.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    let structured = stored.get_mut("structured").map(Value::take).unwrap_or_default();
    Ok(Answer { structured, text })
}
