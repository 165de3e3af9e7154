//! Puts a task into a list: created with its links, then its steps, then its files.
//!
//! Invariants: steps and files are added in order, so after a crash their number tells which are
//! missing; the rest is [`once`]'s.

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::Todo;
use super::compose::{self, Composed};
use super::lists::{MAX_TASKS, TASKS};
use super::task::{LIST, expand, same};
use crate::graph::{Call, Client, GraphError, odata_quote};
use crate::workload::once::{self, ATTEMPTS, Made, Once, Origin};
use crate::workload::ongoing::Ongoing;
use crate::workload::{Account, Journal, Keyer, LiveEntry, Marker, Push, PushError, Source};

const TASK: &str = "/users/{user}/todo/lists/{list}/tasks/{task}";
const STEPS: &str = "/users/{user}/todo/lists/{list}/tasks/{task}/checklistItems";

/// Steps of a task.
const MAX_STEPS: usize = 10_000;

impl once::Composed for Composed {
    fn marker(&self) -> &Marker {
        &self.marker
    }

    fn item(&self) -> &Value {
        &self.json
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[async_trait]
impl Once for Todo {
    type Composed = Composed;
    const CREATE: &'static str = TASKS;

    fn client(&self) -> &Client {
        &self.client
    }

    fn keyer(&self) -> &Keyer {
        &self.keyer
    }

    fn ongoing(&self) -> &Ongoing {
        &self.ongoing
    }

    async fn compose(&self, push: &Push) -> Result<Composed, PushError> {
        compose::compose(push).await
    }

    async fn target(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        Ok(self.list_at(account, &push.folder).await?)
    }

    /// Tasks can't be filtered by their extensions.
    async fn by_marker(
        &self,
        account: &Account,
        list: &str,
        _push: &Push,
        composed: &Composed,
    ) -> Result<Option<Made>, GraphError> {
        let all = self.find(account, list, None).await?;
        Ok(once::carrying(&composed.marker, all).map(Made::from_json))
    }

    async fn candidates(
        &self,
        account: &Account,
        list: &str,
        push: &Push,
        composed: &Composed,
        _origin: &Origin<'_>,
    ) -> Result<Vec<Value>, GraphError> {
        let mut candidates = Vec::new();
        if let Source::Record { record, .. } = &push.source
            && let Some(id) = record["id"].as_str()
        {
            // The original may have another title meanwhile.
            let call = Call::get(TASK, &[&account.id, list, id])
                .query("$expand", &expand())
                .patient_404(1);
            candidates.extend(once::original(&self.client, &Self::of(account, call)).await?);
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
        Ok(candidates)
    }

    fn same(&self, live: &Value, composed: &Composed) -> bool {
        same(live, &composed.json)
    }

    fn creation(&self, account: &Account, list: &str, composed: &Composed) -> Call {
        let call = Call::post(TASKS, &[&account.id, list], composed.json.clone());
        Self::of(account, call)
    }

    async fn complete(
        &self,
        account: &Account,
        list: &str,
        id: &str,
        composed: &Composed,
        journal: &dyn Journal,
    ) -> Result<Vec<String>, PushError> {
        self.add_missing(account, list, id, composed, journal)
            .await?;
        Ok(Vec::new())
    }

    async fn is_complete(
        &self,
        account: &Account,
        list: &str,
        id: &str,
        composed: &Composed,
    ) -> Result<bool, PushError> {
        Ok(self.steps(account, list, id).await? >= composed.steps.len()
            && self.attached(account, list, id).await? >= composed.files.len())
    }

    fn deletion(&self, account: &Account, list: &str, id: &str) -> Call {
        let call = Call::new(Method::DELETE, TASK, &[&account.id, list, id]);
        Self::of(account, call)
    }

    fn entry(&self, list: &str, mut task: Value, marker: &Marker) -> Option<LiveEntry> {
        if Marker::of(&task).is_none() {
            task["extensions"] = json!([marker.extension()]);
        }
        task[LIST] = json!(list);
        self.live(task, false)
    }
}

impl Todo {
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

    /// Adds what is missing of steps and files. They are added in order, so the number that is there
    /// tells which.
    async fn add_missing(
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
}
