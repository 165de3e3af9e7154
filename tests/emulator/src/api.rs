//! A request as Graph sees it and an answer as Graph gives it: what every handler takes and returns.
//!
//! Handlers are plain synchronous functions of [`World`](crate::world::World) and an [`ApiRequest`],
//! so that `$batch` can call them for its members. All that has to do with sockets, delays, faults,
//! quotas and logs happens around them in [`crate::server`].
//!
//! Path segments are split before they are percent-decoded. Names of query options are kept without
//! their `$`, in lower case: `%24top`, `$top` and `top` are one option.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// Which of Graph's two API versions a path begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    Beta,
}

impl Version {
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V1 => "v1.0",
            Version::Beta => "beta",
        }
    }
}

/// Who asks: what the access token said.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    pub app_id: String,
    /// Application permissions, or the scopes of a delegated token.
    pub roles: Vec<String>,
    /// Id of the signed-in user of a delegated token: who `/me` is.
    pub user: Option<String>,
}

impl Caller {
    /// True when the token carries at least one of `roles`. A delegated scope is the application
    /// permission without `.All`.
    pub fn has_any(&self, roles: &[&str]) -> bool {
        roles.iter().any(|wanted| {
            self.roles.iter().any(|have| {
                have == wanted
                    || (self.user.is_some() && wanted.strip_suffix(".All") == Some(have.as_str()))
            })
        })
    }
}

/// One request below `/v1.0` or `/beta`, or one member of a `$batch`.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    pub method: Method,
    pub version: Version,
    /// Decoded segments below the version. `/users('x')/messages` reads as `users`, `x`, `messages`;
    /// empty segments (two slashes) are dropped. `root:/a/b:/content` reads as `root:`, `a`, `b:`,
    /// `content`.
    pub path: Vec<String>,
    /// The path below the version as it was sent: `/drives/b!1/root:/a%2Fb:/content`.
    pub raw_path: String,
    /// Names without `$` and in lower case, values decoded, in the order they were sent.
    pub query: Vec<(String, String)>,
    /// The query as it was sent, without `?`.
    pub raw_query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// `scheme://host[:port]` the request was asked under; absolute links are made from it.
    pub base_url: String,
    pub caller: Caller,
    /// A scripted fault that only the handler itself can play; see [`crate::faults`].
    pub hint: Option<Hint>,
}

/// Faults inside an answer that is otherwise well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// The hash told for a file is not that of its bytes.
    WrongHash,
    /// The pre-authenticated URL given out has expired already.
    ExpiredUrl,
    /// One item fails with this code inside an answer that is well: its id, or text in its subject.
    Item { item: String, code: String },
}

impl ApiRequest {
    /// Parses `target` (`/v1.0/users?$top=1`, or the same as an absolute URL). `None` when it is not
    /// below `/v1.0` or `/beta`.
    pub fn parse(method: Method, target: &str) -> Option<ApiRequest> {
        let (raw, raw_query) = target.split_once('?').unwrap_or((target, ""));
        let raw = raw.trim_start_matches('/');
        let (version, rest) = match raw.split_once('/') {
            Some((v, rest)) => (v, rest),
            None => (raw, ""),
        };
        let version = match version.to_ascii_lowercase().as_str() {
            "v1.0" => Version::V1,
            "beta" => Version::Beta,
            _ => return None,
        };
        Some(ApiRequest {
            method,
            version,
            path: segments(rest),
            raw_path: format!("/{}", rest.trim_start_matches('/')),
            query: parse_query(raw_query),
            raw_query: raw_query.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            base_url: String::new(),
            caller: Caller::default(),
            hint: None,
        })
    }

    /// Segment `index` of the path, or the empty string.
    pub fn segment(&self, index: usize) -> &str {
        self.path.get(index).map_or("", String::as_str)
    }

    /// The path as borrowed strings, for matching with slice patterns. Names of segments are not
    /// case-sensitive in Graph, ids are: compare with `eq_ignore_ascii_case`.
    pub fn path_ref(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// Value of query option `name` (`"top"`, `"select"`: without `$`, lower case).
    pub fn option(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// Value of one preference of the `Prefer` headers: `prefer("IdType")` is `ImmutableId` for
    /// `Prefer: IdType="ImmutableId", odata.maxpagesize=5`. A preference without value reads as `""`.
    pub fn prefer(&self, name: &str) -> Option<String> {
        preference(&self.headers, name)
    }

    /// Ids of Exchange items in this request's answer are to be immutable.
    pub fn immutable_ids(&self) -> bool {
        wants_immutable_ids(&self.headers)
    }

    /// The body as JSON; an empty body is `null`.
    pub fn json(&self) -> Result<Value, ApiResponse> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|e| {
            ApiResponse::error(
                400,
                "BadRequest",
                &format!("Unable to read JSON request payload. {e}"),
            )
        })
    }

