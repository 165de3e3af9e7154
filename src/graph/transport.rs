//! Sends one request until it is answered for good.
//!
//! The rules, from what the service does in practice: throttled requests (429, 509, 503 with
//! `Retry-After`) raise the fence of their gate and are sent again when it falls; 500, 502, 503,
//! 504, broken connections and truncated bodies are tried a few times with growing, jittered
//! waits; a 401 leads to one fresh token; what can't succeed is never sent again. A request that
//! creates something is sent again only if it is certain that the service did not process it:
//! everything else is for the caller, who can look.
//!
//! Invariants: a token goes to the host only that it is for, Graph's or one of SharePoint's; a body is never larger than the call allows;
//! every answer is counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use super::auth::{Bearer, challenge};
use super::call::{Call, Target};
use super::client::Client;
use super::error::{ErrorClass, GraphError};
use super::limiter::Gate;
use super::retry::retry_after;

/// A 2xx, 3xx or other answer that the caller asked for, complete.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP's.
    pub status: u16,
    /// All of them.
    pub headers: HeaderMap,
    /// All of it.
    pub body: Bytes,
}

impl Answer {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Unix seconds.
pub(crate) fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs() as i64)
}

/// An error and what caused it, on one line; without URLs, which may hold secrets.
pub(crate) fn causes(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut at = e.source();
    while let Some(cause) = at {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        at = cause.source();
    }
    text
}

/// What one attempt came to.
enum Attempt {
    Answered(Answer),
    /// Nothing usable came back. `unsent`: the service can't have seen it.
    Broken {
        error: GraphError,
        unsent: bool,
    },
}

/// How often what was tried.
#[derive(Default)]
struct Tries {
    failed: u32,
    broken: u32,
    throttled: u32,
    lagging: u32,
    moody: u32,
    reauthorized: bool,
}

impl Client {
    /// Sends a call; retries, waits and signs in as needed. Redirects are returned, not followed.
    ///
    /// # Errors
    /// Any answer of 400 and above that stayed, and any failure to get one.
    pub async fn send(&self, call: &Call) -> Result<Answer, GraphError> {
        self.send_checked(call, 1, |_| Ok(())).await
    }

