//! What Graph refuses, as one type: parsed from any shape of error body, put into a class that
//! says what to do about it, and shown to a person with advice.
//!
//! Invariants: codes are compared without regard to case (workloads disagree about it); the code
//! kept is the deepest one in the body; a message from the service is shown but never branched
//! on, except for the few markers that have no code of their own; no error carries a token.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use serde_json::Value;

/// What kind of failure this is, so that callers decide without knowing every code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The service had trouble, and still had it after all retries.
    Transient,
    /// Limits were exceeded, and waiting as told did not end it within the budget.
    Throttled,
    /// Sign-in failed: the credential, the tenant or the clock is wrong.
    Auth,
    /// A permission is missing, or access to this mailbox or site is fenced off.
    Denied,
    /// The collection itself (folder, drive, mailbox) is not there any more.
    Gone,
    /// The item is not there.
    NotFound,
    /// Something of that name or version is there already, or changed meanwhile.
    Conflict,
    /// The delta token is dead: start a full enumeration.
    Reset,
    /// The item is broken on the service's side; only this item is concerned.
    Corrupt,
    /// The mailbox or drive is full.
    Quota,
    /// The request or the item is larger than a limit.
    TooLarge,
    /// The service cannot do this.
    Unsupported,
    /// The request was wrong: a bug here, or data the service does not accept.
    Ours,
    /// No usable answer: name resolution, connection, TLS, time-out, truncated body.
    Network,
}

impl ErrorClass {
    /// True when the same request may succeed later without anything being changed here.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::Transient | Self::Throttled | Self::Network)
    }

    /// True when what was asked about does not exist, or not any more.
    pub fn is_gone(self) -> bool {
        matches!(self, Self::NotFound | Self::Gone)
    }
}

/// The details of a [`GraphError`].
#[derive(Clone, Debug)]
pub struct Failure {
    /// HTTP status; `None` when there was no answer.
    pub status: Option<u16>,
    /// Deepest code in the body, as spelled there; empty if the body had none.
    pub code: String,
    /// The outermost code, when it differs from `code`.
    pub outer_code: String,
    /// The service's own words, shortened to one line.
    pub message: String,
    /// `request-id` of the answer: what Microsoft's support asks for.
    pub request_id: Option<String>,
    /// What to do about it.
    pub class: ErrorClass,
    /// Method and route template, without ids (`GET /users/{id}/messages/{id}/$value`).
    pub route: String,
    /// How long the service asked to wait.
    pub retry_after: Option<Duration>,
    /// `Location` of the answer: where a full enumeration starts, on 410.
    pub location: Option<String>,
    /// The answer had no body at all, or what a batch has in its place: `UnknownError` without a
    /// word (some such 404 and 503 are transient).
    pub empty_body: bool,
}

/// A request that failed for good: everything that retrying could do has been done.
#[derive(Clone, Debug)]
pub struct GraphError(Box<Failure>);

