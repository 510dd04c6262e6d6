//! The consent page: who asks, for what, and where the answer goes.

use askama::Template;

use super::client_name::ClientName;
use super::scope_words::ScopeWords;
use super::server::ServerView;
use crate::web::moment::Moment;
use crate::web::text::HttpsLink;

/// `GET /consent/{id}`; it shows the same page however often it is loaded.
///
/// The form posts `csrf`, each ticked `scope`, and `decision` (`allow` or `deny`, the value of the button pressed) to
/// `/consent/{id}`. `Deny` comes first in the document, so that Enter in a checkbox never allows anything.
#[derive(Debug, Template)]
#[template(path = "consent.html")]
pub struct ConsentPage {
    /// The parked authorization request.
    pub id: String,
    /// The form's proof of origin.
    pub csrf: String,
    /// Who is signed in.
    pub username: String,
    /// Who asks.
    pub client: ClientView,
    /// Where the authorization code goes.
    pub destination: Destination,
    /// What access is given to.
    pub server: ServerView,
    /// What is asked for, in the order to show it.
    pub scopes: Vec<ScopeView>,
    /// Until when the client keeps its access without asking again, when it is to have a refresh token.
    pub access_until: Option<Moment>,
    /// Why the last answer could not be taken.
    pub problem: Option<ConsentProblem>,
}

/// The client as far as it is known.
#[derive(Debug)]
pub struct ClientView {
    /// What it is called.
    pub name: ClientName,
    /// What is known beyond that claim.
    pub kind: ClientKind,
    /// The website it claims as its own.
    pub client_uri: Option<HttpsLink>,
}

impl ClientView {
    /// The website the client claims, unless it is the host that is shown anyway.
    #[must_use]
    pub fn claimed_website(&self) -> Option<&HttpsLink> {
        let shown = match &self.kind {
            ClientKind::Document { host } | ClientKind::CameAlong { host } => Some(host.as_str()),
            ClientKind::Dynamic | ClientKind::Registered | ClientKind::External => None,
        };
        self.client_uri.as_ref().filter(|link| Some(link.host()) != shown)
    }
}

/// How the server came to know a client, which decides what is proven about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientKind {
    /// A client ID metadata document: its host is proven, because the document was fetched from there.
    Document {
        /// The host of the document's URL.
        host: String,
    },
    /// A client ID metadata document, as it came with this program: its host could not be asked, so nothing is proven.
    CameAlong {
        /// The host of the document's URL, which said nothing.
        host: String,
    },
    /// Registered by itself (RFC 7591): nothing is proven.
    Dynamic,
    /// Registered by the people who run this server.
    Registered,
    /// Known to another issuer, whose tokens it uses: it is never seen on the consent page.
    External,
}

/// Where the authorization code goes. The host must be clearly displayed (MCP authorization, localhost redirects).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A web server.
    Web {
        /// The host of the redirect URI.
        host: String,
    },
    /// A program that listens on this computer (RFC 8252 §7.3).
    Loopback {
        /// The host of the redirect URI: `localhost`, `127.0.0.1` or `[::1]`.
        host: String,
    },
    /// The app that owns a private-use scheme on this device (RFC 8252 §7.1).
    App {
        /// The scheme of the redirect URI, without the colon.
        scheme: String,
    },
}

impl Destination {
    /// The host, or the scheme with its colon.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Web { host } | Self::Loopback { host } => host.clone(),
            Self::App { scheme } => format!("{scheme}:"),
        }
    }

    /// Whether there is one: a minted token went to nobody's redirect URI.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        match self {
            Self::Web { host } | Self::Loopback { host } => !host.is_empty(),
            Self::App { scheme } => !scheme.is_empty(),
        }
    }

    /// The port that the page after the decision is on, where that is a program on the computer of whoever asked.
    #[must_use]
    pub fn port_here(&self) -> Option<u16> {
        let Self::Loopback { host } = self else { return None };
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        // The port of http, which is left out of addresses.
        port.or(Some(80))
    }

    /// What stands at that address.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Web { .. } => "a website",
            Self::Loopback { .. } => "a program on this computer",
            Self::App { .. } => "an app on this device",
        }
    }
}

/// One scope that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeView {
    /// The scope's name, which is the checkbox's value.
    pub name: String,
    /// What it means.
    pub words: ScopeWords,
    /// How it stands to what this user has granted this client before.
    pub standing: ScopeStanding,
    /// Whether the checkbox is ticked.
    pub checked: bool,
}

/// How a scope stands to what was granted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeStanding {
    /// This user has granted this client nothing yet.
    First,
    /// The user has granted this client something, but not this.
    New,
    /// The user has granted this client this scope.
    GrantedBefore,
}

/// Why an answer could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentProblem {
    /// `Allow` with no scope ticked.
    NothingTicked,
}

/// Why a request may not come from the client that it names (RFC 8252 §8.6, MCP authorization, localhost redirects).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Any program on this computer can listen at a loopback address.
    AnyProgram,
    /// Any app on this device can claim a private-use scheme.
    AnyApp,
    /// Anyone can register under this name; only the destination's host is certain.
    AnyName,
}

impl ConsentPage {
    /// Whether the user has granted this client something before.
    #[must_use]
    pub fn is_widening(&self) -> bool {
        self.scopes.iter().any(|scope| scope.standing == ScopeStanding::GrantedBefore)
    }

    /// Why only the person at this browser can tell that the request is genuine: did they start it themselves?
    #[must_use]
    pub const fn doubt(&self) -> Option<Doubt> {
        match (&self.destination, &self.client.kind) {
            (Destination::Loopback { .. }, _) => Some(Doubt::AnyProgram),
            (Destination::App { .. }, _) => Some(Doubt::AnyApp),
            (Destination::Web { .. }, ClientKind::Dynamic) => Some(Doubt::AnyName),
            (
                Destination::Web { .. },
                ClientKind::Document { .. }
                | ClientKind::CameAlong { .. }
                | ClientKind::Registered
                | ClientKind::External,
            ) => None,
        }
    }
}
