//! The one error model: a code and a description that leave the house, a detail that is only logged.

use std::fmt;

/// An error code of the OAuth family, each with the text that defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// OAuth 2.1 §3.2.4, §4.1.2.1: malformed, repeated or missing parameter.
    InvalidRequest,
    /// OAuth 2.1 §3.2.4: client authentication failed, or the client is unknown.
    InvalidClient,
    /// OAuth 2.1 §3.2.4: the code or refresh token is not (or no longer) good.
    InvalidGrant,
    /// OAuth 2.1 §3.2.4: this client may not do this.
    UnauthorizedClient,
    /// OAuth 2.1 §3.2.4: a grant type that is not offered.
    UnsupportedGrantType,
    /// OAuth 2.1 §4.1.2.1: a response type that is not offered.
    UnsupportedResponseType,
    /// OAuth 2.1 §3.2.4: no usable scope.
    InvalidScope,
    /// RFC 8707 §2: the resource is not ours.
    InvalidTarget,
    /// OAuth 2.1 §4.1.2.1: the person said no.
    AccessDenied,
    /// OpenID Connect Core §3.1.2.6: `prompt=none`, but somebody must sign in.
    LoginRequired,
    /// OpenID Connect Core §3.1.2.6: `prompt=none`, but consent must be asked.
    ConsentRequired,
    /// RFC 9101 §6: request objects are not offered.
    RequestNotSupported,
    /// RFC 9101 §6: `request_uri` is not offered.
    RequestUriNotSupported,
    /// RFC 7591 §3.2.2: no acceptable redirect URI.
    InvalidRedirectUri,
    /// RFC 7591 §3.2.2: another member is wrong.
    InvalidClientMetadata,
    /// RFC 7009 §2.2.1: a token of a kind that cannot be revoked.
    UnsupportedTokenType,
    /// RFC 6750 §3.1: the access token is bad.
    InvalidToken,
    /// RFC 6750 §3.1: the access token does not reach this far.
    InsufficientScope,
    /// OAuth 2.1 §4.1.2.1 with HTTP 429 (RFC 6585 §4): the caller asks too often.
    TooManyRequests,
    /// OAuth 2.1 §3.2.4 with HTTP 413 (RFC 9110 §15.5.14): a body beyond the limit.
    TooLarge,
    /// OAuth 2.1 §4.1.2.1: busy or away for now.
    TemporarilyUnavailable,
    /// OAuth 2.1 §4.1.2.1: our own fault.
    ServerError,
}

impl ErrorCode {
    /// The code as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::TooLarge => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::TooManyRequests | Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// Whether the fault is ours rather than the caller's: such errors carry a reference id.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::TemporarilyUnavailable | Self::ServerError)
    }
}

/// What went wrong. `code` and `description` leave the house; `detail` is only logged.
#[derive(Clone, Debug)]
pub struct Error {
    /// The code on the wire.
    pub code: ErrorCode,
    /// A sentence for the developer of the client, in the character set of OAuth 2.1 §4.1.2.1.
    pub description: &'static str,
    /// The cause, for the log.
    pub detail: Option<String>,
    /// How long to wait before trying again, in seconds, where that is known.
    pub retry_after: Option<u64>,
}

impl Error {
    /// An error whose description is a fixed sentence: text of callers never gets in.
    pub fn new(code: ErrorCode, description: &'static str) -> Self {
        Self { code, description, detail: None, retry_after: None }
    }

    /// Adds the cause, for the log only.
    pub fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Adds the wait before another try, in seconds.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.description)
    }
}

impl std::error::Error for Error {}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident;)*) => {
        $($(#[$doc])* pub fn $name(description: &'static str) -> Error {
            Error::new(ErrorCode::$code, description)
        })*
    };
}

constructors! {
    /// `invalid_request`.
    invalid_request => InvalidRequest;
    /// `invalid_client`.
    invalid_client => InvalidClient;
    /// `invalid_grant`.
    invalid_grant => InvalidGrant;
    /// `unauthorized_client`.
    unauthorized_client => UnauthorizedClient;
    /// `unsupported_grant_type`.
    unsupported_grant_type => UnsupportedGrantType;
    /// `unsupported_response_type`.
    unsupported_response_type => UnsupportedResponseType;
    /// `invalid_scope`.
    invalid_scope => InvalidScope;
    /// `invalid_target`.
    invalid_target => InvalidTarget;
    /// `access_denied`.
    access_denied => AccessDenied;
    /// `invalid_redirect_uri`.
    invalid_redirect_uri => InvalidRedirectUri;
    /// `invalid_client_metadata`.
    invalid_client_metadata => InvalidClientMetadata;
    /// `temporarily_unavailable`, with HTTP 429.
    too_many_requests => TooManyRequests;
    /// `invalid_request`, with HTTP 413.
    too_large => TooLarge;
    /// `temporarily_unavailable`.
    temporarily_unavailable => TemporarilyUnavailable;
    /// `server_error`.
    server_error => ServerError;
}
