//! Client authentication (OAuth 2.1 §2.4), once for token, revocation and whatever else clients call.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

use super::assertion;
use super::client_document::{DocumentProblem, is_document_url};
use super::clients::{self, Lookup};
use super::error::JsonError;
use crate::app::App;
use crate::ephemeral::{Meter, Rate};
use crate::oauth::ClientId;
use crate::oauth::client::{AuthMethod, Client};
use crate::oauth::error::{Error, invalid_client, invalid_request, temporarily_unavailable};
use crate::telemetry::metrics::Credential;
use crate::web::params::Params;

/// The only accepted `client_assertion_type` (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Failures of one name from one address before it has to wait.
pub(super) const FAILURES: Rate = Rate::of(20, std::time::Duration::from_secs(300));

/// A client that proved who it is, or a public one that said so.
#[derive(Debug)]
pub struct Authenticated {
    /// Who.
    pub client_id: ClientId,
    /// What it says of itself. Not known of metadata documents here, which are not fetched for this.
    pub client: Option<Client>,
    /// How.
    pub method: AuthMethod,
    /// Whether it used the `Authorization` header: refusals then answer in kind.
    pub basic: bool,
}

/// What was presented: exactly one method (OAuth 2.1 §2.4).
pub(super) enum Credentials {
    Name(String),
    Basic { client_id: String, secret: String },
    Post { client_id: String, secret: String },
    Assertion { client_id: Option<String>, assertion: String },
}

impl Credentials {
    /// What it is in the metrics.
    pub(super) fn kind(&self) -> Credential {
        match self {
            Self::Name(_) => Credential::ClientId,
            Self::Basic { .. } | Self::Post { .. } => Credential::ClientSecret,
            Self::Assertion { .. } => Credential::ClientAssertion,
        }
    }
}

/// Authenticates the client of a request.
pub async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    params: &Params,
    address: &str,
) -> Result<Authenticated, JsonError> {
    let basic = headers.contains_key(header::AUTHORIZATION);
    let mut presented = Credential::ClientId;
    let checked = async {
        let credentials = credentials(headers, params)?;
        presented = credentials.kind();
        match credentials {
            Credentials::Name(client_id) => by_name(app, client_id, address).await,
            Credentials::Basic { client_id, secret } => {
                by_secret(app, client_id, &secret, AuthMethod::ClientSecretBasic, address).await
            }
            Credentials::Post { client_id, secret } => {
                by_secret(app, client_id, &secret, AuthMethod::ClientSecretPost, address).await
            }
            Credentials::Assertion { client_id, assertion } => {
                by_assertion(app, client_id.as_deref(), &assertion, address).await
            }
        }
    };
    let (client_id, client, method) = checked.await.map_err(|error| {
        if !error.code.is_ours() {
            app.metrics.authentication_failed(presented, error.code.as_str());
        }
        JsonError { error, basic }
    })?;
    Ok(Authenticated { client_id, client, method, basic })
}

