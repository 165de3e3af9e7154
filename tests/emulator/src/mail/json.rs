//! A message as Graph shows it: what was asked for, in the form that was asked for.

use serde_json::{Value, json};

use super::compose::plain;
use super::content::{Content, Text};
use super::ids::No;
use super::properties::{self, PropertyValue, Wanted};
use super::store::Mailbox;
use crate::api::{ApiRequest, ApiResponse};
use crate::attachments;
use crate::odata::{Object, Select};

/// Properties that may be named in `$select`.
pub const KNOWN: &[&str] = &[
    "id",
    "createdDateTime",
    "lastModifiedDateTime",
    "changeKey",
    "categories",
    "receivedDateTime",
    "sentDateTime",
    "hasAttachments",
    "internetMessageId",
    "subject",
    "bodyPreview",
    "importance",
    "parentFolderId",
    "conversationId",
    "conversationIndex",
    "isDeliveryReceiptRequested",
    "isReadReceiptRequested",
    "isRead",
    "isDraft",
    "webLink",
    "inferenceClassification",
    "body",
    "uniqueBody",
    "sender",
    "from",
    "toRecipients",
    "ccRecipients",
    "bccRecipients",
    "replyTo",
    "flag",
    "internetMessageHeaders",
    "attachments",
    "extensions",
    "singleValueExtendedProperties",
    "multiValueExtendedProperties",
    "meetingMessageType",
];

const WITHOUT_BODY: &str = "createdDateTime,lastModifiedDateTime,changeKey,categories,receivedDateTime,sentDateTime,hasAttachments,internetMessageId,subject,importance,parentFolderId,conversationId,conversationIndex,isDeliveryReceiptRequested,isReadReceiptRequested,isRead,isDraft,inferenceClassification,sender,from,toRecipients,ccRecipients,bccRecipients,replyTo,flag";

/// How messages are to be shown: everything of the request that matters.
#[derive(Clone)]
pub struct View {
    pub select: Select,
    pub wanted: Wanted,
    /// `$expand=attachments`, with its own `$select`.
    pub attachments: Option<Select>,
    /// The attached items themselves are wanted too.
    pub expand_items: bool,
    pub immutable: bool,
    /// `Prefer: outlook.body-content-type`.
    body_type: Option<bool>,
    unsafe_html: bool,
    /// The token may see no bodies and attachments (`Mail.ReadBasic.All`).
    pub basic: bool,
}

impl View {
    pub fn of(request: &ApiRequest) -> Result<View, ApiResponse> {
        View::new(request, request.option("select"), request.option("expand"))
    }

    pub fn new(
        request: &ApiRequest,
        select: Option<&str>,
        expand: Option<&str>,
    ) -> Result<View, ApiResponse> {
        let expand = expand.unwrap_or_default();
        let lower = expand.to_ascii_lowercase();
        let attachments = lower.split_once("attachments").map(|(_, rest)| {
            let inner = rest
                .strip_prefix('(')
                .and_then(|r| r.split(')').next())
                .unwrap_or_default();
            let select = inner
                .split(';')
                .find_map(|p| p.trim().trim_start_matches('$').strip_prefix("select="));
            Select::parse(select, "microsoft.graph.attachment", attachments::KNOWN)
        });
        Ok(View {
            select: Select::parse(select, "microsoft.graph.message", KNOWN)?,
            wanted: Wanted::parse(expand),
            attachments: attachments.transpose()?,
            expand_items: lower.contains("itemattachment/item"),
            immutable: request.immutable_ids(),
            body_type: request
                .prefer("outlook.body-content-type")
                .map(|t| t.eq_ignore_ascii_case("html")),
            unsafe_html: request.prefer("outlook.allow-unsafe-html").is_some(),
            basic: super::basic_only(request),
        })
    }

    /// All properties, for evaluating filters; the body only when it is looked at.
    pub fn for_filter(body: bool) -> View {
        let all = if body { None } else { Some(WITHOUT_BODY) };
        View {
            select: Select::parse(all, "microsoft.graph.message", KNOWN).unwrap_or_default(),
            wanted: Wanted::default(),
            attachments: None,
            expand_items: false,
            immutable: false,
            body_type: None,
            unsafe_html: true,
            basic: false,
        }
    }
}

