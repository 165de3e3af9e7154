//! Brings a file: `/content` answers 302 to a pre-authenticated URL, and the bytes come from there.
//!
//! Invariants: the download URL never gets the token, and is used as it came (its signature covers
//! its spelling); a cut goes on with `Range` where it stopped; a URL that expired is replaced by a
//! fresh one; what was delivered is what the service says the file is (length and quickXorHash),
//! or the stream ends with an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use reqwest::{Method, Response};
use serde_json::Value;
use url::Url;

use super::call::Call;
use super::client::Client;
use super::error::{ErrorClass, GraphError};
use super::limiter::Scope;
use super::quickxor::QuickXor;
use super::retry::retry_after;
use super::transport::{network_error, unix_now};

/// What is to be downloaded, and what is known about it.
#[derive(Clone, Debug)]
pub struct Download {
    /// `GET .../content`.
    pub content: Call,
    /// `GET` of the item with `size` and `file`: asked when the bytes are not those announced.
    pub item: Call,
    /// Bytes that are announced.
    pub size: Option<u64>,
    /// quickXorHash, base64.
    pub hash: Option<String>,
    /// The service is known to hand out other bytes than it announces for this kind of file
    /// (Office documents and pages are rewritten by it).
    pub tolerant: bool,
}

const ROUTE: &str = "(download)";
/// Attempts without a single byte of progress.
const STALLS: u32 = 6;

struct State {
    client: Client,
    wanted: Arc<Download>,
    url: Option<Url>,
    /// The URL was just fetched: a refusal of it is no matter of age.
    url_is_fresh: bool,
    answer: Option<Response>,
    /// Bytes to drop because the service began from the start again.
    skip: u64,
    etag: Option<String>,
    total: Option<u64>,
    received: u64,
    hash: QuickXor,
    stalls: u32,
    /// The whole content came with the first answer.
    whole: Option<Bytes>,
    finished: bool,
}

impl Client {
    /// The bytes of a file. Nothing is sent before the stream is polled.
    pub fn download(&self, wanted: Download) -> BoxStream<'static, Result<Bytes, GraphError>> {
        let empty = wanted.size == Some(0) && wanted.hash.as_deref() == Some(EMPTY);
        let state = State {
            client: self.clone(),
            wanted: Arc::new(wanted),
            url: None,
            url_is_fresh: false,
            answer: None,
            skip: 0,
            etag: None,
            total: None,
            received: 0,
            hash: QuickXor::default(),
            stalls: 0,
            whole: None,
            finished: empty,
        };
        futures::stream::try_unfold(state, |mut state| async move {
            Ok(state.step().await?.map(|bytes| (bytes, state)))
        })
        .boxed()
    }
}

/// The hash of nothing.
const EMPTY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";

impl State {
    async fn step(&mut self) -> Result<Option<Bytes>, GraphError> {
        loop {
            if self.finished {
                return Ok(None);
            }
            if let Some(whole) = self.whole.take() {
                self.total = Some(self.received + whole.len() as u64);
                return Ok(Some(self.take(whole)));
            }
            if self.total == Some(self.received) {
                self.finished = true;
                self.verify().await?;
                continue;
            }
            let Some(answer) = &mut self.answer else {
                self.open().await?;
                continue;
            };
            match answer.chunk().await {
                Ok(Some(chunk)) if (chunk.len() as u64) <= self.skip => {
                    self.skip -= chunk.len() as u64;
                }
                Ok(Some(mut chunk)) => {
                    let _ = chunk.split_to(self.skip as usize);
                    self.skip = 0;
                    return Ok(Some(self.take(chunk)));
                }
                Ok(None) if self.total.is_none() => self.total = Some(self.received),
                Ok(None) => self.stall(broken("the download ended early"), None).await?,
                Err(e) => self.stall(network_error("GET", ROUTE, e), None).await?,
            }
        }
    }

    fn take(&mut self, bytes: Bytes) -> Bytes {
        self.hash.update(&bytes);
        self.received += bytes.len() as u64;
        self.stalls = 0;
        bytes
    }

    /// Forgets the connection and waits, or gives up.
    async fn stall(&mut self, error: GraphError, told: Option<Duration>) -> Result<(), GraphError> {
        self.answer = None;
        self.skip = 0;
        self.stalls += 1;
        if self.stalls >= STALLS {
            return Err(error);
        }
        let wait = told.unwrap_or_else(|| self.client.patience().backoff(self.stalls));
        tracing::debug!(%error, ?wait, at = self.received, "the download goes on");
        tokio::time::sleep(wait.min(self.client.patience().total)).await;
        Ok(())
    }

