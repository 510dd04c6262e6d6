//! A write happens once: what an idempotency key says about a deed, before it is done.
//!
//! Two places know. The ephemeral store is asked as the call comes in, and answers most retries by itself: it
//! holds the claim of the attempt that is at it, and afterwards the result. But it may lose what it knows. So the
//! key's row is also claimed in the transaction of the effect itself: there is no moment in which one exists
//! without the other, and whoever comes at the same time waits for that transaction to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::principal::Verified;
use super::tools::{Answer, Arguments, Deed, Run, Tool};
use crate::app::App;
use crate::clock::Timestamp;
use crate::ephemeral::admission::{Claim, ClaimKey, RESULT_REMEMBERED, Settled};
use crate::keys::{SealError, SealingKey};
use crate::oauth::secret::SecretHash;
use crate::oauth::{ClientId, Error, UserId};
use crate::storage::effects::{self, EffectKey};
use crate::storage::{StorageError, Tx};

/// What the key of stored digests is derived for.
const EFFECTS: &str = "effects";
/// How long a call waits for another attempt that is at the same deed.
const WAITS_FOR: Duration = Duration::from_millis(1500);
/// How often it looks.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// A key and what is asked under it, as the message says.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    key: String,
    tool: &'static str,
    /// The digest as it is stored, see [`stored`].
    digest: String,
    /// The same as it is computed.
    unsealed: String,
}

impl Asked {
    /// The key of a call, if there is one and the arguments are good. Whatever is wrong with them is said when
    /// the tool is run.
    pub(super) fn of(
        sealing: &SealingKey,
        tool: &'static Tool,
        params: &Map<String, Value>,
    ) -> Result<Option<Self>, SealError> {
        let Some((key, unsealed)) = read(tool, params) else { return Ok(None) };
        let digest = stored(sealing, tool.schemas.hides_any(), &unsealed)?;
        Ok(Some(Self { key, tool: tool.name, digest, unsealed }))
    }

    /// How the ephemeral store names it. The same key of another user or another client is another key.
    pub(super) fn claim_key<'a>(&'a self, token: &'a Verified, attempt: &'a str) -> ClaimKey<'a> {
        ClaimKey {
            user_id: token.user_id.as_str(),
            client_id: token.client_id.as_str(),
            key: &self.key,
            digest: &self.digest,
            attempt,
        }
    }
}

fn read(tool: &'static Tool, params: &Map<String, Value>) -> Option<(String, String)> {
    let Run::Write { parse, .. } = &tool.run else { return None };
    let mut arguments = Arguments::of_tool(tool, params.get("arguments")?.as_object().cloned());
    let key = arguments.idempotency_key()?;
    let deed = parse(arguments).ok()?;
    Some((key, digest(tool, deed.as_ref())))
}

/// What to do about a deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Once {
    /// Do it: the key is new.
    Run,
    /// Do nothing: the key is known.
    Not(Known),
}

/// What is known of a key that is not new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The deed was done, with this result.
    Done(Answer),
    /// Another attempt is at it, and was for as long as we could wait.
    InFlight,
    /// It was used for another deed.
    Mismatch,
}

/// One attempt at a deed under a key. While it has the key, dropping it gives the key back.
#[derive(Debug)]
pub(super) struct Claimed {
    app: Arc<App>,
    user_id: UserId,
    client_id: ClientId,
    asked: Asked,
    attempt: String,
    found: Claim,
    has_key: AtomicBool,
}

impl Claimed {
    /// An attempt of which the ephemeral store said this.
    pub(super) fn new(app: Arc<App>, token: &Verified, asked: Asked, attempt: String, found: Claim) -> Self {
        let has_key = AtomicBool::new(found == Claim::Run);
        let (user_id, client_id) = (token.user_id.clone(), token.client_id.clone());
        Self { app, user_id, client_id, asked, attempt, found, has_key }
    }

    /// Whether this is what the gate read: the same key for the same deed.
    pub(super) fn is_for(&self, key: &str, tool: &Tool, deed: &dyn Deed) -> bool {
        self.asked.key == key && self.asked.unsealed == digest(tool, deed)
    }

    /// What to do, as far as the ephemeral store knows; waits a little for another attempt.
    pub(super) async fn judge(&self) -> Result<Once, Error> {
        let mut found = self.found.clone();
        let mut waited = Duration::ZERO;
        while found == Claim::InFlight && waited < WAITS_FOR {
            tokio::time::sleep(LOOKS_EVERY).await;
            waited += LOOKS_EVERY;
            found = self.app.ephemeral.claim(self.claim_key()).await?;
            self.has_key.store(found == Claim::Run, Ordering::Relaxed);
        }
        match found {
            Claim::Run => Ok(Once::Run),
            Claim::Done(result) => Ok(Once::Not(Known::Done(parse(&result)?))),
            Claim::InFlight => Ok(Once::Not(Known::InFlight)),
            Claim::Mismatch => Ok(Once::Not(Known::Mismatch)),
        }
    }

