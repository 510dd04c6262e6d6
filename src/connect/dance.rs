//! The authorization code grant in the person's browser (OAuth 2.1 §4.1, RFC 8252).

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use url::Url;
use webbrowser::{Browser, BrowserOptions};

use super::callback::{Callback, Returned};
use super::client::{Identity, covers, settle};
use super::discovery::{Site, same_issuer};
use super::exchanges::Exchanges;
use super::http::Http;
use super::login::{LoginError, Manner};
use super::patience::Patience;
use super::record::Client;
use super::stdio::tell;
use super::token_endpoint::{self, TokenError, Tokens, printable};
use crate::oauth::Scopes;
use crate::oauth::secret::SecretHash;
use crate::random::Random;

/// How long the person may take.
const PERSON: Duration = Duration::from_mins(5);
/// How long a token endpoint that is away is waited for.
const REDEEM: Duration = Duration::from_secs(20);

/// Everything that a sign-in stands on.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) http: &'a Http,
    pub(super) exchanges: &'a Exchanges,
    pub(super) random: &'a Random,
    pub(super) identity: &'a Identity,
    pub(super) site: &'a Site,
    /// What is asked for; nothing leaves it to the server.
    pub(super) scopes: Option<&'a Scopes>,
    /// Who we were last time.
    pub(super) remembered: Option<&'a Client>,
}

/// Opens the browser and waits for the person.
pub(super) async fn in_browser(asking: &Asking<'_>, manner: &Manner) -> Result<(Client, Tokens), LoginError> {
    let (callback, client) = prepare(asking, manner.callback_port).await?;
    let server = &asking.site.server;
    let endpoint = server.authorization_endpoint.as_ref().ok_or_else(|| {
        LoginError::Refused(format!("{} has no page to sign in; try --device", server.issuer))
    })?;
    asking.http.check(endpoint)?;
    let (state, verifier) = (asking.random.token(), asking.random.token());
    let redirect_uri = callback.redirect_uri();
    let url = authorization_url(asking, endpoint, &client, &redirect_uri, &state, &verifier);
    tell(&format!("Sign in at {url}"));
    open(&url, callback.port(), manner.program.clone());
    let redeemed = callback.take(&state, async |returned: Returned| {
        let code = check(&returned, &server.issuer, server.promises_iss)?;
        redeem(asking, &client, code, &redirect_uri, &verifier).await
    });
    match tokio::time::timeout(PERSON, redeemed).await {
        Ok(Some(result)) => result.map(|tokens| (client, tokens)),
        Ok(None) => Err(LoginError::Refused("nothing can be listened to on this machine".to_owned())),
        Err(_) => Err(LoginError::Unfinished),
    }
}

/// A port to come back to, and who we are there. A registration names its port, so it is asked for again first.
async fn prepare(asking: &Asking<'_>, port: Option<u16>) -> Result<(Callback, Client), LoginError> {
    let busy = |error| LoginError::Refused(format!("no port of 127.0.0.1 can be listened on: {error}"));
    let remembered = asking.remembered.filter(|client| covers(client, asking.scopes));
    if let Some((client, registered)) =
        remembered.and_then(|client| Some((client, client.registered.as_ref()?)))
        && port.is_none_or(|port| port == registered.port)
        && let Ok(callback) = Callback::bind(Some(registered.port)).await
    {
        return Ok((callback, client.clone()));
    }
    let callback = Callback::bind(port).await.map_err(busy)?;
    let client = settle(asking.http, asking.site, asking.identity, callback.port(), asking.scopes).await?;
    Ok((callback, client))
}

fn authorization_url(
    asking: &Asking<'_>,
    endpoint: &Url,
    client: &Client,
    redirect_uri: &str,
    state: &str,
    verifier: &str,
) -> Url {
    let mut url = endpoint.clone();
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("response_type", "code");
        query.append_pair("client_id", &client.client_id);
        query.append_pair("redirect_uri", redirect_uri);
        // RFC 7636 §4.2: S256 is the base64url of a SHA-256, as which hashes are written here.
        query.append_pair("code_challenge", SecretHash::of(verifier).as_str());
        query.append_pair("code_challenge_method", "S256");
        query.append_pair("state", state);
        query.append_pair("resource", &asking.site.resource);
        if let Some(scopes) = asking.scopes {
            query.append_pair("scope", &scopes.to_string());
            if scopes.contains(crate::oauth::scope::OFFLINE_ACCESS) {
                // OpenID Connect Core §11: without it some servers give no refresh token.
                query.append_pair("prompt", "consent");
            }
        }
    }
    url
}

