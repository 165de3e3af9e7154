//! Puts a task into a list: created with its links, then its steps, then its files.
//!
//! Invariants: exactly once, by a marker that is part of the creating request: before anything is
//! created again, the list is asked for it; an old task is deleted only when the new one is complete.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Todo;
use super::compose::{self, Composed};
use super::lists::{MAX_TASKS, TASKS};
use super::task::{LIST, expand, like, same};
use crate::graph::{Call, ErrorClass, GraphError, odata_quote};
use crate::workload::Marker;
use crate::workload::known::Fact;
use crate::workload::{Account, ItemKey, Journal, Policy, Push, PushError, Pushed, Source};

const TASK: &str = "/users/{user}/todo/lists/{list}/tasks/{task}";
const STEPS: &str = "/users/{user}/todo/lists/{list}/tasks/{task}/checklistItems";

/// Attempts at a creation whose answer got lost.
const ATTEMPTS: u32 = 4;
/// Steps of a task.
const MAX_STEPS: usize = 10_000;

/// How far a push is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Id of the created task.
    task: Option<String>,
    /// Id of the task to be removed when the new one is complete.
    replaces: Option<String>,
}

impl Todo {
    pub(super) async fn push_task(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        let composed = compose::compose(push).await?;
        let list = self.target(account, push).await?;
        let mut progress: Progress = journal
            .load()
            .and_then(|s| serde_json::from_str(&s).ok())
            .unwrap_or_default();
        // The request that makes a task may be the last thing a process did.
        let made = match journal.repeated() {
            true => self.by_marker(account, &list, &composed.marker).await?,
            false => None,
        };
        let made = match made {
            Some(task) => {
                if progress.task.is_none() && push.policy == Policy::Overwrite {
                    progress.replaces = self.existing(account, &list, push, &composed).await?;
                }
                task
            }
            None => {
                progress = Progress::default();
                if push.policy != Policy::KeepBoth
                    && let Some(old) = self.existing(account, &list, push, &composed).await?
                {
                    if push.policy == Policy::Skip {
                        return Err(PushError::Exists {
                            name: push.name.clone(),
                        });
                    }
                    progress.replaces = Some(old);
                    save(journal, &progress)?;
                }
                self.create(account, &list, &composed).await?
            }
        };
        let id = id_of(&made)?;
        progress.task = Some(id.clone());
        save(journal, &progress)?;
        match self.complete(account, &list, &id, &composed, journal).await {
            // Refused for good: half a task is not what anyone asked for.
            Err(e) if !e.class.is_temporary() => {
                self.delete(account, &list, &id).await?;
                return Err(e.into());
            }
            other => other?,
        }
        if let Some(old) = &progress.replaces {
            self.delete(account, &list, old).await?;
        }
        self.pushed(account, &list, made, &composed, progress.replaces)
    }

