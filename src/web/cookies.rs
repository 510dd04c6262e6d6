//! Cookies: `__Host-` wherever the public URL is https, plain names on http loopback.

use std::time::Duration;

use axum_extra::extract::cookie::{Cookie, SameSite};

use crate::config::PublicUrl;

/// The name of a cookie of ours.
pub fn name(public_url: &PublicUrl, what: &str) -> String {
    if public_url.is_https() { format!("__Host-mandate-{what}") } else { format!("mandate-{what}") }
}

/// A cookie for this host alone. `SameSite=Lax`, because people arrive from their client's site (Strict would
/// sign them out at that moment).
pub fn make(public_url: &PublicUrl, what: &str, value: String, lifetime: Duration) -> Cookie<'static> {
    Cookie::build((name(public_url, what), value))
        .path("/")
        .http_only(true)
        .secure(public_url.is_https())
        .same_site(SameSite::Lax)
        .max_age(time::Duration::seconds(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)))
        .build()
}

/// The cookie that removes another.
pub fn removal(public_url: &PublicUrl, what: &str) -> Cookie<'static> {
    make(public_url, what, String::new(), Duration::ZERO)
}
