//! The metadata of the resource and of its authorization server, at every place where clients look.

use serde_json::{Map, Value};
use url::Url;

use super::Visit;
use crate::cli::doctor::findings::{
    ENDPOINT_ELSEWHERE, FORMS_DIFFER, Finding, HTTP_BEHIND_HTTPS, ISSUER_DIFFERS, KEYS_MISSING,
    METADATA_COMPRESSED, METADATA_KEPT, NO_DOCUMENTS, NO_WAY_TO_REGISTER, PKCE_NOT_ADVERTISED,
    RESOURCE_DIFFERS, RESOURCE_METADATA_MISSING, RESOURCE_METADATA_ROOT, SERVER_METADATA_MISSING,
    WELL_KNOWN_PAGE,
};
use crate::cli::doctor::probe::{Answer, Ask, Trouble, max_age};
use crate::connect::{Challenge, canonical, is_loopback, resource_places, server_places, shown};

/// For how long metadata may be kept, in seconds.
const KEPT_AT_MOST: u64 = 86_400;
const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const SERVER: &str = "/.well-known/oauth-authorization-server";

/// What the rest of the visit needs of the authorization server.
#[derive(Debug)]
pub(super) struct AuthorizationServer {
    /// Whether its metadata names the issuer that led there.
    pub(super) names_itself: bool,
    /// Where its metadata stands.
    pub(super) place: Url,
    /// Where people sign in.
    pub(super) authorization_endpoint: Option<Url>,
    /// Where codes are redeemed.
    pub(super) token_endpoint: Option<Url>,
    /// Where clients register.
    pub(super) registration_endpoint: Option<Url>,
}

/// Looks at all of it; yields the authorization server, if it can be found.
pub(super) async fn check(visit: &mut Visit<'_>, challenge: &Challenge) -> Option<AuthorizationServer> {
    unknown_entry(visit).await;
    let resource = resource(visit, challenge).await;
    let listed = resource.as_ref().map(|found| strings(found, "authorization_servers")).unwrap_or_default();
    let own = visit.endpoint.origin().ascii_serialization();
    let issuer = listed.into_iter().next().unwrap_or(own);
    server(visit, &issuer).await
}

/// The same where there is an authorization server alone, on the visited origin.
pub(super) async fn check_server(visit: &mut Visit<'_>) -> Option<AuthorizationServer> {
    unknown_entry(visit).await;
    let own = visit.endpoint.origin().ascii_serialization();
    server(visit, &own).await
}

/// An entry that does not exist must not be answered with success, and its 404 is no page.
async fn unknown_entry(visit: &mut Visit<'_>) {
    let place = visit.at(&format!("{RESOURCE}/mandate-doctor-asks-for-nothing"));
    let ask = Ask::get(&place);
    let answer = match visit.ask(&ask).await {
        Ok(answer) => answer,
        Err(trouble) => {
            visit.failed(&RESOURCE_METADATA_MISSING, &ask.shown(), &trouble);
            return;
        }
    };
    if answer.status.is_success() {
        visit.report.found(&WELL_KNOWN_PAGE, format!("({}: {})", ask.shown(), answer.status));
    } else if answer.is_page() {
        visit.pages.push(format!("{}: {}", ask.shown(), answer.status));
    } else {
        visit.report.ok("what does not exist below /.well-known/ is said not to");
    }
}

/// A document as it was found at one of its places.
struct Found {
    place: Url,
    answer: Answer,
    object: Map<String, Value>,
}

/// The document at a place; what there is instead goes to `missing`.
async fn fetch(visit: &Visit<'_>, place: Url, missing: &mut Vec<(Url, String)>) -> Option<Found> {
    let ask = Ask::get(&place).header("mcp-protocol-version", super::mcp::LEGACY);
    let why = match visit.ask(&ask).await {
        Ok(answer) => match answer.object() {
            Some(object) if answer.status == http::StatusCode::OK => {
                return Some(Found { place, answer, object });
            }
            _ if answer.status == http::StatusCode::OK => "200, but no JSON object".to_owned(),
            _ => answer.shown(),
        },
        Err(Trouble::Silence(_)) => return None,
        Err(trouble) => trouble.to_string(),
    };
    missing.push((place, why));
    None
}