impl Deref for GraphError {
    type Target = Failure;
    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl std::error::Error for GraphError {}

impl GraphError {
    /// An error without an answer from the service: network, local files, our own refusals.
    pub fn local(class: ErrorClass, route: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Failure {
            status: None,
            code: String::new(),
            outer_code: String::new(),
            message: one_line(&message.into()),
            request_id: None,
            class,
            route: route.into(),
            retry_after: None,
            location: None,
            empty_body: false,
        }))
    }

    /// Reads an error answer. `body` may be JSON of any nesting, HTML, truncated, or empty.
    pub fn from_answer(status: u16, body: &[u8], route: impl Into<String>) -> Self {
        let json = super::json::parse(body).ok();
        let (outer_code, code, message, inner_request) = match &json {
            Some(value) => parse_error(value),
            None => (String::new(), String::new(), plain_text(body), None),
        };
        let class = classify(status, &code, &outer_code, &message);
        let nothing = code.eq_ignore_ascii_case("UnknownError") && message.is_empty();
        Self(Box::new(Failure {
            status: Some(status),
            code,
            outer_code,
            message,
            request_id: inner_request,
            class,
            route: route.into(),
            retry_after: None,
            location: None,
            empty_body: nothing || body.iter().all(u8::is_ascii_whitespace),
        }))
    }

    /// The same error with the facts that come in headers.
    pub fn with_headers(
        mut self,
        request_id: Option<String>,
        retry_after: Option<Duration>,
        location: Option<String>,
    ) -> Self {
        if request_id.is_some() {
            self.0.request_id = request_id;
        }
        self.0.retry_after = retry_after;
        self.0.location = location;
        self
    }

    /// The same error in another class, for callers that know more about the context.
    pub fn with_class(mut self, class: ErrorClass) -> Self {
        self.0.class = class;
        self
    }

    /// True if the code (inner or outer) is this one, in any letter case.
    pub fn is_code(&self, code: &str) -> bool {
        self.code.eq_ignore_ascii_case(code) || self.outer_code.eq_ignore_ascii_case(code)
    }
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.route)?;
        if let Some(status) = self.status {
            write!(f, "{status}")?;
            if !self.code.is_empty() {
                write!(f, " {}", self.code)?;
            }
            if !self.message.is_empty() {
                write!(f, ": {}", self.message)?;
            }
        } else {
            write!(f, "{}", self.message)?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request-id {id})")?;
        }
        if let Some(advice) = advice(self) {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

/// What a person can do, where anything can be done.
fn advice(e: &Failure) -> Option<&'static str> {
    let code = e.code.to_ascii_lowercase();
    let aadsts = e.message.as_str();
    Some(match e.class {
        ErrorClass::Auth => match () {
            () if aadsts.contains("AADSTS7000215") => {
                "the client secret is wrong: check that its value, not its id, is in the secret file"
            }
            () if aadsts.contains("AADSTS7000222") => {
                "the client secret has expired: create a new one in Entra and replace the secret file"
            }
            () if aadsts.contains("AADSTS700027") => {
                "the certificate is not the one registered for this application, or it has expired"
            }
            () if aadsts.contains("AADSTS700024") => {
                "check this machine's clock, and that a federated token file is kept fresh"
            }
            () if aadsts.contains("AADSTS700016") => {
                "check client_id and tenant id: this application is unknown in this tenant"
            }
            () if aadsts.contains("AADSTS90002") => "check the tenant id",
            () if aadsts.contains("AADSTS90038") => {
                "the tenant lives in another national cloud: set tenant.cloud"
            }
            () if aadsts.contains("AADSTS65001") || aadsts.contains("AADSTS90094") => {
                "an administrator must consent to the application's permissions"
            }
            () if aadsts.contains("AADSTS7000112") => "the application is disabled in Entra",
            () if aadsts.contains("AADSTS53003") => "Conditional Access blocks the application",
            () if aadsts.contains("AADSTS500011") => {
                "check tenant.endpoints: the Graph host is not known"
            }
            () => {
                "check the identity in [tenant.backup] or [tenant.restore]; `tenantfs doctor` tests it"
            }
        },
        ErrorClass::Denied => match code.as_str() {
            "authorization_requestdenied" => {
                "grant the application the permission in Entra (with admin consent); `tenantfs doctor` lists what is missing"
            }
            "erroraccessdenied" => {
                "this mailbox is outside what the application may access: check the permission and the application access policy"
            }
            "malwaredetected" | "virussuspicious" => {
                "the service refuses to hand out an infected file"
            }
            "resourcelocked" => "the site or file is locked: unlock it, or wait",
            _ => "check the application's permissions with `tenantfs doctor`",
        },
        ErrorClass::Quota => "free space in the target or raise its quota, then try again",
        ErrorClass::Network if e.message.contains("invalid peer certificate") => {
            "if a proxy or a private authority signs here, name its certificate in tenant.ca_file, \
             or let the system trust it"
        }
        ErrorClass::Network => "check the network, the proxy and the endpoints in [tenant]",
        ErrorClass::Throttled => "the service limits this application; it is tried again later",
        ErrorClass::Transient => "the service had trouble; it is tried again later",
        _ => return None,
    })
}

/// Walks `error`, `innerError`/`innererror` down to the deepest code.
fn parse_error(value: &Value) -> (String, String, String, Option<String>) {
    let error = &value["error"];
    // The token endpoint: {"error": "invalid_client", "error_description": "AADSTS..."}
    if let Some(code) = error.as_str() {
        let message = value["error_description"].as_str().unwrap_or_default();
        let trace = value["trace_id"].as_str().map(str::to_owned);
        return (code.to_owned(), code.to_owned(), one_line(message), trace);
    }
    let error = match () {
        () if error.is_object() => error,
        // SharePoint's own interface: {"odata.error": {"code", "message": {"lang", "value"}}}
        () if value["odata.error"].is_object() => &value["odata.error"],
        () => value,
    };
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let outer = text(&error["code"]);
    let mut deepest = outer.clone();
    let mut message = text(&error["message"]);
    for other in [&error["message"]["value"], &error["error_description"]] {
        if message.is_empty() {
            message = text(other);
        }
    }
    let mut request_id = None;
    let mut at = error;
    // The nesting is the service's to choose; sixteen levels are more than it ever used.
    for _ in 0..16 {
        let inner = if at["innerError"].is_object() {
            &at["innerError"]
        } else {
            &at["innererror"]
        };
        if !inner.is_object() {
            break;
        }
        if let Some(code) = inner["code"].as_str().filter(|c| !c.is_empty()) {
            // An inner "429" only repeats the status.
            if code.parse::<u16>().is_err() {
                deepest = code.to_owned();
            }
        }
        if message.is_empty() {
            message = text(&inner["message"]);
        }
        if let Some(id) = inner["request-id"].as_str() {
            request_id = Some(id.to_owned());
        }
        at = inner;
    }
    (outer, deepest, one_line(&message), request_id)
}

