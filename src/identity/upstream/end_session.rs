//! Signing out at a provider, too (OpenID Connect RP-Initiated Logout §2). No ID token is kept to hint with: who signs out
//! is asked there, where it is not clear.

use openidconnect::{ClientId, CsrfToken, LogoutRequest, PostLogoutRedirectUrl};

use super::metadata;
use crate::app::App;
use crate::oauth::error::Error;

/// Where the browser signs out of what a session of this issuer rests on; nowhere, where the provider has no such
/// place. Nobody waits for a provider to sign out here.
pub async fn address(app: &App, issuer: &str) -> Result<Option<String>, Error> {
    let Some(provider) = app.config.providers.values().find(|provider| provider.issuer == issuer) else {
        return Ok(None);
    };
    let Some(metadata) = metadata::kept(app, provider).await? else { return Ok(None) };
    let endpoint = metadata.additional_metadata().end_session_endpoint.clone();
    let back = PostLogoutRedirectUrl::new(app.config.public_url.join("/signed-out")).ok();
    Ok(endpoint.zip(back).map(|(endpoint, back)| {
        let request = LogoutRequest::from(endpoint)
            .set_client_id(ClientId::new(provider.client_id.clone()))
            .set_post_logout_redirect_uri(back)
            .set_state(CsrfToken::new(app.random.id()));
        request.http_get_url().into()
    }))
}
