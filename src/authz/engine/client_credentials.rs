//! The client credentials machine: a client asks for itself.

use std::borrow::Cow;
use std::sync::OnceLock;

use async_trait::async_trait;
use oxide_auth::code_grant::client_credentials::{Error as MachineError, Request};
use oxide_auth::primitives::grant::{Extensions, Grant};
use oxide_auth::primitives::issuer::{IssuedToken, RefreshedToken, TokenType};
use oxide_auth::primitives::registrar::{
    BoundClient, ClientUrl, ExactUrl, PreGrant, RegisteredUrl, RegistrarError,
};
use oxide_auth::primitives::scope::Scope;
use oxide_auth_async::code_grant::client_credentials::{Endpoint, Extension, client_credentials};
use oxide_auth_async::primitives::{Authorizer, Issuer, Registrar};

use super::{COMPARED_BY_US, contradiction, fail, far_future, note, to_scope};
use crate::app::App;
use crate::authz::token::client_credentials::MachineTokens;
use crate::authz::token::{Issued, Presented};
use crate::oauth::Scopes;
use crate::oauth::error::{Error, invalid_client, invalid_request};

/// Runs the client credentials machine.
pub async fn issue_to_machine(app: &App, presented: &Presented<'_>) -> Result<Issued, Error> {
    let work = MachineTokens::new(app, presented)?;
    let owner = work.user_id().as_str().to_owned();
    let mut asking = Asking { presented, work, fault: OnceLock::new(), issued: None };
    let run = match client_credentials(&mut asking, presented).await {
        Ok(pending) => pending.issue(&mut asking, owner, false).await.map(drop),
        Err(error) => Err(error),
    };
    match (run, asking.issued) {
        (Ok(()), Some(issued)) => Ok(issued),
        (Ok(()), None) => Err(contradiction("issued nothing")),
        (Err(error), _) => Err(asking.fault.into_inner().unwrap_or_else(|| from_machine(&error))),
    }
}

struct Asking<'a> {
    presented: &'a Presented<'a>,
    work: MachineTokens<'a>,
    fault: OnceLock<Error>,
    issued: Option<Issued>,
}

impl Request for Presented<'_> {
    fn valid(&self) -> bool {
        true
    }
    // Who it is was proven before the machine started.
    fn authorization(&self) -> Option<(Cow<'_, str>, Cow<'_, [u8]>)> {
        Some((self.client_id.as_str().into(), Cow::Borrowed(&[])))
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        self.scope.map(Cow::Borrowed)
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        Some(self.grant_type.into())
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

impl Endpoint for Asking<'_> {
    fn registrar(&self) -> &(dyn Registrar + Sync) {
        self
    }
    fn authorizer(&mut self) -> &mut (dyn Authorizer + Send) {
        self
    }
    fn issuer(&mut self) -> &mut (dyn Issuer + Send) {
        self
    }
    fn extension(&mut self) -> &mut (dyn Extension + Send) {
        self
    }
}

#[async_trait]
impl Registrar for Asking<'_> {
    async fn bound_redirect<'c>(&self, bound: ClientUrl<'c>) -> Result<BoundClient<'c>, RegistrarError> {
        let redirect_uri = ExactUrl::new(COMPARED_BY_US.to_owned()).map(RegisteredUrl::Exact);
        let redirect_uri = redirect_uri.map_err(|_| RegistrarError::PrimitiveError)?;
        Ok(BoundClient { client_id: bound.client_id, redirect_uri: Cow::Owned(redirect_uri) })
    }
    async fn negotiate<'c>(
        &self,
        client: BoundClient<'c>,
        scope: Option<Scope>,
    ) -> Result<PreGrant, RegistrarError> {
        let asked = scope.map(|scope| Scopes::of(scope.iter()));
        let scope = self.work.negotiate(asked.as_ref()).and_then(|scopes| to_scope(&scopes));
        let scope = scope.map_err(|error| {
            note(&self.fault, error);
            RegistrarError::Unspecified
        })?;
        Ok(PreGrant {
            client_id: client.client_id.into_owned(),
            redirect_uri: client.redirect_uri.into_owned(),
            scope,
        })
    }
    async fn check(&self, client_id: &str, _: Option<&[u8]>) -> Result<(), RegistrarError> {
        if client_id == self.presented.client_id.as_str() { Ok(()) } else { Err(RegistrarError::Unspecified) }
    }
}

#[async_trait]
impl Authorizer for Asking<'_> {
    async fn authorize(&mut self, _: Grant) -> Result<String, ()> {
        fail(&self.fault, contradiction("a code was asked for by a machine"))
    }
    async fn extract(&mut self, _: &str) -> Result<Option<Grant>, ()> {
        fail(&self.fault, contradiction("a code was looked up for a machine"))
    }
}

#[async_trait]
impl Extension for Asking<'_> {
    async fn extend(&mut self, _: &(dyn Request + Sync)) -> Result<Extensions, ()> {
        Ok(Extensions::new())
    }
}

#[async_trait]
impl Issuer for Asking<'_> {
    async fn issue(&mut self, grant: Grant) -> Result<IssuedToken, ()> {
        let scopes = Scopes::of(grant.scope.iter());
        let issued = self.work.issue(&scopes).await.map_err(|error| note(&self.fault, error))?;
        self.issued = Some(issued);
        Ok(IssuedToken {
            token: String::new(),
            refresh: None,
            until: far_future(),
            token_type: TokenType::Bearer,
        })
    }
    async fn refresh(&mut self, _: &str, _: Grant) -> Result<RefreshedToken, ()> {
        fail(&self.fault, contradiction("a machine has no refresh token"))
    }
    async fn recover_token(&mut self, _: &str) -> Result<Option<Grant>, ()> {
        Ok(None)
    }
    async fn recover_refresh(&mut self, _: &str) -> Result<Option<Grant>, ()> {
        Ok(None)
    }
}

fn from_machine(error: &MachineError) -> Error {
    use MachineError as E;
    match error {
        E::Invalid(_) => invalid_request("the request for a machine's token is malformed"),
        E::Unauthorized(..) => invalid_client("the client is not the one that authenticated"),
        E::Primitive(_) => contradiction("a primitive failed for a machine"),
        E::Ignore => contradiction("the machine was not bound"),
    }
}
