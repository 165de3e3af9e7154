//! Object Lock of an S3 bucket: the store itself keeps a file until a date, whatever a key may do.
//!
//! `object_store` knows nothing of it, so these requests are made here, with URLs that it signs. A file is
//! locked when it was written and before anything points at it. Who dies in between leaves one without a
//! lock; the next renewal finds it.
//!
//! A bucket may lock by itself (its default retention). That stays as it is; the longer of both counts.
//! Locks are never shortened, and never made weaker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use md5::{Digest, Md5};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, ReqwestConnector};
use object_store::path::Path as StorePath;
use object_store::signer::{HeaderMap, HeaderName, HeaderValue, Method, SignedUrlOptions, Signer};
use object_store::{ClientOptions, ObjectStore};
use parking_lot::Mutex;

use super::super::error::{RepoError, Result};
use super::location::{LockMode, ObjectLock, Patience};
use super::{AT_A_TIME, Backend, remote};

/// What is locked: all that opens and reads a snapshot. Not what daily work replaces, nor what can be
/// made again.
const LOCKED: [&str; 9] = [
    "config",
    "keys",
    "data",
    "meta",
    "parity",
    "index",
    "dictionaries",
    "snapshots",
    "holds",
];

/// How long a signed URL is good for; clocks may differ.
const SIGNED_FOR: Duration = Duration::from_secs(900);
/// Most bytes of an answer that are read.
const ANSWER: usize = 64 << 10;
/// Pause before the second try; each is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the store keeps a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Until when, and how firmly.
    pub retained: Option<(Timestamp, LockMode)>,
    /// Somebody put a legal hold on it.
    pub held: bool,
}

impl Kept {
    /// Whether the store refuses to delete it.
    pub(crate) fn is_locked(&self, now: Timestamp) -> bool {
        self.held || self.retained.is_some_and(|(until, _)| until > now)
    }

    fn of(headers: &HeaderMap) -> Option<Self> {
        let header = |name: &str| headers.get(name).map(HeaderValue::to_str).transpose().ok();
        let until = header("x-amz-object-lock-retain-until-date")?;
        let mode = header("x-amz-object-lock-mode")?.and_then(LockMode::parse);
        let hold = header("x-amz-object-lock-legal-hold")?;
        let until: Option<Timestamp> = until.map(str::parse).transpose().ok()?;
        Some(Kept {
            // A mode that is not known is taken for the firmer one: such a lock is not to be weakened.
            retained: until.map(|until| (until, mode.unwrap_or(LockMode::Compliance))),
            held: hold == Some("ON"),
        })
    }
}

/// A bucket that locks.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// What it does with every new file.
    pub default: Option<ObjectLock>,
    /// Writes with checksums, which S3 wants where files are locked.
    store: Arc<dyn ObjectStore>,
}

/// Asks an S3 store for locks.
pub(super) struct Locks {
    store: Arc<AmazonS3>,
    builder: AmazonS3Builder,
    client: ClientOptions,
    patience: Patience,
    /// What every file is to get.
    wanted: Option<ObjectLock>,
    http: Mutex<Option<HttpClient>>,
    /// What the bucket was found to do, and if nothing, why.
    found: Mutex<Option<Result<Arc<Bucket>, String>>>,
}

struct Answer {
    status: u16,
    /// With its reason, for people.
    line: String,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The same request may be answered otherwise in a moment.
    fn passes(&self) -> bool {
        matches!(self.status, 429 | 500 | 502 | 503 | 504)
    }

    fn reason(&self) -> String {
        remote::told(&self.line, &self.body)
    }

    fn into_error(self, action: String, file: &str) -> RepoError {
        let reason = self.reason();
        match self.status {
            401 | 403 => RepoError::StoreRefused { action, reason },
            404 => RepoError::FileMissing { file: file.into() },
            _ => RepoError::StoreFailed { action, reason },
        }
    }
}

/// Why there is no answer.
enum Unanswered {
    Store(object_store::Error),
    Http(HttpError),
}

impl Unanswered {
    fn into_error(self, action: String) -> RepoError {
        match self {
            Unanswered::Store(error) => remote::failure(action, error),
            Unanswered::Http(error) => RepoError::StoreFailed {
                action,
                reason: remote::transport(&error),
            },
        }
    }
}

impl Locks {
    pub(super) fn new(
        builder: AmazonS3Builder,
        client: ClientOptions,
        store: Arc<AmazonS3>,
        patience: Patience,
        wanted: Option<ObjectLock>,
    ) -> Self {
        Locks {
            store,
            builder,
            client,
            patience,
            wanted,
            http: Mutex::default(),
            found: Mutex::default(),
        }
    }

