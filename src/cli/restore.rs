//! `mandate restore`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::backup::{PAGE, unless_stopped};
use super::open::open;
use super::output::{hint, say};
use crate::app::{StartError, chain_key, given_keys, open_store};
use crate::audit::chain::ChainKey;
use crate::audit::verify::verify;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::Config;
use crate::extension::Checked;
use crate::keys::{SealingKey, is_sealed_with};
use crate::random::Random;
use crate::storage::backup::Content;
use crate::storage::external_grants::TAKEN_BACK;
use crate::storage::restore::{Place, RestoreError};
use crate::storage::restored::{self, Ended, Ending};
use crate::storage::{Database, Store, serve_alone};

/// Put a backup in the database's place.
///
/// The server is stopped first. The backup is checked, brought to the schema of this version and prepared before
/// anything is touched; what was there is kept under another name.
///
/// What users took back since the backup would be alive again. So every grant ends: apps are connected anew. Every
/// browser session ends, and every signing key is replaced. All else is as it was then: accounts that were disabled
/// since, passwords that were changed, clients that were removed. The audit log says what that was, up to the moment of
/// the backup; for what came after, read the database that is kept.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mandate restore mandate-2026-11-23.backup\n\nAfter pg_restore, after PostgreSQL \
                        was put back to a moment, or after a volume was:\n  mandate restore --finish"
)]
pub(super) struct Restore {
    /// A file that `mandate backup` wrote.
    #[arg(required_unless_present = "finish")]
    file: Option<PathBuf>,
    /// Leave grants, browser sessions and signing keys as they were at the moment of the backup. Whatever access was
    /// taken back since is given again, and apps that renewed their tokens since are taken for thieves.
    #[arg(long)]
    keep_grants: bool,
    /// Restore although the audit log of the backup is not as it was written.
    #[arg(long, conflicts_with = "finish")]
    despite_audit_findings: bool,
    /// The database was put back already, by other means: end what has to end after that. For PostgreSQL.
    #[arg(long, conflicts_with_all = ["file", "keep_grants"])]
    finish: bool,
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        Self::Said(error.to_string())
    }
}

pub(super) async fn run(command: &Restore, config: Config, program: &Checked) -> Result<(), Failure> {
    match (&command.file, &config.database) {
        (None, _) => Box::pin(finish(config, program)).await,
        (Some(file), Database::Sqlite(database)) => {
            let replaced = replace(command, file, database, &config);
            Box::pin(unless_stopped(replaced, "the database is as it was")).await
        }
        (Some(_), Database::Postgres { .. }) => Err(Failure::Said(format!(
            "the database is PostgreSQL: put it back with pg_restore or to a moment, then run `mandate restore --finish`; \
             {PAGE} has the commands"
        ))),
    }
}

async fn replace(command: &Restore, file: &Path, database: &Path, config: &Config) -> Result<(), Failure> {
    let random = Random::system();
    let now = SystemClock.now();
    let place = Place::hold(database).await?;
    let prepared = place.prepare(file, &random.id()).await?;
    let chain_key = key_of(config, &prepared.content, file, &random)?;
    let opened = Store::open(&prepared.database(), chain_key).await;
    let store = opened.map_err(|error| Failure::Said(format!("{}: {error}", file.display())))?;
    check_audit_log(&store, file, command.despite_audit_findings).await?;
    let from = prepared.content.last_event.map_or("an empty audit log".to_owned(), Timestamp::rfc3339);
    let taken_back = place.taken_back().await;
    let ended = if command.keep_grants {
        None
    } else {
        let mut ended = end(&store, config, now).await?;
        ended.carried = restored::carry_over(&store, taken_back.as_deref().unwrap_or_default()).await?;
        Some(ended)
    };
    let what = format!("from a backup whose last event was at {from}; {}", said(ended.as_ref()));
    restored::record(&store, &what, now).await?;
    store.close().await;
    drop(store);
    let stamp: String = now.rfc3339().chars().filter(char::is_ascii_alphanumeric).collect();
    let kept = place.put(prepared, &format!(".before-{stamp}")).await?;
    say(&format!("Restored {} from {}, whose last event was at {from}.", database.display(), file.display()));
    if let Some(kept) = &kept {
        say(&format!("What was there is kept as {}.", kept.display()));
    }
    tell(ended.as_ref(), taken_back.is_some(), config);
    Ok(())
}

/// Does what comes after a restore that other tools did.
async fn finish(config: Config, program: &Checked) -> Result<(), Failure> {
    // A file that somebody has open was hardly put back.
    let held = match &config.database {
        Database::Sqlite(database) => Some(Place::hold(database).await?),
        Database::Postgres { .. } => None,
    };
    // That one would be in the way of what is opened below; this keeps servers from starting until the end.
    let _alone = serve_alone(&config.database).map_err(StartError::from)?;
    drop(held);
    let now = SystemClock.now();
    check_key_file(&config)?;
    let (store, sealing) = open_store(&config, &Random::system()).await?;
    let keys = store.list_signing_keys().await?;
    if keys.iter().filter_map(|key| key.sealed_private_key.as_ref()).any(|key| !is_sealed_with(&sealing, key))
    {
        return Err(Failure::Said(foreign_key(&config)));
    }
    let ended = end(&store, &config, now).await?;
    restored::record(&store, &format!("by other means; {}", said(Some(&ended))), now).await?;
    store.close().await;
    drop(store);
    tell(Some(&ended), false, &config);
    // Makes new signing keys, and tells replicas that should not run, but may.
    open(config, program).await?.store.close().await;
    Ok(())
}

