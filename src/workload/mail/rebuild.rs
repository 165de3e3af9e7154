//! Mails whose MIME Exchange can't make (opaque S/MIME, some corrupt ones): rebuilt from the JSON
//! and the attachments.

use serde_json::{Value, json};

use super::Mail;
use super::message::SELECT;
use crate::format::eml;
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::attachments::{Holder, OF_MESSAGES};
use crate::workload::{Account, Content, ItemError};

const MESSAGE: &str = "/users/{user}/messages/{message}";

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
        let holder = Holder {
            client: &self.client,
            account,
            routes: &OF_MESSAGES,
            item: id,
        };
        let found = holder.read(self.options.max_mail).await?;
        let mail = eml::from_json(&whole, &found.attachments);
        record["tenantfsContent"] = json!({
            "rebuilt": true,
            "reason": why.to_string(),
            "missingAttachments": found.missing,
        });
        Ok(Content::Mail(mail.into()))
    }
}
