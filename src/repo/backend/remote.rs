//! An object store: connecting, large uploads, and its errors in words.
//!
//! Retries are `object_store`'s: 5xx, 429, lost connections and time-outs are tried again with
//! growing pauses until [`Patience::operation`] is over.

use std::error::Error;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path as StorePath;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
    WriteMultipart,
};
use secrecy::ExposeSecret;

use super::super::error::{RepoError, Result, is_disk_full};
use super::location::{Access, AzureLocation, Patience, S3Location};
use super::pread;
use super::retain::Locks;
use super::signed::Signed;

/// A file above this is uploaded in parts.
const WHOLE_UP_TO: u64 = 16 << 20;
/// Bytes of a part; S3 wants at least 5 MiB.
const PART: usize = 8 << 20;
/// Parts of one file on their way at a time: bounds the memory.
const PARTS_AT_A_TIME: usize = 3;
/// Time to connect: a host that is down must not eat the whole patience.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest pause between retries.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A runtime that may be dropped anywhere, also from async code.
pub(super) struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    pub(super) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("tenantfs-store")
            .enable_all()
            .build()
            .map_err(|e| RepoError::io("cannot start the object store's threads", e))?;
        Ok(Runtime(Some(runtime)))
    }

    /// Waits for a future. Works from any thread, also one that runs async code.
    pub(super) fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let Some(runtime) = &self.0 else {
            unreachable!("the runtime is only taken when it is dropped")
        };
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        runtime.spawn(async move {
            let _ = sender.send(future.await);
        });
        match receiver.recv() {
            Ok(value) => value,
            // Only when the task panicked; pass the panic on.
            Err(_) => unreachable!("the object store's task ended without a result"),
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// An S3 store. What the location does not say comes from the environment (`AWS_*`).
pub(super) fn s3(
    s3: &S3Location,
    access: &Access,
) -> Result<(Arc<dyn ObjectStore>, Locks), object_store::Error> {
    let patience = access.patience;
    let client = client(s3.endpoint.as_deref(), patience);
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&s3.bucket)
        .with_client_options(client.clone())
        .with_retry(retries(patience))
        // Files go one by one, and only a plain DELETE says in its status that it is refused.
        .with_disable_bulk_delete(true);
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &s3.region {
        builder = builder.with_region(region);
    }
    if let Some(id) = &s3.access_key_id {
        builder = builder.with_access_key_id(id);
    }
    if let Some(secret) = &s3.secret_access_key {
        builder = builder.with_secret_access_key(secret.expose_secret());
    }
    let store = Arc::new(builder.clone().build()?);
    let signed = Signed::new(store.clone(), client, patience);
    Ok((store, Locks::new(signed, builder, access.lock)))
}

/// Azure Blob Storage. What the location does not say comes from the environment (`AZURE_*`).
pub(super) fn azure(
    azure: &AzureLocation,
    patience: Patience,
) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(&azure.container)
        .with_client_options(client(azure.endpoint.as_deref(), patience))
        .with_retry(retries(patience));
    if let Some(endpoint) = &azure.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if let Some(account) = &azure.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = &azure.account_key {
        builder = builder.with_access_key(key.expose_secret());
    }
    Ok(Arc::new(builder.build()?))
}

/// Plain HTTP only where the endpoint asks for it: stores on the same machine.
fn client(endpoint: Option<&str>, patience: Patience) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")))
        .with_connect_timeout(CONNECT.min(patience.request))
        .with_timeout(patience.request)
}

fn retries(patience: Patience) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            max_backoff: LONGEST_PAUSE,
            ..BackoffConfig::default()
        },
        // The time alone decides.
        max_retries: usize::MAX,
        retry_timeout: patience.operation,
    }
}