    /// Opens the download URL at the byte where it stopped.
    async fn open(&mut self) -> Result<(), GraphError> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => match self.locate().await? {
                Some(url) => url,
                None => return Ok(()),
            },
        };
        let mut request = self
            .client
            .http(&Method::GET)
            .get(url)
            .header("accept", "*/*")
            .header("accept-encoding", "identity");
        if self.received > 0 {
            request = request.header("range", format!("bytes={}-", self.received));
            if let Some(etag) = &self.etag {
                request = request.header("if-range", etag);
            }
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(e) => {
                self.client.count("GET", ROUTE, 0);
                return self.stall(network_error("GET", ROUTE, e), None).await;
            }
        };
        let status = answer.status().as_u16();
        self.client.count("GET", ROUTE, status);
        let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok());
        let fresh = std::mem::replace(&mut self.url_is_fresh, false);
        match status {
            200 | 206 => {
                let etag = header("etag").map(str::to_owned);
                if self.received > 0 && self.etag.is_some() && etag != self.etag {
                    return Err(changed());
                }
                self.etag = etag;
                let length = header("content-length").and_then(|v| v.parse::<u64>().ok());
                let (start, total) = match header("content-range").and_then(content_range) {
                    Some(range) if status == 206 => range,
                    _ if status == 206 => (self.received, length.map(|n| n + self.received)),
                    _ => (0, length),
                };
                if start > self.received || (self.total.is_some() && self.total != total) {
                    return Err(changed());
                }
                self.skip = self.received - start;
                self.total = total;
                self.answer = Some(answer);
                Ok(())
            }
            429 | 503 | 509 => {
                let told = header("retry-after").and_then(|v| retry_after(v, unix_now()));
                let error = GraphError::from_answer(status, b"", format!("GET {ROUTE}"));
                if let (Some(wait), Some(gate)) =
                    (told, self.client.limiters().gate(&Scope::Drives))
                {
                    gate.throttled(wait);
                }
                self.stall(error, told).await
            }
            _ => {
                let infected = answer.headers().contains_key("x-virus-infected");
                let body = answer.bytes().await.unwrap_or_default();
                let body = &body[..body.len().min(64 * 1024)];
                let mut error = GraphError::from_answer(status, body, format!("GET {ROUTE}"));
                if infected || error.is_code("malwareDetected") {
                    return Err(error.with_class(ErrorClass::Denied));
                }
                match status {
                    // Most likely too old: a fresh URL cures that.
                    401 | 403 | 404 | 410 => {
                        self.url = None;
                        if fresh && self.stalls >= 2 {
                            if status == 401 {
                                error = error.with_class(ErrorClass::Transient);
                            }
                            return Err(error);
                        }
                    }
                    416 => return Err(changed()),
                    500..=599 | 408 => {}
                    _ => return Err(error),
                }
                self.stall(error, None).await
            }
        }
    }

    /// Asks Graph for a fresh download URL. `None` when the content came at once.
    async fn locate(&mut self) -> Result<Option<Url>, GraphError> {
        let answer = self.client.send(&self.wanted.content).await?;
        if (200..300).contains(&answer.status) {
            if self.received > 0 {
                return Err(changed());
            }
            self.whole = Some(answer.body);
            return Ok(None);
        }
        let url = answer.header("location").and_then(|l| Url::parse(l).ok());
        let url = url
            .filter(|u| u.scheme() == "https" || self.client.endpoints().graph.scheme() == "http");
        match url {
            Some(url) => {
                self.url = Some(url.clone());
                self.url_is_fresh = true;
                Ok(Some(url))
            }
            None => Err(GraphError::local(
                ErrorClass::Transient,
                self.wanted.content.label(),
                format!("status {} without a download URL", answer.status),
            )),
        }
    }

    /// Compares what came with what was announced, and, where they differ, with what the service
    /// says now: the file may have been changed since the listing.
    async fn verify(&mut self) -> Result<(), GraphError> {
        let hash = self.hash.to_base64();
        let fits = |size: Option<u64>, announced: Option<&str>| match announced {
            Some(announced) => announced == hash,
            None => size.is_none_or(|size| size == self.received),
        };
        let wanted = Arc::clone(&self.wanted);
        if fits(wanted.size, wanted.hash.as_deref()) || wanted.tolerant {
            return Ok(());
        }
        let item = self.client.json(&wanted.item).await?;
        if fits(item["size"].as_u64(), hash_of(&item)) {
            return Ok(());
        }
        Err(GraphError::local(
            ErrorClass::Corrupt,
            wanted.content.label(),
            format!(
                "{} bytes came whose hash is {hash}, but the file has {}",
                self.received,
                hash_of(&item).map_or("another length".to_owned(), |h| format!("hash {h}")),
            ),
        ))
    }
}

/// The quickXorHash of a drive item, if it has one.
pub fn hash_of(item: &Value) -> Option<&str> {
    item["file"]["hashes"]["quickXorHash"]
        .as_str()
        .filter(|h| !h.is_empty())
}

/// `bytes a-b/total` as (a, total).
fn content_range(header: &str) -> Option<(u64, Option<u64>)> {
    let rest = header.trim().strip_prefix("bytes")?.trim_start();
    let (range, total) = rest.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

fn broken(what: &str) -> GraphError {
    GraphError::local(ErrorClass::Network, format!("GET {ROUTE}"), what)
}

fn changed() -> GraphError {
    GraphError::local(
        ErrorClass::Corrupt,
        format!("GET {ROUTE}"),
        "the file was changed while it was being downloaded",
    )
}

#[cfg(test)]
mod tests {
    use super::content_range;
    use proptest::prelude::*;

    #[test]
    fn ranges() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(content_range("bytes */10"), None);
    }

    proptest! {
        #[test]
        fn never_panics(s in ".*") {
            let _ = content_range(&s);
        }
    }
}