    /// Claims the key for the transaction that is about to do the deed, or finds what was done under it. Waits
    /// for whoever is at it in another transaction.
    pub(super) async fn claim(&self, tx: &mut Tx, now: Timestamp) -> Result<Once, StorageError> {
        let claimed = effects::Claimed { tool: self.asked.tool, arguments_digest: &self.asked.digest };
        if effects::claim(tx, self.effect_key(), claimed, now.minus(RESULT_REMEMBERED), now).await? {
            return Ok(Once::Run);
        }
        let gone = || StorageError::corrupt("effects", "a claimed key is not there");
        let effect = effects::find(tx, self.effect_key()).await?.ok_or_else(gone)?;
        if effect.tool == self.asked.tool && effect.arguments_digest == self.asked.digest {
            return Ok(Once::Not(Known::Done(parse(&effect.result)?)));
        }
        Ok(Once::Not(Known::Mismatch))
    }

    /// Remembers what came of it, in the transaction that did it.
    pub(super) async fn record(&self, tx: &mut Tx, answer: &Answer) -> Result<(), StorageError> {
        effects::record(tx, self.effect_key(), &written(answer)).await
    }

    /// Tells the ephemeral store what was done. That is only for speed: the row is there.
    pub(super) async fn settle(&self, answer: &Answer) {
        match self.app.ephemeral.settle(self.claim_key(), Settled::Done(written(answer))).await {
            Ok(()) => self.has_key.store(false, Ordering::Relaxed),
            Err(error) => tracing::warn!(detail = %error, "the result of a write is not remembered"),
        }
    }

    fn claim_key(&self) -> ClaimKey<'_> {
        ClaimKey {
            user_id: self.user_id.as_str(),
            client_id: self.client_id.as_str(),
            key: &self.asked.key,
            digest: &self.asked.digest,
            attempt: &self.attempt,
        }
    }

    fn effect_key(&self) -> EffectKey<'_> {
        EffectKey { user_id: &self.user_id, client_id: &self.client_id, idempotency_key: &self.asked.key }
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if !self.has_key.load(Ordering::Relaxed) {
            return;
        }
        let own = Self {
            app: self.app.clone(),
            user_id: self.user_id.clone(),
            client_id: self.client_id.clone(),
            asked: self.asked.clone(),
            attempt: std::mem::take(&mut self.attempt),
            found: Claim::Run,
            has_key: AtomicBool::new(false),
        };
        self.app.tasks.spawn(async move {
            // If this fails, the key is free when its claim runs out.
            if let Err(error) = own.app.ephemeral.settle(own.claim_key(), Settled::Released).await {
                tracing::warn!(detail = %error, "a claimed key is not given back");
            }
        });
    }
}

/// What tells one deed from another: the tool and its arguments, without the idempotency key. Not to be stored.
pub(super) fn digest(tool: &Tool, deed: &dyn Deed) -> String {
    SecretHash::of(&format!("{}\n{}", tool.name, deed.arguments())).as_str().to_owned()
}

/// A digest as it is stored. Where arguments may be secret, under a key of the server's own: who reads the database could
/// guess them otherwise. All others as they are, as every version stores them: replicas of two versions know the deeds of
/// one another.
fn stored(sealing: &SealingKey, hides_any: bool, unsealed: &str) -> Result<String, SealError> {
    if hides_any { sealing.tag(EFFECTS, unsealed) } else { Ok(unsealed.to_owned()) }
}

fn written(answer: &Answer) -> String {
    json!({ "structured": answer.structured, "text": answer.text }).to_string()
}

fn parse(result: &str) -> Result<Answer, StorageError> {
    let mut stored: Value =
        serde_json::from_str(result).map_err(|error| StorageError::corrupt("effects.result", error))?;
    let text = stored.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    let structured = stored.get_mut("structured").map(Value::take).unwrap_or_default();
    Ok(Answer { structured, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_have_the_key_cannot_guess_secret_arguments_by_their_digest() {
        let [one, another] = [[7; 32], [8; 32]].map(SealingKey::new);
        let hidden = |key, unsealed| stored(key, true, unsealed).unwrap();
        assert_eq!(hidden(&one, "t"), hidden(&one, "t"));
        assert_ne!(hidden(&one, "t"), hidden(&one, "u"));
        assert_ne!(hidden(&one, "t"), hidden(&another, "t"));
        assert_ne!(hidden(&one, "t"), "t");
    }

    #[test]
    fn replicas_of_all_versions_store_the_same_digest_of_what_is_no_secret() {
        let tool = crate::mcp::tools::TICKETS[2];
        let params = json!({ "arguments": { "title": "t", "body": "b", "idempotency_key": "k" } });
        let asked = Asked::of(&SealingKey::new([7; 32]), tool, params.as_object().unwrap()).unwrap().unwrap();
        let text = "create_ticket\n{\"body\":\"b\",\"priority\":\"medium\",\"title\":\"t\"}";
        assert_eq!(asked.digest, SecretHash::of(text).as_str());
    }
}