    /// `base_url/v1.0` for links into the same version.
    pub fn root_url(&self) -> String {
        format!("{}/{}", self.base_url, self.version.as_str())
    }

    /// `@odata.context` for `what` (`users`, `Collection(message)`).
    pub fn context(&self, what: &str) -> String {
        format!(
            "https://graph.microsoft.com/{}/$metadata#{what}",
            self.version.as_str()
        )
    }

    /// This request's own URL without query, for paging links.
    pub fn own_url(&self) -> String {
        format!("{}{}", self.root_url(), self.raw_path)
    }
}

/// A request to a pre-authenticated URL outside the API: no version, no caller.
#[derive(Debug, Clone)]
pub struct RawRequest {
    pub method: Method,
    /// Decoded segments: `_download`, ... or `_upload`, ...
    pub path: Vec<String>,
    /// As [`ApiRequest::query`].
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub base_url: String,
}

impl RawRequest {
    /// As [`ApiRequest::immutable_ids`].
    pub fn immutable_ids(&self) -> bool {
        wants_immutable_ids(&self.headers)
    }

    pub fn option(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

fn preference(headers: &HeaderMap, name: &str) -> Option<String> {
    for line in headers.get_all("prefer") {
        let Ok(line) = line.to_str() else { continue };
        for part in line.split(',') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if key.trim().eq_ignore_ascii_case(name) {
                return Some(value.trim().trim_matches('"').to_owned());
            }
        }
    }
    None
}

fn wants_immutable_ids(headers: &HeaderMap) -> bool {
    preference(headers, "IdType").is_some_and(|v| v.eq_ignore_ascii_case("ImmutableId"))
}

/// Splits and decodes a path below the version.
fn segments(rest: &str) -> Vec<String> {
    let mut out = Vec::new();
    for raw in rest.split('/').filter(|s| !s.is_empty()) {
        let text = percent_decode_str(raw).decode_utf8_lossy().into_owned();
        match key_in_parentheses(&text) {
            Some((name, key)) => {
                out.push(name.to_owned());
                out.push(key);
            }
            None => out.push(text),
        }
    }
    out
}

/// `users('o''neil@x')` is `users` with key `o'neil@x`. Functions (`delta(token='x')`) have a name
/// inside the parentheses and stay as they are.
fn key_in_parentheses(segment: &str) -> Option<(&str, String)> {
    let (name, rest) = segment.split_once("('")?;
    let key = rest.strip_suffix("')")?;
    (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()))
        .then(|| (name, key.replace("''", "'")))
}

/// Splits a query string; names lose their `$` and their case.
pub fn parse_query(raw: &str) -> Vec<(String, String)> {
    raw.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let decode = |s: &str| {
                percent_decode_str(&s.replace('+', " "))
                    .decode_utf8_lossy()
                    .into_owned()
            };
            let name = decode(name).to_ascii_lowercase();
            (name.trim_start_matches('$').to_owned(), decode(value))
        })
        .collect()
}

/// What an answer carries.
pub enum Body {
    Empty,
    Json(Value),
    Bytes(Bytes, String),
    /// `length` bytes made one piece after another, so that a file of any size costs one piece of
    /// memory.
    Chunks {
        length: u64,
        content_type: String,
        pieces: Box<dyn Iterator<Item = Bytes> + Send>,
    },
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Body::Empty => f.write_str("Empty"),
            Body::Json(value) => write!(f, "Json({value})"),
            Body::Bytes(bytes, kind) => write!(f, "Bytes({} of {kind})", bytes.len()),
            Body::Chunks {
                length,
                content_type,
                ..
            } => write!(f, "Chunks({length} of {content_type})"),
        }
    }
}

/// One answer. The server adds `request-id`, `Date`, `innerError` and the like.
#[derive(Debug)]
pub struct ApiResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
}

