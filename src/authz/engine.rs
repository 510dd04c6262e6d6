//! The only file that names oxide-auth. Its three state machines (authorization, access token, refresh) run over
//! our own primitives, made anew for each request.
//!
//! The machines decide the order of the steps, bind code and token to the client, compare redirect URI and scope,
//! and make sure that nothing is issued before everything was checked. What they get from us: a client that is
//! authenticated already, parameters of which none is repeated, our redirect, scope, PKCE and rotation rules.
//! What they do not get to do: write anything on the wire. Where they say less than we know (their primitives
//! fail with `()`), the reason is recorded in `fault` first, and a recorded reason wins over their code.

use std::borrow::Cow;
use std::sync::OnceLock;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use oxide_auth::code_grant::accesstoken::{Authorization as Credentials, Request as CodeRequest};
use oxide_auth::code_grant::authorization::Request as AuthorizationRequest;
use oxide_auth::code_grant::refresh::Request as RefreshRequest;
use oxide_auth::primitives::grant::{Extensions, Grant};
use oxide_auth::primitives::issuer::{IssuedToken, RefreshedToken, TokenType};
use oxide_auth::primitives::registrar::{
    BoundClient, ClientUrl, ExactUrl, PreGrant, RegisteredUrl, RegistrarError,
};
use oxide_auth::primitives::scope::Scope;
use oxide_auth_async::code_grant::access_token::{self, access_token};
use oxide_auth_async::code_grant::authorization::{self, authorization_code};
use oxide_auth_async::code_grant::refresh::{self, refresh};
use oxide_auth_async::primitives::{Authorizer, Issuer, Registrar};
use url::Url;

use super::request::{Asked, Negotiated};
use super::token::authorization_code::CodeRedemption;
use super::token::refresh_token::RefreshRotation;
use super::token::{Issued, Presented};
use crate::app::App;
use crate::oauth::error::{Error, invalid_client, invalid_grant, invalid_scope, server_error};
use crate::oauth::{ErrorCode, Scopes};

/// The token request's redirect URI as the machine sees it. OAuth 2.1 §10.2 made the parameter optional and we
/// compare it ourselves, as text; the machine insists on one, so it compares this with itself.
const COMPARED_BY_US: &str = "urn:mandate:redirect-uri";

/// Runs the authorization machine up to consent: what is asked for, if it may be asked for.
pub async fn negotiate(app: &App, asked: Asked<'_>) -> Result<Negotiated, Error> {
    let mut machine = Authorize { app, asked, fault: OnceLock::new(), negotiated: OnceLock::new() };
    let run = authorization_code(&mut machine, &asked).await;
    match run {
        Ok(_pending) => machine.negotiated.into_inner().ok_or_else(|| contradiction("negotiated nothing")),
        Err(error) => Err(machine.fault.into_inner().unwrap_or_else(|| from_authorization(error))),
    }
}

/// Runs the access token machine: a code for tokens.
pub async fn redeem_code(app: &App, presented: &Presented<'_>) -> Result<Issued, Error> {
    let redemption = CodeRedemption::new(app, presented)?;
    let mut machine = Token { presented, work: redemption, fault: OnceLock::new(), issued: None };
    let run = access_token(&mut machine, presented).await;
    match (run, machine.issued) {
        (Ok(_), Some(issued)) => Ok(issued),
        (Ok(_), None) => Err(contradiction("issued nothing")),
        (Err(error), _) => Err(machine.fault.into_inner().unwrap_or_else(|| from_access_token(error))),
    }
}

/// Runs the refresh machine: a refresh token for its successor and a new access token.
pub async fn rotate(app: &App, presented: &Presented<'_>) -> Result<Issued, Error> {
    let rotation = RefreshRotation::new(app, presented)?;
    let mut machine = Token { presented, work: rotation, fault: OnceLock::new(), issued: None };
    let run = refresh(&mut machine, presented).await;
    match (run, machine.issued) {
        (Ok(_), Some(issued)) => Ok(issued),
        (Ok(_), None) => Err(contradiction("issued nothing")),
        (Err(error), _) => Err(machine.fault.into_inner().unwrap_or_else(|| from_refresh(error))),
    }
}

