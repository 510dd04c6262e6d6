//! What slows guessing down without locking the rightful user out.
//!
//! Every try is counted before the password is looked at, so that parallel tries cannot overtake the count, and a
//! success is taken back. Three meters of rising length make the waits grow for one account from one address:
//! five tries are free, then one each 12 seconds, and after 20 in an hour one each 3 minutes. A meter on the
//! address alone stops one host that tries many accounts; one on the account alone stops many hosts that try one
//! account. A browser in which that account has signed in before is counted by itself, whatever its address and
//! whatever strangers do, so that its owner is never kept out by them.

use std::time::Duration;

use crate::app::App;
use crate::ephemeral::{Meter, Quota, Rate};
use crate::oauth::error::Error;
use crate::oauth::secret::{SecretHash, equal};
use crate::storage::users::username_key;

const HOUR: Duration = Duration::from_secs(3600);

const PAIR: [Rate; 3] =
    [Rate::of(5, Duration::from_secs(60)), Rate::of(20, HOUR), Rate::of(100, Duration::from_secs(86_400))];
// Offices share addresses: big enough for a morning of mistyped passwords.
const ADDRESS: Rate = Rate::of(100, HOUR);
const ACCOUNT: Rate = Rate::of(50, HOUR);

/// Whether a try may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Look at the password.
    Try,
    /// Do not look at it; come back after this long.
    Wait(Duration),
}

/// From where a try comes: a browser that the account knows, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A browser in which the account has signed in before, by the nonce of its mark.
    KnownBrowser(String),
    /// Any other, by its address.
    Address(String),
}

/// Counts a try to sign in as `username`.
pub async fn check(app: &App, username: &str, origin: &Origin) -> Result<Verdict, Error> {
    let account = account_key(username);
    let meters = meters(&account, origin);
    for (position, (meter, rate)) in meters.iter().enumerate() {
        if let Quota::Exceeded { retry_after } = app.ephemeral.quota(meter.clone(), *rate).await? {
            // A try that is not looked at costs nothing: impatience is no guess.
            for (counted, rate) in meters.iter().take(position) {
                app.ephemeral.refund(counted.clone(), *rate).await?;
            }
            return Ok(Verdict::Wait(retry_after));
        }
    }
    Ok(Verdict::Try)
}

/// Takes back what was counted for a try that succeeded, and forgets the tries before it.
pub async fn forgive(app: &App, username: &str, origin: &Origin) -> Result<(), Error> {
    let account = account_key(username);
    for (meter, rate) in meters(&account, origin) {
        match meter {
            Meter::SignInPair(..) => app.ephemeral.forget(meter).await?,
            shared => app.ephemeral.refund(shared, rate).await?,
        }
    }
    Ok(())
}

/// The address first: a flood that its meter stops leaves nothing in the others.
fn meters<'a>(account: &'a str, origin: &'a Origin) -> Vec<(Meter<'a>, Rate)> {
    let pairs = |from: &'a str| {
        PAIR.iter().enumerate().map(move |(tier, rate)| (Meter::SignInPair(tier, account, from), *rate))
    };
    match origin {
        Origin::KnownBrowser(nonce) => pairs(nonce).collect(),
        Origin::Address(address) => {
            let (first, last) = (Meter::SignInAddress(address), Meter::SignInAccount(account));
            [(first, ADDRESS)].into_iter().chain(pairs(address)).chain([(last, ACCOUNT)]).collect()
        }
    }
}

/// What a browser keeps after a sign-in, so that it is known for this account later.
pub fn known_browser_mark(app: &App, username: &str) -> Result<String, Error> {
    let nonce = app.random.id();
    let tag = mark_tag(app, &nonce, username)?;
    Ok(format!("{nonce}.{tag}"))
}

/// Where a try comes from, judged by the browser's `mark` and its address.
pub fn origin(app: &App, mark: &str, username: &str, address: &str) -> Result<Origin, Error> {
    if let Some((nonce, tag)) = mark.split_once('.')
        && equal(tag.as_bytes(), mark_tag(app, nonce, username)?.as_bytes())
    {
        return Ok(Origin::KnownBrowser(nonce.to_owned()));
    }
    Ok(Origin::Address(address.to_owned()))
}

fn mark_tag(app: &App, nonce: &str, username: &str) -> Result<String, Error> {
    Ok(app.keys.sealing.tag("known browser", &format!("{nonce}.{}", username_key(username)))?)
}

// Whatever was typed becomes a key of bounded length.
fn account_key(username: &str) -> String {
    SecretHash::of(&username_key(username)).as_str().to_owned()
}