impl ApiResponse {
    pub fn new(status: u16, body: Body) -> ApiResponse {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        ApiResponse {
            status,
            headers: HeaderMap::new(),
            body,
        }
    }

    pub fn json(status: u16, body: Value) -> ApiResponse {
        ApiResponse::new(status, Body::Json(body))
    }

    pub fn ok(body: Value) -> ApiResponse {
        ApiResponse::json(200, body)
    }

    pub fn bytes(status: u16, bytes: impl Into<Bytes>, content_type: &str) -> ApiResponse {
        ApiResponse::new(status, Body::Bytes(bytes.into(), content_type.to_owned()))
    }

    pub fn no_content() -> ApiResponse {
        ApiResponse::new(204, Body::Empty)
    }

    /// An answer without a body (302 has its Location added by [`ApiResponse::redirect`]).
    pub fn empty(status: u16) -> ApiResponse {
        ApiResponse::new(status, Body::Empty)
    }

    pub fn redirect(location: &str) -> ApiResponse {
        ApiResponse::empty(302).with_header("location", location)
    }

    /// Graph's error envelope. `innerError` is added when the answer leaves the server.
    pub fn error(status: u16, code: &str, message: &str) -> ApiResponse {
        ApiResponse::json(status, json!({"error": {"code": code, "message": message}}))
    }

    /// An error whose inner code is more exact than the outer one.
    pub fn error_inner(status: u16, code: &str, message: &str, inner: &str) -> ApiResponse {
        ApiResponse::json(
            status,
            json!({"error": {"code": code, "message": message, "innerError": {"code": inner}}}),
        )
    }

    /// Sets a header; a value that no header can hold is left out.
    pub fn with_header(mut self, name: &str, value: &str) -> ApiResponse {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            self.headers.insert(name, value);
        }
        self
    }

    pub fn retry_after(self, seconds: u64) -> ApiResponse {
        self.with_header(header::RETRY_AFTER.as_str(), &seconds.to_string())
    }

    /// 404 for a segment no resource has.
    pub fn no_such_segment(segment: &str) -> ApiResponse {
        ApiResponse::error(
            400,
            "BadRequest",
            &format!("Resource not found for the segment '{segment}'."),
        )
    }

    pub fn method_not_allowed() -> ApiResponse {
        ApiResponse::error(
            405,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_split_before_it_is_decoded() {
        let r = ApiRequest::parse(
            Method::GET,
            "/v1.0//users/alice%40contoso.com/mailFolders('a%2Fb')/messages?%24top=5&select=id,subject&$filter=a%20eq+'b'",
        )
        .unwrap();
        assert_eq!(
            r.path_ref(),
            [
                "users",
                "alice@contoso.com",
                "mailFolders",
                "a/b",
                "messages"
            ]
        );
        assert_eq!(r.option("top"), Some("5"));
        assert_eq!(r.option("select"), Some("id,subject"));
        assert_eq!(r.option("filter"), Some("a eq 'b'"));
    }

    #[test]
    fn drive_paths_and_functions_keep_their_marks() {
        let r =
            ApiRequest::parse(Method::GET, "/beta/drives/b!1/root:/a/b:/delta(token='x')").unwrap();
        assert_eq!(r.version, Version::Beta);
        assert_eq!(
            r.path_ref(),
            ["drives", "b!1", "root:", "a", "b:", "delta(token='x')"]
        );
        assert!(ApiRequest::parse(Method::GET, "/common/oauth2").is_none());
    }

    #[test]
    fn preferences_are_read_from_any_line() {
        let mut r = ApiRequest::parse(Method::GET, "/v1.0/users").unwrap();
        r.headers.append(
            "prefer",
            HeaderValue::from_static("idtype=\"ImmutableId\", odata.maxpagesize=7"),
        );
        r.headers
            .append("prefer", HeaderValue::from_static("return=minimal"));
        assert!(r.immutable_ids());
        assert_eq!(r.prefer("odata.maxpagesize").as_deref(), Some("7"));
        assert_eq!(r.prefer("return").as_deref(), Some("minimal"));
    }

    #[test]
    fn delegated_scopes_lack_all() {
        let app = Caller {
            roles: vec!["Files.Read".into()],
            ..Caller::default()
        };
        assert!(!app.has_any(&["Files.Read.All"]));
        let user = Caller {
            user: Some("u".into()),
            ..app
        };
        assert!(user.has_any(&["Files.Read.All"]));
    }
}