struct Authorize<'a> {
    app: &'a App,
    asked: Asked<'a>,
    fault: OnceLock<Error>,
    negotiated: OnceLock<Negotiated>,
}

impl AuthorizationRequest for Asked<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn client_id(&self) -> Option<Cow<'_, str>> {
        Some(self.client.client_id.as_str().into())
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        self.scope.map(Cow::Borrowed)
    }
    fn redirect_uri(&self) -> Option<Cow<'_, str>> {
        Some(self.redirect_uri.as_str().into())
    }
    // It goes back through `Callback`, byte for byte.
    fn state(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn response_type(&self) -> Option<Cow<'_, str>> {
        self.response_type.map(Cow::Borrowed)
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

impl authorization::Endpoint for Authorize<'_> {
    fn registrar(&self) -> &(dyn Registrar + Sync) {
        self
    }
    fn authorizer(&mut self) -> &mut (dyn Authorizer + Send) {
        self
    }
    fn extension(&mut self) -> &mut (dyn authorization::Extension + Send) {
        self
    }
}

#[async_trait]
impl Registrar for Authorize<'_> {
    async fn bound_redirect<'c>(&self, bound: ClientUrl<'c>) -> Result<BoundClient<'c>, RegistrarError> {
        let ours = bound.client_id == self.asked.client.client_id.as_str()
            && self.asked.client.metadata.find_redirect_uri(Some(self.asked.redirect_uri.as_str())).is_some();
        let exact = ExactUrl::new(self.asked.redirect_uri.as_str().to_owned());
        match exact {
            Ok(exact) if ours => Ok(BoundClient {
                client_id: bound.client_id,
                redirect_uri: Cow::Owned(RegisteredUrl::Exact(exact)),
            }),
            _ => Err(RegistrarError::Unspecified),
        }
    }

    async fn negotiate<'c>(
        &self,
        client: BoundClient<'c>,
        scope: Option<Scope>,
    ) -> Result<PreGrant, RegistrarError> {
        let negotiated = self.asked.negotiate(scope.map(|scope| Scopes::of(scope.iter())));
        let negotiated = negotiated.map_err(|error| refuse(&self.fault, error))?;
        let scope = to_scope(&negotiated.scopes).map_err(|error| refuse(&self.fault, error))?;
        // A second negotiation cannot happen: the machine asks once.
        let _ = self.negotiated.set(negotiated);
        Ok(PreGrant {
            client_id: client.client_id.into_owned(),
            redirect_uri: client.redirect_uri.into_owned(),
            scope,
        })
    }

    async fn check(&self, _: &str, _: Option<&[u8]>) -> Result<(), RegistrarError> {
        Err(RegistrarError::PrimitiveError)
    }
}

#[async_trait]
impl authorization::Extension for Authorize<'_> {
    async fn extend(&mut self, _: &(dyn AuthorizationRequest + Sync)) -> Result<Extensions, ()> {
        self.asked
            .check_extensions(self.app.config.public_url.resource())
            .map_err(|error| note(&self.fault, error))?;
        Ok(Extensions::new())
    }
}

// Codes are issued when the consent page is answered, from what was negotiated here.
#[async_trait]
impl Authorizer for Authorize<'_> {
    async fn authorize(&mut self, _: Grant) -> Result<String, ()> {
        Err(note(&self.fault, contradiction("a code was asked for before consent")))
    }
    async fn extract(&mut self, _: &str) -> Result<Option<Grant>, ()> {
        Err(note(&self.fault, contradiction("a code was looked up at authorize")))
    }
}

/// The token endpoint's machine, for either grant type.
struct Token<'a, W> {
    presented: &'a Presented<'a>,
    work: W,
    fault: OnceLock<Error>,
    issued: Option<Issued>,
}

impl CodeRequest for Presented<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn code(&self) -> Option<Cow<'_, str>> {
        self.code.map(Cow::Borrowed)
    }
    fn authorization(&self) -> Credentials<'_> {
        Credentials::None
    }
    fn client_id(&self) -> Option<Cow<'_, str>> {
        Some(self.client_id.as_str().into())
    }
    fn redirect_uri(&self) -> Option<Cow<'_, str>> {
        Some(COMPARED_BY_US.into())
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        Some(self.grant_type.into())
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