/// Uploads a local file, a large one in parts: it appears whole when the last is there.
pub(super) async fn upload(
    store: Arc<dyn ObjectStore>,
    path: StorePath,
    from: &Path,
) -> Result<(), object_store::Error> {
    let local = |source: io::Error| object_store::Error::Generic {
        store: "staging",
        source: Box::new(source),
    };
    let file = File::open(from).map_err(local)?;
    let size = file.metadata().map_err(local)?.len();
    if size <= WHOLE_UP_TO {
        let bytes = pread(&file, 0, size).map_err(local)?;
        return store.put(&path, PutPayload::from(bytes)).await.map(drop);
    }
    let upload = store.put_multipart(&path).await?;
    let mut parts = WriteMultipart::new_with_chunk_size(upload, PART);
    let mut at = 0;
    while at < size {
        let step = (size - at).min(PART as u64);
        let sent = match parts.wait_for_capacity(PARTS_AT_A_TIME).await {
            Ok(()) => pread(&file, at, step).map_err(local),
            Err(e) => Err(e),
        };
        match sent {
            Ok(bytes) => parts.put(bytes.into()),
            Err(e) => {
                // Parts that stay behind cost room; a bucket's lifecycle rule removes them.
                let _ = parts.abort().await;
                return Err(e);
            }
        }
        at += step;
    }
    parts.finish().await.map(drop)
}

/// Whether a store has nothing of a range, since the object ends before it. That tells of the object, and not of
/// the way to it.
pub(super) fn is_behind_the_end(error: &object_store::Error) -> bool {
    answer(&error.to_string()).starts_with("416 ")
}

/// What a store's failure means for the person who reads of it.
pub(super) fn failure(action: String, error: object_store::Error) -> RepoError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let mut reason = None;
    while let Some(below) = cause {
        if let Some(http) = below.downcast_ref::<HttpError>() {
            reason = Some(transport(http));
        } else if let Some(local) = below.downcast_ref::<io::Error>()
            && is_disk_full(local)
        {
            return RepoError::DiskFull { action };
        }
        cause = below.source();
    }
    let reason = reason.unwrap_or_else(|| answer(&error.to_string()));
    match error {
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => RepoError::StoreRefused { action, reason },
        _ => RepoError::StoreFailed { action, reason },
    }
}

pub(super) fn transport(error: &HttpError) -> String {
    let what = match error.kind() {
        HttpErrorKind::Connect => "cannot connect to it",
        HttpErrorKind::Timeout => "no answer in time",
        HttpErrorKind::Interrupted => "the connection broke off",
        _ => "the request failed",
    };
    let mut inner: &dyn Error = error;
    while let Some(below) = inner.source() {
        inner = below;
    }
    format!("{what} ({inner})")
}

/// The store's own words, out of a message that has the whole request and an XML document in it.
fn answer(message: &str) -> String {
    let Some((_, answer)) = message.split_once("non-2xx status code: ") else {
        return message.to_owned();
    };
    told(answer.split(": ").next().unwrap_or(answer), answer)
}

/// A status and the document that came with it, in words.
pub(super) fn told(status: &str, document: &str) -> String {
    match (field(document, "Code"), field(document, "Message")) {
        (Some(code), Some(message)) => format!("{status}, {code}: {message}"),
        (Some(code), None) => format!("{status}, {code}"),
        _ => status.trim().to_owned(),
    }
}

/// What is in an element of a document.
pub(super) fn field<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_without_the_request_and_the_document() {
        let message = "Generic S3 error: Error performing PUT http://h/b/k in 2s, after 3 retries \
            - Server returned non-2xx status code: 503 Service Unavailable: <?xml version=\"1.0\"?>\
            <Error><Code>SlowDown</Code><Message>Please reduce your rate</Message></Error>";
        assert_eq!(
            answer(message),
            "503 Service Unavailable, SlowDown: Please reduce your rate"
        );
        assert_eq!(
            answer("x - Server returned non-2xx status code: 500 Internal Server Error: "),
            "500 Internal Server Error"
        );
        assert_eq!(answer("something else"), "something else");
    }

    #[test]
    fn a_range_behind_the_end_is_told_from_a_failure() {
        let error = |status: &str| object_store::Error::Generic {
            store: "S3",
            source: format!("x - Server returned non-2xx status code: {status}: <Error/>").into(),
        };
        assert!(is_behind_the_end(&error("416 Range Not Satisfiable")));
        assert!(!is_behind_the_end(&error("500 Internal Server Error")));
    }
}
