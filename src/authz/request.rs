//! The rules of the authorization request (OAuth 2.1 §4.1.1) that come after client and redirect URI.

use crate::clock::Timestamp;
use crate::config::{Audience, Audiences};
use crate::oauth::client::Client;
use crate::oauth::error::{Error, invalid_request, invalid_scope};
use crate::oauth::pkce::CodeChallenge;
use crate::oauth::scope::OFFLINE_ACCESS;
use crate::oauth::{ErrorCode, RedirectUri, Scopes};
use crate::web::params::Params;

/// What is asked, its parameters read once: none is repeated.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Who asks.
    pub client: &'a Client,
    /// Where the answer goes: matched with the client's.
    pub redirect_uri: &'a RedirectUri,
    /// `response_type`.
    pub response_type: Option<&'a str>,
    /// `scope`.
    pub scope: Option<&'a str>,
    code_challenge: Option<&'a str>,
    code_challenge_method: Option<&'a str>,
    params: &'a Params,
}

/// What may be asked of the user.
#[derive(Clone, Debug)]
pub struct Negotiated {
    /// The resource that tokens are to be for, byte for byte.
    pub resource: String,
    /// The scopes of that resource among those asked for.
    pub scopes: Scopes,
    /// What the verifier must match.
    pub code_challenge: CodeChallenge,
}

/// `prompt` and `max_age` (OpenID Connect Core §3.1.2.1), as far as they change anything here. `consent` does not: the
/// page is shown anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Nobody may be asked anything.
    pub none: bool,
    /// The user must sign in anew.
    pub login: bool,
    /// How long ago the user may have signed in, in seconds.
    pub max_age: Option<u32>,
}

impl Prompt {
    /// Parses the parameters; values of `prompt` that we do not know are ignored.
    pub fn parse(params: &Params) -> Result<Self, Error> {
        let values: Vec<&str> = params.get("prompt")?.unwrap_or_default().split(' ').collect();
        let none = values.contains(&"none");
        if none && values.len() > 1 {
            return Err(invalid_request("prompt=none excludes every other value"));
        }
        let max_age = params.get("max_age")?.filter(|age| !age.is_empty()).map(str::parse).transpose();
        Ok(Self {
            none,
            login: values.iter().any(|value| matches!(*value, "login" | "select_account")),
            max_age: max_age.map_err(|_| invalid_request("max_age must be a number of whole seconds"))?,
        })
    }

    /// Since when the user must have signed in to go on with a request that began at `begun_at`. Nothing when it does
    /// not matter.
    pub fn signed_in_since(self, begun_at: Timestamp) -> Option<Timestamp> {
        if self.login {
            return Some(begun_at);
        }
        self.max_age.map(|seconds| Timestamp(begun_at.0.saturating_sub(i64::from(seconds) * 1000)))
    }
}

impl<'a> Asked<'a> {
    /// Reads the parameters. Refuses repeated ones, request objects and a missing `response_type`.
    pub fn read(
        client: &'a Client,
        redirect_uri: &'a RedirectUri,
        params: &'a Params,
    ) -> Result<Self, Error> {
        params.bytes("state")?;
        if params.get("request")?.is_some() {
            return Err(Error::new(ErrorCode::RequestNotSupported, "request objects are not supported"));
        }
        if params.get("request_uri")?.is_some() {
            return Err(Error::new(ErrorCode::RequestUriNotSupported, "request_uri is not supported"));
        }
        Prompt::parse(params)?;
        let response_type = params.get("response_type")?;
        if response_type.is_none() {
            return Err(invalid_request("response_type is missing: it must be code"));
        }
        if params.get("response_mode")?.is_some_and(|mode| mode != "query") {
            return Err(invalid_request("response_mode must be query"));
        }
        Ok(Self {
            client,
            redirect_uri,
            response_type,
            scope: params.get("scope")?,
            code_challenge: params.get("code_challenge")?,
            code_challenge_method: params.get("code_challenge_method")?,
            params,
        })
    }

    /// PKCE (RFC 7636) and resource indicators (RFC 8707).
    pub fn check_extensions(&self, audiences: Audiences<'_>) -> Result<(), Error> {
        CodeChallenge::parse(self.code_challenge, self.code_challenge_method)?;
        self.audience(audiences).map(|_| ())
    }

    fn audience<'c>(&self, audiences: Audiences<'c>) -> Result<Audience<'c>, Error> {
        audiences.named_or_default(self.params.all("resource"))
    }

    /// What may be asked of the user. Unknown scopes and those of other resources are dropped, because some clients
    /// ask for all that the metadata lists, and the granted set is reported (OAuth 2.1 §1.4.1). Without `scope`, or with `offline_access` alone, every scope of the resource is asked for, and
    /// the user decides. The `scope` sent at registration plays no part: clients outgrow it.
    pub fn negotiate(
        &self,
        requested: Option<Scopes>,
        audiences: Audiences<'_>,
    ) -> Result<Negotiated, Error> {
        let audience = self.audience(audiences)?;
        let offered = audience.offered();
        let code_challenge = CodeChallenge::parse(self.code_challenge, self.code_challenge_method)?;
        let requested = requested.filter(|scopes| !scopes.is_empty());
        let scopes = match requested {
            None => offered,
            Some(requested) => {
                let kept = requested.intersection(&offered.union(&Scopes::of([OFFLINE_ACCESS])));
                if kept.is_empty() {
                    return Err(invalid_scope("the resource has none of these scopes"));
                }
                if kept == Scopes::of([OFFLINE_ACCESS]) { kept.union(&offered) } else { kept }
            }
        };
        Ok(Negotiated { resource: audience.resource().as_str().to_owned(), scopes, code_challenge })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompt_none_stands_alone() {
        let prompt = |text: &str| Prompt::parse(&Params::parse(text.as_bytes()).unwrap());
        assert_eq!(prompt("").unwrap(), Prompt::default());
        assert!(prompt("prompt=none").unwrap().none);
        assert!(prompt("prompt=login+consent").unwrap().login);
        assert!(prompt("prompt=select_account").unwrap().login);
        assert_eq!(prompt("prompt=consent+create").unwrap(), Prompt::default());
        assert!(prompt("prompt=none+login").is_err());
    }

    #[test]
    fn max_age_says_since_when_the_user_must_have_signed_in() {
        let since = |text: &str| {
            let prompt = Prompt::parse(&Params::parse(text.as_bytes()).unwrap()).unwrap();
            prompt.signed_in_since(Timestamp(1_000_000)).map(|since| since.0)
        };
        assert_eq!(since(""), None);
        assert_eq!(since("max_age="), None);
        assert_eq!(since("max_age=60"), Some(940_000));
        assert_eq!(since("max_age=0"), Some(1_000_000));
        assert_eq!(since("max_age=60&prompt=login"), Some(1_000_000));
        for bad in ["max_age=-1", "max_age=soon", "max_age=1.5", "max_age=99999999999"] {
            assert!(Prompt::parse(&Params::parse(bad.as_bytes()).unwrap()).is_err(), "{bad}");
        }
    }
}
