//! Puts a file into a drive.
//!
//! Always through an upload session, because only that keeps the file's own times without making
//! another version; an empty file, which has no valid range, by a plain PUT. Exactly once: what is
//! at the target with the same size and hash is what was to be put there. The session's URL is in
//! the journal, so that an upload goes on after a crash where it was.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::target::Root;
use super::{Drive, MANY, is_rewritten, modified, names};
use crate::graph::quickxor::QuickXor;
use crate::graph::{
    Call, DRIVE_FRAGMENT, ErrorClass, GraphError, Scope, Source as Bytes, Upload, UploadError,
    hash_of,
};
use crate::tree::names::exact_name;
use crate::workload::{Journal, Policy, Push, PushError, Pushed, Source};

const SESSION: &str = "/drives/{drive}/items/{parent}:/{name}:/createUploadSession";
const PUT: &str = "/drives/{drive}/items/{parent}:/{name}:/content";
const ITEM: &str = "/drives/{drive}/items/{item}";
const ATTEMPTS: u32 = 4;

/// The largest file that OneDrive and SharePoint take.
const MAX_FILE: u64 = 250 * (1 << 30);

/// How far an upload is.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Pre-authenticated URL of the upload session.
    url: Option<String>,
    /// The name that the session is for.
    name: String,
}

/// What is to be put there.
struct Job<'a> {
    root: Root,
    parent: String,
    folder: &'a [String],
    name: String,
    file: &'a Path,
    size: u64,
    hash: String,
    /// `fileSystemInfo`.
    times: Value,
    mtime: i64,
}

impl Drive {
    /// Puts a file into the folder `folder` of a drive. One that was not there gets the permissions of
    /// its original; one that is replaced keeps those that it has now.
    pub(in crate::workload) async fn push_file(
        &self,
        root: Root,
        folder: &[String],
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        let original = self.original(&root, push);
        let replaces = original.is_some()
            && push.policy == Policy::Overwrite
            && self.plan_file(&root, folder, push).await?.is_some();
        let mut pushed = match self.upload_file(root.clone(), folder, push, journal).await {
            Ok(pushed) => pushed,
            Err(e) => {
                let path: Vec<String> = folder.iter().cloned().chain([name_of(push)]).collect();
                return Err(self.explain(&root, &path, e).await);
            }
        };
        if let Some(original) = original.filter(|_| !replaces) {
            let notes = self.like(&root, &pushed.entry.id, original).await?;
            pushed.notes.extend(notes);
        }
        Ok(pushed)
    }

