//! `mandate keys list|rotate`.

use clap::Subcommand;

use super::Failure;
use super::open::{Opening, Stored};
use super::output::{say, table};
use crate::app::App;
use crate::authz::rotation;
use crate::keys::ring::{self, FROM_THE_START, Life, NOT_YET, READ_EVERY, State};
use crate::keys::rotation::{Revocation, Rotated, Rotation};
use crate::keys::{ReadError, name_of};
use crate::oauth::Error;

/// Manage the keys that sign access tokens.
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// List the signing keys, oldest first.
    #[command(after_help = "Example:\n  mandate keys list")]
    List,
    /// Let the next key sign soon and publish another next one at once. The former stays published until its last
    /// token has expired. No token is refused.
    #[command(after_help = "Example:\n  mandate keys rotate\n\nWhen somebody else may have a key:\n  \
                            mandate keys rotate --revoke 9f2cQx0aTr7LmB1e")]
    Rotate {
        /// Take this key back at once, because somebody else may have it: tokens that it signed are refused, and
        /// clients get new ones with their refresh tokens. Where it signs, the next key takes its place.
        // One in 64 begins with a dash.
        #[arg(long, value_name = "KID", allow_hyphen_values = true)]
        revoke: Option<String>,
    },
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Error::from(error).into()
    }
}

pub(super) async fn run(command: Keys, opening: Opening<'_>) -> Result<(), Failure> {
    match command {
        Keys::List => list(&opening.stored().await?).await,
        Keys::Rotate { revoke: None } => rotate(&opening.existing().await?).await,
        Keys::Rotate { revoke: Some(kid) } => revoke(&opening.existing().await?, &kid).await,
    }
}

async fn list(Stored { store, keys, now }: &Stored) -> Result<(), Failure> {
    let published = keys.lives();
    let state = |life: &Life| ring::state(&published, life, keys.chosen(), *now);
    let all = store.list_all_signing_keys().await?;
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|row| {
            let life = &row.life;
            let known = published.iter().find(|known| known.kid == life.kid).unwrap_or(life);
            let state = match (row.revoked_at, row.retired_at) {
                (Some(at), _) => format!("revoked {}", at.rfc3339()),
                (None, Some(at)) => format!("retired {}", at.rfc3339()),
                (None, None) => said(state(known)),
            };
            let since = match life.active_from {
                NOT_YET => "-".to_owned(),
                FROM_THE_START => life.created_at.rfc3339(),
                since => since.rfc3339(),
            };
            let alg = name_of(life.algorithm).to_owned();
            vec![life.kid.clone(), alg, state, life.created_at.rfc3339(), since]
        })
        .collect();
    table(&["KID", "ALG", "STATE", "CREATED", "ACTIVE_SINCE"], &rows);
    Ok(())
}

fn said(state: State) -> String {
    match state {
        State::Signing => "signing".to_owned(),
        State::Next(None) => "next".to_owned(),
        State::Next(Some(from)) => format!("next, signs from {}", from.rfc3339()),
        State::Old(None) => "old".to_owned(),
        State::Old(Some(until)) => format!("old until {}", until.rfc3339()),
    }
}

async fn rotate(app: &App) -> Result<(), Failure> {
    match rotation::rotate(app).await? {
        Rotation::Done(Rotated { kid, active_from, former, former_until, next }) => {
            say(&format!("{kid} signs from {}.", active_from.rfc3339()));
            if let Some(former) = former {
                let until = former_until.rfc3339();
                say(&format!("{former} signs until then, and is published until {until} at least."));
            }
            say(&format!("{next} is published as the next key."));
            Ok(())
        }
        Rotation::Pending(pending) => {
            let (kid, from) = (pending.kid, pending.active_from.rfc3339());
            let what = format!("the last rotation is not over: {kid} signs from {from}; try again after that");
            Err(Failure::Said(what))
        }
        Rotation::Given => Err(Failure::Said(
            "tokens.signing_key_file gives the key: to rotate, put the key of tokens.next_signing_key_file in its \
             place, name another next one, and restart; the former key stays published as long as it is needed"
                .to_owned(),
        )),
        Rotation::NotDue => Err(Failure::Said("another rotation came first; see `mandate keys list`".to_owned())),
    }
}

async fn revoke(app: &App, kid: &str) -> Result<(), Failure> {
    let failed = |what: String| Err(Failure::Said(what));
    match rotation::revoke(app, kid).await? {
        Revocation::Done { successor } => {
            say(&format!(
                "Revoked {kid}. Within {} seconds no replica accepts what it signed.",
                READ_EVERY.as_secs()
            ));
            if let Some(successor) = successor {
                say(&format!("{successor} signs from now on."));
            }
            Ok(())
        }
        Revocation::Already => failed(format!("--revoke: {kid} was revoked before")),
        Revocation::Unknown => {
            failed(format!("--revoke: there is no key {kid}; `mandate keys list` shows them all"))
        }
        Revocation::Given => failed(format!(
            "--revoke: {kid} is in a key file of the configuration; put another key there, restart every replica, \
             then revoke it"
        )),
    }
}
