//! The token request's machines: a code for tokens, a refresh token for its successor.

use std::borrow::Cow;
use std::sync::OnceLock;

use async_trait::async_trait;
use oxide_auth::code_grant::accesstoken::{
    Authorization as Credentials, Error as CodeError, Request as CodeRequest,
};
use oxide_auth::code_grant::error::AccessTokenErrorType;
use oxide_auth::code_grant::refresh::{Error as RefreshError, Request as RefreshRequest};
use oxide_auth::primitives::grant::{Extensions, Grant};
use oxide_auth::primitives::issuer::{IssuedToken, RefreshedToken, TokenType};
use oxide_auth::primitives::registrar::{BoundClient, ClientUrl, PreGrant, RegistrarError};
use oxide_auth::primitives::scope::Scope;
use oxide_auth_async::code_grant::access_token::{self, access_token};
use oxide_auth_async::code_grant::refresh::{self, refresh};
use oxide_auth_async::primitives::{Authorizer, Issuer, Registrar};
use url::Url;

use super::{COMPARED_BY_US, contradiction, fail, far_future, note, to_scope};
use crate::app::App;
use crate::authz::token::authorization_code::CodeRedemption;
use crate::authz::token::refresh_token::RefreshRotation;
use crate::authz::token::{Issued, Presented};
use crate::oauth::Scopes;
use crate::oauth::error::{Error, invalid_client, invalid_grant, invalid_scope};
use crate::oauth::scope::OFFLINE_ACCESS;
use crate::storage::grants;

/// Runs the access token machine: a code for tokens.
pub async fn redeem_code(app: &App, presented: &Presented<'_>) -> Result<Issued, Error> {
    let redemption = CodeRedemption::new(app, presented)?;
    let mut machine = Token { presented, work: redemption, fault: OnceLock::new(), issued: None };
    let run = access_token(&mut machine, presented).await;
    match (run, machine.issued) {
        (Ok(_), Some(issued)) => Ok(issued),
        (Ok(_), None) => Err(contradiction("issued nothing")),
        (Err(error), _) => Err(machine.fault.into_inner().unwrap_or_else(|| from_access_token(&error))),
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
        fail(&self.fault, contradiction("a code was asked for at the token endpoint"))
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
        fail(&self.fault, contradiction("a code was refreshed"))
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
        fail(&self.fault, contradiction("a refresh token was issued from nothing"))
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
        // Clients add `offline_access` to whatever they ask for; it reaches nothing, so it is never too much.
        // The rotation leaves it out again where it was not granted.
        let mut grant = found.clone();
        grant.scopes = grant.scopes.union(&Scopes::of([OFFLINE_ACCESS]));
        to_grant(&grant).map(Some).map_err(|error| note(&self.fault, error))
    }
}

/// Our grant as the machine knows it. Our clock has judged the times already, so it lasts for ever.
fn to_grant(grant: &grants::Grant) -> Result<Grant, Error> {
    Ok(Grant {
        owner_id: grant.user_id.as_str().to_owned(),
        client_id: grant.client.client_id.as_str().to_owned(),
        scope: to_scope(&grant.scopes)?,
        redirect_uri: Url::parse(COMPARED_BY_US).map_err(contradiction)?,
        until: far_future(),
        extensions: Extensions::new(),
    })
}

fn from_access_token(error: &CodeError) -> Error {
    use CodeError as E;
    match error {
        E::Invalid(_) => invalid_grant("the code was not issued to this client"),
        E::Unauthorized(..) => invalid_client("the client is not the one that authenticated"),
        E::Primitive(_) => contradiction("a primitive failed at token"),
    }
}

fn from_refresh(error: RefreshError) -> Error {
    use RefreshError as E;
    match error {
        E::Invalid(mut description) => match description.description().kind() {
            AccessTokenErrorType::InvalidScope => invalid_scope("scope must lie within what was granted"),
            _ => invalid_grant("the refresh token was not issued to this client"),
        },
        E::Unauthorized(..) => invalid_client("the client is not the one that authenticated"),
        E::Primitive => contradiction("a primitive failed at refresh"),
    }
}
