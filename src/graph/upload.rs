//! Sends large bodies piece by piece, through an upload session.
//!
//! Both kinds of session (drive items, mail attachments) work alike: a pre-authenticated URL takes
//! fragments in order and says what it expects next. The URL never gets the token. A broken
//! fragment counts for nothing; the session is asked where it is, and it goes on there.

use std::io::SeekFrom;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use url::Url;

use super::client::Client;
use super::error::{ErrorClass, GraphError};
use super::limiter::Scope;
use super::retry::retry_after;
use super::transport::{Answer, is_throttle, unix_now};

/// Drive fragments must be multiples of this.
pub const DRIVE_UNIT: usize = 320 * 1024;
/// What drive fragments are: 10 MiB, as recommended.
pub const DRIVE_FRAGMENT: usize = 32 * DRIVE_UNIT;
/// What fragments of mail attachments are: at most 4 MB are allowed.
pub const MAIL_FRAGMENT: usize = 3 * 1024 * 1024;

const ROUTE: &str = "(upload session)";

/// Bytes to send.
pub enum Source<'a> {
    /// A local file, read piece by piece.
    File(&'a Path),
    /// What is in memory anyway.
    Memory(Bytes),
}

/// An open session and what goes through it.
pub struct Upload<'a> {
    /// Pre-authenticated URL of the session.
    pub url: &'a str,
    /// Where the bytes come from.
    pub source: Source<'a>,
    /// How many there are.
    pub total: u64,
    /// Bytes of one request.
    pub fragment: usize,
    /// Whose budget the bytes count against.
    pub scope: Scope,
}

/// Why a session did not take it.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The session is gone: make a new one.
    #[error("the upload session has expired")]
    Expired,
    /// Anything else, after all retries.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The bytes could not be read.
    #[error(transparent)]
    Local(#[from] std::io::Error),
}

impl Client {
    /// Sends everything from where the session is. `resume`: the session is not new, ask it first.
    /// Returns the answer to the last fragment.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn upload(
        &self,
        upload: &Upload<'_>,
        resume: bool,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Answer, UploadError> {
        let url = self.upload_url(upload.url)?;
        let gate = self.limiters().gate(&upload.scope);
        let mut at = if resume {
            self.expected(&url).await?
        } else {
            0
        };
        let mut tries = 0;
        let mut missing = 0;
        loop {
            progress(at);
            let piece = upload
                .source
                .read(at, upload.fragment, upload.total)
                .await?;
            let last = at + piece.len() as u64 >= upload.total;
            let outcome = self.put(upload, &url, at, piece.clone()).await?;
            let error = match outcome {
                Ok(answer) if answer.status < 300 && last => {
                    progress(upload.total);
                    return Ok(answer);
                }
                Ok(answer) if answer.status < 300 => {
                    let next = next_expected(&answer.body).unwrap_or(at + piece.len() as u64);
                    if next <= at || next > upload.total {
                        return Err(odd("the session does not advance").into());
                    }
                    (at, tries) = (next, 0);
                    continue;
                }
                Ok(answer) => refused(&answer),
                Err(error) => error,
            };
            tries += 1;
            let patience = self.patience();
            let throttled = is_throttle(&error);
            let limit = match error.class {
                _ if throttled => patience.throttled_attempts,
                ErrorClass::Network => patience.network_attempts,
                ErrorClass::Transient => patience.attempts,
                _ => match error.status {
                    // Part of it is there already, or was not expected yet: ask.
                    Some(416) => 3,
                    // Perhaps only not everywhere yet.
                    Some(404) => {
                        missing += 1;
                        if missing >= 3 {
                            return Err(UploadError::Expired);
                        }
                        3
                    }
                    Some(410) => return Err(UploadError::Expired),
                    _ => 0,
                },
            };
            if tries >= limit {
                return Err(error.into());
            }
            let wait = error.retry_after.unwrap_or_else(|| patience.backoff(tries));
            if throttled && let Some(gate) = &gate {
                gate.throttled(wait);
            }
            tracing::debug!(%error, ?wait, at, "the upload goes on");
            tokio::time::sleep(wait.min(patience.total)).await;
            if !throttled && error.status != Some(404) {
                match self.expected(&url).await {
                    // All of it arrived; only the answer was lost. Send the last piece again to
                    // get it: the session says what it is.
                    Ok(next) if next >= upload.total => {}
                    Ok(next) => at = next,
                    Err(UploadError::Expired) if last => return Err(UploadError::Expired),
                    Err(e) => return Err(e),
                }
            }
        }
    }

