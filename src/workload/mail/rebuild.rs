//! Mails whose MIME Exchange can't make (opaque S/MIME, some corrupt ones): rebuilt from the JSON
//! and the attachments.

use serde_json::{Value, json};

use super::Mail;
use super::message::SELECT;
use crate::format::eml::{self, Attachment, Body};
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::{Account, Content, ItemError};

const MESSAGE: &str = "/users/{user}/messages/{message}";
const ATTACHMENTS: &str = "/users/{user}/messages/{message}/attachments";
const ATTACHMENT: &str = "/users/{user}/messages/{message}/attachments/{attachment}";
const ATTACHMENT_VALUE: &str = "/users/{user}/messages/{message}/attachments/{attachment}/$value";

/// Attachments of one message.
const MAX_ATTACHMENTS: usize = 5_000;

impl Mail {
    /// The message as a mail of our own making. Says so in the record, with what is missing.
    pub(super) async fn rebuild(
        &self,
        account: &Account,
        id: &str,
        record: &mut Value,
        why: GraphError,
    ) -> Result<Content, ItemError> {
        tracing::info!(%why, "no MIME: building the mail from its record");
        let call = Call::get(MESSAGE, &[&account.id, id])
            .query("$select", &format!("{SELECT},body,internetMessageHeaders"))
            .prefer("outlook.allow-unsafe-html");
        let whole = match self.client.json(&Self::of(account, call)).await {
            Ok(whole) => whole,
            // It vanished meanwhile, or the service is down: that is the better reason.
            Err(e) if e.class == ErrorClass::NotFound || e.class.is_temporary() => {
                return Err(e.into());
            }
            Err(_) => return Err(why.into()),
        };
        let (attachments, missing) = self.attachments(account, id).await?;
        let mail = eml::from_json(&whole, &attachments);
        record["tenantfsContent"] = json!({
            "rebuilt": true,
            "reason": why.to_string(),
            "missingAttachments": missing,
        });
        Ok(Content::Mail(mail.into()))
    }

    /// All attachments that can be had, and a line for each that can't.
    async fn attachments(
        &self,
        account: &Account,
        id: &str,
    ) -> Result<(Vec<Attachment>, Vec<String>), ItemError> {
        let call = Call::get(ATTACHMENTS, &[&account.id, id])
            .query("$select", "id,name,size,isInline,contentType");
        let listed = self
            .client
            .pages(Self::of(account, call), MAX_ATTACHMENTS)
            .await?;
        let (mut attachments, mut missing) = (Vec::new(), Vec::new());
        let mut total = 0;
        for entry in listed {
            let Some(attachment) = entry["id"].as_str() else {
                continue;
            };
            match self.attachment(account, id, attachment, &entry).await {
                Ok(found) => {
                    total += found.bytes().len();
                    if total > self.options.max_mail {
                        return Err(ItemError {
                            class: ErrorClass::TooLarge,
                            reason: format!("larger than {} bytes", self.options.max_mail),
                        });
                    }
                    attachments.push(found);
                }
                Err(e) if e.class.is_temporary() => return Err(e.into()),
                Err(e) => {
                    let name = entry["name"].as_str().unwrap_or(attachment);
                    missing.push(format!("{name}: {e}"));
                }
            }
        }
        Ok((attachments, missing))
    }

    async fn attachment(
        &self,
        account: &Account,
        message: &str,
        id: &str,
        listed: &Value,
    ) -> Result<Attachment, GraphError> {
        let ids = [account.id.as_str(), message, id];
        let mut json = self
            .client
            .json(&Self::of(account, Call::get(ATTACHMENT, &ids)))
            .await?;
        if json["@odata.type"].is_null() {
            json["@odata.type"] = listed["@odata.type"].clone();
        }
        if let Some(attachment) = Attachment::from_graph_json(&json) {
            return Ok(attachment);
        }
        let call = Call::get(ATTACHMENT_VALUE, &ids)
            .bounds(self.options.max_mail, std::time::Duration::from_secs(1800));
        let bytes = self
            .client
            .send(&Self::of(account, call))
            .await?
            .body
            .to_vec();
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
        Ok(Attachment {
            name: text("name").unwrap_or_else(|| "attachment".into()),
            content_type: text("contentType"),
            content_id: text("contentId"),
            inline: json["isInline"].as_bool().unwrap_or(false),
            body,
        })
    }
}
