//! A file that is no mail, as a message in its new owner's mailbox with the file attached.
//!
//! From the owner to the owner, read, with the time of the file. Its message id is made of the name
//! and the bytes: the same file is the same message, whenever and by whatever way it is put there.

use serde_json::{Value, json};

use crate::format::eml::{Attachment, Body, GraphMessage};
use crate::workload::{Account, Push};

/// Kinds that Outlook opens by themselves; of all others the name tells enough.
const KINDS: [(&str, &str); 3] = [
    (".ics", "text/calendar"),
    (".vcf", "text/vcard"),
    (".txt", "text/plain"),
];

/// The message for the file of a push.
pub(super) fn message(account: &Account, push: &Push, bytes: &[u8]) -> GraphMessage {
    let owner = json!({ "emailAddress": {
        "name": account.display_name,
        "address": account.mail.as_deref().unwrap_or(&account.upn),
    }});
    let mut properties = vec![
        // PidTagMessageFlags: read, not unsent.
        json!({ "id": "Integer 0x0E07", "value": "1" }),
    ];
    if let Ok(time) = jiff::Timestamp::from_second(push.mtime) {
        for id in ["SystemTime 0x0039", "SystemTime 0x0E06"] {
            properties.push(json!({ "id": id, "value": time.to_string() }));
        }
    }
    let json = json!({
        "subject": push.name,
        "body": { "contentType": "text", "content": "" },
        "from": owner,
        "sender": owner,
        "toRecipients": [owner],
        "internetMessageId": message_id(&push.name, bytes),
        "isRead": true,
        "singleValueExtendedProperties": Value::Array(properties),
    });
    let lower = push.name.to_lowercase();
    let kind = KINDS.iter().find(|(end, _)| lower.ends_with(end));
    let attachment = Attachment {
        name: push.name.clone(),
        content_type: kind.map(|(_, kind)| (*kind).to_owned()),
        content_id: None,
        inline: false,
        body: Body::File(bytes.to_vec()),
    };
    GraphMessage {
        json,
        attachments: vec![attachment],
        // Not every program keeps the time of what it copies: it tells no file from another.
        received: None,
    }
}

fn message_id(name: &str, bytes: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(&[0]);
    hasher.update(bytes);
    format!("<{}@file.tenantfs>", &hasher.finalize().to_hex()[..32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Policy, Source};

    fn push(name: &str, mtime: i64) -> Push {
        Push {
            id: uuid::Uuid::nil(),
            folder: vec!["Inbox".into()],
            name: name.into(),
            policy: Policy::Skip,
            source: Source::File,
            original: None,
            file: "unused".into(),
            mtime,
        }
    }

    #[test]
    fn a_file_is_attached_to_a_message_of_its_owner() {
        let account = Account {
            upn: "ann@contoso.test".into(),
            display_name: "Ann Lee".into(),
            ..Account::default()
        };
        let made = message(&account, &push("Plan.VCF", 1_772_355_605), b"x");
        assert_eq!(made.json["subject"], "Plan.VCF");
        assert_eq!(
            made.json["from"]["emailAddress"]["address"],
            "ann@contoso.test"
        );
        let properties = made.json["singleValueExtendedProperties"].to_string();
        assert!(properties.contains("2026-03-01T09:00:05Z"), "{properties}");
        assert_eq!(made.attachments[0].bytes(), b"x");
        assert_eq!(made.attachments[0].mime_type(), "text/vcard");
    }

    #[test]
    fn the_same_file_is_the_same_message() {
        let id = |name: &str, mtime, bytes: &[u8]| {
            let made = message(&Account::default(), &push(name, mtime), bytes);
            made.json["internetMessageId"].clone()
        };
        assert_eq!(id("a", 1, b"x"), id("a", 2, b"x"));
        assert_ne!(id("a", 1, b"x"), id("b", 1, b"x"));
        assert_ne!(id("a", 1, b"x"), id("a", 1, b"y"));
    }
}
