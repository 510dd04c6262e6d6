//! The page after signing out.

use askama::Template;

/// The answer to `POST /logout`.
#[derive(Debug, Template)]
#[template(path = "signed_out.html")]
pub struct SignedOutPage;
