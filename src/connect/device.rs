//! The device authorization grant (RFC 8628), for machines without a browser: the person signs in on another one.

use std::time::Duration;

use serde_json::Value;

use super::client::{covers, settle};
use super::dance::Asking;
use super::login::LoginError;
use super::record::Client;
use super::stdio::tell;
use super::token_endpoint::{self, TokenError, Tokens, printable};

/// Its name at the token endpoint (RFC 8628 §3.4).
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How often to ask when the server does not say (RFC 8628 §3.2), and how much rarer when it wants that (§3.5).
const INTERVAL: Duration = Duration::from_secs(5);
/// The longest that a code is waited for, whatever the server says.
pub(super) const LONGEST: u64 = 1800;

/// Shows the code and waits for the person.
pub(super) async fn elsewhere(asking: &Asking<'_>) -> Result<(Client, Tokens), LoginError> {
    let server = &asking.site.server;
    let Some(endpoint) = &server.device_authorization_endpoint else {
        return Err(LoginError::Refused(format!(
            "{} does not offer to sign in on another device; leave out --device",
            server.issuer
        )));
    };
    let remembered = asking.remembered.filter(|client| covers(client, asking.scopes));
    let client = match remembered {
        Some(client) => client.clone(),
        None => settle(asking.http, asking.site, asking.identity, 0, asking.scopes).await?,
    };
    let scope = asking.scopes.map(ToString::to_string);
    let mut form = vec![("resource", asking.site.resource.as_str())];
    form.extend(scope.as_deref().map(|scope| ("scope", scope)));
    let begun =
        token_endpoint::post(asking.http, endpoint, &client, &form).await.map_err(LoginError::from)?;
    let text = |name: &str| begun.get(name).and_then(Value::as_str);
    let missing = |name: &str| LoginError::Refused(format!("{} answers without {name}", server.issuer));
    let device_code = text("device_code").ok_or_else(|| missing("device_code"))?;
    let user_code = text("user_code").ok_or_else(|| missing("user_code"))?;
    let place = text("verification_uri").ok_or_else(|| missing("verification_uri"))?;
    tell(&format!("Sign in at {} with the code {}", printable(place), printable(user_code)));
    let seconds = |name: &str| begun.get(name).and_then(Value::as_u64);
    let lifetime = Duration::from_secs(seconds("expires_in").unwrap_or(LONGEST).min(LONGEST));
    let interval = seconds("interval").map_or(INTERVAL, |seconds| Duration::from_secs(seconds.clamp(1, 60)));
    let polling = poll(asking, &client, device_code, interval);
    let tokens = tokio::time::timeout(lifetime, polling).await.map_err(|_| LoginError::Unfinished)??;
    Ok((client, tokens))
}

async fn poll(
    asking: &Asking<'_>,
    client: &Client,
    device_code: &str,
    mut interval: Duration,
) -> Result<Tokens, LoginError> {
    let form = [
        ("grant_type", GRANT_TYPE),
        ("device_code", device_code),
        ("resource", asking.site.resource.as_str()),
    ];
    loop {
        tokio::time::sleep(interval).await;
        let endpoint = &asking.site.server.token_endpoint;
        match token_endpoint::ask(asking.http, asking.exchanges, endpoint, client, &form).await {
            Ok(tokens) => return Ok(tokens),
            Err(TokenError::Refused { code, description }) => match code.as_str() {
                "authorization_pending" => {}
                "slow_down" => interval += INTERVAL,
                "access_denied" => return Err(LoginError::Denied(format!("{code} {description}"))),
                "expired_token" => return Err(LoginError::Unfinished),
                _ => return Err(LoginError::Refused(format!("{code} {description}"))),
            },
            // RFC 8628 §3.5: back off, the code is still good.
            Err(TokenError::Away(_, asked)) => {
                interval = (interval * 2).min(Duration::from_mins(1)).max(asked.unwrap_or_default());
            }
        }
    }
}