    /// What the bucket does about locks; an error text when nothing. Asked once. Where no lock is wanted,
    /// a store that does not answer is taken for one that does not lock, this time.
    async fn bucket(&self) -> Result<Result<Arc<Bucket>, String>> {
        if let Some(found) = &*self.found.lock() {
            return Ok(found.clone());
        }
        let action = || "cannot ask the bucket about Object Lock".to_owned();
        let wanted = self.wanted.is_some();
        let root = StorePath::default();
        let asked = self.ask(Method::GET, &root, "object-lock", "").await;
        let answer = match (asked, wanted) {
            (Ok(answer), _) if !answer.passes() => answer,
            (Ok(answer), false) => return Ok(Err(answer.reason())),
            (Ok(answer), true) => return Err(answer.into_error(action(), "")),
            (Err(error), false) => return Ok(Err(error.into_error(action()).to_string())),
            (Err(error), true) => return Err(error.into_error(action())),
        };
        let enabled =
            answer.is_ok() && remote::field(&answer.body, "ObjectLockEnabled") == Some("Enabled");
        // A key need not be allowed to read this. The store refuses what it cannot do.
        let found = if enabled || (wanted && answer.status == 403) {
            let builder = self.builder.clone();
            let store = builder.with_checksum_algorithm(Checksum::SHA256).build();
            Ok(Arc::new(Bucket {
                default: default_of(&answer.body),
                store: Arc::new(store.map_err(|e| remote::failure(action(), e))?),
            }))
        } else {
            Err(answer.reason())
        };
        *self.found.lock() = Some(found.clone());
        Ok(found)
    }

    /// Locks a file that was just written.
    async fn retain(&self, file: &str, path: &StorePath) -> Result<()> {
        let (Some(wanted), Ok(bucket)) = (self.wanted, self.bucket().await?) else {
            return Ok(());
        };
        let default = bucket.default.unwrap_or(ObjectLock {
            period: Duration::ZERO,
            mode: LockMode::Governance,
        });
        if default.period >= wanted.period && default.mode >= wanted.mode {
            return Ok(());
        }
        let period = default.period.max(wanted.period);
        let mode = default.mode.max(wanted.mode);
        self.lock(file, path, after(Timestamp::now(), period), mode)
            .await
    }

    /// Until when a file is kept.
    async fn kept(&self, file: &str, path: &StorePath) -> Result<Kept> {
        let action = || format!("cannot see until when {file} is locked");
        let answer = self.ask(Method::HEAD, path, "", "").await;
        let answer = answer.map_err(|e| e.into_error(action()))?;
        if !answer.is_ok() {
            return Err(answer.into_error(action(), file));
        }
        Kept::of(&answer.headers).ok_or_else(|| RepoError::StoreFailed {
            action: action(),
            reason: "its answer names a date that is none".into(),
        })
    }

    /// Locks a file again that is locked for less than half the time; true when that was done.
    async fn renew(&self, file: &str, path: &StorePath) -> Result<bool> {
        let Some(wanted) = self.wanted else {
            return Ok(false);
        };
        let (now, kept) = (Timestamp::now(), self.kept(file, path).await?);
        let (until, mode) = kept.retained.unwrap_or((now, LockMode::Governance));
        if until >= after(now, wanted.period / 2) && mode >= wanted.mode {
            return Ok(false);
        }
        let until = until.max(after(now, wanted.period));
        self.lock(file, path, until, mode.max(wanted.mode)).await?;
        Ok(true)
    }