async fn end(store: &Store, config: &Config, now: Timestamp) -> Result<Ended, Failure> {
    let given = given_keys(config).map_err(StartError::from)?;
    let given_keys: Vec<String> = given
        .into_iter()
        .flat_map(|given| std::iter::once(given.signing).chain(given.next))
        .map(|pair| pair.kid)
        .collect();
    // A token of another issuer would bring its grant back, also one that its user took back since the backup. Without
    // pages they could not let it in again.
    let external = if config.authorization_server { TAKEN_BACK } else { restored::EXTERNAL };
    Ok(restored::end_all(store, &Ending { external, given_keys: &given_keys, now }).await?)
}

/// The key of the audit log, when the key file belongs to the backup.
fn key_of(config: &Config, content: &Content, file: &Path, random: &Random) -> Result<ChainKey, Failure> {
    let sealing = existing_key(config, random)?;
    if content.sealed_key.as_ref().is_some_and(|sealed| !is_sealed_with(&sealing, sealed)) {
        return Err(Failure::Said(format!("{}: {}", file.display(), foreign_key(config))));
    }
    Ok(chain_key(&sealing).map_err(StartError::from)?)
}

fn existing_key(config: &Config, random: &Random) -> Result<SealingKey, Failure> {
    check_key_file(config)?;
    Ok(SealingKey::load_or_create(&config.secret_key_file, random).map_err(StartError::from)?)
}

/// A key that was made now would belong to no backup.
fn check_key_file(config: &Config) -> Result<(), Failure> {
    let file = &config.secret_key_file;
    if file.exists() {
        return Ok(());
    }
    let cure = "put the key file of the database that was backed up there";
    Err(Failure::Said(format!("secret_key_file: there is no {}; {cure}", file.display())))
}

fn foreign_key(config: &Config) -> String {
    format!(
        "its signing keys were sealed with another key than that in {}; put the key file of the database that was \
         backed up there (secret_key_file)",
        config.secret_key_file.display()
    )
}

async fn check_audit_log(store: &Store, file: &Path, despite_findings: bool) -> Result<(), Failure> {
    let report = verify(store).await?;
    for finding in report.findings.iter().take(20) {
        say(&finding.to_string());
    }
    if report.findings.is_empty() || despite_findings {
        return Ok(());
    }
    Err(Failure::Said(format!(
        "{}: its audit log is not as it was written, or the key file is another's: {} findings; take an older backup, or \
         restore it as it is with --despite-audit-findings",
        file.display(),
        report.findings.len()
    )))
}

/// For the audit log.
fn said(ended: Option<&Ended>) -> String {
    match ended {
        None => "grants, browser sessions and signing keys were kept".to_owned(),
        Some(Ended { grants, sessions, keys, .. }) => {
            format!("ended: {grants} grants, {sessions} browser sessions, {} signing keys", keys.len())
        }
    }
}

/// `is_all_known`: whether it is known what users took back since the backup of apps that rest on another issuer's tokens.
fn tell(ended: Option<&Ended>, is_all_known: bool, config: &Config) {
    match ended {
        None => {
            say(
                "Grants, browser sessions and signing keys are those of that moment, as you decided: access that was",
            );
            say(
                "taken back since is given again. A key that was revoked since signs again until you revoke it:",
            );
            hint("keys list");
            hint("keys rotate --revoke KID");
        }
        Some(Ended { grants, external, carried, sessions, keys }) => {
            say(&format!("Ended {grants} grants and {sessions} browser sessions: apps are connected anew."));
            if *external > 0 && config.authorization_server {
                let account = config.public_url.join("/account");
                say(&format!(
                    "Of these {external} rest on tokens of another issuer; users let them in again at {account}"
                ));
            }
            if *carried > 0 {
                say(&format!(
                    "The database that is kept says of {carried} of that kind that their users took them back: they did."
                ));
            }
            if !is_all_known && config.issuers.iter().next().is_some() {
                say(
                    "Not known any more: such apps that were first seen after the backup and taken back since. Their",
                );
                say(
                    "next token lets them in again. Disable the client, or the user's account, to keep one out:",
                );
                hint("client disable 'ISSUER NAME:CLIENT ID'");
                hint("user disable NAME");
            }
            if !keys.is_empty() {
                say(&format!(
                    "Revoked the signing keys {}: no token that they signed is good.",
                    keys.join(", ")
                ));
            }
        }
    }
    say(
        "All else is as it was then. Look for accounts, passwords and clients that were changed since: disable those",
    );
    say("accounts and clients again, and set those passwords, before you start the server.");
    if config.redis.is_some() {
        say(
            "Redis remembers results of calls that never were now: empty it, or set another redis_prefix, before the start.",
        );
    }
}
