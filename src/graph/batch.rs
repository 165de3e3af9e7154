//! Many small requests in one (`$batch`).
//!
//! Batches save round trips, never quota: each part is counted and limited as if it were sent
//! alone, and may be throttled alone, inside an answer of 200. So only the parts that failed for a
//! reason that passes are sent again, after the longest wait that any of them asked for.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::auth::challenge;
use super::call::{Call, Payload};
use super::client::Client;
use super::error::{ErrorClass, GraphError};
use super::limiter::Scope;
use super::retry::retry_after;
use super::transport::{is_throttle, unix_now};

/// Most parts a batch may have.
pub const BATCH: usize = 20;
/// The route of batches, for counting.
pub(crate) const BATCH_ROUTE: &str = "/$batch";

/// One part's answer.
#[derive(Clone, Debug)]
pub struct Part {
    /// HTTP's.
    pub status: u16,
    /// The few headers that parts have.
    pub headers: Map<String, Value>,
    /// JSON; binary bodies are a base64 string.
    pub body: Value,
}

impl Part {
    /// A header, in any letter case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))?
            .1
            .as_str()
    }

    /// The bytes of a binary answer.
    pub fn bytes(&self) -> Option<Bytes> {
        let text = self.body.as_str()?;
        STANDARD
            .decode(text)
            .or_else(|_| URL_SAFE.decode(text))
            .ok()
            .map(Into::into)
    }
}

/// Parts of one batch, and how often what failed.
struct Pending {
    index: usize,
    failed: u32,
    throttled: u32,
    /// Answered 401; tried once more with another token.
    refused: bool,
}

