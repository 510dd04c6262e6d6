//! The files with which the server speaks TLS itself.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::shapes::FilePath;
use super::{Config, ConfigError};

/// TLS of the server's own, for those who have no proxy in front of it.
#[derive(Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTls {
    /// The file with the certificate and those that lead from it to a root, in PEM, the server's own first. None by
    /// default: TLS ends at a proxy in front. Read again when it changes.
    #[schemars(with = "Option<FilePath>")]
    pub(super) certificate_file: Option<PathBuf>,
    /// The file with the private key of the certificate, in PEM (PKCS#8, SEC1 or PKCS#1), not encrypted. It may be the
    /// same file. None by default, as `tls.certificate_file`, and read again with it.
    #[schemars(with = "Option<FilePath>")]
    pub(super) key_file: Option<PathBuf>,
}

/// The pair of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain of certificates, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// Both files or neither.
pub(super) fn parse(raw: RawTls) -> Result<Option<TlsFiles>, ConfigError> {
    let without = |missing: &str, named: &str| {
        let problem =
            format!("{named} is set but this is not; name both files, or neither and no TLS is spoken");
        Err(ConfigError::new(missing, problem))
    };
    match (raw.certificate_file, raw.key_file) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (Some(_), None) => without("tls.key_file", "tls.certificate_file"),
        (None, Some(_)) => without("tls.certificate_file", "tls.key_file"),
    }
}

impl Config {
    /// Refuses a TLS server that clients are sent to with http, and one that nobody can reach with TLS. The opposite, an
    /// https URL without TLS here, is how it is behind a proxy.
    pub(super) fn check_tls(self) -> Result<Self, ConfigError> {
        if self.tls.is_none() {
            return Ok(self);
        }
        if self.listen.ports().next().is_none() {
            let problem = "no listener speaks TLS, since listen names Unix sockets only; name an address and a port there, \
                           too, or leave the table [tls] out";
            return Err(ConfigError::new("tls.certificate_file", problem));
        }
        if !self.public_url.is_https() {
            let https = self.public_url.issuer().replacen("http:", "https:", 1);
            let problem = format!(
                "it begins with http, but tls.certificate_file lets the server speak https only; write {https}, or leave \
                 the table [tls] out"
            );
            return Err(ConfigError::new("public_url", problem));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "[tls]\ncertificate_file = \"c.pem\"\nkey_file = \"k.pem\"";

    #[test]
    fn files_come_in_pairs_and_with_an_https_url() {
        let written = |head: &str, tls: &str| Config::written(&format!("{head}\n{tls}"));
        let https = "public_url = \"https://m.example\"";
        let config = written(https, BOTH).unwrap();
        assert_eq!(config.tls, Some(TlsFiles { certificate: "c.pem".into(), key: "k.pem".into() }));
        assert_eq!(written(https, "").unwrap().tls, None, "a proxy does it");
        for (head, tls, said) in [
            (https, "[tls]\ncertificate_file = \"c.pem\"", "tls.key_file: tls.certificate_file is set"),
            (https, "[tls]\nkey_file = \"k.pem\"", "tls.certificate_file: tls.key_file is set"),
            ("", BOTH, "public_url: it begins with http, but"),
            ("", BOTH, "write https://localhost:8080"),
            ("listen = \"unix:m.sock\"", BOTH, "tls.certificate_file: no listener speaks TLS"),
        ] {
            let refused = written(head, tls).unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
