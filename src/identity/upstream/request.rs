//! Where a browser is sent to sign in (OpenID Connect Core §3.1.2.1), with PKCE (RFC 7636), `state` and `nonce`.

use std::time::Duration;

use axum_extra::extract::cookie::Cookie;
use openidconnect::core::{CoreAuthPrompt, CoreClient, CoreResponseType};
use openidconnect::{
    AuthenticationFlow, ClientId, CsrfToken, LoginHint, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope,
};

use super::attempt::{self, Attempt};
use super::{Result, Trouble, metadata, redirect_uri};
use crate::app::App;
use crate::clock::Timestamp;
use crate::config::providers::Provider;
use crate::oauth::secret::SecretHash;

/// What a sign-in is for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The parked authorization request to go on with.
    pub flow: Option<String>,
    /// Whether, and since when, the person must prove anew who they are (`prompt=login`).
    pub anew_since: Option<Timestamp>,
    /// Whether they want to be asked who they are, and may have another account in mind.
    pub switching: bool,
    /// How old the proof may be, in seconds (`max_age`).
    pub max_age: Option<u64>,
    /// Who they may be (`login_hint`).
    pub login_hint: Option<String>,
}

/// A sign-in that began.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser goes.
    pub location: String,
    /// What must go out with the answer.
    pub cookie: Cookie<'static>,
}

/// Begins a sign-in. Asks the provider for its metadata where that is not known.
pub async fn begin(app: &App, provider: &Provider, wish: Wish) -> Result<Begun> {
    let metadata = metadata::find(app, provider).await?;
    let [state, nonce, verifier, secret] = [(); 4].map(|()| app.random.token());
    let own = provider.max_age.map(|age| age.as_secs());
    let max_age = own.into_iter().chain(wish.max_age).min();
    let redirect = RedirectUrl::new(redirect_uri(&app.config.public_url, provider))
        .map_err(|error| Trouble::wrong("request", error.to_string()))?;
    let client =
        CoreClient::from_provider_metadata(metadata, ClientId::new(provider.client_id.clone()), None)
            .set_redirect_uri(redirect)
            .disable_openid_scope();
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.clone()));
    let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
    let (sent_state, sent_nonce) = (state.clone(), nonce.clone());
    let mut request = client
        .authorize_url(flow, move || CsrfToken::new(sent_state), move || Nonce::new(sent_nonce))
        .add_scopes(provider.scopes.iter().map(|scope| Scope::new(scope.clone())))
        .set_pkce_challenge(challenge);
    if wish.anew_since.is_some() || wish.switching {
        request = request.add_prompt(CoreAuthPrompt::Login);
    }
    // Whoever is asked for a max_age must say when the person proved who they are (§2, auth_time). `prompt` alone is a
    // wish that the person could take out of the address.
    if wish.anew_since.is_some() {
        request = request.set_max_age(Duration::ZERO);
    } else if let Some(seconds) = max_age {
        request = request.set_max_age(Duration::from_secs(seconds));
    }
    if let Some(hint) = wish.login_hint {
        request = request.set_login_hint(LoginHint::new(hint));
    }
    let (url, ..) = request.url();
    let attempt = Attempt {
        provider: provider.name.clone(),
        nonce,
        verifier,
        flow: wish.flow,
        anew_since: wish.anew_since,
        max_age,
        begun_at: app.now(),
        cookie_hash: SecretHash::of(&secret).as_str().to_owned(),
    };
    let cookie = attempt::keep(app, &state, &secret, &attempt).await?;
    Ok(Begun { location: url.into(), cookie })
}
