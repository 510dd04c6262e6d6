//! What an ID token leaves out (OpenID Connect Core §5.3).

use http::{HeaderValue, Request, StatusCode, header};
use openidconnect::AccessToken;
use serde_json::{Map, Value};
use tracing::Instrument as _;

use super::metadata::Metadata;
use super::{Result, Trouble};
use crate::app::App;
use crate::telemetry;

/// The longest answer, in bytes.
const LIMIT_BYTES: usize = 256 * 1024;

/// Adds the claims that the provider has of its `subject` to those of the ID token, which keep the last word.
pub(super) async fn add(
    app: &App,
    metadata: &Metadata,
    access_token: &AccessToken,
    subject: &str,
    claims: &mut Map<String, Value>,
) -> Result<()> {
    let Some(endpoint) = metadata.userinfo_endpoint() else { return Ok(()) };
    let wrong = |detail: &str| Trouble::wrong("userinfo", format!("userinfo_endpoint: {detail}"));
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", access_token.secret()))
        .map_err(|_| wrong("the access token is not made of what a header may hold"))?;
    bearer.set_sensitive(true);
    let request = Request::get(endpoint.url().as_str())
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, bearer)
        .body(Vec::new())
        .map_err(|error| wrong(&error.to_string()))?;
    let asked = app.outbound.exchange(request, LIMIT_BYTES).instrument(telemetry::step("userinfo")).await;
    let answer = asked.map_err(|error| Trouble::Away(format!("userinfo_endpoint: {}", error.detail())))?;
    match answer.status() {
        StatusCode::OK => {}
        status if status.is_server_error() => {
            return Err(Trouble::Away(format!("userinfo_endpoint: status {}", status.as_u16())));
        }
        status => return Err(wrong(&format!("status {}", status.as_u16()))),
    }
    merge(claims, answer.body(), subject).map_err(wrong)
}

/// The answer is about the same person, or about nobody (§5.3.2).
fn merge(
    claims: &mut Map<String, Value>,
    body: &[u8],
    subject: &str,
) -> std::result::Result<(), &'static str> {
    let further: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| "the answer is no JSON object")?;
    if further.get("sub").and_then(Value::as_str) != Some(subject) {
        return Err("the answer is about another sub");
    }
    // An address and whether it is verified are said together or not at all.
    if !(claims.contains_key("email") && claims.contains_key("email_verified")) {
        claims.remove("email");
        claims.remove("email_verified");
    }
    for (name, value) in further {
        claims.entry(name).or_insert(value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_said_of_the_same_person_counts_and_the_id_token_has_the_last_word() {
        let mut claims = json!({ "sub": "1", "email": "a@b.example", "email_verified": false })
            .as_object()
            .unwrap()
            .clone();
        for other in [json!({ "sub": "2", "x": 1 }), json!({ "x": 1 }), json!([]), json!({ "sub": 1 })] {
            assert!(merge(&mut claims, other.to_string().as_bytes(), "1").is_err(), "{other}");
        }
        let more = json!({ "sub": "1", "email": "evil@b.example", "groups": ["staff"] });
        merge(&mut claims, more.to_string().as_bytes(), "1").unwrap();
        let expected =
            json!({ "sub": "1", "email": "a@b.example", "email_verified": false, "groups": ["staff"] });
        assert_eq!(Value::Object(claims), expected);
    }

    #[test]
    fn an_address_and_whether_it_is_verified_are_of_one_source() {
        let mut claims = json!({ "sub": "1", "email": "a@b.example" }).as_object().unwrap().clone();
        let more = json!({ "sub": "1", "email": "c@d.example", "email_verified": true });
        merge(&mut claims, more.to_string().as_bytes(), "1").unwrap();
        assert_eq!(Value::Object(claims), more);
    }
}