/// One message.
pub fn message(mailbox: &Mailbox, no: No, view: &View) -> Object {
    let item = mailbox.item(no);
    let content = Content::of(mailbox, no);
    let select = &view.select;
    let mut out = Object::new();
    let key = mailbox.ids.change_key(item.seq);
    out.insert("@odata.etag".into(), json!(format!("W/\"{key}\"")));
    let id = mailbox.message_id(no, view.immutable);
    // Extended properties may be derived from any.
    let all = !view.wanted.is_empty();
    let props = content.props_of(&|name| all || select.wants(name));
    for (name, value) in props.iter() {
        if name != "body"
            && name != "internetMessageHeaders"
            && (name.starts_with('@') || select.wants(name))
        {
            out.insert(name.clone(), value.clone());
        }
    }
    if let Some(detail) = mailbox
        .details
        .get(&no)
        .filter(|d| d.modified > 0 && select.wants("lastModifiedDateTime"))
    {
        out.insert(
            "lastModifiedDateTime".into(),
            json!(crate::clock::rfc3339(detail.modified)),
        );
    }
    let mut set = |name: &str, value: Value| {
        if select.wants(name) {
            out.insert(name.to_owned(), value);
        }
    };
    set("changeKey", json!(key));
    set("isRead", json!(item.is_read));
    set("isDraft", json!(item.is_draft));
    if item.folder != super::store::NOWHERE {
        set("parentFolderId", json!(mailbox.ids.folder(item.folder)));
    }
    set(
        "webLink",
        json!(format!(
            "https://outlook.office365.com/owa/?ItemID={id}&exvsurl=1&viewmodel=ReadMessageItem"
        )),
    );
    let unique = select.names("uniqueBody");
    if !view.basic && (select.wants("body") || select.wants("bodyPreview") || unique) {
        let text = content.text();
        set("bodyPreview", json!(preview(&text)));
        if select.wants("body") || unique {
            let body = shown(text, view.body_type, view.unsafe_html);
            if unique {
                set("uniqueBody", body.clone());
            }
            set("body", body);
        }
    }
    if select.names("internetMessageHeaders") && !view.basic {
        let headers = content.headers().map(|all| {
            all.into_iter()
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect::<Vec<_>>()
        });
        set("internetMessageHeaders", json!(headers));
    }
    // `hasAttachments` of a message whose attachments were edited.
    if let Some(edited) = mailbox
        .details
        .get(&no)
        .and_then(|d| d.attachments.as_ref())
    {
        set("hasAttachments", json!(edited.iter().any(|a| !a.is_inline)));
    }
    out.insert("id".into(), json!(id));
    if !view.wanted.is_empty() {
        view.wanted
            .show(|id| property(mailbox, no, id, &props), &mut out);
    }
    if let (Some(select), false) = (&view.attachments, view.basic) {
        let all: Vec<Value> = content
            .attachments()
            .iter()
            .map(|a| {
                let moves = mailbox.item(no).moves;
                let id = mailbox.ids.attachment(no, moves, view.immutable, a.no);
                attachments::show(id, a, select, view.expand_items, true)
            })
            .collect();
        out.insert("attachments@odata.context".into(), json!(format!(
            "https://graph.microsoft.com/v1.0/$metadata#users('{}')/messages('{id}')/attachments",
            mailbox.user.id
        )));
        out.insert("attachments".into(), Value::Array(all));
    }
    out
}

/// An extended property of a message: what was written, else what Exchange derives.
pub fn property(mailbox: &Mailbox, no: No, id: &str, props: &Object) -> Option<PropertyValue> {
    let stored = mailbox.details.get(&no).and_then(|d| d.extended.get(id));
    // Flags follow the state of the message, whatever was written at creation.
    if id != "Integer 0xe07"
        && let Some(value) = stored
    {
        return Some(value.clone());
    }
    properties::computed(id, mailbox.item(no), props).map(PropertyValue::Single)
}

/// The first 255 characters of the text.
pub fn preview(text: &Text) -> String {
    let source: String = text.content.chars().take(20_000).collect();
    let plain = if text.html { plain(&source) } else { source };
    plain
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(255)
        .collect()
}

/// An `itemBody`. `html`: the form that was asked for, if any; `unsafe_html`: scripts stay in.
pub fn shown(text: Text, html: Option<bool>, unsafe_html: bool) -> Value {
    let text = match html {
        Some(false) if text.html => Text {
            html: false,
            content: plain(&text.content),
        },
        Some(true) if !text.html => {
            let escaped = text
                .content
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            Text {
                html: true,
                content: format!("<html><body><pre>{escaped}</pre></body></html>"),
            }
        }
        _ => text,
    };
    let content = if text.html && !unsafe_html {
        without_scripts(&text.content)
    } else {
        text.content
    };
    json!({"contentType": if text.html { "html" } else { "text" }, "content": content})
}

/// What Exchange takes out of HTML unless `outlook.allow-unsafe-html` is asked for.
fn without_scripts(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let mut out = String::with_capacity(html.len());
    let mut at = 0;
    while let Some(start) = lower[at..].find("<script") {
        out.push_str(&html[at..at + start]);
        at += start;
        match lower[at..].find("</script>") {
            Some(end) => at += end + "</script>".len(),
            None => return out,
        }
    }
    out.push_str(&html[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_taken_out() {
        assert_eq!(without_scripts("a<SCRIPT>x</script>b<script>c"), "ab");
    }
}
