//! What comes back from a provider through the browser (OpenID Connect Core §3.1.2.5, §3.1.2.6), and who it was.

use axum_extra::extract::cookie::{Cookie, CookieJar};
use serde_json::{Map, Value};

use super::attempt::{self, Found};
use super::{Result, Trouble, id_token, metadata, redemption, userinfo};
use crate::app::App;
use crate::clock::Timestamp;
use crate::config::providers::Provider;
use crate::oauth::Authentication;
use crate::oauth::error::Error;
use crate::web::params::Params;

/// Who signed in, in the provider's words; all of it is verified.
#[derive(Clone, Debug)]
pub struct Person {
    /// Who: never given to somebody else there.
    pub subject: String,
    /// How and when they proved it.
    pub authentication: Authentication,
    /// Their session there.
    pub sid: Option<String>,
    /// Everything that is said of them.
    pub claims: Map<String, Value>,
}

/// What became of a sign-in that was begun in this browser.
#[derive(Debug)]
pub struct Return {
    /// The parked authorization request to go on with.
    pub flow: Option<String>,
    /// Who it was, or why nobody is signed in.
    pub outcome: std::result::Result<Person, Stopped>,
    /// What must go out with the answer.
    pub cookie: Cookie<'static>,
}

/// Why nobody is signed in.
#[derive(Clone, Debug)]
pub enum Stopped {
    /// The provider did not let them in, or they did not want to go on. The text is its code.
    Declined(String),
    /// The provider's answer cannot be used.
    Trouble(Trouble),
}

impl<E: Into<Trouble>> From<E> for Stopped {
    fn from(trouble: E) -> Self {
        Self::Trouble(trouble.into())
    }
}

/// What a browser brings.
#[derive(Debug)]
pub enum Answer {
    /// The end of a sign-in of its own.
    Return(Box<Return>),
    /// A sign-in of another browser.
    Elsewhere,
    /// No sign-in that is under way.
    Gone,
}

/// Ends a sign-in: once, in its own browser, and by the word of the provider that it was begun at. `asker` is whom
/// fetches are done for.
pub async fn receive(
    app: &App,
    provider: &Provider,
    jar: &CookieJar,
    params: &Params,
    asker: &str,
) -> std::result::Result<Answer, Error> {
    let Some(state) = params.get("state")? else { return Ok(Answer::Gone) };
    let attempt = match attempt::take(app, state, jar).await? {
        Found::Taken(attempt) => attempt,
        Found::Elsewhere => return Ok(Answer::Elsewhere),
        Found::Gone => return Ok(Answer::Gone),
    };
    let outcome = finish(app, provider, &attempt, params, asker).await;
    let cookie = attempt::removal(app, state);
    Ok(Answer::Return(Box::new(Return { flow: attempt.flow, outcome, cookie })))
}

async fn finish(
    app: &App,
    provider: &Provider,
    attempt: &attempt::Attempt,
    params: &Params,
    asker: &str,
) -> std::result::Result<Person, Stopped> {
    if attempt.provider != provider.name {
        let detail = format!("a sign-in at {} came back as one at {}", attempt.provider, provider.name);
        return Err(Trouble::wrong("other_provider", detail).into());
    }
    let metadata = metadata::find(app, provider).await?;
    let supported = metadata.additional_metadata().authorization_response_iss_parameter_supported;
    check_iss(provider, params.get("iss")?, provider.require_iss.unwrap_or(supported))?;
    if let Some(code) = params.get("error")? {
        return Err(declined(code, params.get("error_description")?.unwrap_or_default()));
    }
    let Some(code) = params.get("code")? else {
        return Err(Trouble::wrong("no_code", "the answer has neither code nor error").into());
    };
    let tokens = redemption::redeem(app, provider, &metadata, code, &attempt.verifier).await?;
    let verified = id_token::verify(app, provider, &metadata, attempt, &tokens, asker).await?;
    let mut claims = verified.claims;
    if provider.accounts.lack(&claims) {
        userinfo::add(app, &metadata, &tokens.access_token, &verified.subject, &mut claims).await?;
    }
    let auth_time = auth_time(attempt, verified.auth_time, verified.issued_at)?;
    let authentication = Authentication { auth_time, acr: verified.acr, amr: verified.amr };
    Ok(Person { subject: verified.subject, authentication, sid: verified.sid, claims })
}

