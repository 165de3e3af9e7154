//! Requests to S3 that `object_store` does not know, with URLs that it signs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::TryStreamExt;
use md5::{Digest, Md5};
use object_store::ClientOptions;
use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, ReqwestConnector};
use object_store::path::Path as StorePath;
use object_store::signer::{HeaderMap, HeaderName, HeaderValue, Method, SignedUrlOptions, Signer};
use parking_lot::Mutex;

use super::super::error::RepoError;
use super::location::Patience;
use super::remote;

/// How long a signed URL is good for; clocks may differ.
const SIGNED_FOR: Duration = Duration::from_secs(900);
/// Most bytes of an answer that are read.
const ANSWER: usize = 64 << 10;
/// Pause before the second try; each is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// What S3 answered.
pub(super) struct Answer {
    pub(super) status: u16,
    /// With its reason, for people.
    line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The same request may be answered otherwise in a moment.
    pub(super) fn passes(&self) -> bool {
        matches!(self.status, 429 | 500 | 502 | 503 | 504)
    }

    pub(super) fn reason(&self) -> String {
        remote::told(&self.line, &self.body)
    }

    pub(super) fn into_error(self, action: String, file: &str) -> RepoError {
        let reason = self.reason();
        match self.status {
            401 | 403 => RepoError::StoreRefused { action, reason },
            404 => RepoError::FileMissing { file: file.into() },
            _ => RepoError::StoreFailed { action, reason },
        }
    }
}

/// Why there is no answer.
pub(super) enum Unanswered {
    Store(object_store::Error),
    Http(HttpError),
}

impl Unanswered {
    pub(super) fn into_error(self, action: String) -> RepoError {
        match self {
            Unanswered::Store(error) => remote::failure(action, error),
            Unanswered::Http(error) => RepoError::StoreFailed {
                action,
                reason: remote::transport(&error),
            },
        }
    }
}

/// Asks an S3 store.
pub(super) struct Signed {
    store: Arc<AmazonS3>,
    client: ClientOptions,
    patience: Patience,
    http: Mutex<Option<HttpClient>>,
}

impl Signed {
    pub(super) fn new(store: Arc<AmazonS3>, client: ClientOptions, patience: Patience) -> Self {
        Signed {
            store,
            client,
            patience,
            http: Mutex::default(),
        }
    }

    /// A request, again and again while its failure may pass.
    pub(super) async fn ask(
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
            if !passes || Instant::now() + pause > deadline {
                return answer;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(remote::LONGEST_PAUSE);
        }
    }

    /// The same once. `path` is the bucket itself when it is empty, `query` one parameter without a value.
    pub(super) async fn once(
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

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Unanswered {
    Unanswered::Store(object_store::Error::Generic {
        store: "S3",
        source: Box::new(error),
    })
}
