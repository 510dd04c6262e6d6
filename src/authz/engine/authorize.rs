//! The authorization request's machine, up to consent.

use std::borrow::Cow;
use std::sync::OnceLock;

use async_trait::async_trait;
use oxide_auth::code_grant::authorization::{Error as MachineError, Request};
use oxide_auth::code_grant::error::AuthorizationErrorType;
use oxide_auth::primitives::grant::{Extensions, Grant};
use oxide_auth::primitives::registrar::{
    BoundClient, ClientUrl, ExactUrl, PreGrant, RegisteredUrl, RegistrarError,
};
use oxide_auth::primitives::scope::Scope;
use oxide_auth_async::code_grant::authorization::{self, authorization_code};
use oxide_auth_async::primitives::{Authorizer, Registrar};

use super::{contradiction, fail, note, to_scope};
use crate::app::App;
use crate::authz::request::{Asked, Negotiated};
use crate::oauth::error::{Error, invalid_scope};
use crate::oauth::{ErrorCode, Scopes};

/// Runs the authorization machine up to consent: what is asked for, if it may be asked for.
pub async fn negotiate(app: &App, asked: Asked<'_>) -> Result<Negotiated, Error> {
    let mut machine = Authorize { app, asked, fault: OnceLock::new(), negotiated: OnceLock::new() };
    let run = authorization_code(&mut machine, &asked).await;
    match run {
        Ok(_pending) => machine.negotiated.into_inner().ok_or_else(|| contradiction("negotiated nothing")),
        Err(error) => Err(machine.fault.into_inner().unwrap_or_else(|| from_authorization(error))),
    }
}

struct Authorize<'a> {
    app: &'a App,
    asked: Asked<'a>,
    fault: OnceLock<Error>,
    negotiated: OnceLock<Negotiated>,
}

impl Request for Asked<'_> {
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
        let scope = scope.map(|scope| Scopes::of(scope.iter()));
        let negotiated = self.asked.negotiate(scope, self.app.config.audiences());
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
    async fn extend(&mut self, _: &(dyn Request + Sync)) -> Result<Extensions, ()> {
        self.asked.check_extensions(self.app.config.audiences()).map_err(|error| note(&self.fault, error))?;
        Ok(Extensions::new())
    }
}

// Codes are issued when the consent page is answered, from what was negotiated here.
#[async_trait]
impl Authorizer for Authorize<'_> {
    async fn authorize(&mut self, _: Grant) -> Result<String, ()> {
        fail(&self.fault, contradiction("a code was asked for before consent"))
    }
    async fn extract(&mut self, _: &str) -> Result<Option<Grant>, ()> {
        fail(&self.fault, contradiction("a code was looked up at authorize"))
    }
}

fn refuse(fault: &OnceLock<Error>, error: Error) -> RegistrarError {
    note(fault, error);
    RegistrarError::Unspecified
}

fn from_authorization(error: MachineError) -> Error {
    use MachineError as E;
    match error {
        E::Redirect(mut url) => {
            let kind = url.description().kind();
            if kind == AuthorizationErrorType::UnsupportedResponseType {
                Error::new(ErrorCode::UnsupportedResponseType, "response_type must be code")
            } else {
                invalid_scope("scope must be space-separated tokens of printable ASCII")
            }
        }
        E::Ignore => contradiction("the client was not bound"),
        E::PrimitiveError => contradiction("a primitive failed at authorize"),
    }
}