/// The resource's metadata (RFC 9728) at every place.
async fn resource(visit: &mut Visit<'_>, challenge: &Challenge) -> Option<Map<String, Value>> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let root = visit.at(RESOURCE);
    let mut places: Vec<Url> = Vec::new();
    for place in resource_places(&visit.endpoint, challenge) {
        let place = visit.upgraded(place);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    for place in places {
        found.extend(fetch(visit, place, &mut missing).await);
    }
    for (place, why) in missing {
        let finding = if place == root { &RESOURCE_METADATA_ROOT } else { &RESOURCE_METADATA_MISSING };
        visit.report.found(finding, format!("({}: {why})", shown(&place)));
    }
    let first = found.first()?;
    let named = text(&first.object, "resource").unwrap_or_default();
    same_everywhere(visit, "the resource", &found);
    let expected = canonical(&visit.endpoint);
    let bare = |url: &str| url.trim_end_matches('/').to_owned();
    if bare(&named) == bare(&expected) && (named == expected || expected.ends_with('/')) {
        visit.report.ok(format!("it is about {}", bare_of_query(&named)));
    } else if scheme_or(&named, &expected, &RESOURCE_DIFFERS) == &HTTP_BEHIND_HTTPS {
        if !visit.report.has(&HTTP_BEHIND_HTTPS) {
            visit.report.found(&HTTP_BEHIND_HTTPS, format!("(the resource is {})", bare_of_query(&named)));
        }
    } else {
        let asked = shown(&visit.endpoint);
        visit.report.found(&RESOURCE_DIFFERS, format!("(asked: {asked}, named: {})", bare_of_query(&named)));
    }
    keeping(visit, &first.place.clone(), &first.answer).await;
    found.into_iter().next().map(|found| found.object)
}

/// A query may hold a key.
fn bare_of_query(text: &str) -> String {
    Url::parse(text).map_or_else(|_| text.to_owned(), |url| shown(&url))
}

/// A URL that differs by its scheme alone has one cause.
fn scheme_or(named: &str, expected: &str, otherwise: &'static Finding) -> &'static Finding {
    let downgraded = expected.replacen("https://", "http://", 1);
    if expected.starts_with("https://") && named.starts_with(downgraded.trim_end_matches('/')) {
        return &HTTP_BEHIND_HTTPS;
    }
    otherwise
}

fn same_everywhere(visit: &mut Visit<'_>, whose: &str, found: &[Found]) {
    let Some((first, others)) = found.split_first() else { return };
    match others.iter().find(|other| other.object != first.object) {
        None => visit.report.ok(format!("the metadata of {whose} is the same at {} places", found.len())),
        Some(other) => {
            let text = format!("({} and {})", shown(&first.place), shown(&other.place));
            visit.report.found(&FORMS_DIFFER, text);
        }
    }
}

/// How long it may be kept, and whether it is packed when a client could unpack it.
async fn keeping(visit: &mut Visit<'_>, place: &Url, answer: &Answer) {
    if let Some(age) = max_age(answer).filter(|age| *age > KEPT_AT_MOST) {
        visit.report.found(&METADATA_KEPT, format!("({}: max-age={age})", shown(place)));
    }
    let packed = Ask::get(place).header("accept-encoding", "gzip, deflate, br, zstd");
    match visit.ask(&packed).await {
        Ok(answer) if answer.is_compressed() => {
            let text = format!("({}: {})", shown(place), answer.header("content-encoding"));
            visit.report.found(&METADATA_COMPRESSED, text);
        }
        Ok(_) => visit.report.ok("metadata is not compressed"),
        Err(_) => {}
    }
}

/// The authorization server's metadata (RFC 8414, OpenID Connect Discovery) at every place.
async fn server(visit: &mut Visit<'_>, issuer: &str) -> Option<AuthorizationServer> {
    let Ok(url) = Url::parse(issuer) else {
        visit.report.found(&SERVER_METADATA_MISSING, format!("({issuer} is no URL)"));
        return None;
    };
    let url = visit.upgraded(url);
    let mut places = server_places(&url);
    let inserted = visit.at(&format!("{SERVER}{}", visit.endpoint.path().trim_end_matches('/')));
    if url.origin() == visit.endpoint.origin() {
        places.push(inserted.clone());
    }
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for place in places {
        found.extend(fetch(visit, place, &mut missing).await);
    }
    let Some(first) = found.first() else {
        let (place, why) = missing.into_iter().next()?;
        visit.report.found(&SERVER_METADATA_MISSING, format!("({}: {why})", shown(&place)));
        return None;
    };
    same_everywhere(visit, "the authorization server", &found);
    let (place, object) = (first.place.clone(), first.object.clone());
    let named = text(&object, "issuer").unwrap_or_default();
    if named != issuer {
        let text = format!("(the resource names {issuer}, {} says {named})", shown(&place));
        visit.report.found(&ISSUER_DIFFERS, text);
    } else if !visit.report.has(&HTTP_BEHIND_HTTPS) {
        visit.report.ok(format!("the issuer is {issuer}, byte for byte"));
    }
    endpoints(visit, &object, issuer);
    offers(visit, &object);
    keys(visit, &object).await;
    let mut endpoint = |name: &str| {
        let url = text(&object, name).and_then(|text| Url::parse(&text).ok())?;
        Some(visit.upgraded(url))
    };
    Some(AuthorizationServer {
        names_itself: named == issuer,
        authorization_endpoint: endpoint("authorization_endpoint"),
        token_endpoint: endpoint("token_endpoint"),
        registration_endpoint: endpoint("registration_endpoint"),
        place,
    })
}

/// Every endpoint is https on the issuer's origin; plain http is for this machine.
fn endpoints(visit: &mut Visit<'_>, object: &Map<String, Value>, issuer: &str) {
    let origin = Url::parse(issuer).map(|url| url.origin()).ok();
    let named = object.iter().filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri");
    let named: Vec<(&String, &str)> =
        named.filter_map(|(name, value)| Some((name, value.as_str()?))).collect();
    let is_odd = |text: &str| {
        Url::parse(text).map_or(true, |url| {
            let safe = url.scheme() == "https" || is_loopback(&url);
            !safe || Some(url.origin()) != origin
        })
    };
    let odd: Vec<String> =
        named.iter().filter(|(_, text)| is_odd(text)).map(|(name, text)| format!("{name}: {text}")).collect();
    match odd.first() {
        None => visit.report.ok(format!("all {} endpoints are on the issuer's origin", named.len())),
        Some(_) if visit.report.has(&HTTP_BEHIND_HTTPS) => {}
        Some(first) => {
            let text = first.split_once(": ").map_or("", |(_, text)| text);
            let finding = scheme_or(text, issuer, &ENDPOINT_ELSEWHERE);
            visit.report.found(finding, format!("({})", odd.join("; ")));
        }
    }
}

/// What clients look for before they begin.
fn offers(visit: &mut Visit<'_>, object: &Map<String, Value>) {
    if strings(object, "code_challenge_methods_supported").iter().any(|method| method == "S256") {
        visit.report.ok("PKCE with S256 is offered");
    } else {
        visit.report.found(&PKCE_NOT_ADVERTISED, "");
    }
    let documents = object.get("client_id_metadata_document_supported") == Some(&Value::Bool(true));
    let registration = object.contains_key("registration_endpoint");
    match (documents, registration) {
        (true, true) => visit.report.ok("clients may register, or be known by their metadata document"),
        (true, false) => visit.report.ok("clients may be known by their metadata document"),
        (false, true) => visit.report.found(&NO_DOCUMENTS, ""),
        (false, false) => visit.report.found(&NO_WAY_TO_REGISTER, ""),
    }
}

async fn keys(visit: &mut Visit<'_>, object: &Map<String, Value>) {
    let Some(url) = text(object, "jwks_uri").and_then(|text| Url::parse(&text).ok()) else { return };
    let url = visit.upgraded(url);
    let ask = Ask::get(&url);
    let why = match visit.ask(&ask).await {
        Ok(answer) => {
            let keys = answer.object().and_then(|object| Some(object.get("keys")?.as_array()?.len()));
            match keys {
                Some(keys) if keys > 0 => {
                    visit.report.ok(format!("{keys} public keys can be read"));
                    return;
                }
                _ => answer.shown(),
            }
        }
        Err(trouble) => {
            visit.failed(&KEYS_MISSING, &ask.shown(), &trouble);
            return;
        }
    };
    visit.report.found(&KEYS_MISSING, format!("({}: {why})", ask.shown()));
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

fn strings(object: &Map<String, Value>, name: &str) -> Vec<String> {
    let list = object.get(name).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_that_was_lost_is_told_from_another_host() {
        for (named, expected) in [
            ("http://t.example/mcp", &HTTP_BEHIND_HTTPS),
            ("https://10.0.0.7:8080/mcp", &RESOURCE_DIFFERS),
            ("http://10.0.0.7:8080/mcp", &RESOURCE_DIFFERS),
            ("", &RESOURCE_DIFFERS),
        ] {
            assert_eq!(scheme_or(named, "https://t.example/mcp", &RESOURCE_DIFFERS), expected, "{named}");
        }
    }
}
