//! The closed list of what is recorded: who let whom do what, and what came of it.

pub mod chain;
pub mod finding;
pub mod judge;
pub mod reason;
pub mod verify;

use crate::oauth::{ClientId, GrantId, UserId};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody signed in, or was refused. By password: what was refused is recorded for accounts that exist, as
    /// often as the throttle lets anybody try; a name that nobody has is no event, there is nobody to tell of it. At a
    /// provider: what came of each sign-in that was begun here.
    SignIn,
    /// Somebody signed out.
    SignOut,
    /// The consent page was answered.
    Consent,
    /// A grant was given without a consent page: to a program on the machine of whoever may read the store anyway, to a
    /// machine that acts for itself (its tokens are no event, as renewals are none), or at another issuer, whose token
    /// brought it or widened it.
    GrantGiven,
    /// A token was minted for somebody, by an operator or by a control plane: `detail` says by whom.
    TokenMinted,
    /// Tokens were issued for a code. Their renewal is no event: it happens about once an hour under every grant,
    /// gives nobody more than the grant did, and would bury what matters. A refresh that is wrong is one
    /// ([`Kind::RefreshReused`]).
    TokensIssued,
    /// A code was presented a second time, by its rightful client.
    CodeReplayed,
    /// A refresh token was presented after it had been rotated.
    RefreshReused,
    /// A grant was ended on its own: by its user, by its client, or with the program that held it. Those that end
    /// together with their client, or with the password that they were given under, are told by that one event.
    GrantRevoked,
    /// A client registered itself, or an operator registered it.
    ClientRegistered,
    /// An operator removed a client.
    ClientRemoved,
    /// An operator lets a client in no more, and its grants ended.
    ClientDisabled,
    /// An operator let it in again.
    ClientEnabled,
    /// A user let a client in again whose access they had taken back.
    ClientAllowed,
    /// An account was made, disabled or given a password.
    AccountChanged,
    /// A rotation was decided: by hand or by schedule, which key signs, and from when.
    KeysRotated,
    /// The last token that a signing key may have signed has expired, and the key is published no more.
    KeyRetired,
    /// An operator took a signing key back: no token that it signed is good.
    KeyRevoked,
    /// An operator put the database back to an earlier state: `detail` says to which, and what ended with that.
    Restored,
    /// A tool that writes was called, or a call was refused: for its scope, its limits, its grant or its token.
    /// Reading is no event.
    ToolCall,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::SignIn,
        Self::SignOut,
        Self::Consent,
        Self::GrantGiven,
        Self::TokenMinted,
        Self::TokensIssued,
        Self::CodeReplayed,
        Self::RefreshReused,
        Self::GrantRevoked,
        Self::ClientRegistered,
        Self::ClientRemoved,
        Self::ClientDisabled,
        Self::ClientEnabled,
        Self::ClientAllowed,
        Self::AccountChanged,
        Self::KeysRotated,
        Self::KeyRetired,
        Self::KeyRevoked,
        Self::Restored,
        Self::ToolCall,
    ];

    /// The name as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::SignOut => "sign_out",
            Self::Consent => "consent",
            Self::GrantGiven => "grant_given",
            Self::TokenMinted => "token_minted",
            Self::TokensIssued => "tokens_issued",
            Self::CodeReplayed => "code_replayed",
            Self::RefreshReused => "refresh_reused",
            Self::GrantRevoked => "grant_revoked",
            Self::ClientRegistered => "client_registered",
            Self::ClientRemoved => "client_removed",
            Self::ClientDisabled => "client_disabled",
            Self::ClientEnabled => "client_enabled",
            Self::ClientAllowed => "client_allowed",
            Self::AccountChanged => "account_changed",
            Self::KeysRotated => "keys_rotated",
            Self::KeyRetired => "key_retired",
            Self::KeyRevoked => "key_revoked",
            Self::Restored => "restored",
            Self::ToolCall => "tool_call",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
}

impl Outcome {
    /// The name as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// One event. Secrets never get in: arguments are reduced before they come here.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// What came of it.
    pub outcome: Outcome,
    /// On whose behalf.
    pub user_id: Option<UserId>,
    /// By which client.
    pub client_id: Option<ClientId>,
    /// Under which grant.
    pub grant_id: Option<GrantId>,
    /// The tool's name.
    pub tool: Option<&'static str>,
    /// The tool's arguments as JSON, long texts reduced.
    pub arguments: Option<String>,
    /// The caller's key.
    pub idempotency_key: Option<String>,
    /// What ties it to the logs.
    pub reference: Option<String>,
    /// The trace that it belongs to (W3C Trace Context), unless it is that of the request in which it is recorded.
    pub trace_id: Option<String>,
    /// The reason of a refusal, or what the event is about.
    pub detail: Option<String>,
}

impl Event {
    /// An event without its particulars.
    pub fn new(kind: Kind, outcome: Outcome) -> Self {
        Self {
            kind,
            outcome,
            user_id: None,
            client_id: None,
            grant_id: None,
            tool: None,
            arguments: None,
            idempotency_key: None,
            reference: None,
            trace_id: None,
            detail: None,
        }
    }

    /// On whose behalf.
    pub fn user(mut self, user_id: &UserId) -> Self {
        self.user_id = Some(user_id.clone());
        self
    }

    /// By which client.
    pub fn client(mut self, client_id: &ClientId) -> Self {
        self.client_id = Some(client_id.clone());
        self
    }

    /// Under which grant.
    pub fn grant(mut self, grant_id: &GrantId) -> Self {
        self.grant_id = Some(grant_id.clone());
        self
    }

    /// The reason, or what it is about.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
