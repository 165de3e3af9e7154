//! Sends JSON to a URL that needs no token: how items are imported into a mailbox.
//!
//! Each request creates something, so it is sent again only when it certainly did nothing; whoever
//! called has to look what became of one whose answer was lost.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::client::Client;
use super::error::{ErrorClass, GraphError};
use super::limiter::Scope;
use super::retry::retry_after;
use super::transport::{is_throttle, unix_now};

/// All of one attempt: a large item takes its time.
const TIME: Duration = Duration::from_secs(900);

/// Why an item was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The URL is dead: ask for a new one.
    #[error("the import session has expired")]
    Expired,
    /// Anything else, after all retries.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl Client {
    /// One import. `route` is what is counted.
    ///
    /// # Errors
    /// See [`ImportError`]. After a temporary one the item may be there.
    pub async fn import(
        &self,
        url: &str,
        route: &'static str,
        body: Bytes,
        scope: &Scope,
    ) -> Result<Value, ImportError> {
        let url = self.import_url(url, route)?;
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("prefer", "IdType=\"ImmutableId\"".to_owned()),
        ];
        let gate = self.limiters().gate(scope);
        let mut throttled = 0;
        loop {
            let permit = match &gate {
                Some(gate) => {
                    let entered = gate.enter(1, 1, body.len() as u64).await;
                    Some(entered.map_err(|used_up| used_up.refuse(route))?)
                }
                None => None,
            };
            let sent = self.bare(
                Method::POST,
                route,
                &url,
                &headers,
                Some(body.clone()),
                TIME,
            );
            let answer = sent.await?;
            drop(permit);
            if answer.status < 300 {
                // Without a readable answer nobody knows what was made.
                let unreadable = |e: serde_json::Error| {
                    GraphError::local(ErrorClass::Network, format!("POST {route}"), e.to_string())
                };
                return Ok(super::json::parse(&answer.body).map_err(unreadable)?);
            }
            let wait = answer
                .header("retry-after")
                .and_then(|v| retry_after(v, unix_now()));
            let id = answer.header("request-id").map(str::to_owned);
            let error =
                GraphError::from_answer(answer.status, &answer.body, format!("POST {route}"))
                    .with_headers(id, wait, None);
            if !is_throttle(&error) {
                let dead = matches!(answer.status, 401 | 403 | 410);
                let lost = answer.status == 404 && !error.is_code("ErrorItemNotFound");
                // A refusal of the item itself has a code that says so.
                let full = matches!(error.class, ErrorClass::Quota | ErrorClass::TooLarge);
                return Err(match (dead || lost) && !full {
                    true => ImportError::Expired,
                    false => error.into(),
                });
            }
            throttled += 1;
            if throttled >= self.patience().throttled_attempts {
                return Err(error.into());
            }
            let wait = wait.unwrap_or_else(|| self.patience().backoff(throttled));
            if let Some(gate) = &gate {
                gate.throttled(wait);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Over plain HTTP only where Graph itself is reached so (test servers).
    fn import_url(&self, url: &str, route: &str) -> Result<Url, GraphError> {
        let usable = |u: &Url| u.scheme() == "https" || self.endpoints().graph.scheme() == "http";
        Url::parse(url).ok().filter(usable).ok_or_else(|| {
            let what = "the import session's URL is not usable";
            GraphError::local(ErrorClass::Transient, format!("POST {route}"), what)
        })
    }
}