impl Client {
    /// Sends calls with relative paths in batches. The answers come in the order of the calls.
    ///
    /// # Errors
    /// When a whole batch failed; failures of single parts are in the result.
    pub async fn batch(
        &self,
        scope: Scope,
        calls: &[Call],
    ) -> Result<Vec<Result<Part, GraphError>>, GraphError> {
        let mut done: Vec<Option<Result<Part, GraphError>>> = calls.iter().map(|_| None).collect();
        let mut pending: Vec<Pending> = (0..calls.len())
            .map(|index| Pending {
                index,
                failed: 0,
                throttled: 0,
                refused: false,
            })
            .collect();
        while !pending.is_empty() {
            let mut again = Vec::new();
            let mut wait = Duration::ZERO;
            let token = self.tokens().bearer().await?.generation;
            // The challenge of the first part that the token was refused for, if it had one.
            let mut refused: Option<Option<String>> = None;
            let mut rest = pending.into_iter().peekable();
            while rest.peek().is_some() {
                let chunk: Vec<Pending> = rest.by_ref().take(BATCH).collect();
                let parts = self.one_batch(&scope, calls, &chunk).await?;
                for (mut entry, part) in chunk.into_iter().zip(parts) {
                    let call = &calls[entry.index];
                    let before = entry.refused;
                    let claims = part
                        .as_ref()
                        .and_then(|part| part.header("www-authenticate"))
                        .and_then(challenge);
                    let outcome = self.judge(call, part, &mut entry);
                    if entry.refused && !before {
                        refused.get_or_insert(claims);
                    }
                    match outcome {
                        Ok(outcome) => done[entry.index] = Some(outcome),
                        Err(longer) => {
                            wait = wait.max(longer);
                            again.push(entry);
                        }
                    }
                }
            }
            if let Some(claims) = refused {
                self.tokens().another(token, claims.as_deref()).await?;
            }
            if !again.is_empty() {
                if let Some(gate) = self.limiters().gate(&scope)
                    && again.iter().any(|e| e.throttled > 0)
                {
                    gate.throttled(wait);
                }
                tokio::time::sleep(wait).await;
            }
            pending = again;
        }
        // Every index was either answered or sent again until it was.
        let missing =
            || GraphError::local(ErrorClass::Network, BATCH_ROUTE, "a part got no answer");
        Ok(done
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|| Err(missing())))
            .collect())
    }

    /// Final outcome of a part, or how long to wait before it is sent again.
    fn judge(
        &self,
        call: &Call,
        part: Option<Part>,
        entry: &mut Pending,
    ) -> Result<Result<Part, GraphError>, Duration> {
        let patience = self.patience();
        let Some(part) = part else {
            entry.failed += 1;
            if entry.failed < patience.attempts && call.repeatable {
                return Err(patience.backoff(entry.failed));
            }
            let what = "the batch's answer leaves this part out";
            return Ok(Err(GraphError::local(
                ErrorClass::Network,
                call.label(),
                what,
            )));
        };
        self.count_batched(call.method.as_str(), call.route, part.status);
        if part.status < 400 {
            return Ok(Ok(part));
        }
        let body = match &part.body {
            Value::Null => Vec::new(),
            Value::String(_) => part.bytes().map(|b| b.to_vec()).unwrap_or_default(),
            body => body.to_string().into_bytes(),
        };
        let told = part
            .header("retry-after")
            .and_then(|v| retry_after(v, unix_now()));
        let error = GraphError::from_answer(part.status, &body, call.label()).with_headers(
            None,
            told,
            part.header("location").map(str::to_owned),
        );
        if part.status == 401 && !entry.refused {
            entry.refused = true;
            return Err(Duration::ZERO);
        }
        let worth = if is_throttle(&error) {
            entry.throttled += 1;
            entry.throttled < patience.throttled_attempts
        } else {
            entry.failed += 1;
            let lag = part.status == 404 && error.empty_body;
            let trouble = error.class == ErrorClass::Transient || part.status == 424 || lag;
            let limit = call.attempts.unwrap_or(patience.attempts);
            trouble && call.repeatable && entry.failed < limit
        };
        if !worth {
            return Ok(Err(error));
        }
        Err(told.unwrap_or_else(|| patience.backoff(entry.failed.max(entry.throttled))))
    }

    /// The answers of one batch in the order of its parts; `None` where one is missing.
    async fn one_batch(
        &self,
        scope: &Scope,
        calls: &[Call],
        chunk: &[Pending],
    ) -> Result<Vec<Option<Part>>, GraphError> {
        let requests: Vec<Value> = chunk
            .iter()
            .enumerate()
            .map(|(id, entry)| part_request(id, &calls[entry.index]))
            .collect();
        let cost = chunk.iter().map(|e| calls[e.index].cost).sum();
        let mut call = Call::post(BATCH_ROUTE, &[], json!({ "requests": requests }));
        call.scope = scope.clone();
        call.cost = cost;
        call.repeatable = chunk.iter().all(|e| calls[e.index].repeatable);
        // Of a batch to a mailbox, four parts run at once: it takes all four slots.
        let slots = if matches!(scope, Scope::Mailbox(_)) {
            chunk.len().min(4) as u32
        } else {
            1
        };
        let is_json = |answer: &super::Answer| {
            super::json::parse::<serde::de::IgnoredAny>(&answer.body)
                .map(drop)
                .map_err(|e| e.to_string())
        };
        let answer = self.send_checked(&call, slots, is_json).await?;
        let mut body: Value = super::json::parse(&answer.body)
            .map_err(|e| GraphError::local(ErrorClass::Network, call.label(), e.to_string()))?;
        let mut parts: Vec<Option<Part>> = chunk.iter().map(|_| None).collect();
        if let Value::Array(responses) = body["responses"].take() {
            for mut response in responses {
                let id = match &response["id"] {
                    Value::String(id) => id.parse::<usize>().ok(),
                    Value::Number(id) => id.as_u64().map(|n| n as usize),
                    _ => None,
                };
                let status = response["status"]
                    .as_u64()
                    .and_then(|s| u16::try_from(s).ok());
                if let (Some(slot), Some(status)) = (id.and_then(|i| parts.get_mut(i)), status) {
                    let headers = match response["headers"].take() {
                        Value::Object(headers) => headers,
                        _ => Map::new(),
                    };
                    *slot = Some(Part {
                        status,
                        headers,
                        body: response["body"].take(),
                    });
                }
            }
        }
        Ok(parts)
    }
}

fn part_request(id: usize, call: &Call) -> Value {
    let mut headers = Map::new();
    for (name, value) in &call.headers {
        headers.insert((*name).to_owned(), Value::String(value.clone()));
    }
    let body = match &call.payload {
        Payload::None => None,
        Payload::Json(value) => {
            headers.insert("Content-Type".into(), "application/json".into());
            Some(value.clone())
        }
        Payload::Bytes(bytes, kind) => {
            headers.insert("Content-Type".into(), (*kind).into());
            Some(Value::String(STANDARD.encode(bytes)))
        }
    };
    let mut request =
        json!({ "id": id.to_string(), "method": call.method.as_str(), "url": call.path() });
    if !headers.is_empty() {
        request["headers"] = Value::Object(headers);
    }
    if let Some(body) = body {
        request["body"] = body;
    }
    request
}
