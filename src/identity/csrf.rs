//! The proof that a form was served by us to this very browser: a tag over a secret of one of its cookies.
//!
//! Beside it stands tower-http's check of `Sec-Fetch-Site` and `Origin`; either alone would do, and a form that
//! fails gets a page that says what to do. The anchor is the cookie that belongs to the form (session, flow,
//! sign-in), so that several flows in one browser never spoil each other's forms.

use crate::app::App;
use crate::oauth::error::Error;
use crate::oauth::secret::equal;

/// The hidden field of a form called `form`, for the browser that holds `anchor`.
pub fn token(app: &App, form: &str, anchor: &str) -> Result<String, Error> {
    Ok(app.keys.sealing.tag("csrf", &format!("{form}\n{anchor}"))?)
}

/// Whether `presented` is that field.
pub fn matches(app: &App, form: &str, anchor: &str, presented: Option<&str>) -> Result<bool, Error> {
    let expected = token(app, form, anchor)?;
    Ok(presented.is_some_and(|presented| equal(presented.as_bytes(), expected.as_bytes())))
}