    /// As [`Client::send`], taking `slots` of the gate's concurrency. A 2xx answer that `check`
    /// refuses counts as a broken transfer.
    pub(crate) async fn send_checked(
        &self,
        call: &Call,
        slots: u32,
        check: impl Fn(&Answer) -> Result<(), String>,
    ) -> Result<Answer, GraphError> {
        let url = self.resolve(call)?;
        let tokens = self.tokens_for(call)?;
        let (body, content_type) = call.payload.bytes();
        let gate = self.limiters().gate(&call.scope);
        let patience = self.patience();
        let started = Instant::now();
        let mut tries = Tries::default();
        let mut bearer: Option<Bearer> = None;
        loop {
            let token = match bearer.take() {
                Some(token) => token,
                None => tokens.bearer().await?,
            };
            let permit = match &gate {
                Some(gate) => {
                    let entered = gate.enter(slots, call.cost, body.len() as u64).await;
                    Some(entered.map_err(|used_up| used_up.refuse(call.label()))?)
                }
                None => None,
            };
            let attempt = self.attempt(call, &url, &token, &body, content_type).await;
            drop(permit);

            let (error, wait) = match attempt {
                Attempt::Answered(answer) if is_success(call, &answer) => {
                    self.settle(gate.as_deref(), call, &answer);
                    match check(&answer) {
                        Ok(()) => return Ok(answer),
                        Err(what) => {
                            let error = GraphError::local(
                                ErrorClass::Network,
                                call.label(),
                                format!("unusable answer: {what}"),
                            );
                            tries.broken += 1;
                            if !call.repeatable || tries.broken >= patience.network_attempts {
                                return Err(error);
                            }
                            (error, patience.backoff(tries.broken))
                        }
                    }
                }
                Attempt::Answered(answer) => {
                    self.settle(gate.as_deref(), call, &answer);
                    let error = refusal(call, &answer);
                    if error.status == Some(401) {
                        if tries.reauthorized {
                            return Err(error);
                        }
                        tries.reauthorized = true;
                        let claims = answer.header("www-authenticate").and_then(challenge);
                        bearer = Some(tokens.another(token.generation, claims.as_deref()).await?);
                        continue;
                    }
                    let wait = self.wait_after(call, &error, &answer, &mut tries);
                    match wait {
                        Some(wait) => {
                            if is_throttle(&error)
                                && let Some(gate) = &gate
                            {
                                gate.throttled(wait);
                            }
                            (error, wait)
                        }
                        None => return Err(error),
                    }
                }
                Attempt::Broken { error, unsent } => {
                    tries.broken += 1;
                    let curable = error.class == ErrorClass::Network;
                    if !curable
                        || !(call.repeatable || unsent)
                        || tries.broken >= patience.network_attempts
                    {
                        return Err(error);
                    }
                    (error, patience.backoff(tries.broken))
                }
            };
            if started.elapsed() + wait > patience.total {
                return Err(error);
            }
            tracing::debug!(%error, ?wait, "trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait before this refusal is worth another attempt; `None` if it never is.
    fn wait_after(
        &self,
        call: &Call,
        error: &GraphError,
        answer: &Answer,
        tries: &mut Tries,
    ) -> Option<Duration> {
        let patience = self.patience();
        if is_throttle(error) {
            tries.throttled += 1;
            let reset = answer
                .header("ratelimit-reset")
                .filter(|_| error.status == Some(429))
                .and_then(|v| retry_after(v, unix_now()));
            let told = error.retry_after.max(reset);
            return (tries.throttled < patience.throttled_attempts)
                .then(|| told.unwrap_or_else(|| patience.backoff(tries.throttled)));
        }
        let status = error.status.unwrap_or_default();
        if status == 404 {
            tries.lagging += 1;
            // With a code, "not found" is an answer; without a body it is often just a mood.
            let worth = error.empty_body || call.patient_404 > 3;
            return (worth && tries.lagging < call.patient_404)
                .then(|| patience.backoff(tries.lagging + 1));
        }
        if status == 400 && call.moody_400 && error.is_code("invalidRequest") {
            tries.moody += 1;
            return (tries.moody < 3).then(|| patience.backoff(tries.moody));
        }
        if error.class != ErrorClass::Transient {
            return None;
        }
        // Something may have been created although the answer says otherwise.
        if !call.repeatable {
            return None;
        }
        tries.failed += 1;
        (tries.failed < call.attempts.unwrap_or(patience.attempts)).then(|| {
            error
                .retry_after
                .unwrap_or_else(|| patience.backoff(tries.failed))
        })
    }

    /// Takes what the answer's headers say about budgets.
    fn settle(&self, gate: Option<&Gate>, call: &Call, answer: &Answer) {
        let Some(gate) = gate else { return };
        let number = |name: &str| {
            answer
                .header(name)
                .and_then(|v| v.trim().parse::<u64>().ok())
        };
        if let Some(limit) = number("ratelimit-limit") {
            gate.learn(limit, Duration::from_secs(60));
            // Others of this tenant may use it, too: the last twentieth is left alone.
            if number("ratelimit-remaining").is_some_and(|left| left <= limit / 20)
                && let Some(reset) = number("ratelimit-reset")
            {
                gate.pause(Duration::from_secs(reset.min(300)));
            }
        }
        if let Some(units) = number("x-ms-resource-unit") {
            gate.correct(call.cost, units);
        }
    }

    /// The absolute URL of a call. A link to anywhere but Graph is refused: it would get a token.
    pub(crate) fn resolve(&self, call: &Call) -> Result<Url, GraphError> {
        let ours = |what: String| GraphError::local(ErrorClass::Ours, call.label(), what);
        let endpoints = self.endpoints();
        let text = match &call.target {
            Target::Path(path) => format!("{}/v1.0{path}", endpoints.graph_origin()),
            Target::Beta(path) => format!("{}/beta{path}", endpoints.graph_origin()),
            Target::Link(link) => link.clone(),
            Target::SharePoint { site, path } => return self.at_sharepoint(call, site, path),
        };
        let url = Url::parse(&text).map_err(|e| ours(format!("not a URL: {e}")))?;
        if !endpoints.is_graph(&url) {
            return Err(ours(format!(
                "a link leads to {}, which is not Graph: it is not followed",
                url.host_str().unwrap_or("nowhere")
            )));
        }
        Ok(url)
    }

    async fn attempt(
        &self,
        call: &Call,
        url: &Url,
        token: &Bearer,
        body: &Bytes,
        content_type: Option<&str>,
    ) -> Attempt {
        let mut request = self
            .http(&call.method)
            .request(call.method.clone(), url.clone())
            .timeout(call.timeout)
            .header("client-request-id", Uuid::new_v4().to_string())
            .header("accept", accepted(call));
        if let Ok(mut value) =
            HeaderValue::from_str(&format!("Bearer {}", token.secret.expose_secret()))
        {
            value.set_sensitive(true);
            request = request.header("authorization", value);
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(kind) = content_type {
            request = request.header("content-type", kind);
        }
        if !body.is_empty() || content_type.is_some() {
            request = request.body(body.clone());
        } else if call.method == reqwest::Method::POST {
            request = request.header("content-length", "0");
        }
        self.exchange(request, call.method.as_str(), call.route, call.max_body)
            .await
    }

    /// One exchange, counted: send, read the whole bounded body.
    async fn exchange(
        &self,
        request: reqwest::RequestBuilder,
        method: &str,
        route: &'static str,
        max_body: usize,
    ) -> Attempt {
        let broken = |e: reqwest::Error| {
            self.count(method, route, 0);
            let unsent = e.is_connect() || e.is_builder();
            Attempt::Broken {
                error: network_error(method, route, e),
                unsent,
            }
        };
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(e) => return broken(e),
        };
        let status = answer.status().as_u16();
        let headers = std::mem::take(answer.headers_mut());
        let mut body = BytesMut::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    if body.len() + chunk.len() > max_body {
                        self.count(method, route, status);
                        let error = GraphError::local(
                            ErrorClass::TooLarge,
                            format!("{method} {route}"),
                            format!("the answer is larger than {max_body} bytes"),
                        );
                        return Attempt::Broken {
                            error,
                            unsent: false,
                        };
                    }
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => break,
                // A 204 has no body; whatever broke after it does not matter.
                Err(_) if status == 204 => break,
                Err(e) => return broken(e),
            }
        }
        self.count(method, route, status);
        Attempt::Answered(Answer {
            status,
            headers,
            body: body.freeze(),
        })
    }

    /// One exchange with a pre-authenticated URL: no token, no `client-request-id`, no retry.
    ///
    /// # Errors
    /// Network failures only; every answer is returned.
    pub(crate) async fn bare(
        &self,
        method: reqwest::Method,
        route: &'static str,
        url: &Url,
        headers: &[(&'static str, String)],
        body: Option<Bytes>,
        timeout: Duration,
    ) -> Result<Answer, GraphError> {
        let mut request = self
            .http(&method)
            .request(method.clone(), url.clone())
            .timeout(timeout);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        match self
            .exchange(request, method.as_str(), route, 1 << 20)
            .await
        {
            Attempt::Answered(answer) => Ok(answer),
            Attempt::Broken { error, .. } => Err(error),
        }
    }
}

/// The kind of answer that is asked for. SharePoint has several kinds of JSON.
fn accepted(call: &Call) -> &'static str {
    match call.target {
        Target::SharePoint { .. } => "application/json;odata=nometadata, */*;q=0.5",
        _ => "application/json, */*;q=0.5",
    }
}

/// A `reqwest` failure as ours; URLs are left out of it.
pub(crate) fn network_error(method: &str, route: &str, e: reqwest::Error) -> GraphError {
    let what = if e.is_timeout() {
        "no answer in time: "
    } else {
        ""
    };
    let e = e.without_url();
    GraphError::local(
        ErrorClass::Network,
        format!("{method} {route}"),
        format!("{what}{}", causes(&e)),
    )
}

/// An answer of 400 and above as an error.
pub(crate) fn refusal(call: &Call, answer: &Answer) -> GraphError {
    let request_id = answer.header("request-id").map(str::to_owned);
    let wait = answer
        .header("retry-after")
        .and_then(|v| retry_after(v, unix_now()));
    let location = answer.header("location").map(str::to_owned);
    let mut error = GraphError::from_answer(answer.status, &answer.body, call.label())
        .with_headers(request_id, wait, location);
    if answer.headers.contains_key("x-virus-infected") {
        error = error.with_class(ErrorClass::Denied);
    }
    error
}

/// A batch with a throttled part may answer 424 as a whole, with all the parts' answers in it.
fn is_success(call: &Call, answer: &Answer) -> bool {
    answer.status < 400 || (answer.status == 424 && call.route == super::batch::BATCH_ROUTE)
}

/// Whether this says "slow down" rather than "trouble".
pub(crate) fn is_throttle(error: &GraphError) -> bool {
    match error.status {
        Some(429 | 509) => true,
        Some(503) => error.retry_after.is_some(),
        _ => error.class == ErrorClass::Throttled,
    }
}
