//! The only way back to a client through the browser. Made from a redirect URI that was matched, and from
//! nothing else; every answer carries `state` and `iss` (OAuth 2.1 §4.1.2, RFC 9207).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::error::{log, no_store};
use crate::config::PublicUrl;
use crate::oauth::secret::AuthorizationCode;
use crate::oauth::{Error, RedirectUri};
use crate::web::page::ErrorPage;
use crate::web::params::Params;
use crate::web::reference;

/// Where an authorization response goes.
#[derive(Clone, Debug)]
pub struct Callback {
    redirect_uri: RedirectUri,
    state: Option<Vec<u8>>,
    issuer: String,
}

impl Callback {
    /// The way back to `redirect_uri`, which the caller has matched with the client's. A repeated `state` goes
    /// back as none: the request is refused for it anyway.
    pub fn new(redirect_uri: RedirectUri, params: &Params, public_url: &PublicUrl) -> Self {
        let state = params.bytes("state").ok().flatten().map(<[u8]>::to_vec);
        Self { redirect_uri, state, issuer: public_url.issuer().to_owned() }
    }

    /// Where it leads.
    pub fn redirect_uri(&self) -> &RedirectUri {
        &self.redirect_uri
    }

    /// Sends the code.
    pub fn code(&self, code: &AuthorizationCode) -> Response {
        redirect(&self.code_location(code))
    }

    /// The address that hands over the code, for an answer that must be repeated.
    pub fn code_location(&self, code: &AuthorizationCode) -> String {
        self.location(&[("code", code.reveal())])
    }

    /// Sends an error.
    pub fn error(&self, error: &Error) -> Response {
        redirect(&self.error_address(error))
    }

    /// The address that tells of an error, for an answer that must be repeated.
    pub fn error_address(&self, error: &Error) -> String {
        log(error);
        self.error_location(error)
    }

    fn error_location(&self, error: &Error) -> String {
        self.location(&[("error", error.code.as_str()), ("error_description", error.description)])
    }

    // The URI's own query stays, byte for byte (OAuth 2.1 §2.3).
    fn location(&self, answer: &[(&str, &str)]) -> String {
        let mut location = self.redirect_uri.as_str().to_owned();
        let mut separator = match location.split_once('?') {
            None => "?",
            Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
            Some(_) => "&",
        };
        let state = self.state.as_deref().map(|state| ("state", state));
        let answer = answer.iter().map(|(name, value)| (*name, value.as_bytes()));
        for (name, value) in answer.chain(state).chain([("iss", self.issuer.as_bytes())]) {
            location.push_str(separator);
            location.push_str(name);
            location.push('=');
            location.extend(form_urlencoded::byte_serialize(value));
            separator = "&";
        }
        location
    }
}

/// 303: a form's answer must never be sent on with the form (OAuth 2.1 §7.5.3).
pub fn redirect(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(value) => no_store(
            (StatusCode::SEE_OTHER, [(header::LOCATION, value), (header::REFERRER_POLICY, NO_REFERRER)])
                .into_response(),
        ),
        Err(_) => ErrorPage::fault(reference::current())
            .because("a redirect that no header can hold")
            .into_response(),
    }
}

const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::error::access_denied;

    fn location(redirect_uri: &str, query: &str) -> String {
        let public_url = PublicUrl::parse("https://t.example:8443").unwrap();
        let params = Params::parse(query.as_bytes()).unwrap();
        Callback::new(RedirectUri::stored(redirect_uri), &params, &public_url)
            .error_location(&access_denied("no"))
    }

    #[test]
    fn every_answer_carries_state_and_iss_and_keeps_the_query() {
        let answer = "error=access_denied&error_description=no";
        let iss = "iss=https%3A%2F%2Ft.example%3A8443";
        for (uri, query, expected) in [
            ("https://c.example/cb", "state=s", format!("https://c.example/cb?{answer}&state=s&{iss}")),
            ("https://c.example/cb?a=%20b", "", format!("https://c.example/cb?a=%20b&{answer}&{iss}")),
            ("https://c.example/cb?", "", format!("https://c.example/cb?{answer}&{iss}")),
            ("cursor://x/cb", "state=1", format!("cursor://x/cb?{answer}&state=1&{iss}")),
        ] {
            assert_eq!(location(uri, query), expected);
        }
    }

    #[test]
    fn state_goes_back_byte_for_byte() {
        for (sent, back) in [
            ("a%2Bb+c%2525", "a%2Bb+c%2525"),
            ("%ff%00%0d%0aX:1", "%FF%00%0D%0AX%3A1"),
            ("%F0%9F%8E%AB", "%F0%9F%8E%AB"),
        ] {
            let location = location("https://c.example/cb", &format!("state={sent}"));
            assert!(location.contains(&format!("&state={back}&")), "{location}");
        }
    }

    #[test]
    fn a_repeated_state_goes_back_as_none() {
        assert!(!location("https://c.example/cb", "state=a&state=b").contains("state="));
    }
}
