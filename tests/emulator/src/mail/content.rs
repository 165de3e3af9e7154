//! What a message is made of, wherever it comes from: properties, body, attachments, MIME.
//!
//! - generated: everything is made from the seed when asked for;
//! - imported, or created as MIME: the bytes are kept and parsed when asked for;
//! - created as JSON: properties and attachments are kept, MIME is written when asked for.
//!
//! What was edited later lies over it in [`Detail`](super::store::Detail).

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;

use super::ids::No;
use super::mime;
use super::store::{Detail, Mailbox};
pub use crate::attachments::{Attachment, AttachmentKind};
use crate::odata::Object;
use crate::seed;

#[derive(Debug, Clone, Default)]
pub enum Origin {
    #[default]
    Generated,
    Mime(Bytes),
    Json,
    /// No message, or none that can be read: the stream it was imported as, without its frames. Mail
    /// routes do not show it.
    Stream(Bytes),
}

/// A message's text.
#[derive(Debug, Clone, Default)]
pub struct Text {
    pub html: bool,
    pub content: String,
}

/// Reads one message of a mailbox.
pub struct Content<'a> {
    pub mailbox: &'a Mailbox,
    pub no: No,
}

impl<'a> Content<'a> {
    pub fn of(mailbox: &'a Mailbox, no: No) -> Content<'a> {
        Content { mailbox, no }
    }

    fn detail(&self) -> Option<&'a Detail> {
        self.mailbox.details.get(&self.no).map(|d| d.as_ref())
    }

    fn origin(&self) -> &'a Origin {
        const GENERATED: &Origin = &Origin::Generated;
        self.detail().map_or(GENERATED, |d| &d.origin)
    }

    /// Properties that do not depend on where the message is: no ids, no `body`.
    pub fn props(&self) -> Cow<'a, Object> {
        self.props_of(&|_| true)
    }

    /// At least the properties that `wants` names.
    pub fn props_of(&self, wants: &dyn Fn(&str) -> bool) -> Cow<'a, Object> {
        let detail = self.detail();
        match self.origin() {
            Origin::Generated => {
                let mut props = seed::mail::props(self.mailbox, self.no, wants);
                if let Some(detail) = detail {
                    for (key, value) in &detail.props {
                        if key != "body" {
                            props.insert(key.clone(), value.clone());
                        }
                    }
                }
                Cow::Owned(props)
            }
            Origin::Mime(_) | Origin::Json | Origin::Stream(_) => {
                Cow::Borrowed(detail.map_or(empty(), |d| &d.props))
            }
        }
    }

    pub fn text(&self) -> Text {
        if let Some(body) = self.detail().and_then(|d| d.props.get("body")) {
            return Text {
                html: body["contentType"]
                    .as_str()
                    .is_some_and(|t| t.eq_ignore_ascii_case("html")),
                content: body["content"].as_str().unwrap_or_default().to_owned(),
            };
        }
        match self.origin() {
            Origin::Generated => seed::mail::text(self.mailbox, self.no),
            Origin::Mime(bytes) => mime::text(bytes),
            Origin::Json | Origin::Stream(_) => Text::default(),
        }
    }

    pub fn attachments(&self) -> Vec<Attachment> {
        if let Some(edited) = self.detail().and_then(|d| d.attachments.as_ref()) {
            return edited.clone();
        }
        match self.origin() {
            Origin::Generated => seed::mail::attachments(self.mailbox, self.no),
            Origin::Mime(bytes) => mime::attachments(bytes, self.mailbox.item(self.no).received),
            Origin::Json | Origin::Stream(_) => Vec::new(),
        }
    }

    /// Headers as they came over the wire; `None` for what never did.
    pub fn headers(&self) -> Option<Vec<(String, String)>> {
        if self.mailbox.item(self.no).is_draft {
            return None;
        }
        match self.origin() {
            Origin::Mime(bytes) => Some(mime::headers(bytes)),
            Origin::Generated => Some(mime::headers(&self.mime(0))),
            Origin::Stream(_) => None,
            Origin::Json => {
                let given = self
                    .detail()?
                    .props
                    .get("internetMessageHeaders")?
                    .as_array()?;
                let text = |h: &Value, k: &str| h[k].as_str().unwrap_or_default().to_owned();
                Some(
                    given
                        .iter()
                        .map(|h| (text(h, "name"), text(h, "value")))
                        .collect(),
                )
            }
        }
    }

    /// The header block as it came over the wire; `None` for what never did, or was made from JSON.
    pub fn header_block(&self) -> Option<String> {
        if self.mailbox.item(self.no).is_draft {
            return None;
        }
        match self.origin() {
            Origin::Mime(bytes) => Some(mime::header_block(bytes)),
            Origin::Generated => Some(mime::header_block(&self.mime(0))),
            Origin::Json | Origin::Stream(_) => None,
        }
    }

    /// The whole message. Imported bytes come back as they were as long as nothing that MIME carries
    /// was edited; `variant` changes the boundaries of what is written here.
    pub fn mime(&self, variant: u64) -> Bytes {
        let detail = self.detail();
        if let Origin::Mime(bytes) = self.origin()
            && !detail.is_some_and(|d| d.attachments.is_some() || d.props.contains_key("body"))
        {
            return bytes.clone();
        }
        let item = self.mailbox.item(self.no);
        let props = self.props();
        let transport = match self.origin() {
            Origin::Generated if !item.is_draft => seed::mail::transport(self.mailbox, self.no),
            _ => Vec::new(),
        };
        let calendar = match self.origin() {
            Origin::Generated => seed::mail::calendar(self.mailbox, self.no),
            _ => None,
        };
        Bytes::from(mime::compose(&mime::Composition {
            props: &props,
            text: self.text(),
            attachments: &self.attachments(),
            transport: &transport,
            extra: self
                .detail()
                .and_then(|d| d.props.get("internetMessageHeaders")),
            calendar: calendar.as_deref(),
            is_draft: item.is_draft,
            key: self.mailbox.seed ^ u64::from(self.no) ^ variant.rotate_left(32),
        }))
    }
}

fn empty() -> &'static Object {
    static EMPTY: std::sync::OnceLock<Object> = std::sync::OnceLock::new();
    EMPTY.get_or_init(Object::new)
}
