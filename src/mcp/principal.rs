//! The principal: on whose behalf a request acts. Made from a verified token and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http::request::Parts;
use http::{HeaderValue, header};
use moka::sync::Cache;

use super::issuers;
use crate::app::App;
use crate::clock::Timestamp;
use crate::config::issuers::Issuer;
use crate::identity::linking::Nobody;
use crate::keys::BadToken;
use crate::oauth::Error;
use crate::oauth::claims::AccessTokenClaims;
use crate::oauth::{ClientId, GrantId, Scopes, UserId};
use crate::storage::grants::Grant;
use crate::storage::users::Role;
use crate::web::address::ClientAddress;

/// The longest token that is looked at, in bytes. Ours have about 700; others list all groups of somebody.
const LONGEST_TOKEN: usize = 16 * 1024;
/// How many verified tokens are remembered: about 10 MB.
const REMEMBERED_TOKENS: u64 = 20_000;

/// How long a verified token is remembered.
const REMEMBERED_FOR: Duration = Duration::from_mins(5);

/// Longer than a program of somebody's machine runs.
const LONGEST_RUN: Duration = Duration::from_hours(24 * 365);

/// User, client, grant and scopes, and what the user may do at all: of a verified token whose grant lives.
#[derive(Clone, Debug)]
pub struct Principal {
    /// On whose behalf.
    pub user_id: UserId,
    /// What the user may do, whatever the token says.
    pub role: Role,
    /// By which client.
    pub client_id: ClientId,
    /// Under which grant.
    pub grant_id: GrantId,
    /// What the token reaches: never more than the grant.
    pub scopes: Scopes,
    /// Until when: the token's end or the grant's, whichever is first.
    pub(super) expires_at: Timestamp,
    /// The token's end. That of the grant may be put off.
    pub(super) token_ends_at: Timestamp,
    /// When a call under the grant was last noted.
    pub(super) last_used_at: Option<Timestamp>,
}

/// Why there is no token to go by.
#[derive(Clone, Debug)]
pub(super) enum NoToken {
    /// No bearer token was sent.
    None,
    /// Credentials were sent in a way that nobody can be sure of (RFC 6750 §3.1, `invalid_request`).
    Unclear(&'static str),
    /// The token is not good (RFC 6750 §3.1, `invalid_token`). Why is for the log, and so is what it says where we
    /// signed it.
    Bad(BadToken, Option<Arc<Verified>>),
    /// The token is good, and its user has no account here. It came by this client.
    Stranger(Nobody, ClientId),
    /// Nobody can tell for now, and that is not the caller's fault.
    Fault(Error),
}

impl From<Error> for NoToken {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl NoToken {
    /// Why, in one word.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::None => "missing",
            Self::Unclear(_) => "unclear",
            Self::Bad(why, _) => why.word(),
            Self::Stranger(why, _) => why.word(),
            Self::Fault(error) => error.code.as_str(),
        }
    }
}

/// What a token's signature vouches for.
#[derive(Debug)]
pub(super) struct Verified {
    /// The user.
    pub(super) user_id: UserId,
    /// The client.
    pub(super) client_id: ClientId,
    /// The grant.
    pub(super) grant_id: GrantId,
    /// What it reaches.
    pub(super) scopes: Scopes,
    /// Unix seconds.
    pub(super) expires: i64,
    /// Who issued it, unless we did.
    pub(super) issuer: Option<Arc<Issuer>>,
    is_outdated: AtomicBool,
}

impl Verified {
    /// For a token of another issuer, which as yet reaches nothing.
    pub(super) fn vouched(
        issuer: Arc<Issuer>,
        user_id: UserId,
        client_id: ClientId,
        grant_id: GrantId,
    ) -> Self {
        let (scopes, is_outdated) = (Scopes::default(), AtomicBool::new(false));
        Self { user_id, client_id, grant_id, scopes, expires: 0, issuer: Some(issuer), is_outdated }
    }

    /// The same with these scopes until then.
    pub(super) fn reaching(self, scopes: Scopes, expires: i64) -> Self {
        Self { scopes, expires, ..self }
    }

    /// The same token under the grant that has taken the place of the one it was seen under. What is remembered of it
    /// is forgotten.
    pub(super) fn moved(&self, issuer: Arc<Issuer>, grant_id: GrantId) -> Self {
        self.is_outdated.store(true, Ordering::Relaxed);
        Self::vouched(issuer, self.user_id.clone(), self.client_id.clone(), grant_id)
            .reaching(self.scopes.clone(), self.expires)
    }

    /// For a program on this machine, which has its grant from the store and needs no token. It ends with its grant
    /// alone.
    pub(super) fn local(grant: &Grant) -> Self {
        Self {
            user_id: grant.user_id.clone(),
            client_id: grant.client.client_id.clone(),
            grant_id: grant.grant_id.clone(),
            scopes: grant.scopes.clone(),
            expires: grant.created_at.plus(LONGEST_RUN).unix_seconds(),
            issuer: None,
            is_outdated: AtomicBool::new(false),
        }
    }
}

/// Verifies tokens. Remembers which it has verified, by their SHA-256, because a signature costs more than the
/// rest of a call. Only the signature is remembered: expiry and the grant are looked at every time. It is forgotten when
/// a key of ours is published no more, and after a while anyhow, because other issuers withdraw keys without a word.
pub(super) struct Tokens {
    app: Arc<App>,
    verified: Cache<([u8; 32], u64), Arc<Verified>>,
}

