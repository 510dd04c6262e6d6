//! What slows guessing down without locking the rightful user out.
//!
//! Every try is counted before the password is looked at, so that parallel tries cannot overtake the count. Three
//! meters of rising length make the waits grow for one account from one address: five tries are free, then one
//! each 12 seconds, and after 20 in an hour one each 3 minutes. A meter on the address alone stops one host that
//! tries many accounts. A meter on the account alone stops many hosts that try one account; it does not apply to
//! a browser in which that account has signed in before, so its owner is never kept out by strangers.

use std::time::Duration;

use crate::app::App;
use crate::ephemeral::{Meter, Quota, Rate};
use crate::oauth::error::Error;
use crate::oauth::secret::{SecretHash, equal};
use crate::storage::users::username_key;

const HOUR: Duration = Duration::from_secs(3600);

const PAIR: [Rate; 3] = [
    Rate { burst: 5, per: Duration::from_secs(60) },
    Rate { burst: 20, per: HOUR },
    Rate { burst: 100, per: Duration::from_secs(86_400) },
];
// Offices share addresses: big enough for a morning of mistyped passwords.
const ADDRESS: Rate = Rate { burst: 100, per: HOUR };
const ACCOUNT: Rate = Rate { burst: 50, per: HOUR };

/// Whether a try may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Look at the password.
    Try,
    /// Do not look at it; come back after this long.
    Wait(Duration),
}

/// Counts a try to sign in as `username` from `address`.
pub async fn check(app: &App, username: &str, address: &str, known_browser: bool) -> Result<Verdict, Error> {
    let account = account_key(username);
    let pairs =
        PAIR.iter().enumerate().map(|(tier, rate)| (Meter::SignInPair(tier, &account, address), *rate));
    let address_alone = (Meter::SignInAddress(address), ADDRESS);
    let account_alone = (!known_browser).then_some((Meter::SignInAccount(&account), ACCOUNT));
    for (meter, rate) in pairs.chain([address_alone]).chain(account_alone) {
        if let Quota::Exceeded { retry_after } = app.ephemeral.quota(meter, rate).await? {
            return Ok(Verdict::Wait(retry_after));
        }
    }
    Ok(Verdict::Try)
}

/// Forgets the tries of an account from an address after a success.
pub async fn forgive(app: &App, username: &str, address: &str) -> Result<(), Error> {
    let account = account_key(username);
    for tier in 0..PAIR.len() {
        app.ephemeral.forget(Meter::SignInPair(tier, &account, address)).await?;
    }
    Ok(())
}

/// What a browser keeps after a sign-in, so that it is known for this account later.
pub fn known_browser_mark(app: &App, username: &str) -> Result<String, Error> {
    let nonce = app.random.id();
    let tag = mark_tag(app, &nonce, username)?;
    Ok(format!("{nonce}.{tag}"))
}

/// Whether `mark` was made by [`known_browser_mark`] for this account.
pub fn is_known_browser(app: &App, mark: &str, username: &str) -> Result<bool, Error> {
    let Some((nonce, tag)) = mark.split_once('.') else { return Ok(false) };
    Ok(equal(tag.as_bytes(), mark_tag(app, nonce, username)?.as_bytes()))
}

fn mark_tag(app: &App, nonce: &str, username: &str) -> Result<String, Error> {
    Ok(app.keys.sealing.tag("known browser", &format!("{nonce}.{}", username_key(username)))?)
}

// Whatever was typed becomes a key of bounded length.
fn account_key(username: &str) -> String {
    SecretHash::of(&username_key(username)).as_str().to_owned()
}
