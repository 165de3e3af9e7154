//! Puts a mail into a mailbox: created as JSON, because only that makes a message that is no draft
//! and keeps its dates (Graph: MIME that is POSTed stays a draft for ever), then its attachments.
//!
//! Invariants: nothing is ever sent (no send endpoint is called anywhere); exactly once, by a
//! marker that is part of the creating request: before anything is created again, the folder is
//! asked for it; an old message is deleted only when the new one is complete.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Mail;
use super::compose::{self, Composed};
use super::message::{LIVE_SELECT, expand_live, like, same_mail};
use crate::graph::{Call, ErrorClass, GraphError, odata_quote};
use crate::workload::attachments::{Holder, OF_MESSAGES};
use crate::workload::known::Fact;
use crate::workload::{
    Account, ItemKey, Journal, LiveEntry, Marker, Policy, Push, PushError, Pushed, Source,
};

const CREATE: &str = "/users/{user}/mailFolders/{folder}/messages";
const MESSAGE: &str = "/users/{user}/messages/{message}";

/// Attempts at a creation whose answer got lost.
const ATTEMPTS: u32 = 4;
/// Messages that may share one internet message id in a folder.
const MAX_TWINS: usize = 1_000;

/// How far a push is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Id of the created message.
    message: Option<String>,
    /// Id of the message to be removed when the new one is complete.
    replaces: Option<String>,
    /// Attachments are complete.
    complete: bool,
}

impl Mail {
    pub(super) async fn push_message(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        let folder = self.target(account, push).await?;
        let composed = compose::compose(push).await?;
        let mut progress: Progress = journal
            .load()
            .and_then(|s| serde_json::from_str(&s).ok())
            .unwrap_or_default();

        // Half of it may be there from before, also when nothing was saved: the request that makes a
        // message may be the last thing a process did.
        let made = if journal.repeated() {
            self.made(account, &folder, push, &composed.marker).await?
        } else {
            None
        };
        let mut inexact = None;
        let (made, exact) = match made {
            Some((message, exact)) => {
                if progress.message.is_none() && push.policy == Policy::Overwrite {
                    progress.replaces = self.existing(account, &folder, push, &composed).await?;
                }
                (message, exact)
            }
            None => {
                progress = Progress::default();
                if push.policy != Policy::KeepBoth
                    && let Some(old) = self.existing(account, &folder, push, &composed).await?
                {
                    if push.policy == Policy::Skip {
                        return Err(PushError::Exists {
                            name: push.name.clone(),
                        });
                    }
                    progress.replaces = Some(old);
                    save(journal, &progress)?;
                }
                if push.original.is_some() {
                    save(journal, &progress)?;
                }
                match self.import_exact(account, &folder, push, &composed).await? {
                    Ok(message) => (message, true),
                    Err(why) => {
                        inexact = why;
                        (self.create(account, &folder, &composed).await?, false)
                    }
                }
            }
        };
        let id = id_of(&made)?;
        progress.message = Some(id.clone());
        save(journal, &progress)?;

        let attached = match exact {
            // An import is whole.
            true => Ok(Vec::new()),
            false => {
                let holder = self.holder(account, &id);
                holder.add(&composed.attachments, journal).await
            }
        };
        let notes = match attached {
            Err(PushError::Graph(e)) if !e.class.is_temporary() => {
                // Refused for good: half a message is not what anyone asked for.
                self.delete(account, &id).await?;
                return Err(e.into());
            }
            other => other?,
        };
        progress.complete = true;
        save(journal, &progress)?;
        if let Some(old) = &progress.replaces {
            self.delete(account, old).await?;
        }
        let mut pushed = self.pushed(account, &folder, made, &composed, progress.replaces)?;
        if !exact {
            pushed.notes.extend(composed.notes);
        }
        pushed.notes.extend(inexact);
        pushed.notes.extend(notes);
        Ok(pushed)
    }

