//! The service's own older versions of a file, fetched when its content has changed.
//!
//! A list for each such file, and a content for each version that is not stored yet; nothing for files
//! that did not change. Of what the service still lists and what is stored of what it dropped since, the
//! newest are kept, as many as are wanted. A version that can't be had is a line in the report: it fails
//! neither the file nor the others, and is asked for again when the file changes next.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::fetch::{Job, store};
use super::{Shared, SyncError, blocking};
use crate::graph::ErrorClass;
use crate::repo::Kind;
use crate::repo::content::ContentId;
use crate::tree::key::Tag;
use crate::tree::{Entry, ItemKey, versions};
use crate::workload::{Account, ItemError, Version, Workload};

/// Versions that can't be had are told of one file; more are counted.
const MAX_NAMED: usize = 5;

/// How the versions of a file change.
#[derive(Default)]
pub(super) struct Versions {
    /// Those that stay, of what is stored.
    pub kept: HashSet<Tag>,
    /// Those that are added, the oldest first.
    pub fetched: Vec<FetchedVersion>,
    /// A line for the report.
    pub note: Option<String>,
}

/// A version whose content is stored.
pub(super) struct FetchedVersion {
    pub key: ItemKey,
    pub content: ContentId,
    pub size: u64,
    pub mtime: i64,
    pub record: Value,
}

impl Versions {
    pub fn bytes(&self) -> u64 {
        self.fetched.iter().map(|version| version.size).sum()
    }
}

/// Brings the older versions of a file that are wanted and not stored yet. `None`: they stay as they
/// are.
///
/// # Errors
/// Only what ends the cycle.
pub(super) async fn fetch(
    cx: &Shared,
    workload: &dyn Workload,
    account: &Account,
    job: &Job,
) -> Result<Option<Versions>, SyncError> {
    let wanted = workload.keeps_versions(job.held.is_none());
    if wanted == 0 {
        return Ok(None);
    }
    let stored = stored(cx, job).await?;
    let listed = match workload.versions(account, &job.record, wanted).await {
        Ok(listed) => listed,
        Err(e) => {
            return Ok(unless_gone(e)?.map(|why| Versions {
                kept: stored.iter().map(|entry| entry.tag).collect(),
                note: Some(format!("its older versions: {why}")),
                ..Versions::default()
            }));
        }
    };
    let mut changed = Versions::default();
    let mut bad = Vec::new();
    for (at, candidate) in in_order(cx, job, listed, stored)
        .await?
        .into_iter()
        .enumerate()
    {
        if changed.kept.len() + changed.fetched.len() >= wanted {
            break;
        }
        let (key, version) = match candidate {
            // In the place of a newer one that can't be had an older one stays.
            Candidate::Stored(tag) => {
                changed.kept.insert(tag);
                continue;
            }
            Candidate::New(key, version) if at < wanted => (key, version),
            Candidate::New(..) => continue,
        };
        match content(cx, workload, account, &job.record, &version).await? {
            Ok((content, size)) => changed.fetched.push(FetchedVersion {
                key,
                content,
                size,
                mtime: version.mtime,
                record: version.record,
            }),
            Err(e) => {
                let why = unless_gone(e)?;
                bad.extend(why.map(|why| format!("version {}: {why}", version.id)));
            }
        }
    }
    changed.fetched.reverse();
    changed.note = line(bad);
    Ok(Some(changed))
}

/// What is stored of the file's older versions.
async fn stored(cx: &Shared, job: &Job) -> Result<Vec<Entry>, SyncError> {
    let root = job.held.as_ref().and_then(|held| held.entry.versions);
    if root.is_none() {
        return Ok(Vec::new());
    }
    let nodes = cx.nodes.clone();
    let all = blocking(move || Ok(versions::list(&nodes, root)?)).await?;
    Ok(all.into_iter().map(|(_, entry)| entry).collect())
}

/// A version that may be kept.
enum Candidate {
    Stored(Tag),
    New(ItemKey, Version),
}