/// Reads what was presented, without judging it.
pub(super) fn credentials(headers: &HeaderMap, params: &Params) -> Result<Credentials, Error> {
    let client_id = params.get("client_id")?.map(str::to_owned);
    let secret = params.get("client_secret")?.map(str::to_owned);
    let assertion = params.get("client_assertion")?.map(str::to_owned);
    let assertion_type = params.get("client_assertion_type")?;
    let header = basic(headers)?;
    match (header, secret, assertion) {
        (Some((in_header, secret)), None, None) => {
            if client_id.is_some_and(|in_body| in_body != in_header) {
                return Err(invalid_request("client_id differs from the one in the Authorization header"));
            }
            Ok(match secret {
                secret if secret.is_empty() => Credentials::Name(in_header),
                secret => Credentials::Basic { client_id: in_header, secret },
            })
        }
        (None, Some(secret), None) => match client_id {
            Some(client_id) => Ok(Credentials::Post { client_id, secret }),
            None => Err(invalid_request("client_secret needs client_id")),
        },
        (None, None, Some(assertion)) if assertion_type == Some(ASSERTION_TYPE) => {
            Ok(Credentials::Assertion { client_id, assertion })
        }
        (None, None, Some(_)) => Err(invalid_request(
            "client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        )),
        (None, None, None) => client_id
            .map(Credentials::Name)
            .ok_or_else(|| invalid_client("the request names no client: client_id is missing")),
        _ => Err(invalid_request("use one method of client authentication, not several")),
    }
}

/// Reads `Authorization: Basic` (OAuth 2.1 §2.4.1): base64, split at the first colon, both halves form-decoded.
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, Error> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let malformed = || invalid_client("the Authorization header must be Basic with client_id and secret");
    if values.next().is_some() {
        return Err(invalid_request("several Authorization headers"));
    }
    let (scheme, encoded) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(malformed)?;
    let (client_id, secret) = decoded.split_once(':').ok_or_else(malformed)?;
    let form_decode = |text: &str| {
        let spaced = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8().ok();
        decoded.filter(|text| !text.contains('\0')).map(String::from).ok_or_else(malformed)
    };
    Ok(Some((form_decode(client_id)?, form_decode(secret)?)))
}

/// Who it is, what is known of it, and how it proved it.
type Proven = (ClientId, Option<Client>, AuthMethod);

fn proven(client: Client, method: AuthMethod) -> Proven {
    (client.client_id.clone(), Some(client), method)
}

/// A public client names itself. For a metadata document nothing is fetched here: the document was accepted at
/// the authorization endpoint and is frozen in the grant, which decides whether a name is enough.
async fn by_name(app: &App, client_id: String, address: &str) -> Result<Proven, Error> {
    if is_document_url(&client_id) && app.config.clients.metadata_documents {
        let client_id = ClientId::new(client_id);
        let is_disabled = app.store.is_client_disabled(&client_id).await?;
        return if is_disabled { Err(disabled()) } else { Ok((client_id, None, AuthMethod::None)) };
    }
    let client = registered(app, &client_id, address).await?;
    if client.may_use(AuthMethod::None) {
        Ok(proven(client, AuthMethod::None))
    } else {
        Err(invalid_client("this client must authenticate: its secret or assertion is missing"))
    }
}

async fn by_secret(
    app: &App,
    client_id: String,
    secret: &str,
    method: AuthMethod,
    address: &str,
) -> Result<Proven, Error> {
    let client = registered(app, &client_id, address).await?;
    let right = client.secret_hash.as_ref().is_some_and(|hash| hash.matches(secret));
    if right && client.may_use(method) {
        return Ok(proven(client, method));
    }
    // The right secret is never refused for the wrong ones of others: it has 256 bits and cannot be guessed.
    refuse_guessing(app, &client_id, address).await?;
    app.ephemeral.quota(Meter::ClientSecret(&client_id, address), FAILURES).await?;
    Err(invalid_client("the client's secret is wrong"))
}

async fn by_assertion(
    app: &App,
    client_id: Option<&str>,
    assertion: &str,
    address: &str,
) -> Result<Proven, Error> {
    let claimed = assertion::claimed_client(assertion)?;
    if client_id.is_some_and(|client_id| client_id != claimed) {
        return Err(invalid_client("client_id differs from the assertion's iss and sub"));
    }
    refuse_guessing(app, &claimed, address).await?;
    let client = registered(app, &claimed, address).await?;
    if !client.may_use(AuthMethod::PrivateKeyJwt) {
        return Err(invalid_client("this client is not registered for private_key_jwt"));
    }
    if let Err(error) = assertion::check(app, &client, assertion, address).await {
        app.ephemeral.quota(Meter::ClientSecret(&claimed, address), FAILURES).await?;
        return Err(error);
    }
    Ok(proven(client, AuthMethod::PrivateKeyJwt))
}

async fn registered(app: &App, client_id: &str, address: &str) -> Result<Client, Error> {
    match clients::find(app, client_id, address).await? {
        Lookup::Known(client) => Ok(*client),
        // The client should forget its registration and make a new one.
        Lookup::Unknown => Err(invalid_client("the client is unknown: register again")),
        Lookup::Disabled => Err(disabled()),
        Lookup::Document(DocumentProblem::Unreachable { reason, .. }) => {
            let away = temporarily_unavailable("the client's metadata document is out of reach for now");
            Err(away.detail(reason).retry_after(60))
        }
        Lookup::Document(DocumentProblem::Invalid { reason, .. }) => {
            Err(invalid_client("the client's metadata document is not acceptable").detail(reason))
        }
    }
}

fn disabled() -> Error {
    invalid_client("the people who run this server have disabled the client")
}

async fn refuse_guessing(app: &App, client_id: &str, address: &str) -> Result<(), Error> {
    let quota = app.ephemeral.peek(Meter::ClientSecret(client_id, address), FAILURES).await?;
    quota.or_refuse("too many failed authentications of this client")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::ErrorCode;

    fn with_basic(plain: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!("Basic {}", STANDARD.encode(plain));
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    fn read(headers: &HeaderMap, body: &str) -> Result<Credentials, Error> {
        credentials(headers, &Params::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn basic_is_decoded_as_a_form_after_the_first_colon() {
        let credentials = read(&with_basic("cl%3Aient:se%20c+r:et"), "client_id=cl%3Aient").unwrap();
        let Credentials::Basic { client_id, secret } = credentials else { panic!("basic") };
        assert_eq!((client_id.as_str(), secret.as_str()), ("cl:ient", "se c r:et"));
    }

    #[test]
    fn exactly_one_method() {
        let assertion = "client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A\
                         client-assertion-type%3Ajwt-bearer";
        let none = HeaderMap::new();
        for (headers, body, code) in [
            (with_basic("a:b"), "client_secret=b", ErrorCode::InvalidRequest),
            (with_basic("a:b"), assertion, ErrorCode::InvalidRequest),
            (none.clone(), &format!("client_id=a&client_secret=b&{assertion}"), ErrorCode::InvalidRequest),
            (with_basic("a:b"), "client_id=c", ErrorCode::InvalidRequest),
            (none.clone(), "client_id=a&client_id=a", ErrorCode::InvalidRequest),
            (none.clone(), "client_assertion=a.b.c", ErrorCode::InvalidRequest),
            (none.clone(), "", ErrorCode::InvalidClient),
        ] {
            let refused = read(&headers, body).err().map(|error| error.code);
            assert_eq!(refused, Some(code), "{body}");
        }
        assert!(matches!(read(&none, "client_id=a&client_secret=").unwrap(), Credentials::Name(_)));
        assert!(matches!(read(&with_basic("a:"), "").unwrap(), Credentials::Name(_)));
        assert!(matches!(read(&none, assertion).unwrap(), Credentials::Assertion { client_id: None, .. }));
    }
}
