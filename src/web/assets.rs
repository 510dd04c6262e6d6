//! The stylesheet and the mark, built into the binary and served under a path that names their content, so that a
//! browser keeps them for good and a new release is seen at once.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::page::ErrorPage;

/// A file built into the binary.
pub struct Asset {
    name: &'static str,
    extension: &'static str,
    content_type: &'static str,
    body: &'static str,
    digest: LazyLock<String>,
}

static STYLESHEET: Asset = Asset {
    name: "mandate",
    extension: "css",
    content_type: "text/css; charset=utf-8",
    body: include_str!("../../templates/assets/mandate.css"),
    digest: LazyLock::new(|| short_digest(STYLESHEET.body)),
};

static MARK: Asset = Asset {
    name: "mark",
    extension: "svg",
    content_type: "image/svg+xml",
    body: include_str!("../../templates/assets/mark.svg"),
    digest: LazyLock::new(|| short_digest(MARK.body)),
};

/// The path of the stylesheet.
#[must_use]
pub fn stylesheet() -> String {
    STYLESHEET.path()
}

/// The path of the mark, which is the favicon too.
#[must_use]
pub fn mark() -> String {
    MARK.path()
}

/// `GET /assets/<name>-<digest>.<extension>`.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/assets/{file}", get(serve))
}

async fn serve(Path(file): Path<String>) -> Response {
    let found = [&STYLESHEET, &MARK].into_iter().find_map(|asset| Some((asset, asset.digest_in(&file)?)));
    let Some((asset, asked)) = found else {
        return ErrorPage::not_found().into_response();
    };
    // While a release rolls out, a page of one version may ask a replica of the other: it gets what there is, uncached.
    let kept = if asked == *asset.digest { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers =
        [(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, kept), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, asset.body).into_response()
}

impl Asset {
    fn path(&self) -> String {
        format!("/assets/{}-{}.{}", self.name, *self.digest, self.extension)
    }

    /// The digest a file name asks for, if it is this asset's name.
    fn digest_in<'a>(&self, file: &'a str) -> Option<&'a str> {
        file.strip_prefix(self.name)?.strip_prefix('-')?.strip_suffix(self.extension)?.strip_suffix('.')
    }
}

/// 64 bits of SHA-256 in hexadecimal.
fn short_digest(body: &str) -> String {
    let full = digest(&SHA256, body.as_bytes());
    let head = full.as_ref().first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;

    async fn answer(path: &str) -> (StatusCode, String, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router::<()>().oneshot(request).await.unwrap();
        let header =
            |name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
        (response.status(), header(CONTENT_TYPE), header(CACHE_CONTROL))
    }

    #[tokio::test]
    async fn an_asset_is_cached_for_good_only_under_its_own_digest() {
        let for_good = "public, max-age=31536000, immutable";
        for (path, content_type, kept) in [
            (stylesheet(), "text/css; charset=utf-8", for_good),
            (mark(), "image/svg+xml", for_good),
            ("/assets/mandate-0123456789abcdef.css".to_owned(), "text/css; charset=utf-8", "no-store"),
        ] {
            assert_eq!(
                answer(&path).await,
                (StatusCode::OK, content_type.to_owned(), kept.to_owned()),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn no_other_file_is_served() {
        for path in ["/assets/mandate.css", "/assets/mark-1.css", "/assets/..%2fCargo.toml", "/assets/x"] {
            assert_eq!(answer(path).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
