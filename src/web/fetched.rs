//! Documents of others (client metadata, key sets, discovery), kept in the store between fetches so that a restart or another
//! replica does not ask again, and an origin that is away for a while signs nobody out.

use url::Url;

use crate::app::App;
use crate::oauth::error::Error;
use crate::storage::{commit, documents};
pub use crate::web::outbound::cached::CachedDocument;
use crate::web::outbound::cached::{CacheBounds, Refresh, refresh};
use crate::web::outbound::{FetchError, Wanted};

/// Why there is no usable document.
#[derive(Debug)]
pub enum Failure {
    /// It could not be fetched, and no older copy may stand in.
    Fetch(FetchError),
    /// It was fetched and is not what it should be, and no older copy may stand in.
    Invalid(String),
}

/// What a document is taken for. Copies are kept apart by it: what one kind of caller refuses must not make an
/// old copy stand in for another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A client ID metadata document.
    ClientDocument,
    /// A key set.
    KeySet,
    /// What an issuer says of itself.
    Discovery,
}

impl Purpose {
    fn key(self, url: &Url) -> String {
        match self {
            Self::ClientDocument => format!("client {url}"),
            Self::KeySet => format!("keys {url}"),
            Self::Discovery => format!("discovery {url}"),
        }
    }
}

/// The copy that is kept, fresh or not.
pub async fn kept(app: &App, purpose: Purpose, url: &Url) -> Result<Option<CachedDocument>, Error> {
    let text = app.store.find_document(&purpose.key(url)).await?;
    // A copy that a later version wrote in another form is fetched anew.
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Asks the origin. A body that `judge` refuses is never kept (draft §5.2); while an older copy may stand in for a
/// failing origin, it does.
pub async fn renew(
    app: &App,
    purpose: Purpose,
    wanted: Wanted<'_>,
    copy: Option<CachedDocument>,
    judge: impl Fn(&str) -> Result<(), String>,
) -> Result<Result<CachedDocument, Failure>, Error> {
    let (bounds, now) = (CacheBounds::default(), app.now());
    let document = match refresh(&app.outbound, wanted, copy.as_ref(), &bounds, now.0).await {
        Err(error) => return Ok(Err(Failure::Fetch(error))),
        Ok(Refresh::Fetched(document)) => match (judge(&document.body), copy) {
            (Ok(()), _) => document,
            (Err(reason), copy) => match copy.and_then(|copy| copy.standing_in(&bounds, now.0)) {
                Some(older) => older,
                None => return Ok(Err(Failure::Invalid(reason))),
            },
        },
        Ok(Refresh::StandsIn(older, error)) => {
            tracing::warn!(url = %wanted.url, detail = error.detail(), "an older copy stands in");
            older
        }
        Ok(Refresh::Confirmed(document)) => document,
    };
    if let Ok(text) = serde_json::to_string(&document) {
        let mut tx = app.store.write().await?;
        documents::keep(&mut tx, &purpose.key(wanted.url), &text, now).await?;
        commit(tx).await?;
    }
    Ok(Ok(document))
}