impl Tokens {
    /// Remembers nothing yet.
    pub(super) fn new(app: Arc<App>) -> Self {
        let verified = Cache::builder().max_capacity(REMEMBERED_TOKENS).time_to_live(REMEMBERED_FOR).build();
        Self { app, verified }
    }

    /// The token of a request.
    pub(super) async fn of(&self, request: &Parts) -> Result<Arc<Verified>, NoToken> {
        let (token, now) = (bearer(request)?, self.app.now());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let key = (hash, self.app.keys.edition());
        let known = self.verified.get(&key).filter(|known| !known.is_outdated.load(Ordering::Relaxed));
        if let Some(verified) = known {
            let is_good = verified.expires > now.unix_seconds();
            return if is_good { Ok(verified) } else { Err(NoToken::Bad(BadToken::Expired, Some(verified))) };
        }
        let verified = match issuers::claimed(&self.app, token) {
            Some(issuer) => {
                let address = ClientAddress::of(request, &self.app);
                Arc::new(issuers::verify(&self.app, issuer, token, &address.0).await?)
            }
            None => self.of_ours(token).await?,
        };
        self.verified.insert(key, verified.clone());
        Ok(verified)
    }

    async fn of_ours(&self, token: &str) -> Result<Arc<Verified>, NoToken> {
        let resource = self.app.config.public_url.resource();
        let claims = self.app.verify(token, Some(resource.as_str())).await?;
        let claims = claims.map_err(|refused| {
            let named = refused.claims.and_then(|claims| verified(*claims));
            NoToken::Bad(refused.why, named.map(Arc::new))
        })?;
        let verified = Arc::new(verified(claims).ok_or(NoToken::Bad(BadToken::Malformed, None))?);
        if self.app.config.authorization_server {
            Ok(verified)
        } else {
            // Left over from before: nobody issues such tokens any more.
            Err(NoToken::Bad(BadToken::Foreign, Some(verified)))
        }
    }
}

fn verified(claims: AccessTokenClaims) -> Option<Verified> {
    Some(Verified {
        scopes: Scopes::parse(&claims.scope).ok()?,
        user_id: UserId::new(claims.sub),
        client_id: ClientId::new(claims.client_id),
        grant_id: GrantId::new(claims.grant_id),
        expires: claims.exp,
        issuer: None,
        is_outdated: AtomicBool::new(false),
    })
}

/// The bearer token of a request: from one `Authorization` header and from nowhere else (RFC 6750 §2.1; OAuth
/// 2.1 §5.2 has no query parameter, and MCP forbids it).
fn bearer(request: &Parts) -> Result<&str, NoToken> {
    let query = request.uri.query().unwrap_or_default();
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token") {
        return Err(NoToken::Unclear("send the access token in the Authorization header, never in the URL"));
    }
    let mut headers = request.headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (headers.next(), headers.next());
    if second.is_some() {
        return Err(NoToken::Unclear("send one Authorization header"));
    }
    let text = first.map(HeaderValue::to_str).transpose();
    let text = text.map_err(|_| NoToken::Unclear("the Authorization header is not ASCII"))?;
    let (scheme, token) = text.unwrap_or_default().trim().split_once(' ').unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(NoToken::None);
    }
    let token = token.trim();
    // RFC 6750 §2.1, b64token. A comma or a space means that there are two.
    if token.contains([',', ' ']) {
        return Err(NoToken::Unclear("send one access token"));
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.len() > LONGEST_TOKEN || !token.bytes().all(legal) {
        return Err(NoToken::Bad(BadToken::Malformed, None));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(uri: &str, headers: &[&str]) -> String {
        let mut request = http::Request::builder().uri(uri);
        for value in headers {
            request = request.header(header::AUTHORIZATION, *value);
        }
        match bearer(&request.body(()).unwrap().into_parts().0) {
            Ok(token) => token.to_owned(),
            Err(NoToken::None) => "none".into(),
            Err(NoToken::Unclear(_)) => "unclear".into(),
            Err(_) => "bad".into(),
        }
    }

    #[test]
    fn a_token_comes_in_one_authorization_header_only() {
        let cases: [(&str, &[&str], &str); 13] = [
            ("/mcp", &["Bearer a.b.c"], "a.b.c"),
            ("/mcp", &["bearer   a.b.c "], "a.b.c"),
            ("/mcp", &[], "none"),
            ("/mcp", &["Bearer"], "none"),
            ("/mcp", &["Basic YTpi"], "none"),
            ("/mcp", &["Bearer a", "Bearer b"], "unclear"),
            ("/mcp", &["Bearer a", "Basic YTpi"], "unclear"),
            ("/mcp", &["Bearer a, Bearer b"], "unclear"),
            ("/mcp", &["Bearer a b"], "unclear"),
            ("/mcp", &["Bearer a\u{0022}"], "bad"),
            ("/mcp?access_token=a", &[], "unclear"),
            ("/mcp?x=1&access%5Ftoken=a", &["Bearer a"], "unclear"),
            ("/mcp?token=a", &["Bearer a"], "a"),
        ];
        for (uri, headers, expected) in cases {
            assert_eq!(judged(uri, headers), expected, "{uri} {headers:?}");
        }
        assert_eq!(judged("/mcp", &[&format!("Bearer {}", "a".repeat(LONGEST_TOKEN + 1))]), "bad");
    }
}
