//! A browser as far as the server can tell: cookies, forms, and no redirect followed unless asked.

use std::collections::BTreeMap;

use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::{PASSWORD, Server, header, http};

/// Where a server is reached.
pub(crate) trait Address: Sync {
    /// The absolute URL of a path.
    fn at(&self, path: &str) -> String;

    /// A client that follows no redirect and can reach it.
    fn http(&self) -> reqwest::Client {
        http()
    }
}

impl Address for Server {
    fn at(&self, path: &str) -> String {
        Server::at(self, path)
    }
}

/// What a page load gave.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The status.
    pub(crate) status: StatusCode,
    /// `Location`, as sent.
    pub(crate) location: String,
    /// The headers.
    pub(crate) headers: reqwest::header::HeaderMap,
    /// The body.
    pub(crate) body: String,
}

impl Loaded {
    /// The value of the hidden field `name`.
    pub(crate) fn hidden(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        let start = self.body.find(&marker).unwrap_or_else(|| panic!("no field {name} in {}", self.body));
        let rest = &self.body[start + marker.len()..];
        rest[..rest.find('"').unwrap()].to_owned()
    }

    /// The page's title.
    pub(crate) fn title(&self) -> String {
        let start = self.body.find("<title>").map_or(0, |at| at + 7);
        let end = self.body.find("</title>").unwrap_or(start);
        self.body[start..end].to_owned()
    }

    /// Whether it is a page of this status and title, with the headers that every page has, and leads nowhere.
    #[track_caller]
    pub(crate) fn assert_page(&self, status: StatusCode, title: &str) {
        assert_eq!((self.status, self.location.as_str()), (status, ""), "{}", self.body);
        assert_eq!(self.title(), format!("{title} · Mandate"));
        let header = |name: &str| self.headers.get(name).map_or("", |value| value.to_str().unwrap());
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(header(name), value, "{name}");
        }
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("form-action") && !policy.contains("unsafe"), "{policy}");
        assert!(!self.body.contains("<script") && !self.body.contains("src=\"http"), "{}", self.body);
    }

    /// The checkboxes of a consent page: each scope with whether it is ticked.
    pub(crate) fn boxes(&self) -> Vec<(&str, bool)> {
        let boxes = self.body.split("name=\"scope\" value=\"").skip(1);
        boxes
            .map(|rest| {
                let tag = &rest[..rest.find('>').unwrap()];
                (&rest[..rest.find('"').unwrap()], tag.contains(" checked"))
            })
            .collect()
    }

    /// The parameters of the redirect's query.
    pub(crate) fn answer(&self) -> BTreeMap<String, String> {
        let url = Url::parse(&self.location).unwrap_or_else(|_| panic!("no redirect to a client: {self:?}"));
        url.query_pairs().into_owned().collect()
    }
}

/// One browser.
pub(crate) struct Browser<'a> {
    server: &'a dyn Address,
    http: reqwest::Client,
    /// Its cookies.
    pub(crate) cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    /// A fresh browser.
    pub(crate) fn new(server: &'a dyn Address) -> Self {
        Self { server, http: server.http(), cookies: BTreeMap::new() }
    }

    /// A browser in which somebody is signed in.
    pub(crate) async fn signed_in(server: &'a dyn Address, username: &str) -> Self {
        let mut browser = Self::new(server);
        let page = browser.get("/login").await;
        let loaded = browser.sign_in(&page, username, PASSWORD).await;
        assert_eq!(loaded.status, StatusCode::SEE_OTHER, "{}", loaded.body);
        browser
    }

    /// Loads a page.
    pub(crate) async fn get(&mut self, path: &str) -> Loaded {
        self.send(Method::GET, path, None, &[]).await
    }

    /// Sends a form, as a browser does from a page of ours.
    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Loaded {
        self.send(Method::POST, path, Some(form), &[("sec-fetch-site", "same-origin"), ("origin", "null")])
            .await
    }

    /// Sends anything.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        form: Option<&[(&str, &str)]>,
        headers: &[(&str, &str)],
    ) -> Loaded {
        let mut request = self.http.request(method, self.server.at(path));
        if !self.cookies.is_empty() {
            let pairs: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", pairs.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            request = request.form(form);
        }
        let response = request.send().await.unwrap();
        self.keep_cookies(&response);
        let (status, location) = (response.status(), header(&response, "location"));
        let headers = response.headers().clone();
        Loaded { status, location, headers, body: response.text().await.unwrap() }
    }

    /// Fills in the sign-in page.
    pub(crate) async fn sign_in(&mut self, page: &Loaded, username: &str, password: &str) -> Loaded {
        let csrf = page.hidden("csrf");
        let mut form = vec![("csrf", csrf.as_str()), ("username", username), ("password", password)];
        let flow = page.body.contains("name=\"flow\"").then(|| page.hidden("flow"));
        if let Some(flow) = &flow {
            form.push(("flow", flow));
        }
        self.post("/login", &form).await
    }

    /// Opens an authorization request and goes on to the consent page; returns its path and the page.
    pub(crate) async fn open_consent(&mut self, authorize: &str, username: &str) -> (String, Loaded) {
        let mut loaded = self.get(authorize).await;
        if loaded.location.starts_with("/login") {
            let location = loaded.location.clone();
            let page = self.get(&location).await;
            loaded = self.sign_in(&page, username, PASSWORD).await;
        }
        assert!(loaded.location.starts_with("/consent/"), "{loaded:?}");
        let path = loaded.location.clone();
        let page = self.get(&path).await;
        (path, page)
    }

    /// Presses a button of the consent page with these boxes ticked.
    pub(crate) async fn decide(
        &mut self,
        path: &str,
        page: &Loaded,
        decision: &str,
        scopes: &[&str],
    ) -> Loaded {
        let csrf = page.hidden("csrf");
        let mut form = vec![("csrf", csrf.as_str()), ("decision", decision)];
        form.extend(scopes.iter().map(|scope| ("scope", *scope)));
        self.post(path, &form).await
    }

    fn keep_cookies(&mut self, response: &Response) {
        for value in response.headers().get_all("set-cookie") {
            let text = value.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