/// The issuer that the answer names is the one that the browser was sent to (RFC 9207 §2.4), errors included, and
/// before anything is redeemed.
fn check_iss(provider: &Provider, iss: Option<&str>, is_required: bool) -> Result<()> {
    match iss {
        Some(iss) if iss == provider.issuer => Ok(()),
        Some(iss) => {
            let detail = format!("the answer is that of {iss:?}, not of {:?}", provider.issuer);
            Err(Trouble::wrong("iss", detail))
        }
        None if is_required => Err(Trouble::wrong("no_iss", "the answer does not say whose it is (iss)")),
        None => Ok(()),
    }
}

/// Errors that say something of the person, or of their will (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6); of the
/// others the provider, or what it knows of us, is to blame.
fn declined(code: &str, description: &str) -> Stopped {
    let told = |text: &str| text.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
    let detail = format!("{} ({})", told(code), told(description));
    match code {
        "access_denied"
        | "login_required"
        | "interaction_required"
        | "consent_required"
        | "account_selection_required"
        | "unmet_authentication_requirements" => Stopped::Declined(detail),
        "server_error" | "temporarily_unavailable" => Trouble::Away(detail).into(),
        _ => Trouble::wrong("provider_error", detail).into(),
    }
}

/// The time of a sign-in of which the provider does not say when it was.
const NOT_SAID: Timestamp = Timestamp(0);

/// When the person proved who they are, as the provider says. Where it does not, nobody can take the sign-in for a fresh
/// one: then it is as old as can be. Where they were to do it anew, the provider must say that they did; its clock counts
/// whole seconds and may be behind.
fn auth_time(attempt: &attempt::Attempt, said: Option<Timestamp>, issued_at: Timestamp) -> Result<Timestamp> {
    let Some(since) = attempt.anew_since else {
        return Ok(said.map_or(NOT_SAID, |at| at.min(issued_at)));
    };
    match said {
        Some(at) if at.plus(super::SKEW) >= since => Ok(at.max(since)),
        Some(at) => {
            let detail =
                format!("prompt=login was asked at {}, and auth_time is {}", since.rfc3339(), at.rfc3339());
            Err(Trouble::wrong("auth_time", detail))
        }
        None => {
            Err(Trouble::wrong("auth_time", "prompt=login and max_age were asked, and there is no auth_time"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn provider() -> Provider {
        let text = "[providers.acme]\nissuer = \"https://id.example\"\nclient_id = \"c\"\n";
        Config::written(text).unwrap().providers["acme"].clone()
    }

    #[test]
    fn an_answer_names_its_issuer_byte_for_byte() {
        let word = |iss, required| check_iss(&provider(), iss, required).err().map(|trouble| trouble.word());
        assert_eq!(word(Some("https://id.example"), true), None);
        assert_eq!(word(Some("https://id.example"), false), None);
        assert_eq!(word(None, false), None);
        assert_eq!(word(None, true), Some("no_iss"));
        for other in ["https://id.example/", "https://evil.example", ""] {
            assert_eq!(word(Some(other), false), Some("iss"), "{other}");
        }
    }

    #[test]
    fn an_error_is_the_persons_will_or_the_providers_trouble() {
        assert!(matches!(declined("access_denied", ""), Stopped::Declined(_)));
        assert!(matches!(declined("login_required", ""), Stopped::Declined(_)));
        assert!(matches!(declined("temporarily_unavailable", ""), Stopped::Trouble(Trouble::Away(_))));
        for code in ["invalid_request", "unauthorized_client", "invalid_scope", "made_up"] {
            assert!(matches!(declined(code, "x"), Stopped::Trouble(Trouble::Wrong { .. })), "{code}");
        }
    }

    #[test]
    fn who_was_to_sign_in_anew_did_as_the_provider_says() {
        let attempt = |anew_since| attempt::Attempt {
            provider: "acme".into(),
            nonce: String::new(),
            verifier: String::new(),
            flow: None,
            anew_since,
            max_age: None,
            begun_at: Timestamp(1_000_000),
            cookie_hash: String::new(),
        };
        let (told, issued) = (Timestamp(500_000), Timestamp(1_005_000));
        assert_eq!(auth_time(&attempt(None), Some(told), issued).unwrap(), told);
        assert_eq!(auth_time(&attempt(None), None, issued).unwrap(), NOT_SAID);
        assert_eq!(auth_time(&attempt(None), Some(Timestamp(2_000_000)), issued).unwrap(), issued);
        let anew = attempt(Some(Timestamp(1_000_000)));
        let cases = [
            (Some(1_003_000), Some(1_003_000)),
            (Some(999_000), Some(1_000_000)),
            (Some(940_000), Some(1_000_000)),
            (Some(939_000), None),
            (None, None),
        ];
        for (said, expected) in cases {
            let time = auth_time(&anew, said.map(Timestamp), issued).ok();
            assert_eq!(time, expected.map(Timestamp), "{said:?}");
        }
    }
}