    async fn upload_file(
        &self,
        root: Root,
        folder: &[String],
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        let mut job = self.job(root, folder, push).await?;
        let progress: Option<Progress> = journal
            .load()
            .and_then(|state| serde_json::from_str(&state).ok());
        if push.policy == Policy::KeepBoth {
            // The name that this push was given before is its own by now.
            let begun = progress.as_ref().map(|p| p.name.clone());
            let begun = begun.filter(|name| *name == job.name);
            if begun.is_none()
                && let Some(other) = self.free_name(push, &job).await?
            {
                job.name = other;
            }
        }
        let behavior = if push.policy == Policy::Overwrite {
            "replace"
        } else {
            "fail"
        };
        let mut resume = progress
            .filter(|p| p.name == job.name)
            .and_then(|p| p.url)
            .filter(|_| job.size > 0);
        let mut tried = resume.is_some();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let outcome = if job.size == 0 {
                self.put_empty(&job, behavior).await
            } else {
                self.put_pieces(&job, behavior, resume.take(), journal)
                    .await
            };
            let error = match outcome {
                Ok(item) => match self.accept(&job, item) {
                    Ok(pushed) => return Ok(pushed),
                    // What arrived is not what was sent. Put it there again, over itself.
                    Err(e) if attempt < ATTEMPTS && self.is_ours(&job).await? => {
                        tracing::warn!(%e, "the upload was damaged on its way");
                        match self.put_pieces(&job, "replace", None, journal).await {
                            Ok(item) => return self.accept(&job, item),
                            Err(e) => e,
                        }
                    }
                    Err(e) => return Err(e),
                },
                Err(e) => e,
            };
            let (again, conflict) = match &error {
                PushError::Graph(e) => (e.class.is_temporary(), e.class == ErrorClass::Conflict),
                _ => (false, false),
            };
            // An earlier attempt whose answer was lost may have put it there.
            if ((tried && conflict) || again)
                && let Some(item) = self.item_at(&job.root, &job.path()).await?
                && job.is(&item)
                && !was_there(push, &item)
            {
                return self.accept(&job, item);
            }
            if conflict {
                return Err(PushError::Exists {
                    name: push.name.clone(),
                });
            }
            if !again || attempt >= ATTEMPTS {
                self.forget(&job.root.drive);
                return Err(error);
            }
            tried = true;
            tokio::time::sleep(self.client.patience().backoff(attempt)).await;
        }
    }

    /// Whether it arrived there. If so, it is shared as well.
    pub(in crate::workload) async fn find_pushed_file(
        &self,
        root: Root,
        folder: &[String],
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        let mut job = match self.job(root, folder, push).await {
            Ok(job) => job,
            Err(PushError::NoFolder { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        // By its own name a copy that shall stand beside others can't be told from what was there before: the push
        // knows from its journal.
        if push.policy == Policy::KeepBoth {
            job.name = other_name(push, &job.name);
        }
        let item = self.item_at(&job.root, &job.path()).await?;
        let Some(item) = item.filter(|item| job.is(item) && !was_there(push, item)) else {
            return Ok(None);
        };
        let mut pushed = self.accept(&job, item)?;
        match self.original(&job.root, push) {
            // Nobody knows any more whether it replaced one.
            Some(_) if push.policy == Policy::Overwrite => pushed
                .notes
                .push("permissions and label: they are left as they are now".to_owned()),
            Some(original) => {
                let notes = self.like(&job.root, &pushed.entry.id, original).await?;
                pushed.notes.extend(notes);
            }
            None => {}
        }
        Ok(Some(pushed))
    }

    /// The file that a push would meet.
    pub(in crate::workload) async fn plan_file(
        &self,
        root: &Root,
        folder: &[String],
        push: &Push,
    ) -> Result<Option<String>, PushError> {
        let path = folder.iter().cloned().chain([name_of(push)]);
        let path: Vec<String> = path.collect();
        names::check(root.service(), &path).map_err(PushError::Invalid)?;
        let there = self.item_at(root, &path).await?;
        Ok(there.and_then(|item| item["id"].as_str().map(str::to_owned)))
    }

    async fn job<'a>(
        &self,
        root: Root,
        folder: &'a [String],
        push: &'a Push,
    ) -> Result<Job<'a>, PushError> {
        let name = name_of(push);
        let mut times = json!({});
        let mut mtime = push.mtime;
        if let Source::Record { record, .. } = &push.source {
            if record["remoteItem"].is_object() {
                return Err(PushError::Invalid(format!(
                    "{name}: a shortcut to a folder of another drive, which Graph makes none of: its owner \
                     adds it again"
                )));
            }
            if record["id"].is_string() && !record["file"].is_object() {
                return Err(PushError::Invalid(format!(
                    "{name}: it was neither file nor folder, and Graph gave no content of it"
                )));
            }
            if let Some(created) = record["fileSystemInfo"]["createdDateTime"].as_str() {
                times["createdDateTime"] = json!(created);
            }
            mtime = modified(record).unwrap_or(mtime);
        }
        if let Ok(time) = Timestamp::from_second(mtime) {
            times["lastModifiedDateTime"] = json!(time.to_string());
        }
        let path: Vec<String> = folder.iter().cloned().chain([name.clone()]).collect();
        names::check(root.service(), &path).map_err(PushError::Invalid)?;
        let (size, hash) = hash_file(push.file.clone()).await?;
        if size > MAX_FILE {
            return Err(PushError::Invalid(format!(
                "{name}: {} takes at most 250 GB a file",
                root.service()
            )));
        }
        let parent = self.folder_at(&root, folder).await?;
        let file = push.file.as_path();
        Ok(Job {
            root,
            parent,
            folder,
            name,
            file,
            size,
            hash,
            times,
            mtime,
        })
    }

    /// Another name for a copy that shall stand beside what is there; `None` if the name is free.
    async fn free_name(&self, push: &Push, job: &Job<'_>) -> Result<Option<String>, PushError> {
        let taken = self.item_at(&job.root, &job.path()).await?.is_some();
        Ok(taken.then(|| other_name(push, &job.name)))
    }

    async fn put_empty(&self, job: &Job<'_>, behavior: &str) -> Result<Value, PushError> {
        let call = Call::new(Method::PUT, PUT, &[&job.root.drive, &job.parent, &job.name])
            .query("@microsoft.graph.conflictBehavior", behavior)
            .body(bytes::Bytes::new(), "application/octet-stream")
            .scope(Scope::Drives, MANY)
            .once();
        let item = self.client.json(&call).await?;
        // A plain PUT takes no times.
        let Some(id) = item["id"].as_str() else {
            return Ok(item);
        };
        let call = Call::new(Method::PATCH, ITEM, &[&job.root.drive, id])
            .json(json!({ "fileSystemInfo": job.times }))
            .scope(Scope::Drives, MANY)
            .repeatable();
        match self.client.json(&call).await {
            Ok(item) => Ok(item),
            // The file is there; its time is a detail.
            Err(e) => {
                tracing::warn!(%e, name = job.name, "an empty file has the time of its restore");
                Ok(item)
            }
        }
    }

    async fn put_pieces(
        &self,
        job: &Job<'_>,
        behavior: &str,
        mut url: Option<String>,
        journal: &dyn Journal,
    ) -> Result<Value, PushError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let resume = url.is_some();
            let at = match url.take() {
                Some(url) => url,
                None => {
                    let url = self.session(job, behavior).await?;
                    let progress = Progress {
                        url: Some(url.clone()),
                        name: job.name.clone(),
                    };
                    journal.save(&serde_json::to_string(&progress).unwrap_or_default())?;
                    url
                }
            };
            let upload = Upload {
                url: &at,
                source: Bytes::File(job.file),
                total: job.size,
                fragment: DRIVE_FRAGMENT,
                scope: Scope::Drives,
            };
            let total = job.size;
            let outcome = self
                .client
                .upload(&upload, resume, &|sent| journal.progress(sent, total))
                .await;
            match outcome {
                Ok(answer) => {
                    let item: Value = crate::graph::json::parse(&answer.body).unwrap_or_default();
                    if item["id"].is_string() {
                        return Ok(item);
                    }
                    // Committed, but not told as what: look.
                    let found = self.item_at(&job.root, &job.path()).await?;
                    return found.ok_or_else(|| lost(SESSION, "the uploaded file is not there"));
                }
                Err(UploadError::Expired) => {
                    // A session is also gone when its last piece arrived and the answer was lost.
                    if let Some(item) = self.item_at(&job.root, &job.path()).await?
                        && job.is(&item)
                    {
                        return Ok(item);
                    }
                    if attempt >= ATTEMPTS {
                        return Err(lost(SESSION, "upload sessions expire again and again"));
                    }
                }
                Err(UploadError::Graph(e)) => {
                    if e.class == ErrorClass::Conflict {
                        self.client.cancel_upload(&at).await;
                    }
                    return Err(e.into());
                }
                Err(UploadError::Local(e)) => {
                    self.client.cancel_upload(&at).await;
                    return Err(e.into());
                }
            }
        }
    }

    async fn session(&self, job: &Job<'_>, behavior: &str) -> Result<String, PushError> {
        let body = json!({ "item": {
            "@microsoft.graph.conflictBehavior": behavior,
            "name": job.name,
            "fileSize": job.size,
            "fileSystemInfo": job.times,
        }});
        // A session that nothing is sent to leaves nothing behind.
        let call = Call::post(SESSION, &[&job.root.drive, &job.parent, &job.name], body)
            .scope(Scope::Drives, MANY)
            .repeatable();
        let session = self.client.json(&call).await?;
        let url = session["uploadUrl"].as_str().map(str::to_owned);
        url.ok_or_else(|| lost(SESSION, "the session has no uploadUrl"))
    }

    /// Whether what stands at the target is from this push (its time is the file's).
    async fn is_ours(&self, job: &Job<'_>) -> Result<bool, PushError> {
        let item = self.item_at(&job.root, &job.path()).await?;
        Ok(item.is_some_and(|item| modified(&item) == Some(job.mtime)))
    }

    /// Checks that what is there is what was sent.
    fn accept(&self, job: &Job<'_>, item: Value) -> Result<Pushed, PushError> {
        let mut notes = Vec::new();
        let same = hash_of(&item).is_none_or(|hash| hash == job.hash)
            && item["size"].as_u64().is_none_or(|size| size == job.size);
        if !same {
            if !is_rewritten(&job.name) {
                let what = format!("{} arrived damaged", job.name);
                let error = GraphError::local(ErrorClass::Corrupt, "PUT (upload session)", what);
                return Err(error.into());
            }
            notes.push("SharePoint wrote its own properties into the document".to_owned());
        }
        let entry = self
            .live(&job.root, item)
            .ok_or_else(|| lost(SESSION, "the uploaded file has no id"))?;
        Ok(Pushed {
            entry,
            replaced: None,
            notes,
        })
    }
}