impl RefreshRequest for Presented<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn refresh_token(&self) -> Option<Cow<'_, str>> {
        self.refresh_token.map(Cow::Borrowed)
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        self.scope.map(Cow::Borrowed)
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        Some(self.grant_type.into())
    }
    // Given, so that the machine compares it with the grant even for public clients.
    fn authorization(&self) -> Option<(Cow<'_, str>, Cow<'_, [u8]>)> {
        Some((self.client_id.as_str().into(), Cow::Borrowed(&[])))
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// The client was authenticated before the machine started; here it is only compared.
#[async_trait]
impl<W: Send + Sync> Registrar for Token<'_, W> {
    async fn bound_redirect<'c>(&self, _: ClientUrl<'c>) -> Result<BoundClient<'c>, RegistrarError> {
        Err(RegistrarError::PrimitiveError)
    }
    async fn negotiate<'c>(&self, _: BoundClient<'c>, _: Option<Scope>) -> Result<PreGrant, RegistrarError> {
        Err(RegistrarError::PrimitiveError)
    }
    async fn check(&self, client_id: &str, _: Option<&[u8]>) -> Result<(), RegistrarError> {
        if client_id == self.presented.client_id.as_str() { Ok(()) } else { Err(RegistrarError::Unspecified) }
    }
}

impl access_token::Endpoint for Token<'_, CodeRedemption<'_>> {
    fn registrar(&self) -> &(dyn Registrar + Sync) {
        self
    }
    fn authorizer(&mut self) -> &mut (dyn Authorizer + Send) {
        self
    }
    fn issuer(&mut self) -> &mut (dyn Issuer + Send) {
        self
    }
    fn extension(&mut self) -> &mut (dyn access_token::Extension + Send) {
        self
    }
}

#[async_trait]
impl Authorizer for Token<'_, CodeRedemption<'_>> {
    async fn authorize(&mut self, _: Grant) -> Result<String, ()> {
        Err(note(&self.fault, contradiction("a code was asked for at the token endpoint")))
    }
    async fn extract(&mut self, code: &str) -> Result<Option<Grant>, ()> {
        let found = self.work.find(code).await.map_err(|error| note(&self.fault, error))?;
        to_grant(found).map(Some).map_err(|error| note(&self.fault, error))
    }
}

#[async_trait]
impl access_token::Extension for Token<'_, CodeRedemption<'_>> {
    async fn extend(&mut self, _: &(dyn CodeRequest + Sync), data: Extensions) -> Result<Extensions, ()> {
        self.work.check_verifier().map_err(|error| note(&self.fault, error))?;
        Ok(data)
    }
}

#[async_trait]
impl Issuer for Token<'_, CodeRedemption<'_>> {
    async fn issue(&mut self, _: Grant) -> Result<IssuedToken, ()> {
        let issued = self.work.redeem().await.map_err(|error| note(&self.fault, error))?;
        let token = IssuedToken {
            token: String::new(),
            refresh: None,
            until: far_future(),
            token_type: TokenType::Bearer,
        };
        self.issued = Some(issued);
        Ok(token)
    }
    async fn refresh(&mut self, _: &str, _: Grant) -> Result<RefreshedToken, ()> {
        Err(note(&self.fault, contradiction("a code was refreshed")))
    }
    async fn recover_token(&mut self, _: &str) -> Result<Option<Grant>, ()> {
        Ok(None)
    }
    async fn recover_refresh(&mut self, _: &str) -> Result<Option<Grant>, ()> {
        Ok(None)
    }
}

impl refresh::Endpoint for Token<'_, RefreshRotation<'_>> {
    fn registrar(&self) -> &(dyn Registrar + Sync) {
        self
    }
    fn issuer(&mut self) -> &mut (dyn Issuer + Send) {
        self
    }
}

