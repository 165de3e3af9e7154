//! What people do in the sample tenant while it is being watched. All of it goes through Graph, as
//! an application would do it.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tenantfs::graph::{Call, Client};

/// A mail, as Graph tells it.
pub struct Mail {
    /// UPN of the mailbox.
    pub account: String,
    /// What Graph says of it.
    pub record: Value,
}

const INBOX: &str = "/users/{user}/mailFolders/{folder}/messages";

/// Deletes a mail that has been read out of somebody's inbox.
pub async fn delete_a_mail(client: &Client) -> Result<Mail> {
    let users = client.json(&Call::get("/users", &[])).await?;
    for user in users["value"].as_array().into_iter().flatten() {
        let Some(account) = user["userPrincipalName"].as_str() else {
            continue;
        };
        let listing = Call::get(INBOX, &[account, "inbox"]).query("$top", "50");
        // Not every user has a mailbox.
        let Ok(found) = client.json(&listing).await else {
            continue;
        };
        let mut mails = found["value"].as_array().into_iter().flatten();
        let Some(record) = mails.find(|record| is_ordinary(record)).cloned() else {
            continue;
        };
        let id = record["id"]
            .as_str()
            .context("Graph told a mail without an id")?;
        let route = "/users/{user}/messages/{message}/permanentDelete";
        client
            .send(&Call::post(route, &[account, id], json!({})))
            .await?;
        return Ok(Mail {
            account: account.to_owned(),
            record,
        });
    }
    anyhow::bail!("nobody in the sample tenant has a mail in the inbox")
}

fn is_ordinary(record: &Value) -> bool {
    record["isRead"] == true
        && record["isDraft"] == false
        && record["internetMessageId"].is_string()
}

/// Lets a mail arrive. The MAPI properties make it one that was received, not a draft
/// (Graph: outlookitem extended properties; MS-OXCMSG PidTagMessageFlags, PidTagMessageDeliveryTime).
pub async fn receive_a_mail(client: &Client, account: &str) -> Result<()> {
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let sender =
        json!({ "emailAddress": { "name": "Jane Roe", "address": "jane.roe@fabrikam.com" } });
    let mail = json!({
        "subject": "Where did that mail go?",
        "body": { "contentType": "text", "content": "I sent it to you last week, didn't I?" },
        "from": sender,
        "sender": sender,
        "toRecipients": [ { "emailAddress": { "address": account } } ],
        "singleValueExtendedProperties": [
            { "id": "Integer 0x0E07", "value": "4" },
            { "id": "SystemTime 0x0039", "value": now },
            { "id": "SystemTime 0x0E06", "value": now },
        ],
    });
    client
        .send(&Call::post(INBOX, &[account, "inbox"], mail))
        .await?;
    Ok(())
}

/// The mail in its inbox now, if it is there: by the id that its sender gave it.
pub async fn find(client: &Client, mail: &Mail) -> Result<Option<Value>> {
    let message_id = mail.record["internetMessageId"]
        .as_str()
        .context("no internetMessageId")?;
    let filter = format!(
        "internetMessageId eq '{}'",
        tenantfs::graph::odata_quote(message_id)
    );
    let call = Call::get(INBOX, &[&mail.account, "inbox"]).query("$filter", &filter);
    let found = client.json(&call).await?;
    Ok(found["value"].get(0).cloned())
}