    pub(super) async fn find_pushed_message(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        let folder = match self.target(account, push).await {
            Ok(folder) => folder,
            // What is in no folder did not arrive.
            Err(PushError::NoFolder { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let composed = compose::compose(push).await?;
        let made = self.made(account, &folder, push, &composed.marker).await?;
        let Some((message, exact)) = made else {
            return Ok(None);
        };
        let id = id_of(&message)?;
        let is_whole = exact || {
            let attached = self.holder(account, &id).listed().await?;
            attached.len() >= composed.attachments.len()
        };
        if !is_whole {
            return Ok(None);
        }
        let mut replaced = None;
        if push.policy == Policy::Overwrite
            && let Some(old) = self.existing(account, &folder, push, &composed).await?
        {
            self.delete(account, &old).await?;
            replaced = Some(old);
        }
        self.pushed(account, &folder, message, &composed, replaced)
            .map(Some)
    }

    async fn target(&self, account: &Account, push: &Push) -> Result<String, PushError> {
        let no_folder = || PushError::NoFolder {
            path: push.folder.join("/"),
        };
        self.folder_at(account, &push.folder)
            .await?
            .ok_or_else(no_folder)
    }

    /// The message of this push, if it is there, and whether it was imported whole.
    async fn made(
        &self,
        account: &Account,
        folder: &str,
        push: &Push,
        marker: &Marker,
    ) -> Result<Option<(Value, bool)>, GraphError> {
        if push.original.is_some()
            && let Some(message) = self.by_exact_marker(account, folder, marker).await?
        {
            return Ok(Some((message, true)));
        }
        let made = self.by_marker(account, folder, marker).await?;
        Ok(made.map(|message| (message, false)))
    }

    /// The message of this push, if it is there.
    async fn by_marker(
        &self,
        account: &Account,
        folder: &str,
        marker: &Marker,
    ) -> Result<Option<Value>, GraphError> {
        let found = self.find(account, folder, &marker.filter()).await?;
        // A service that does not know the filter ignores it: believe only what carries the marker.
        Ok(found
            .into_iter()
            .find(|m| Marker::of(m).is_some_and(|m| m.push == marker.push)))
    }

    pub(super) async fn find(
        &self,
        account: &Account,
        folder: &str,
        filter: &str,
    ) -> Result<Vec<Value>, GraphError> {
        let call = Call::get(CREATE, &[&account.id, folder])
            .query("$filter", filter)
            .query("$select", LIVE_SELECT)
            .query("$expand", &expand_live())
            .query("$top", "50");
        self.client.pages(Self::of(account, call), MAX_TWINS).await
    }

    /// The message that is the same as, or goes by the same name as, the one to be pushed.
    async fn existing(
        &self,
        account: &Account,
        folder: &str,
        push: &Push,
        composed: &Composed,
    ) -> Result<Option<String>, GraphError> {
        let origin = match &push.source {
            Source::Record { key, .. } => Some(*key),
            Source::File => None,
        };
        let facts = Fact::all_of_push(origin, like(&composed.identity));
        if self.known.lacks(account, folder, &facts) {
            return Ok(None);
        }
        let mut candidates = Vec::new();
        if let Some(id) = composed.json["internetMessageId"].as_str() {
            let filter = format!("internetMessageId eq '{}'", odata_quote(id));
            candidates = self.find(account, folder, &filter).await?;
        } else if let Source::Record { record, .. } = &push.source
            && let Some(id) = record["id"].as_str()
        {
            // A draft has no message id: the original itself may be there.
            let call = Call::get(MESSAGE, &[&account.id, id])
                .query("$select", LIVE_SELECT)
                .query("$expand", &expand_live());
            match self.client.json(&Self::of(account, call)).await {
                Ok(message) => candidates.push(message),
                Err(e) if e.class == ErrorClass::NotFound || e.status == Some(400) => {}
                Err(e) => return Err(e),
            }
            candidates.retain(|m| m["parentFolderId"].as_str() == Some(folder));
        }
        candidates.retain(|m| Marker::of(m).is_none_or(|m| m.push != push.id));
        let is_original = |m: &Value| {
            let id: Option<ItemKey> = m["id"].as_str().map(|id| (self.keyer)(id));
            origin.is_some() && (id == origin || Marker::of(m).and_then(|m| m.origin) == origin)
        };
        let same = candidates
            .iter()
            .find(|m| is_original(m))
            .or_else(|| candidates.iter().find(|m| same_mail(m, &composed.identity)));
        Ok(same.and_then(|m| m["id"].as_str().map(str::to_owned)))
    }

    /// Creates the message. When an answer is lost, the marker tells whether it was created.
    async fn create(
        &self,
        account: &Account,
        folder: &str,
        composed: &Composed,
    ) -> Result<Value, GraphError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let call = Call::post(CREATE, &[&account.id, folder], composed.json.clone())
                .prefer("outlook.allow-unsafe-html");
            let error = match self.client.json(&Self::of(account, call)).await {
                Ok(message) => return Ok(message),
                Err(e) => e,
            };
            if !error.class.is_temporary() {
                return Err(error);
            }
            if let Some(message) = self.by_marker(account, folder, &composed.marker).await? {
                return Ok(message);
            }
            if attempt >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(self.client.patience().backoff(attempt)).await;
        }
    }

    fn holder<'a>(&'a self, account: &'a Account, item: &'a str) -> Holder<'a> {
        Holder {
            client: &self.client,
            account,
            routes: &OF_MESSAGES,
            item,
        }
    }

    /// Removes the message that was replaced. One that is gone already is what was wanted.
    async fn delete(&self, account: &Account, id: &str) -> Result<(), GraphError> {
        let call = Call::new(reqwest::Method::DELETE, MESSAGE, &[&account.id, id]);
        match self.client.send(&Self::of(account, call)).await {
            Err(e) if e.class != ErrorClass::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn pushed(
        &self,
        account: &Account,
        folder: &str,
        mut message: Value,
        composed: &Composed,
        replaced: Option<String>,
    ) -> Result<Pushed, PushError> {
        // An answer to a creation does not show the marker, which the name depends on.
        if Marker::of(&message).is_none() {
            message["singleValueExtendedProperties"] = json!([composed.marker.property()]);
        }
        self.known.add(account, folder, self.facts(&message));
        let entry: Option<LiveEntry> = self.live_message(message);
        let entry = entry.ok_or_else(no_id)?;
        Ok(Pushed {
            entry,
            replaced,
            notes: Vec::new(),
        })
    }
}

fn save(journal: &dyn Journal, progress: &Progress) -> Result<(), PushError> {
    let text = serde_json::to_string(progress).unwrap_or_default();
    Ok(journal.save(&text)?)
}

fn id_of(message: &Value) -> Result<String, PushError> {
    message["id"].as_str().map(str::to_owned).ok_or_else(no_id)
}

fn no_id() -> PushError {
    GraphError::local(
        ErrorClass::Transient,
        format!("POST {CREATE}"),
        "the message has no id",
    )
    .into()
}
