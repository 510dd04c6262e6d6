//! What people see of the authorization server: one typed view for each page, filled by the handlers.
//!
//! A view says what is so, its template (`templates/<name>.html`) says it in words. Text that clients chose arrives as
//! [`ClientName`](client_name::ClientName), [`DisplayName`](crate::web::text::DisplayName) or
//! [`HttpsLink`](crate::web::text::HttpsLink) and is escaped by askama; nothing here is marked safe. No page has a script. To send a view: [`Page`](crate::web::page::Page).
//!
//! | view | shown at | its forms post to |
//! |---|---|---|
//! | [`home::HomePage`] | `/` | |
//! | [`login::LoginPage`] | `/login` | `/login` |
//! | [`setup::SetupPage`] | `/setup` | `/setup` |
//! | [`consent::ConsentPage`] | `/consent/{id}` | `/consent/{id}` |
//! | [`connected::ConnectedPage`] | `/consent/{id}`, after it was answered | |
//! | [`account::AccountPage`] | `/account` | `/account/revoke`, `/logout` |
//! | [`activity::ActivityPage`] | `/account/apps/{grant_id}/activity` | `/logout` |
//! | [`signed_out::SignedOutPage`] | `/logout` | |
//! | [`errors`] | wherever an authorization request cannot go on | |

pub mod account;
pub mod activity;
pub mod client_name;
pub mod connected;
pub mod consent;
pub mod deed_words;
pub mod errors;
pub mod home;
pub mod login;
pub mod scope_words;
pub mod server;
pub mod setup;
pub mod sign_in;
pub mod signed_out;

#[cfg(test)]
mod gallery;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
