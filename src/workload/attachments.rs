//! Attachments of messages and events: read with their content, and put on what was restored.
//!
//! Invariants: one attachment that cannot be read is a line, never the end of its item; attachments are
//! added in order, so after a crash their number tells which are missing.

use std::time::Duration;

use serde_json::{Value, json};

use super::mailbox::{of, scope};
use super::{Account, ItemError, Journal, PushError};
use crate::format::eml::{Attachment, Body};
use crate::graph::{
    Call, Client, ErrorClass, GraphError, MAIL_FRAGMENT, Source as Bytes, Upload, UploadError,
};

/// Content up to this goes into one request (which may have 4 MB, base64 included).
const INLINE: usize = 2_900_000;
/// The largest attachment a session takes.
pub(super) const MAX_ATTACHMENT: usize = 150_000_000;
/// Attachments of one item.
const MAX_ATTACHMENTS: usize = 5_000;
/// Attempts at what failed in a way that may pass.
const ATTEMPTS: u32 = 4;
/// For one answer with all the content of an item.
const LONG: Duration = Duration::from_secs(1800);

/// Where attachments of a kind of item are.
pub(super) struct Routes {
    pub all: &'static str,
    pub one: &'static str,
    pub value: &'static str,
    pub session: &'static str,
}

pub(super) const OF_MESSAGES: Routes = Routes {
    all: "/users/{user}/messages/{message}/attachments",
    one: "/users/{user}/messages/{message}/attachments/{attachment}",
    value: "/users/{user}/messages/{message}/attachments/{attachment}/$value",
    session: "/users/{user}/messages/{message}/attachments/createUploadSession",
};

pub(super) const OF_EVENTS: Routes = Routes {
    all: "/users/{user}/events/{event}/attachments",
    one: "/users/{user}/events/{event}/attachments/{attachment}",
    value: "/users/{user}/events/{event}/attachments/{attachment}/$value",
    session: "/users/{user}/events/{event}/attachments/createUploadSession",
};

/// An item that has attachments.
pub(super) struct Holder<'a> {
    pub client: &'a Client,
    pub account: &'a Account,
    pub routes: &'static Routes,
    /// The item's id.
    pub item: &'a str,
}

/// What could be read.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub attachments: Vec<Attachment>,
    /// What Graph says of each, without its content.
    pub records: Vec<Value>,
    /// A line for each that could not be read.
    pub missing: Vec<String>,
}

