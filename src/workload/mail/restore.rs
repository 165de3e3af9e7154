//! Puts a mail into a mailbox: created as JSON, because only that makes a message that is no draft
//! and keeps its dates (Graph: MIME that is POSTed stays a draft for ever), then its attachments; or
//! imported whole, where its export is kept.
//!
//! Invariants: nothing is ever sent (no send endpoint is called anywhere); the rest is [`once`]'s.

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::Mail;
use super::compose::{self, Composed};
use super::message::{LIVE_SELECT, expand_live, same_mail};
use crate::graph::{Call, Client, GraphError, odata_quote};
use crate::workload::attachments::{Holder, OF_MESSAGES};
use crate::workload::once::{self, Made, Once, Origin};
use crate::workload::ongoing::Ongoing;
use crate::workload::{Account, Journal, Keyer, LiveEntry, Marker, Push, PushError, Source};

const CREATE: &str = "/users/{user}/mailFolders/{folder}/messages";
const MESSAGE: &str = "/users/{user}/messages/{message}";

/// Messages that may share one internet message id in a folder.
const MAX_TWINS: usize = 1_000;

impl once::Composed for Composed {
    fn marker(&self) -> &Marker {
        &self.marker
    }

    fn item(&self) -> &Value {
        &self.identity
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[async_trait]
impl Once for Mail {
    type Composed = Composed;
    const CREATE: &'static str = CREATE;

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
        Ok(self.folder_at(account, &push.folder).await?)
    }

    async fn by_marker(
        &self,
        account: &Account,
        folder: &str,
        push: &Push,
        composed: &Composed,
    ) -> Result<Option<Made>, GraphError> {
        let marker = &composed.marker;
        if push.original.is_some()
            && let Some(item) = self.by_exact_marker(account, folder, marker).await?
        {
            return Ok(Some(Made {
                item,
                whole: true,
                note: None,
            }));
        }
        let found = self.find(account, folder, &marker.filter()).await?;
        Ok(once::carrying(marker, found).map(Made::from_json))
    }

    async fn candidates(
        &self,
        account: &Account,
        folder: &str,
        push: &Push,
        composed: &Composed,
        _origin: &Origin<'_>,
    ) -> Result<Vec<Value>, GraphError> {
        if let Some(id) = composed.json["internetMessageId"].as_str() {
            let filter = format!("internetMessageId eq '{}'", odata_quote(id));
            return self.find(account, folder, &filter).await;
        }
        // A draft has no message id: the original itself may be there.
        let Source::Record { record, .. } = &push.source else {
            return Ok(Vec::new());
        };
        let Some(id) = record["id"].as_str() else {
            return Ok(Vec::new());
        };
        let call = Call::get(MESSAGE, &[&account.id, id])
            .query("$select", LIVE_SELECT)
            .query("$expand", &expand_live());
        let message = once::original(&self.client, &Self::of(account, call)).await?;
        Ok(message
            .into_iter()
            .filter(|m| m["parentFolderId"].as_str() == Some(folder))
            .collect())
    }

    fn same(&self, live: &Value, composed: &Composed) -> bool {
        same_mail(live, &composed.identity)
    }

    fn creation(&self, account: &Account, folder: &str, composed: &Composed) -> Call {
        let call = Call::post(CREATE, &[&account.id, folder], composed.json.clone())
            .prefer("outlook.allow-unsafe-html");
        Self::of(account, call)
    }

    async fn create(
        &self,
        account: &Account,
        folder: &str,
        push: &Push,
        composed: &Composed,
    ) -> Result<Made, PushError> {
        match self.import_exact(account, folder, push, composed).await? {
            Ok(item) => Ok(Made {
                item,
                whole: true,
                note: None,
            }),
            Err(note) => {
                let made = once::create(self, account, folder, push, composed).await?;
                Ok(Made { note, ..made })
            }
        }
    }

    async fn complete(
        &self,
        account: &Account,
        _folder: &str,
        id: &str,
        composed: &Composed,
        journal: &dyn Journal,
    ) -> Result<Vec<String>, PushError> {
        let holder = self.holder(account, id);
        holder.add(&composed.attachments, journal).await
    }

    async fn is_complete(
        &self,
        account: &Account,
        _folder: &str,
        id: &str,
        composed: &Composed,
    ) -> Result<bool, PushError> {
        let attached = self.holder(account, id).listed().await?;
        Ok(attached.len() >= composed.attachments.len())
    }

    fn deletion(&self, account: &Account, _folder: &str, id: &str) -> Call {
        let call = Call::new(Method::DELETE, MESSAGE, &[&account.id, id]);
        Self::of(account, call)
    }

    fn entry(&self, _folder: &str, mut message: Value, marker: &Marker) -> Option<LiveEntry> {
        if Marker::of(&message).is_none() {
            message["singleValueExtendedProperties"] = json!([marker.property()]);
        }
        self.live_message(message)
    }
}

impl Mail {
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

    fn holder<'a>(&'a self, account: &'a Account, item: &'a str) -> Holder<'a> {
        Holder {
            client: &self.client,
            account,
            routes: &OF_MESSAGES,
            item,
        }
    }
}