/// All versions that are listed or stored, the newest first.
async fn in_order(
    cx: &Shared,
    job: &Job,
    listed: Vec<Version>,
    stored: Vec<Entry>,
) -> Result<Vec<Candidate>, SyncError> {
    let mut left: HashMap<Tag, Entry> =
        stored.into_iter().map(|entry| (entry.tag, entry)).collect();
    let mut all: Vec<(Option<Number>, Candidate)> = Vec::new();
    let mut seen = HashSet::new();
    for version in listed {
        // A version is never written again: what has the same id and time is the same.
        let name = format!("{}/versions/{}/{}", job.id, version.id, version.mtime);
        let key = ItemKey::of(&cx.repo, &name);
        if !seen.insert(key.tag()) {
            continue;
        }
        let place = number(&version.id);
        let candidate = match left.remove(&key.tag()) {
            Some(entry) => Candidate::Stored(entry.tag),
            None => Candidate::New(key, version),
        };
        all.push((place, candidate));
    }
    let numbered = all.iter().all(|(number, _)| number.is_some());
    let mut dropped: Vec<Entry> = left.into_values().collect();
    dropped.sort_by_key(|entry| Reverse((entry.mtime, entry.tag)));
    for (number, tag) in numbers(cx, dropped).await? {
        all.push((number, Candidate::Stored(tag)));
    }
    // Else as the service tells them, with what it dropped at the end.
    if numbered {
        all.sort_by_key(|(number, _)| Reverse(*number));
    }
    Ok(all.into_iter().map(|(_, candidate)| candidate).collect())
}

/// The place of a version among those of its file: major and minor number.
type Number = (u64, u64);

/// The number that a version's id is: `3.0`.
fn number(id: &str) -> Option<Number> {
    let (major, minor) = id.split_once('.').unwrap_or((id, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The numbers of versions that only their records tell.
async fn numbers(
    cx: &Shared,
    entries: Vec<Entry>,
) -> Result<Vec<(Option<Number>, Tag)>, SyncError> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let repo = cx.repo.clone();
    let read = move || {
        let mut numbers = Vec::with_capacity(entries.len());
        for entry in entries {
            let json = entry.record.map(|id| repo.get(Kind::Record, &id));
            let record: Option<Value> = match json.transpose()? {
                Some(json) => serde_json::from_slice(&json).ok(),
                None => None,
            };
            let id = record.as_ref().and_then(|record| record["id"].as_str());
            numbers.push((id.and_then(number), entry.tag));
        }
        Ok(numbers)
    };
    blocking(read).await
}

/// Stores the content of a version.
async fn content(
    cx: &Shared,
    workload: &dyn Workload,
    account: &Account,
    record: &Value,
    version: &Version,
) -> Result<Result<(ContentId, u64), ItemError>, SyncError> {
    let mut again = true;
    loop {
        let failed = match workload.fetch_version(account, record, version).await {
            Ok(content) => match store(cx, content).await? {
                Ok(stored) => return Ok(Ok(stored)),
                Err(e) => ItemError::from(e),
            },
            Err(e) => e,
        };
        if failed.class != ErrorClass::Corrupt || !std::mem::take(&mut again) {
            return Ok(Err(failed));
        }
    }
}

/// Why something can't be had; `None` where it is not there any more, which is no failure.
fn unless_gone(e: ItemError) -> Result<Option<String>, SyncError> {
    match e.class {
        ErrorClass::Auth => Err(SyncError::SignIn(e.reason)),
        ErrorClass::NotFound | ErrorClass::Gone => Ok(None),
        _ => Ok(Some(e.reason)),
    }
}

fn line(bad: Vec<String>) -> Option<String> {
    let more = bad.len().saturating_sub(MAX_NAMED);
    let mut named: Vec<String> = bad.into_iter().take(MAX_NAMED).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    (!named.is_empty()).then(|| format!("not captured: {}", named.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_their_numbers() {
        assert!(number("10.0") > number("9.0"));
        assert!(number("1.2") > number("1.1"));
        assert_eq!(number("7"), Some((7, 0)));
        for id in ["", "a", "1.x", "-1.0", "1.0.0"] {
            assert_eq!(number(id), None, "{id}");
        }
    }

    #[test]
    fn one_line_tells_of_many() {
        assert_eq!(line(Vec::new()), None);
        let all = (0..7)
            .map(|n| format!("version {n}.0: gone wrong"))
            .collect();
        let text = line(all).unwrap();
        assert!(
            text.contains("version 4.0") && text.ends_with("and 2 more"),
            "{text}"
        );
    }
}