/// Is it the original itself, still there? Then this push did not make it, whatever is in it; unless it was to
/// write over it.
fn was_there(push: &Push, item: &Value) -> bool {
    match &push.source {
        Source::Record { record, .. } if push.policy != Policy::Overwrite => {
            record["id"].is_string() && record["id"] == item["id"]
        }
        _ => false,
    }
}

impl Job<'_> {
    fn path(&self) -> Vec<String> {
        self.folder
            .iter()
            .cloned()
            .chain([self.name.clone()])
            .collect()
    }

    /// Is this item what was to be put there? Of documents that SharePoint writes into, the time
    /// must do.
    fn is(&self, item: &Value) -> bool {
        if !item["file"].is_object() {
            return false;
        }
        match hash_of(item) {
            Some(hash) if hash == self.hash => item["size"].as_u64() == Some(self.size),
            _ if is_rewritten(&self.name) => modified(item) == Some(self.mtime),
            None => item["size"].as_u64() == Some(self.size) && modified(item) == Some(self.mtime),
            Some(_) => false,
        }
    }
}

/// The name as the drive has it: the mount may show it in another spelling.
fn name_of(push: &Push) -> String {
    if let Source::Record { record, key } = &push.source {
        let original = record["name"].as_str().unwrap_or_default();
        if exact_name(original, key) == push.name {
            return original.to_owned();
        }
    }
    push.name.clone()
}

/// A name that only this push would choose: `budget (restored 1a2b3c4d).xlsx`.
fn other_name(push: &Push, name: &str) -> String {
    let id = push.id.simple().to_string();
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    };
    let mark = format!(" (restored {})", &id[..8]);
    let room = 255usize.saturating_sub(mark.len() + extension.chars().count());
    let stem: String = stem.chars().take(room).collect();
    format!("{}{mark}{extension}", stem.trim_end())
}

async fn hash_file(file: PathBuf) -> Result<(u64, String), PushError> {
    let hashed = tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let mut file = std::fs::File::open(file)?;
        let mut hash = QuickXor::default();
        let mut size = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                return Ok::<_, std::io::Error>((size, hash.to_base64()));
            }
            hash.update(&buffer[..n]);
            size += n as u64;
        }
    });
    let hashed = hashed.await.map_err(std::io::Error::other)?;
    Ok(hashed?)
}

fn lost(route: &'static str, what: &str) -> PushError {
    GraphError::local(ErrorClass::Transient, route, what).into()
}