impl Holder<'_> {
    fn ids(&self) -> [&str; 2] {
        [&self.account.id, self.item]
    }

    fn of(&self, call: Call) -> Call {
        of(self.account, call)
    }

    /// All attachments that can be had: in one answer, or one by one where Exchange cannot give so
    /// much at once. `max`: bytes of all together.
    pub async fn read(&self, max: usize) -> Result<Found, ItemError> {
        let whole = Call::get(self.routes.all, &self.ids())
            .bounds(max.saturating_mul(2), LONG)
            .attempts(2);
        let listed = match self.client.pages(self.of(whole), MAX_ATTACHMENTS).await {
            Ok(listed) => listed,
            Err(e) if e.class == ErrorClass::NotFound || e.class == ErrorClass::Auth => {
                return Err(e.into());
            }
            Err(_) => {
                let names = Call::get(self.routes.all, &self.ids())
                    .query("$select", "id,name,size,isInline,contentType");
                self.client.pages(self.of(names), MAX_ATTACHMENTS).await?
            }
        };
        let (mut found, mut total) = (Found::default(), 0);
        for mut entry in listed {
            match self.complete(&entry, max).await {
                Ok(Some(attachment)) => {
                    total += attachment.bytes().len();
                    if total > max {
                        return Err(ItemError {
                            class: ErrorClass::TooLarge,
                            reason: format!("larger than {max} bytes"),
                        });
                    }
                    found.attachments.push(attachment);
                }
                Ok(None) => {}
                Err(e) if e.class.is_temporary() => return Err(e.into()),
                Err(e) => {
                    let name = entry["name"].as_str().unwrap_or_default();
                    found.missing.push(format!("{name}: {e}"));
                }
            }
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("contentBytes");
                entry.remove("item");
            }
            found.records.push(entry);
        }
        Ok(found)
    }

    /// An attachment with its content, which may have come with the listing.
    async fn complete(&self, listed: &Value, max: usize) -> Result<Option<Attachment>, GraphError> {
        if let Some(attachment) = Attachment::from_graph_json(listed) {
            return Ok(Some(attachment));
        }
        let Some(id) = listed["id"].as_str() else {
            return Ok(None);
        };
        let ids = [self.account.id.as_str(), self.item, id];
        let call = Call::get(self.routes.one, &ids).bounds(max.saturating_mul(2), LONG);
        let mut json = self.client.json(&self.of(call)).await?;
        if json["@odata.type"].is_null() {
            json["@odata.type"] = listed["@odata.type"].clone();
        }
        if let Some(attachment) = Attachment::from_graph_json(&json) {
            return Ok(Some(attachment));
        }
        let call = Call::get(self.routes.value, &ids).bounds(max, LONG);
        let bytes = self.client.send(&self.of(call)).await?.body.to_vec();
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        // The kind of an attached item is not told; its content tells.
        let body = if json["@odata.type"] == "#microsoft.graph.fileAttachment" {
            Body::File(bytes)
        } else if bytes.starts_with(b"BEGIN:VCALENDAR") {
            Body::Event(bytes)
        } else if bytes.starts_with(b"BEGIN:VCARD") {
            Body::Contact(bytes)
        } else {
            Body::Message(bytes)
        };
        Ok(Some(Attachment {
            name: text("name").unwrap_or_else(|| "attachment".into()),
            content_type: text("contentType"),
            content_id: text("contentId"),
            inline: json["isInline"].as_bool().unwrap_or(false),
            body,
        }))
    }

    /// Id, name and size of each that is there.
    pub async fn listed(&self) -> Result<Vec<Value>, GraphError> {
        let call = Call::get(self.routes.all, &self.ids())
            .query("$select", "id,name,size")
            .patient_404(5);
        self.client.pages(self.of(call), usize::MAX).await
    }

    /// Adds what is missing of the attachments. Returns what was not kept of them.
    pub async fn add(
        &self,
        attachments: &[Attachment],
        journal: &dyn Journal,
    ) -> Result<Vec<String>, PushError> {
        let mut notes = Vec::new();
        if attachments.is_empty() {
            return Ok(notes);
        }
        let bytes = |some: &[Attachment]| some.iter().map(|a| a.bytes().len() as u64).sum::<u64>();
        let total = bytes(attachments);
        let mut have = match journal.repeated() {
            true => self.listed().await?.len(),
            false => 0,
        };
        let mut lost = 0;
        while let Some(attachment) = attachments.get(have) {
            journal.progress(bytes(&attachments[..have]), total);
            let error = match self.add_one(attachment).await {
                Ok(note) => {
                    notes.extend(note);
                    have += 1;
                    continue;
                }
                Err(e) => e,
            };
            let temporary = matches!(&error, PushError::Graph(e) if e.class.is_temporary());
            lost += 1;
            if !temporary || lost >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(self.client.patience().backoff(lost)).await;
            have = self.listed().await?.len();
        }
        journal.progress(total, total);
        Ok(notes)
    }

    /// Adds one. Returns what was not kept of it.
    pub async fn add_one(&self, attachment: &Attachment) -> Result<Option<String>, PushError> {
        let bytes = attachment.bytes();
        if bytes.len() > MAX_ATTACHMENT {
            return Err(PushError::Graph(GraphError::local(
                ErrorClass::TooLarge,
                "POST attachment",
                format!(
                    "{}: an attachment may have {MAX_ATTACHMENT} bytes",
                    attachment.name
                ),
            )));
        }
        if bytes.len() > INLINE {
            self.add_large(attachment).await?;
            return Ok(None);
        }
        let body = attachment.to_graph_json();
        let is_item = body["@odata.type"] == "#microsoft.graph.itemAttachment";
        let call = |body: Value| Call::post(self.routes.all, &self.ids(), body).patient_404(6);
        match self.client.json(&self.of(call(body))).await {
            Ok(_) => Ok(None),
            // An item that the service does not take as an item is still a file.
            Err(e) if is_item && e.status == Some(400) => {
                self.client
                    .json(&self.of(call(as_file(attachment))))
                    .await?;
                Ok(Some(format!(
                    "{}: attached as a file",
                    attachment.file_name()
                )))
            }
            Err(e) => Err(e.into()),
        }
    }

    async fn add_large(&self, attachment: &Attachment) -> Result<(), PushError> {
        let bytes = bytes::Bytes::copy_from_slice(attachment.bytes());
        let item = json!({ "AttachmentItem": {
            "attachmentType": "file",
            "name": attachment.file_name(),
            "size": bytes.len(),
            "contentType": attachment.mime_type(),
            "isInline": attachment.inline,
            "contentId": attachment.content_id,
        }});
        let lost = |what: &str| GraphError::local(ErrorClass::Transient, self.routes.session, what);
        let mut attempt = 0;
        loop {
            attempt += 1;
            // A session that nothing was sent to leaves nothing behind: ask as often as needed.
            let call = Call::post(self.routes.session, &self.ids(), item.clone())
                .patient_404(6)
                .repeatable();
            let session = self.client.json(&self.of(call)).await?;
            let Some(url) = session["uploadUrl"].as_str() else {
                return Err(lost("the session has no uploadUrl").into());
            };
            let upload = Upload {
                url,
                source: Bytes::Memory(bytes.clone()),
                total: bytes.len() as u64,
                fragment: MAIL_FRAGMENT,
                scope: scope(self.account),
            };
            match self.client.upload(&upload, false, &|_| {}).await {
                Ok(_) => return Ok(()),
                Err(UploadError::Expired) if attempt < ATTEMPTS => {}
                Err(UploadError::Expired) => {
                    return Err(lost("upload sessions expire again and again").into());
                }
                Err(UploadError::Graph(e)) => return Err(e.into()),
                Err(UploadError::Local(e)) => return Err(e.into()),
            }
        }
    }

    /// Removes one. What is gone already is what was wanted.
    pub async fn remove(&self, id: &str) -> Result<(), GraphError> {
        let ids = [self.account.id.as_str(), self.item, id];
        let call = Call::new(reqwest::Method::DELETE, self.routes.one, &ids);
        match self.client.send(&self.of(call)).await {
            Err(e) if e.class != ErrorClass::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

fn as_file(attachment: &Attachment) -> Value {
    use base64::Engine;
    json!({
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": attachment.file_name(),
        "contentType": attachment.mime_type(),
        "isInline": attachment.inline,
        "contentId": attachment.content_id,
        "contentBytes": base64::engine::general_purpose::STANDARD.encode(attachment.bytes()),
    })
}