    async fn lock(
        &self,
        file: &str,
        path: &StorePath,
        until: Timestamp,
        mode: LockMode,
    ) -> Result<()> {
        let action = || format!("cannot lock {file} until {until} (s3:PutObjectRetention)");
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode>\
             <RetainUntilDate>{until:.0}</RetainUntilDate></Retention>"
        );
        let answer = self.ask(Method::PUT, path, "retention", &body).await;
        let answer = answer.map_err(|e| e.into_error(action()))?;
        match answer.is_ok() {
            true => Ok(()),
            false => Err(answer.into_error(action(), file)),
        }
    }

    /// A request, again and again while its failure may pass. Where no lock is wanted, once.
    async fn ask(
        &self,
        method: Method,
        path: &StorePath,
        query: &str,
        body: &str,
    ) -> Result<Answer, Unanswered> {
        let deadline = Instant::now() + self.patience.operation;
        let mut pause = PAUSE;
        loop {
            let answer = self.once(method.clone(), path, query, body).await;
            let passes = match &answer {
                Ok(answer) => answer.passes(),
                Err(error) => matches!(error, Unanswered::Http(_)),
            };
            if !passes || self.wanted.is_none() || Instant::now() + pause > deadline {
                return answer;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(remote::LONGEST_PAUSE);
        }
    }

    async fn once(
        &self,
        method: Method,
        path: &StorePath,
        query: &str,
        body: &str,
    ) -> Result<Answer, Unanswered> {
        let mut options = SignedUrlOptions::new();
        if !query.is_empty() {
            options = options.with_query([(query, "")]);
        }
        if !body.is_empty() {
            let digest = BASE64_STANDARD.encode(Md5::digest(body));
            let digest = HeaderValue::try_from(digest).map_err(unusable)?;
            options = options.with_signed_header(HeaderName::from_static("content-md5"), digest);
        }
        let signed = self
            .store
            .signed_url_opts(method.clone(), path, SIGNED_FOR, &options);
        let url = signed.await.map_err(Unanswered::Store)?;
        let mut request = HttpRequest::new(body.as_bytes().to_vec().into());
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().map_err(unusable)?;
        *request.headers_mut() = options.signed_headers;
        let http = self.http().map_err(Unanswered::Store)?;
        let answer = http.execute(request).await.map_err(Unanswered::Http)?;
        let (head, content) = answer.into_parts();
        let mut content = content.bytes_stream();
        let mut body = Vec::new();
        while let Some(part) = content.try_next().await.map_err(Unanswered::Http)? {
            body.extend(part.iter().take(ANSWER - body.len()));
        }
        Ok(Answer {
            status: head.status.as_u16(),
            line: head.status.to_string(),
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    fn http(&self) -> Result<HttpClient, object_store::Error> {
        let mut http = self.http.lock();
        match &*http {
            Some(http) => Ok(http.clone()),
            None => Ok(http
                .insert(ReqwestConnector::default().connect(&self.client)?)
                .clone()),
        }
    }
}

impl Backend {
    /// Fails when files are to be locked and the store does not do that.
    pub(super) fn check_lock(&self, location: &impl std::fmt::Display) -> Result<()> {
        let Some(locks) = self.locks.clone().filter(|locks| locks.wanted.is_some()) else {
            return Ok(());
        };
        match self.run(async move { locks.bucket().await })? {
            Ok(_) => Ok(()),
            Err(reason) => Err(RepoError::NoObjectLock {
                location: location.to_string(),
                reason,
            }),
        }
    }

    /// The bucket, when it locks files.
    pub(crate) fn locking(&self) -> Result<Option<Arc<Bucket>>> {
        let Some(locks) = self.locks.clone() else {
            return Ok(None);
        };
        Ok(self.run(async move { locks.bucket().await })?.ok())
    }

    /// How files are locked from now on.
    pub(crate) fn lock_wanted(&self) -> Option<ObjectLock> {
        self.locks.as_ref().and_then(|locks| locks.wanted)
    }

    /// What takes files that are written.
    pub(super) fn writing(&self) -> Arc<dyn ObjectStore> {
        match self.locking() {
            Ok(Some(bucket)) => bucket.store.clone(),
            Ok(None) | Err(_) => self.store.clone(),
        }
    }

    /// Locks a file that was just written, if it is one of those and that is wanted.
    pub(super) fn retain(&self, file: &str) -> Result<()> {
        let Some(locks) = self.locks.clone() else {
            return Ok(());
        };
        if locks.wanted.is_none() || !is_lockable(file) {
            return Ok(());
        }
        let (file, path) = (file.to_owned(), self.path(file));
        self.run(async move { locks.retain(&file, &path).await })
    }

    /// Until when the store keeps these files.
    pub(crate) fn kept(&self, files: Vec<String>) -> Vec<Result<Kept>> {
        self.each(files, |locks, file, path| async move {
            locks.kept(&file, &path).await
        })
    }

    /// Locks files again whose locks run out; tells of each whether that was done.
    pub(crate) fn renew(&self, files: Vec<String>) -> Vec<Result<bool>> {
        self.each(files, |locks, file, path| async move {
            locks.renew(&file, &path).await
        })
    }

    /// Asks about several files at the same time, in their order. Nothing where there are no locks.
    fn each<T, F>(
        &self,
        files: Vec<String>,
        ask: impl Fn(Arc<Locks>, String, StorePath) -> F,
    ) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let Some(locks) = self.locks.clone() else {
            return Vec::new();
        };
        let one = |file: String| {
            let path = self.path(&file);
            ask(locks.clone(), file, path)
        };
        let asked: Vec<F> = files.into_iter().map(one).collect();
        self.run(async move {
            let answers = futures::stream::iter(asked).buffered(AT_A_TIME);
            answers.collect().await
        })
    }
}

/// Whether a file is one that is locked where that is wanted.
pub(crate) fn is_lockable(file: &str) -> bool {
    let folder = file.split('/').next().unwrap_or_default();
    LOCKED.contains(&folder)
}

/// What a bucket does with every new file.
fn default_of(configuration: &str) -> Option<ObjectLock> {
    let rule = remote::field(configuration, "DefaultRetention")?;
    let days = |name, days: u64| {
        let count: u64 = remote::field(rule, name)?.parse().ok()?;
        count.checked_mul(days)?.checked_mul(86_400)
    };
    let seconds = days("Days", 1).or_else(|| days("Years", 365))?;
    Some(ObjectLock {
        period: Duration::from_secs(seconds),
        mode: LockMode::parse(remote::field(rule, "Mode")?)?,
    })
}

fn after(now: Timestamp, period: Duration) -> Timestamp {
    now.checked_add(period).unwrap_or(Timestamp::MAX)
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Unanswered {
    Unanswered::Store(object_store::Error::Generic {
        store: "S3",
        source: Box::new(error),
    })
}
