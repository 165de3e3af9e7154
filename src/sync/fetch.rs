//! Brings the content of items, several at a time, in the order they are asked for.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::Value;
use tokio::sync::mpsc;

use super::collection::{Held, Payload};
use super::progress::Progress;
use super::versions::{self, Versions};
use super::{Shared, SyncError};
use crate::graph::{ErrorClass, GraphError};
use crate::repo::RepoError;
use crate::repo::content::{self, ContentId};
use crate::tree::ItemKey;
use crate::workload::{Account, Content, ItemError, Workload};

/// Pieces of a download that may wait for the disk.
const QUEUED_PIECES: usize = 4;

/// An item whose content is needed.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub id: String,
    pub key: ItemKey,
    pub parent: ItemKey,
    pub parent_id: Option<String>,
    pub name: String,
    pub record: Value,
    pub held: Option<Held>,
    /// It is on the list of failed items.
    pub failing: bool,
}

pub(super) struct Fetched {
    pub job: Job,
    pub outcome: Outcome,
    /// What becomes of its older versions; `None`: they stay as they are.
    pub versions: Option<Versions>,
}

pub(super) enum Outcome {
    Got(Payload),
    /// It is gone meanwhile; its feed will tell.
    Vanished,
    Failed(ItemError),
}

/// Fetches one item, with its older versions where these are kept. Files go straight to the
/// repository, mails are handed on.
///
/// # Errors
/// Only what ends the cycle.
pub(super) async fn fetch(
    cx: &Shared,
    workload: &dyn Workload,
    account: &Account,
    mut job: Job,
) -> Result<Fetched, SyncError> {
    let mut again = true;
    let outcome = loop {
        let mut record = job.record.clone();
        let failed = match workload.fetch(account, &mut record).await {
            Ok(Content::Mail(bytes)) => {
                job.record = record;
                break Outcome::Got(Payload::Mail(bytes));
            }
            Ok(Content::Exported(item)) => {
                job.record = record;
                break Outcome::Got(Payload::Exported(item));
            }
            Ok(Content::None) => {
                job.record = record;
                break Outcome::Got(Payload::Stored(ContentId::EMPTY, 0));
            }
            Ok(file @ (Content::File(_) | Content::Stream(_))) => match store(cx, file).await? {
                Ok((content, size)) => {
                    job.record = record;
                    break Outcome::Got(Payload::Stored(content, size));
                }
                Err(e) => ItemError::from(e),
            },
            Err(e) => e,
        };
        match failed.class {
            ErrorClass::Auth => return Err(SyncError::SignIn(failed.reason)),
            ErrorClass::NotFound | ErrorClass::Gone => break Outcome::Vanished,
            // A download that does not match its hash may have met a change.
            ErrorClass::Corrupt if again => again = false,
            _ => break Outcome::Failed(failed),
        }
    };
    let versions = match &outcome {
        Outcome::Got(_) => versions::fetch(cx, workload, account, &job).await?,
        Outcome::Vanished | Outcome::Failed(_) => None,
    };
    Ok(Fetched {
        versions,
        ..counted(cx, job, outcome)
    })
}

/// Fetches several items with one request.
///
/// # Errors
/// Only what ends the cycle.
pub(super) async fn fetch_many(
    cx: &Shared,
    workload: &dyn Workload,
    account: &Account,
    jobs: Vec<Job>,
) -> Result<Vec<Fetched>, SyncError> {
    let mut records: Vec<Value> = jobs.iter().map(|job| job.record.clone()).collect();
    let contents = workload.fetch_many(account, &mut records).await;
    let mut fetched = Vec::with_capacity(jobs.len());
    let mut contents = contents.into_iter();
    for (mut job, record) in jobs.into_iter().zip(records) {
        let content = contents.next().unwrap_or_else(|| {
            Err(ItemError {
                class: ErrorClass::Ours,
                reason: "it is missing in the answer".to_owned(),
            })
        });
        let outcome = match content {
            Ok(Content::Mail(bytes)) => Outcome::Got(Payload::Mail(bytes)),
            Ok(Content::Exported(item)) => Outcome::Got(Payload::Exported(item)),
            Ok(Content::None) => Outcome::Got(Payload::Stored(ContentId::EMPTY, 0)),
            Ok(file @ (Content::File(_) | Content::Stream(_))) => match store(cx, file).await? {
                Ok((content, size)) => Outcome::Got(Payload::Stored(content, size)),
                Err(e) => Outcome::Failed(e.into()),
            },
            Err(failed) => match failed.class {
                ErrorClass::Auth => return Err(SyncError::SignIn(failed.reason)),
                ErrorClass::NotFound | ErrorClass::Gone => Outcome::Vanished,
                _ => Outcome::Failed(failed),
            },
        };
        if matches!(outcome, Outcome::Got(_)) {
            job.record = record;
        }
        fetched.push(counted(cx, job, outcome));
    }
    Ok(fetched)
}

fn counted(cx: &Shared, job: Job, outcome: Outcome) -> Fetched {
    if let Outcome::Got(payload) = &outcome {
        Progress::add(&cx.progress.fetched, 1);
        let bytes = match payload {
            Payload::Mail(bytes) => bytes.len(),
            Payload::Exported(item) => item.stream.len(),
            // Counted while it came in.
            Payload::Stored(..) => 0,
        };
        Progress::add(&cx.progress.bytes, bytes as u64);
    }
    Fetched {
        job,
        outcome,
        versions: None,
    }
}

/// Chunks and stores a file while it comes in. A download that breaks leaves no content behind,
/// only chunks that the next attempt finds again.
pub(super) async fn store(
    cx: &Shared,
    file: Content,
) -> Result<Result<(ContentId, u64), GraphError>, SyncError> {
    let _permit = cx.downloads.acquire().await;
    let mut pieces = pieces(file);
    let mut stream = cx.take_stream();
    // `None` says that all of it came.
    let (sender, mut receiver) = mpsc::channel::<Option<Bytes>>(QUEUED_PIECES);
    let writing = super::blocking(move || {
        let mut writer = content::Writer::new(&mut stream);
        let mut done = None;
        while let Some(piece) = receiver.blocking_recv() {
            match piece {
                Some(bytes) => writer.write(&bytes)?,
                None => {
                    done = Some(writer.finish()?);
                    break;
                }
            }
        }
        Ok::<_, SyncError>((stream, done))
    });
    let writing = super::spawn(writing);
    let mut broken = None;
    while let Some(piece) = pieces.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(e) => {
                broken = Some(e);
                break;
            }
        };
        Progress::add(&cx.progress.bytes, piece.len() as u64);
        // The writer ends early only with an error, which it returns below.
        if sender.send(Some(piece)).await.is_err() {
            break;
        }
    }
    if broken.is_none() {
        let _ = sender.send(None).await;
    }
    drop(sender);
    let (stream, done) = writing.await.map_err(SyncError::Panicked)??;
    cx.return_stream(stream);
    Ok(match (broken, done) {
        (Some(e), _) => Err(e),
        (None, Some(done)) => Ok(done),
        (None, None) => {
            let lost = RepoError::Invalid("a file was not written to its end".into());
            return Err(lost.into());
        }
    })
}

/// What is in memory is one piece.
fn pieces(content: Content) -> BoxStream<'static, Result<Bytes, GraphError>> {
    match content {
        Content::Stream(pieces) => pieces,
        Content::File(bytes) | Content::Mail(bytes) => stream::iter([Ok(bytes)]).boxed(),
        Content::Exported(item) => stream::iter([Ok(item.stream)]).boxed(),
        Content::None => stream::empty().boxed(),
    }
}