/// Code first, status second: the status of a code varies by endpoint.
fn classify(status: u16, code: &str, outer: &str, message: &str) -> ErrorClass {
    for code in [code, outer] {
        if let Some(class) = classify_code(status, &code.to_ascii_lowercase()) {
            return class;
        }
    }
    let text = message.to_ascii_lowercase();
    if text.contains("mysite not found")
        || text.contains("unable to retrieve user's mysite url")
        || text.contains("does not have a spo license")
    {
        return ErrorClass::Gone;
    }
    if text.contains("io error during request payload read")
        || text.contains("unable to initialize rps")
    {
        return ErrorClass::Transient;
    }
    match status {
        401 => ErrorClass::Auth,
        402 | 403 | 423 | 451 => ErrorClass::Denied,
        404 => ErrorClass::NotFound,
        405 | 501 => ErrorClass::Unsupported,
        408 => ErrorClass::Transient,
        409 | 412 => ErrorClass::Conflict,
        410 => ErrorClass::Reset,
        413 => ErrorClass::TooLarge,
        429 | 509 => ErrorClass::Throttled,
        507 => ErrorClass::Quota,
        500..=599 => ErrorClass::Transient,
        _ => ErrorClass::Ours,
    }
}

fn classify_code(status: u16, code: &str) -> Option<ErrorClass> {
    Some(match code {
        "resyncrequired"
        | "syncstatenotfound"
        | "syncstateinvalid"
        | "resyncapplydifferences"
        | "resyncuploaddifferences"
        | "resyncchangesapplydifferences"
        | "resyncchangesuploaddifferences"
        | "errormessageperfoldercountreceivequotaexceeded" => ErrorClass::Reset,
        "errorsyncfoldernotfound"
        | "mailboxnotenabledforrestapi"
        | "errornonexistentmailbox"
        | "errorinvaliduser"
        | "request_resourcenotfound" => ErrorClass::Gone,
        "erroritemnotfound" | "itemnotfound" | "resourcenotfound" => ErrorClass::NotFound,
        "errorquotaexceeded" | "quotalimitreached" | "insufficientstorage" => ErrorClass::Quota,
        "errorcorruptdata"
        | "errorcontentconversionfailed"
        | "errormimecontentconversionfailed"
        | "errorcannotopenfileattachment"
        | "errorinvalidrecipients"
        | "uploadsessionfailed" => ErrorClass::Corrupt,
        "malwaredetected" | "virussuspicious" => ErrorClass::Denied,
        "authorization_requestdenied"
        | "erroraccessdenied"
        | "accessdenied"
        | "accessrestricted"
        | "sharingdisabled"
        | "resourcelocked" => ErrorClass::Denied,
        "errorfolderexists"
        | "namealreadyexists"
        | "errorirresolvableconflict"
        | "resourcemodified"
        | "entitytagdoesnotmatch" => ErrorClass::Conflict,
        "errormessagesizeexceeded"
        | "maxfilesizeexceeded"
        | "requestentitytoolarge"
        | "maxfragmentlengthexceeded" => ErrorClass::TooLarge,
        "applicationthrottled"
        | "toomanyrequests"
        | "activitylimitreached"
        | "throttledrequest"
        | "errortoomanyrequests" => ErrorClass::Throttled,
        "errortoomanyobjectsopened"
        | "errormailboxstoreunavailable"
        | "errorserverbusy"
        | "mailboxinfostale"
        | "cannotsnapshottree"
        | "resourcebeingprovisioned" => ErrorClass::Transient,
        "invalidauthenticationtoken" | "unauthenticated" if status == 401 => ErrorClass::Auth,
        // Of the token endpoint.
        "temporarily_unavailable" => ErrorClass::Transient,
        "invalid_client"
        | "invalid_grant"
        | "unauthorized_client"
        | "invalid_resource"
        | "invalid_scope"
        | "unsupported_grant_type"
        | "interaction_required" => ErrorClass::Auth,
        "invalid_request" if status == 400 || status == 401 => ErrorClass::Auth,
        "notsupported" | "notimplemented" => ErrorClass::Unsupported,
        _ => return None,
    })
}

/// The readable beginning of an HTML or text body.
fn plain_text(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(2048)]);
    let mut out = String::new();
    let mut in_tag = false;
    for c in text.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                out.push(' ');
            }
            c if !in_tag => out.push(c),
            _ => {}
        }
    }
    one_line(&out)
}

/// One line without control characters, at most 300 characters.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect();
    let line = words.join(" ");
    match line.char_indices().nth(300) {
        Some((cut, _)) => format!("{}...", &line[..cut]),
        None => line,
    }
}