/// The code of an answer, if the answer is from whom we asked (RFC 9207 §2.4).
fn check<'a>(returned: &'a Returned, issuer: &str, promises_iss: bool) -> Result<&'a str, LoginError> {
    match returned.get("iss") {
        Some(iss) if !same_issuer(iss, issuer) => {
            return Err(LoginError::Refused("the answer is from another authorization server".to_owned()));
        }
        None if promises_iss => {
            return Err(LoginError::Refused("the answer does not say which server it is from".to_owned()));
        }
        _ => {}
    }
    if let Some(error) = returned.get("error") {
        let description = returned.get("error_description").map(printable).unwrap_or_default();
        let said = format!("{} {description}", printable(error)).trim().to_owned();
        return Err(if error == "access_denied" {
            LoginError::Denied(said)
        } else {
            LoginError::Refused(said)
        });
    }
    returned.get("code").ok_or_else(|| LoginError::Refused("the answer has no code in it".to_owned()))
}

async fn redeem(
    asking: &Asking<'_>,
    client: &Client,
    code: &str,
    redirect_uri: &str,
    verifier: &str,
) -> Result<Tokens, LoginError> {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("code_verifier", verifier),
        ("redirect_uri", redirect_uri),
        ("resource", asking.site.resource.as_str()),
    ];
    let mut patience = Patience::of(REDEEM);
    loop {
        let endpoint = &asking.site.server.token_endpoint;
        match token_endpoint::ask(asking.http, asking.exchanges, endpoint, client, &form).await {
            Ok(tokens) => return Ok(tokens),
            Err(TokenError::Away(why, asked)) => {
                if !patience.wait(asked, asking.random).await {
                    return Err(LoginError::Away(why));
                }
            }
            Err(refused) => return Err(LoginError::Refused(refused.to_string())),
        }
    }
}

/// Opens the browser, on a thread of its own: finding one may take a moment. The URL has been printed already, so a
/// machine without a browser is no reason to give up.
///
/// Whatever is found is run by a process between, which has neither our input and output nor the terminal: a browser
/// for text would read the client's messages, and write among ours.
fn open(url: &Url, port: u16, program: Option<PathBuf>) {
    let url = url.to_string();
    std::thread::spawn(move || {
        let opened = program.is_some_and(|program| {
            let mut command = Command::new(program);
            command.args(["connect", "--open-page", &url]).process_group(0);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        });
        if !opened {
            tell(&format!(
                "No browser can be opened here: open the address above yourself, on this machine. On another one it \
                 works while this runs there: ssh -L {port}:127.0.0.1:{port} <this machine>"
            ));
        }
    });
}

/// Opens the browser that is found here; whether there is one.
pub fn open_page(url: &Url) -> bool {
    let mut options = BrowserOptions::new();
    options.with_suppress_output(true);
    webbrowser::open_browser_with_options(Browser::Default, url.as_str(), &options).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(query: &str, promises_iss: bool) -> Result<String, LoginError> {
        let returned = Returned::parse(query).unwrap();
        check(&returned, "https://a.example", promises_iss).map(str::to_owned)
    }

    #[test]
    fn an_answer_counts_only_when_it_is_from_whom_we_asked() {
        let good = "code=c&iss=https%3A%2F%2Fa.example";
        assert_eq!(checked(good, true).unwrap(), "c");
        assert_eq!(checked("code=c", false).unwrap(), "c");
        for (query, promises_iss) in [
            ("code=c", true),
            ("code=c&iss=https%3A%2F%2Fb.example", true),
            ("code=c&iss=https%3A%2F%2Fb.example", false),
            ("code=c&iss=", false),
            ("error=access_denied&iss=https%3A%2F%2Fb.example", false),
            ("iss=https%3A%2F%2Fa.example", true),
        ] {
            assert!(matches!(checked(query, promises_iss), Err(LoginError::Refused(_))), "{query}");
        }
    }

    #[test]
    fn a_person_who_says_no_is_told_from_a_server_that_does() {
        assert!(matches!(checked("error=access_denied", false), Err(LoginError::Denied(_))));
        assert!(matches!(checked("error=invalid_scope", false), Err(LoginError::Refused(_))));
    }
}