    /// The first byte a session does not have.
    async fn expected(&self, url: &Url) -> Result<u64, UploadError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self
                .bare(Method::GET, ROUTE, url, &[], None, FRAGMENT_TIME)
                .await
            {
                Ok(answer) if answer.status < 300 => {
                    return Ok(next_expected(&answer.body).unwrap_or(u64::MAX));
                }
                Ok(answer) if matches!(answer.status, 401 | 404 | 410) => {
                    return Err(UploadError::Expired);
                }
                Ok(answer) => {
                    let wait = answer
                        .header("retry-after")
                        .and_then(|v| retry_after(v, unix_now()));
                    GraphError::from_answer(answer.status, &answer.body, format!("GET {ROUTE}"))
                        .with_headers(None, wait, None)
                }
                Err(error) => error,
            };
            if !error.class.is_temporary() || tries >= self.patience().network_attempts {
                return Err(error.into());
            }
            let wait = error
                .retry_after
                .unwrap_or_else(|| self.patience().backoff(tries));
            tokio::time::sleep(wait).await;
        }
    }

    /// Gives a session up. Failures do not matter: it expires by itself.
    pub async fn cancel_upload(&self, url: &str) {
        if let Ok(url) = self.upload_url(url) {
            let _ = self
                .bare(Method::DELETE, ROUTE, &url, &[], None, FRAGMENT_TIME)
                .await;
        }
    }

    /// Sends one piece, within the budget that it counts against. The outer error: there is none left.
    async fn put(
        &self,
        upload: &Upload<'_>,
        url: &Url,
        at: u64,
        piece: Bytes,
    ) -> Result<Result<Answer, GraphError>, GraphError> {
        let len = piece.len() as u64;
        let range = format!("bytes {at}-{}/{}", at + len - 1, upload.total);
        let headers = [
            ("content-type", "application/octet-stream".to_owned()),
            ("content-range", range),
        ];
        let gate = self.limiters().gate(&upload.scope);
        let _permit = match &gate {
            Some(gate) => {
                let entered = gate.enter(1, u64::from(at == 0), len).await;
                Some(entered.map_err(|used_up| used_up.refuse(ROUTE))?)
            }
            None => None,
        };
        let sent = self.bare(
            Method::PUT,
            ROUTE,
            url,
            &headers,
            Some(piece),
            FRAGMENT_TIME,
        );
        Ok(sent.await)
    }

    fn upload_url(&self, url: &str) -> Result<Url, GraphError> {
        let parsed = Url::parse(url).ok();
        // Over plain HTTP only where Graph itself is reached so (test servers).
        parsed
            .filter(|u| u.scheme() == "https" || self.endpoints().graph.scheme() == "http")
            .ok_or_else(|| odd("the session's URL is not usable"))
    }
}

const FRAGMENT_TIME: Duration = Duration::from_secs(600);

impl Source<'_> {
    async fn read(&self, at: u64, fragment: usize, total: u64) -> Result<Bytes, std::io::Error> {
        let len = (total.saturating_sub(at)).min(fragment as u64) as usize;
        let short = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        if len == 0 {
            return Err(short());
        }
        match self {
            Self::Memory(bytes) => {
                let at = usize::try_from(at).map_err(|_| short())?;
                if at + len > bytes.len() {
                    return Err(short());
                }
                Ok(bytes.slice(at..at + len))
            }
            Self::File(path) => {
                let mut file = tokio::fs::File::open(path).await?;
                file.seek(SeekFrom::Start(at)).await?;
                let mut piece = vec![0; len];
                file.read_exact(&mut piece).await?;
                Ok(piece.into())
            }
        }
    }
}

/// The start of the first range in `nextExpectedRanges`: `"26-"`, `"26-99"`, and from Exchange a
/// bare `"26"`.
fn next_expected(body: &[u8]) -> Option<u64> {
    let value: Value = super::json::parse(body).ok()?;
    let starts = value["nextExpectedRanges"]
        .as_array()?
        .iter()
        .filter_map(|range| {
            range
                .as_str()?
                .split('-')
                .next()?
                .trim()
                .parse::<u64>()
                .ok()
        });
    starts.min()
}

fn odd(what: &str) -> GraphError {
    GraphError::local(ErrorClass::Transient, format!("PUT {ROUTE}"), what)
}

/// What an answer that is no success means.
fn refused(answer: &Answer) -> GraphError {
    let wait = answer
        .header("retry-after")
        .and_then(|v| retry_after(v, unix_now()));
    let id = answer.header("request-id").map(str::to_owned);
    GraphError::from_answer(answer.status, &answer.body, format!("PUT {ROUTE}"))
        .with_headers(id, wait, None)
}

#[cfg(test)]
mod tests {
    use super::next_expected;

    #[test]
    fn both_spellings_of_what_is_expected() {
        assert_eq!(
            next_expected(br#"{"nextExpectedRanges":["26-"]}"#),
            Some(26)
        );
        assert_eq!(
            next_expected(br#"{"nextExpectedRanges":["2097152"]}"#),
            Some(2_097_152)
        );
        assert_eq!(
            next_expected(br#"{"nextExpectedRanges":["50-59","26-40"]}"#),
            Some(26)
        );
        assert_eq!(next_expected(br#"{"nextExpectedRanges":[]}"#), None);
        assert_eq!(next_expected(b""), None);
    }
}
