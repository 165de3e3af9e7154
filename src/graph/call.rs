//! One request to Graph, described: what it asks, whom it is counted against, and what may be
//! done when it fails.

use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;

use super::limiter::Scope;

/// What a path segment may hold as it is (RFC 3986 unreserved, and what ids consist of).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'=')
    .remove(b'!');
/// What a query value may not hold. Brackets, quotes and commas of OData stay readable.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'>');

/// Encodes one path segment. Ids, names: whatever it is, it stays one segment.
pub fn segment(text: &str) -> String {
    match text {
        // A URL parser would take these for navigation, encoded or not; no id and no name that
        // Graph knows looks like this, and the answer will be "not found".
        "." | ".." => "%2E%20".into(),
        text => utf8_percent_encode(text, SEGMENT).to_string(),
    }
}

/// Doubles the quotes of a string literal in an OData expression.
pub fn odata_quote(text: &str) -> String {
    text.replace('\'', "''")
}

/// Where a call goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Path and query below `/v1.0`.
    Path(String),
    /// Path and query below `/beta`.
    Beta(String),
    /// A link that Graph gave; used verbatim, after a check of its host.
    Link(String),
    /// SharePoint's own interface: the URL of a site, and path and query below it.
    SharePoint { site: String, path: String },
}

/// What a call carries.
#[derive(Clone, Debug, Default)]
pub(crate) enum Payload {
    #[default]
    None,
    Json(Value),
    Bytes(Bytes, &'static str),
}

impl Payload {
    pub fn bytes(&self) -> (Bytes, Option<&str>) {
        match self {
            Self::None => (Bytes::new(), None),
            Self::Json(value) => (value.to_string().into(), Some("application/json")),
            Self::Bytes(bytes, kind) => (bytes.clone(), Some(kind)),
        }
    }
}

/// A request to Graph.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) method: Method,
    /// Path template, without ids: what is counted, and what errors show.
    pub(crate) route: &'static str,
    pub(crate) target: Target,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Payload,
    pub(crate) scope: Scope,
    /// Resource units, or 1 for a request to a mailbox.
    pub(crate) cost: u64,
    /// Whether sending it twice does the same as once.
    pub(crate) repeatable: bool,
    /// Whether a 400 `invalidRequest` may be a mood of the service (reads of drives).
    pub(crate) moody_400: bool,
    /// Attempts at 404 answers: some are only replication lag.
    pub(crate) patient_404: u32,
    /// Most bytes the answer may have.
    pub(crate) max_body: usize,
    /// All of one attempt, from sending to the last byte of the answer.
    pub(crate) timeout: Duration,
    /// Overrides the attempts at 5xx answers.
    pub(crate) attempts: Option<u32>,
}

/// Bytes of a JSON answer; real pages stay far below.
const MAX_JSON: usize = 128 << 20;

impl Call {
    /// A call whose path is `route` with each `{...}` replaced by the next of `ids`. What replaces
    /// `{path}` may have several segments.
    ///
    /// ```
    /// # use tenantfs::graph::Call;
    /// let call = Call::get("/users/{user}/messages/{id}", &["u1", "AAk/x="]);
    /// assert_eq!(call.path(), "/users/u1/messages/AAk%2Fx=");
    /// ```
    pub fn new(method: Method, route: &'static str, ids: &[&str]) -> Self {
        let mut path = String::with_capacity(route.len() + 64);
        let mut ids = ids.iter();
        let mut rest = route;
        while let Some(open) = rest.find('{') {
            path.push_str(&rest[..open]);
            let close = rest[open..].find('}').map_or(rest.len(), |i| open + i + 1);
            let id = ids.next().copied().unwrap_or_default();
            if &rest[open..close] == "{path}" {
                let parts: Vec<String> = id.split('/').map(segment).collect();
                path.push_str(&parts.join("/"));
            } else {
                path.push_str(&segment(id));
            }
            rest = &rest[close..];
        }
        path.push_str(rest);
        let repeatable = method != Method::POST && method != Method::PATCH;
        let read = method == Method::GET;
        Self {
            method,
            route,
            target: Target::Path(path),
            headers: Vec::new(),
            payload: Payload::None,
            scope: Scope::Free,
            cost: 1,
            repeatable,
            moody_400: false,
            patient_404: if read { 3 } else { 1 },
            max_body: MAX_JSON,
            timeout: Duration::from_secs(180),
            attempts: None,
        }
    }

    /// A read.
    pub fn get(route: &'static str, ids: &[&str]) -> Self {
        Self::new(Method::GET, route, ids)
    }