    pub(super) async fn find_pushed_task(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        let composed = compose::compose(push).await?;
        let list = match self.target(account, push).await {
            Ok(list) => list,
            // What is in no list did not arrive.
            Err(PushError::NoFolder { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let Some(task) = self.by_marker(account, &list, &composed.marker).await? else {
            return Ok(None);
        };
        let id = id_of(&task)?;
        if self.steps(account, &list, &id).await? < composed.steps.len()
            || self.attached(account, &list, &id).await? < composed.files.len()
        {
            return Ok(None);
        }
        let mut replaced = None;
        if push.policy == Policy::Overwrite
            && let Some(old) = self.existing(account, &list, push, &composed).await?
        {
            self.delete(account, &list, &old).await?;
            replaced = Some(old);
        }
        self.pushed(account, &list, task, &composed, replaced)
            .map(Some)
    }

    async fn target(&self, account: &Account, push: &Push) -> Result<String, PushError> {
        let no_list = || PushError::NoFolder {
            path: push.folder.join("/"),
        };
        let list = self.list_at(account, &push.folder).await?;
        list.ok_or_else(no_list)
    }

    /// The task of this push, if it is there. Tasks can't be filtered by their extensions.
    async fn by_marker(
        &self,
        account: &Account,
        list: &str,
        marker: &Marker,
    ) -> Result<Option<Value>, GraphError> {
        let all = self.find(account, list, None).await?;
        let mine = |task: &Value| Marker::of(task).is_some_and(|m| m.push == marker.push);
        Ok(all.into_iter().find(mine))
    }

    async fn find(
        &self,
        account: &Account,
        list: &str,
        filter: Option<&str>,
    ) -> Result<Vec<Value>, GraphError> {
        let mut call = Call::get(TASKS, &[&account.id, list])
            .query("$expand", &expand())
            .query("$top", "200");
        if let Some(filter) = filter {
            call = call.query("$filter", filter);
        }
        self.client.pages(Self::of(account, call), MAX_TASKS).await
    }

    /// The task that is to be restored, or one that is the same, in the list.
    async fn existing(
        &self,
        account: &Account,
        list: &str,
        push: &Push,
        composed: &Composed,
    ) -> Result<Option<String>, GraphError> {
        let origin: Option<ItemKey> = match &push.source {
            Source::Record { key, .. } => Some(*key),
            Source::File => None,
        };
        let facts = Fact::all_of_push(origin, Some(like(&composed.json)));
        if self.known.lacks(account, list, &facts) {
            return Ok(None);
        }
        let mut candidates = Vec::new();
        if let Source::Record { record, .. } = &push.source {
            // The original may have another title meanwhile.
            candidates.extend(self.original(account, list, record).await?);
        }
        let title = composed.json["title"].as_str().unwrap_or_default();
        let filter = format!("title eq '{}'", odata_quote(title));
        let found = match self.find(account, list, Some(&filter)).await {
            Err(e) if e.status == Some(400) || e.status == Some(501) => {
                self.find(account, list, None).await
            }
            other => other,
        };
        candidates.extend(found?);
        candidates.retain(|t| Marker::of(t).is_none_or(|m| m.push != push.id));
        let is_original = |t: &Value| {
            let id: Option<ItemKey> = t["id"].as_str().map(|id| (self.keyer)(id));
            origin.is_some() && (id == origin || Marker::of(t).and_then(|m| m.origin) == origin)
        };
        let found = candidates
            .iter()
            .find(|t| is_original(t))
            .or_else(|| candidates.iter().find(|t| same(t, &composed.json)));
        Ok(found.and_then(|t| t["id"].as_str().map(str::to_owned)))
    }

    /// The task with the record's id, if it is in the list.
    async fn original(
        &self,
        account: &Account,
        list: &str,
        record: &Value,
    ) -> Result<Option<Value>, GraphError> {
        let Some(id) = record["id"].as_str() else {
            return Ok(None);
        };
        let call = Call::get(TASK, &[&account.id, list, id])
            .query("$expand", &expand())
            .patient_404(1);
        match self.client.json(&Self::of(account, call)).await {
            Ok(task) => Ok(Some(task)),
            // Gone, in another list, or an id of another mailbox.
            Err(e) if e.class == ErrorClass::NotFound || e.status == Some(400) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Creates the task. When an answer is lost, the marker tells whether it was created.
    async fn create(
        &self,
        account: &Account,
        list: &str,
        composed: &Composed,
    ) -> Result<Value, GraphError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let call = Call::post(TASKS, &[&account.id, list], composed.json.clone());
            let error = match self.client.json(&Self::of(account, call)).await {
                Ok(task) => return Ok(task),
                Err(e) => e,
            };
            if !error.class.is_temporary() {
                return Err(error);
            }
            if let Some(task) = self.by_marker(account, list, &composed.marker).await? {
                return Ok(task);
            }
            if attempt >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(self.client.patience().backoff(attempt)).await;
        }
    }

    /// Adds what is missing of steps and files. They are added in order, so the number that is there
    /// tells which.
    async fn complete(
        &self,
        account: &Account,
        list: &str,
        task: &str,
        composed: &Composed,
        journal: &dyn Journal,
    ) -> Result<(), GraphError> {
        let repeated = journal.repeated();
        let (mut steps, mut files) = (0, 0);
        if repeated && !composed.steps.is_empty() {
            steps = self.steps(account, list, task).await?;
        }
        let mut lost = 0;
        while let Some(step) = composed.steps.get(steps) {
            let call = Call::post(STEPS, &[&account.id, list, task], step.clone()).patient_404(6);
            match self.client.json(&Self::of(account, call)).await {
                Ok(_) => steps += 1,
                Err(e) => {
                    self.recover(&mut lost, e).await?;
                    steps = self.steps(account, list, task).await?;
                }
            }
        }
        if repeated && !composed.files.is_empty() {
            files = self.attached(account, list, task).await?;
        }
        while let Some(file) = composed.files.get(files) {
            journal.progress(files as u64, composed.files.len() as u64);
            match self.attach(account, list, task, file).await {
                Ok(()) => files += 1,
                Err(e) => {
                    self.recover(&mut lost, e).await?;
                    files = self.attached(account, list, task).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits after a request whose answer may have got lost; the error back if it is no use.
    async fn recover(&self, lost: &mut u32, error: GraphError) -> Result<(), GraphError> {
        *lost += 1;
        if !error.class.is_temporary() || *lost >= ATTEMPTS {
            return Err(error);
        }
        tokio::time::sleep(self.client.patience().backoff(*lost)).await;
        Ok(())
    }

    /// How many steps a task has.
    async fn steps(&self, account: &Account, list: &str, task: &str) -> Result<usize, GraphError> {
        let call = Call::get(STEPS, &[&account.id, list, task]).patient_404(5);
        let all = self
            .client
            .pages(Self::of(account, call), MAX_STEPS)
            .await?;
        Ok(all.len())
    }

    /// Removes a task. One that is gone already is what was wanted.
    async fn delete(&self, account: &Account, list: &str, id: &str) -> Result<(), GraphError> {
        let call = Call::new(Method::DELETE, TASK, &[&account.id, list, id]);
        match self.client.send(&Self::of(account, call)).await {
            Err(e) if e.class != ErrorClass::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn pushed(
        &self,
        account: &Account,
        list: &str,
        mut task: Value,
        composed: &Composed,
        replaced: Option<String>,
    ) -> Result<Pushed, PushError> {
        // An answer to a creation does not show the marker, which the name depends on.
        if Marker::of(&task).is_none() {
            task["extensions"] = json!([composed.marker.extension()]);
        }
        self.known.add(account, list, self.facts(&task));
        task[LIST] = json!(list);
        Ok(Pushed {
            entry: self.live(task, false).ok_or_else(no_id)?,
            replaced,
            notes: composed.notes.clone(),
        })
    }
}

fn save(journal: &dyn Journal, progress: &Progress) -> Result<(), PushError> {
    let text = serde_json::to_string(progress).unwrap_or_default();
    Ok(journal.save(&text)?)
}

fn id_of(task: &Value) -> Result<String, PushError> {
    task["id"].as_str().map(str::to_owned).ok_or_else(no_id)
}

fn no_id() -> PushError {
    GraphError::local(
        ErrorClass::Transient,
        format!("POST {TASKS}"),
        "the task has no id",
    )
    .into()
}