#[async_trait]
impl Issuer for Token<'_, RefreshRotation<'_>> {
    async fn issue(&mut self, _: Grant) -> Result<IssuedToken, ()> {
        Err(note(&self.fault, contradiction("a refresh token was issued from nothing")))
    }
    async fn refresh(&mut self, _: &str, grant: Grant) -> Result<RefreshedToken, ()> {
        let scopes = Scopes::of(grant.scope.iter());
        let issued = self.work.rotate(&scopes).await.map_err(|error| note(&self.fault, error))?;
        let token = RefreshedToken {
            token: String::new(),
            refresh: None,
            until: far_future(),
            token_type: TokenType::Bearer,
        };
        self.issued = Some(issued);
        Ok(token)
    }
    async fn recover_token(&mut self, _: &str) -> Result<Option<Grant>, ()> {
        Ok(None)
    }
    async fn recover_refresh(&mut self, token: &str) -> Result<Option<Grant>, ()> {
        let found = self.work.find(token).await.map_err(|error| note(&self.fault, error))?;
        to_grant(found).map(Some).map_err(|error| note(&self.fault, error))
    }
}

/// Our grant as the machine knows it. Our clock has judged the times already, so it lasts for ever.
fn to_grant(grant: &crate::storage::grants::Grant) -> Result<Grant, Error> {
    Ok(Grant {
        owner_id: grant.user_id.as_str().to_owned(),
        client_id: grant.client.client_id.as_str().to_owned(),
        scope: to_scope(&grant.scopes)?,
        redirect_uri: Url::parse(COMPARED_BY_US).map_err(contradiction)?,
        until: far_future(),
        extensions: Extensions::new(),
    })
}

fn far_future() -> DateTime<Utc> {
    DateTime::<Utc>::MAX_UTC
}

fn to_scope(scopes: &Scopes) -> Result<Scope, Error> {
    scopes.to_string().parse().map_err(contradiction)
}

/// Records why, and gives the machine the `()` it asks for. The first reason stays.
fn note(fault: &OnceLock<Error>, error: Error) {
    let _ = fault.set(error);
}

fn refuse(fault: &OnceLock<Error>, error: Error) -> RegistrarError {
    note(fault, error);
    RegistrarError::Unspecified
}

fn contradiction(what: impl std::fmt::Display) -> Error {
    server_error("the server made an error").detail(format!("engine: {what}"))
}

fn from_authorization(error: authorization_error::Error) -> Error {
    use authorization_error::Error as E;
    match error {
        E::Redirect(mut url) => {
            let kind = url.description().kind();
            if kind == authorization_error::AuthorizationErrorType::UnsupportedResponseType {
                Error::new(ErrorCode::UnsupportedResponseType, "response_type must be code")
            } else {
                invalid_scope("scope must be space-separated tokens of printable ASCII")
            }
        }
        E::Ignore => contradiction("the client was not bound"),
        E::PrimitiveError => contradiction("a primitive failed at authorize"),
    }
}

fn from_access_token(error: access_token_error::Error) -> Error {
    use access_token_error::Error as E;
    match error {
        E::Invalid(_) => invalid_grant("the code was not issued to this client"),
        E::Unauthorized(..) => invalid_client("the client is not the one that authenticated"),
        E::Primitive(_) => contradiction("a primitive failed at token"),
    }
}

fn from_refresh(error: refresh_error::Error) -> Error {
    use refresh_error::Error as E;
    match error {
        E::Invalid(mut description) => {
            use oxide_auth::code_grant::error::AccessTokenErrorType as Kind;
            match description.description().kind() {
                Kind::InvalidScope => invalid_scope("scope must lie within what was granted"),
                _ => invalid_grant("the refresh token was not issued to this client"),
            }
        }
        E::Unauthorized(..) => invalid_client("the client is not the one that authenticated"),
        E::Primitive => contradiction("a primitive failed at refresh"),
    }
}

mod authorization_error {
    pub(super) use oxide_auth::code_grant::authorization::Error;
    pub(super) use oxide_auth::code_grant::error::AuthorizationErrorType;
}

mod access_token_error {
    pub(super) use oxide_auth::code_grant::accesstoken::Error;
}

mod refresh_error {
    pub(super) use oxide_auth::code_grant::refresh::Error;
}