    /// A creation or an action. Not sent twice unless it is certain that the first did nothing.
    pub fn post(route: &'static str, ids: &[&str], body: Value) -> Self {
        Self {
            payload: Payload::Json(body),
            ..Self::new(Method::POST, route, ids)
        }
    }

    /// A link that Graph gave (`@odata.nextLink`, `@odata.deltaLink`, `Location`), verbatim.
    pub fn link(route: &'static str, link: &str) -> Self {
        Self {
            target: Target::Link(link.to_owned()),
            ..Self::new(Method::GET, route, &[])
        }
    }

    /// The same call of Graph's beta version: for what v1.0 does not have.
    pub fn beta(mut self) -> Self {
        if let Target::Path(path) = self.target {
            self.target = Target::Beta(path);
        }
        self
    }

    /// The same call with `prefix` and one segment before its path.
    pub fn within(mut self, prefix: &str, id: &str) -> Self {
        if let Target::Path(path) | Target::Beta(path) = &mut self.target {
            *path = format!("{prefix}{}{path}", segment(id));
        }
        self
    }

    /// The same call below a place whose URL Graph told: path and query are put behind it.
    pub fn below(mut self, url: &str) -> Self {
        if let Target::Path(path) | Target::Beta(path) = self.target {
            self.target = Target::Link(format!("{}{path}", url.trim_end_matches('/')));
        }
        self
    }

    /// The same call of SharePoint's own interface, at the site of this URL.
    pub fn sharepoint(mut self, site: &str) -> Self {
        if let Target::Path(path) = self.target {
            let site = site.trim_end_matches('/').to_owned();
            self.target = Target::SharePoint { site, path };
        }
        self
    }

    /// Adds a query option. Ignored on links: theirs are in the link.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        if let Target::Path(path) | Target::Beta(path) | Target::SharePoint { path, .. } =
            &mut self.target
        {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(name);
            path.push('=');
            path.push_str(&utf8_percent_encode(value, QUERY).to_string());
        }
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a `Prefer` header.
    pub fn prefer(self, value: impl Into<String>) -> Self {
        self.header("prefer", value)
    }

    /// Counts it against a budget.
    pub fn scope(mut self, scope: Scope, cost: u64) -> Self {
        self.moody_400 = scope == Scope::Drives && self.method == Method::GET;
        self.scope = scope;
        self.cost = cost;
        self
    }

    /// JSON as a body.
    pub fn json(mut self, body: Value) -> Self {
        self.payload = Payload::Json(body);
        self
    }

    /// Raw bytes as a body.
    pub fn body(mut self, bytes: Bytes, content_type: &'static str) -> Self {
        self.payload = Payload::Bytes(bytes, content_type);
        self
    }

    /// Says that sending it twice does no harm.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Says that it must not be sent again unless the service can't have seen it.
    pub fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// Tries a 404 so many times: what was just created is not everywhere at once.
    pub fn patient_404(mut self, attempts: u32) -> Self {
        self.patient_404 = attempts;
        self
    }

    /// Limits the size of the answer and the time for it.
    pub fn bounds(mut self, max_body: usize, timeout: Duration) -> Self {
        self.max_body = max_body;
        self.timeout = timeout;
        self
    }

    /// Attempts at answers 500-504.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Path and query below the version, or the link.
    pub fn path(&self) -> &str {
        match &self.target {
            Target::Path(text)
            | Target::Beta(text)
            | Target::Link(text)
            | Target::SharePoint { path: text, .. } => text,
        }
    }

    /// `GET /users/{id}/...`, for errors.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.method, self.route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use url::Url;

    #[test]
    fn options_keep_their_odata_form() {
        let call = Call::get("/users/{user}/mailFolders/delta", &["a b"])
            .query("$select", "id,displayName")
            .query("$filter", "displayName eq 'R&D + ''x'''");
        assert_eq!(
            call.path(),
            "/users/a%20b/mailFolders/delta?$select=id,displayName&$filter=displayName%20eq%20'R%26D%20%2B%20''x'''"
        );
    }

    proptest! {
        #[test]
        fn an_id_stays_one_segment(id in ".*") {
            let call = Call::get("/users/{user}/messages", &[&id]);
            let url = Url::parse(&format!("https://graph.example/v1.0{}", call.path())).unwrap();
            prop_assert_eq!(url.host_str(), Some("graph.example"));
            prop_assert_eq!(url.path_segments().unwrap().count(), 4);
            prop_assert_eq!(url.path_segments().unwrap().next(), Some("v1.0"));
            prop_assert_eq!(url.query(), None);
        }
    }
}
