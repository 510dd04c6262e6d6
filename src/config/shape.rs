//! Which halves of the house are open: an authorization server, a resource server, or both.

use super::issuers::Issuer;
use super::{Config, ConfigError};

impl Config {
    /// The other issuers that clients are told of.
    pub fn advertised_issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.iter().filter(|issuer| issuer.advertise.unwrap_or(!self.authorization_server))
    }

    /// Refuses a house in which nobody has any business.
    pub(super) fn check_shape(self) -> Result<Self, ConfigError> {
        if self.authorization_server {
            return Ok(self);
        }
        let problem = if !self.resource_server {
            "resource_server is off as well, so there is nothing left to serve: switch one of them on"
        } else if self.advertised_issuers().next().is_none() {
            "when it is off, clients have to be sent to somebody else: add a table [issuers.<name>] that is advertised"
        } else {
            return Ok(self);
        };
        Err(ConfigError::new("authorization_server", problem))
    }
}
