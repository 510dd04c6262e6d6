//! The code for tokens (OpenID Connect Core §3.1.3), with the verifier (RFC 7636 §4.5) and our secret, if we have one.

use http::StatusCode;
use openidconnect::core::{CoreClient, CoreClientAuthMethod, CoreIdToken};
use openidconnect::{
    AccessToken, AuthType, AuthorizationCode, ClientId, ClientSecret, OAuth2TokenResponse as _,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, TokenResponse as _,
};
use tracing::Instrument as _;

use super::metadata::Metadata;
use super::{Result, Trouble, redirect_uri};
use crate::app::App;
use crate::config::providers::Provider;
use crate::telemetry;
use crate::web::outbound::FetchError;

/// The longest answer, in bytes: some providers put every group of a person into their ID token.
const LIMIT_BYTES: usize = 256 * 1024;

/// What a code gave.
pub(super) struct Tokens {
    /// Who it is, not verified yet.
    pub(super) id_token: CoreIdToken,
    /// For what the ID token leaves out.
    pub(super) access_token: AccessToken,
}

/// Why the provider says nothing of a code for now. For the log.
#[derive(Debug, thiserror::Error)]
enum Unserved {
    #[error("{}", .0.detail())]
    Unanswered(FetchError),
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
}

/// Redeems a code.
pub(super) async fn redeem(
    app: &App,
    provider: &Provider,
    metadata: &Metadata,
    code: &str,
    verifier: &str,
) -> Result<Tokens> {
    let secret = provider.client_secret.as_ref();
    let redirect = RedirectUrl::new(redirect_uri(&app.config.public_url, provider))
        .map_err(|error| Trouble::wrong("token_request", error.to_string()))?;
    let client = CoreClient::from_provider_metadata(
        metadata.clone(),
        ClientId::new(provider.client_id.clone()),
        secret.map(|secret| ClientSecret::new(secret.reveal().to_owned())),
    )
    .set_auth_type(method(metadata.token_endpoint_auth_methods_supported().map(Vec::as_slice)))
    .set_redirect_uri(redirect);
    let request = client
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .map_err(|error| Trouble::wrong("token_request", error.to_string()))?
        .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()));
    let outbound = app.outbound.clone();
    let http = move |request| {
        let outbound = outbound.clone();
        async move {
            let answer = outbound.exchange(request, LIMIT_BYTES).await.map_err(Unserved::Unanswered)?;
            let status = answer.status();
            let cannot = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            if cannot { Err(Unserved::Status(status)) } else { Ok(answer) }
        }
    };
    let answer = request.request_async(&http).instrument(telemetry::step("redeem")).await;
    let answer = answer.map_err(trouble)?;
    let id_token = answer.id_token().cloned();
    let id_token = id_token.ok_or_else(|| Trouble::wrong("no_id_token", "the answer has no id_token"))?;
    Ok(Tokens { id_token, access_token: answer.access_token().clone() })
}

/// How a secret is shown: in the header, which everybody must take, unless only the body is said to do (OpenID Connect
/// Discovery §3, `token_endpoint_auth_methods_supported`).
fn method(supported: Option<&[CoreClientAuthMethod]>) -> AuthType {
    let has = |method| supported.is_some_and(|supported| supported.contains(&method));
    if has(CoreClientAuthMethod::ClientSecretPost) && !has(CoreClientAuthMethod::ClientSecretBasic) {
        AuthType::RequestBody
    } else {
        AuthType::BasicAuth
    }
}

fn trouble<T: openidconnect::ErrorResponse + std::fmt::Display + 'static>(
    error: RequestTokenError<Unserved, T>,
) -> Trouble {
    match error {
        RequestTokenError::Request(error) => Trouble::Away(format!("token_endpoint: {error}")),
        RequestTokenError::ServerResponse(error) => {
            Trouble::wrong("token_refused", format!("token_endpoint: {error}"))
        }
        // Neither tells what was sent: an answer may hold tokens.
        RequestTokenError::Parse(error, _) => {
            Trouble::wrong("token_answer", format!("token_endpoint: the answer cannot be read: {error}"))
        }
        RequestTokenError::Other(error) => Trouble::wrong("token_answer", format!("token_endpoint: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_into_the_header_unless_only_the_body_will_do() {
        use CoreClientAuthMethod::{ClientSecretBasic, ClientSecretPost, PrivateKeyJwt};
        let cases: [(Option<&[CoreClientAuthMethod]>, AuthType); 5] = [
            (None, AuthType::BasicAuth),
            (Some(&[]), AuthType::BasicAuth),
            (Some(&[ClientSecretPost, ClientSecretBasic]), AuthType::BasicAuth),
            (Some(&[ClientSecretPost]), AuthType::RequestBody),
            (Some(&[PrivateKeyJwt]), AuthType::BasicAuth),
        ];
        for (supported, expected) in cases {
            assert_eq!(format!("{:?}", method(supported)), format!("{expected:?}"), "{supported:?}");
        }
    }
}
