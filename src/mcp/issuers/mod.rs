//! Tokens of other issuers that the configuration trusts: verified with the issuer's keys, judged by its rules, and
//! turned into what our own tokens are here: a user, a client and a grant.
//!
//! A client's id is that of the issuer's client with the issuer's name before it, `acme:my-app`, so that no two
//! issuers' clients are ever taken for one another, nor for one of ours.

mod grant;
mod judge;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::decode_header;
use serde_json::{Map, Value};

use super::principal::{NoToken, Verified};
use crate::app::App;
use crate::config::issuers::Issuer;
use crate::identity::linking::{self, Nobody, Resolved};
use crate::keys::BadToken;
use crate::oauth::error::temporarily_unavailable;
use crate::oauth::{ClientId, Error};
use crate::storage::identities::Identity;
use crate::web::issuer_metadata;
use crate::web::key_set::{self, Unverified};
pub(super) use grant::{NoGrant, Party, under};

/// How long to wait for an issuer that is away, in seconds.
const AWAY: u64 = 10;

/// The issuer that a token says it is from, if it is trusted. Nothing is verified yet: this only says with whose keys
/// to do it.
pub(super) fn claimed<'a>(app: &'a App, token: &str) -> Option<&'a Arc<Issuer>> {
    app.config.issuers.find(claims(token)?.get("iss")?.as_str()?)
}

fn claims(token: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Verifies a token of `issuer`, for whoever asks from `address`.
pub(super) async fn verify(
    app: &App,
    issuer: &Arc<Issuer>,
    token: &str,
    address: &str,
) -> Result<Verified, NoToken> {
    let bad = |why| NoToken::Bad(why, None);
    let header = decode_header(token).map_err(|_| bad(BadToken::Malformed))?;
    let kind = judge::check_header(issuer, &header).map_err(bad)?;
    let resource = app.config.public_url.resource().as_str();
    let verified = match keys(app, issuer, address).await? {
        Ok(uri) => key_set::verify::<Map<String, Value>>(app, &uri, token, &header, address).await?,
        Err(why) => Err(why),
    };
    let claims = match verified {
        Ok(claims) => claims,
        Err(Unverified::UnknownKey) => return Err(bad(BadToken::UnknownKey)),
        Err(Unverified::NoKeyFits) => return Err(bad(BadToken::Signature)),
        Err(Unverified::Away(detail) | Unverified::NoKeySet(detail)) => {
            // What would be refused whoever signed it is refused all the same.
            let unverified = claims(token).ok_or_else(|| bad(BadToken::Malformed))?;
            judge::judge(issuer, resource, kind, &unverified, app.now()).map_err(bad)?;
            let away = temporarily_unavailable("the issuer of the token is out of reach for now");
            return Err(NoToken::Fault(
                away.retry_after(AWAY).detail(format!("{}: {detail}", issuer.issuer)),
            ));
        }
    };
    let said = judge::judge(issuer, resource, kind, &claims, app.now()).map_err(bad)?;
    let client_id = ClientId::new(format!("{}:{}", issuer.name, said.client_id));
    // Before anything is made or changed for it.
    if app.store.is_client_disabled(&client_id).await.map_err(Error::from)? {
        return Err(bad(BadToken::ClientDisabled));
    }
    let identity = Identity { issuer: issuer.issuer.clone(), subject: said.subject };
    let about = linking::Said { identity: &identity, issuer_name: &issuer.name, claims: &claims };
    let user = match linking::resolve(app, &issuer.accounts, about).await? {
        Resolved::Account(user) => user,
        Resolved::Nobody(Nobody::Disabled) => return Err(bad(BadToken::AccountDisabled)),
        Resolved::Nobody(why) => return Err(NoToken::Stranger(why, client_id)),
    };
    let party = Party { issuer, user_id: &user.user_id, client_id: &client_id, scopes: &said.scopes };
    let verified = |grant_id| {
        Verified::vouched(issuer.clone(), user.user_id.clone(), client_id.clone(), grant_id)
            .reaching(said.scopes.clone(), said.expires)
    };
    match under(app, party).await? {
        Ok(grant_id) => Ok(verified(grant_id)),
        Err(NoGrant::TakenBack(grant_id)) => {
            Err(NoToken::Bad(BadToken::TakenBack, Some(Arc::new(verified(grant_id)))))
        }
        Err(NoGrant::ClientDisabled) => Err(bad(BadToken::ClientDisabled)),
        Err(NoGrant::AccountDisabled) => Err(bad(BadToken::AccountDisabled)),
    }
}

/// Where the issuer's keys lie.
async fn keys(app: &App, issuer: &Issuer, address: &str) -> Result<Result<url::Url, Unverified>, Error> {
    match &issuer.jwks_uri {
        Some(uri) => Ok(Ok(uri.clone())),
        None => issuer_metadata::jwks_uri(app, &issuer.issuer, address).await,
    }
}
