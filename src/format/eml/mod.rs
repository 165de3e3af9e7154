//! Mail: Graph's message as a `.eml` file, and a `.eml` file as Graph's message.
//!
//! [`from_json`] is for messages that Exchange can't give as MIME (opaque S/MIME, corrupt ones);
//! all others are stored as the MIME that Exchange sends. [`to_graph`] is for restoring a file
//! that no snapshot knows. What either can't carry is listed at the function.

mod mend;
mod parts;
mod read;
mod write;

pub use read::{GraphMessage, to_graph};
pub use write::from_json;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{ics, vcf};

/// Recipients of one message, in all of [`RECIPIENTS`] together, that Graph takes.
pub const MAX_RECIPIENTS: usize = 500;
/// Where they are.
pub const RECIPIENTS: [&str; 3] = ["toRecipients", "ccRecipients", "bccRecipients"];

/// An attachment of a message, complete with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// As Graph tells it, or the part's file name.
    pub name: String,
    /// MIME type; may be wrong or absent in both worlds.
    pub content_type: Option<String>,
    /// Without its angle brackets. An HTML body refers to it as `cid:<content_id>`.
    pub content_id: Option<String>,
    /// Shown within the body rather than listed.
    pub inline: bool,
    /// What is attached.
    pub body: Body,
}

/// What is attached to a message, by the kinds that Graph has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Graph: `fileAttachment`.
    File(Vec<u8>),
    /// Graph: `itemAttachment` of a message; its MIME.
    Message(Vec<u8>),
    /// Graph: `itemAttachment` of an event; iCalendar.
    Event(Vec<u8>),
    /// Graph: `itemAttachment` of a contact; vCard.
    Contact(Vec<u8>),
    /// Graph: `referenceAttachment`. v1.0 doesn't tell the URL.
    Reference(Option<String>),
}

impl Attachment {
    /// The attachment that Graph's JSON describes, or `None` if its content isn't in there: an
    /// item attachment's comes from its `/$value`, a large file's too.
    pub fn from_graph_json(value: &Value) -> Option<Attachment> {
        let text = |key: &str| value[key].as_str().filter(|s| !s.is_empty());
        let body = match text("@odata.type")? {
            "#microsoft.graph.fileAttachment" => {
                Body::File(STANDARD.decode(value["contentBytes"].as_str()?).ok()?)
            }
            "#microsoft.graph.referenceAttachment" => {
                Body::Reference(text("sourceUrl").map(str::to_owned))
            }
            _ => return None,
        };
        Some(Attachment {
            name: text("name").unwrap_or("attachment").to_owned(),
            content_type: text("contentType").map(str::to_owned),
            content_id: text("contentId").map(|id| id.trim_matches(['<', '>']).to_owned()),
            inline: value["isInline"].as_bool().unwrap_or(false),
            body,
        })
    }

    /// The body of `POST .../attachments`, for content below 3 MB (Graph: larger ones need an
    /// upload session, which takes [`Attachment::bytes`]).
    ///
    /// An attached item becomes an item attachment if that keeps all of it, that is if it has no
    /// attachments itself (a message: nor more recipients than Graph takes; an event: no people and no
    /// exceptions either); otherwise a file of its type.
    pub fn to_graph_json(&self) -> Value {
        if let Some(item) = self.item() {
            return json!({
                "@odata.type": "#microsoft.graph.itemAttachment",
                "name": self.name,
                "item": item,
            });
        }
        json!({
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": self.file_name(),
            "contentType": self.mime_type(),
            "isInline": self.inline,
            "contentId": self.content_id,
            "contentBytes": STANDARD.encode(self.bytes()),
        })
    }

    fn item(&self) -> Option<Value> {
        let (mut item, kind) = match &self.body {
            Body::Message(mime) => {
                let inner = to_graph(mime);
                let count = |name: &&str| inner.json[*name].as_array().map_or(0, Vec::len);
                let fits = RECIPIENTS.iter().map(count).sum::<usize>() <= MAX_RECIPIENTS;
                (inner.attachments.is_empty() && fits).then_some((inner.json, "message"))
            }
            Body::Event(file) => {
                let read = ics::read(file).ok()?;
                let changes = !read.exceptions.is_empty() || !read.cancelled.is_empty();
                let with = |name: &str| read.event[name].is_array();
                let plain = !changes && read.attachments.is_empty() && !with("attendees");
                plain.then_some((read.event, "event"))
            }
            Body::Contact(card) => {
                let read = vcf::read(card).ok()?;
                read.photo.is_none().then_some((read.json, "contact"))
            }
            Body::File(_) | Body::Reference(_) => None,
        }?;
        let item_of = item.as_object_mut()?;
        // Whose it is is not told of what is attached.
        item_of.remove("organizer");
        item_of.insert(
            "@odata.type".into(),
            json!(format!("#microsoft.graph.{kind}")),
        );
        Some(item)
    }

    /// The content as the bytes of a file.
    pub fn bytes(&self) -> &[u8] {
        match &self.body {
            Body::File(bytes)
            | Body::Message(bytes)
            | Body::Event(bytes)
            | Body::Contact(bytes) => bytes,
            Body::Reference(url) => url.as_deref().unwrap_or_default().as_bytes(),
        }
    }

    /// The name with the extension that fits its kind.
    pub fn file_name(&self) -> String {
        let ext = match self.body {
            Body::File(_) => return self.name.clone(),
            Body::Message(_) => ".eml",
            Body::Event(_) => ".ics",
            Body::Contact(_) => ".vcf",
            Body::Reference(_) => ".url",
        };
        if self.name.to_ascii_lowercase().ends_with(ext) {
            self.name.clone()
        } else {
            format!("{}{ext}", self.name)
        }
    }

    /// The MIME type of the part that it becomes.
    pub fn mime_type(&self) -> &str {
        match self.body {
            Body::File(_) => self
                .content_type
                .as_deref()
                .filter(|t| is_mime_type(t))
                .unwrap_or("application/octet-stream"),
            Body::Message(_) => "message/rfc822",
            Body::Event(_) => "text/calendar; charset=utf-8",
            Body::Contact(_) => "text/vcard; charset=utf-8",
            Body::Reference(_) => "text/uri-list",
        }
    }
}

/// `type/subtype`, of token characters only (RFC 2045 section 5.1).
fn is_mime_type(text: &str) -> bool {
    let token = |s: &str| {
        !s.is_empty()
            && s.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.split_once('/')
        .is_some_and(|(t, s)| token(t) && token(s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::corpus;

    fn file(name: &str, content_type: &str, bytes: &[u8]) -> Attachment {
        Attachment {
            name: name.into(),
            content_type: Some(content_type.into()),
            content_id: None,
            inline: false,
            body: Body::File(bytes.to_vec()),
        }
    }

    fn record() -> Value {
        json!({
            "id": "AAkALg1=", "subject": "Zürich: figures\r\nBcc: x@y", "importance": "high",
            "sentDateTime": "2026-03-01T09:00:00Z", "receivedDateTime": "2026-03-01T09:00:05Z",
            "internetMessageId": "<m1@contoso.test>",
            "from": { "emailAddress": { "name": "Lee, Ann", "address": "ann@contoso.test" } },
            "toRecipients": [
                { "emailAddress": { "name": "Bo Ek", "address": "bo@contoso.test" } },
                { "emailAddress": { "name": "Old", "address": "/o=ex/ou=adm/cn=old" } },
            ],
            "internetMessageHeaders": [
                { "name": "Received", "value": "from a by b; Sun, 1 Mar 2026 09:00:05 +0000" },
                { "name": "References", "value": "<r1@contoso.test>" },
                { "name": "Subject", "value": "a second one" },
                { "name": "Content-Type", "value": "text/evil" },
            ],
            "body": { "contentType": "html", "content": "<p>Grüße, the = sign</p><img src=\"cid:logo\">" },
        })
    }

    #[test]
    fn a_record_becomes_a_mail_and_comes_back() {
        let nested = b"Subject: inner\r\nFrom: i@x.test\r\n\r\ninner text\r\n".to_vec();
        let logo = Attachment {
            content_id: Some("logo".into()),
            inline: true,
            ..file("logo.png", "image/png", &[0, 1, 255, 200])
        };
        let message = Attachment {
            body: Body::Message(nested.clone()),
            ..file("inner", "", b"")
        };
        let latin1 = file("größe.txt", "text/plain", b"gr\xf6\xdfe");
        let attachments = [logo.clone(), message, latin1.clone()];
        let eml = from_json(&record(), &attachments);
        assert_eq!(eml, from_json(&record(), &attachments));
        assert!(String::from_utf8_lossy(&eml).contains("the =3D sign"));

        let back = to_graph(&eml);
        assert_eq!(back.json["subject"], "Zürich: figures  Bcc: x@y");
        assert_eq!(back.json["from"], record()["from"]);
        assert_eq!(back.json["toRecipients"][0], record()["toRecipients"][0]);
        assert_eq!(back.json["bccRecipients"], json!([]));
        assert_eq!(back.json["importance"], "high");
        assert_eq!(back.json["internetMessageId"], "<m1@contoso.test>");
        let content = back.json["body"]["content"].as_str().unwrap();
        assert_eq!(
            content.trim_end(),
            record()["body"]["content"].as_str().unwrap()
        );
        assert_eq!(back.received, Some(1_772_355_605));
        let mapi = &back.json["singleValueExtendedProperties"];
        assert!(
            mapi.as_array()
                .unwrap()
                .contains(&json!({ "id": "SystemTime 0x0039", "value": "2026-03-01T09:00:00Z" }))
        );
        assert_eq!(back.attachments.len(), 3);
        assert_eq!(back.attachments[0], logo);
        assert_eq!(back.attachments[1].bytes(), nested);
        assert_eq!(
            back.attachments[1].to_graph_json()["item"]["subject"],
            "inner"
        );
        assert_eq!(back.attachments[2].name, latin1.name);
        assert_eq!(back.attachments[2].bytes(), latin1.bytes());
        let json = back.attachments[0].to_graph_json();
        assert_eq!(Attachment::from_graph_json(&json).unwrap(), logo);
    }

    #[test]
    fn smime_is_rebuilt_around_its_only_attachment() {
        let eml = from_json(
            &record(),
            &[file(
                "smime.p7m",
                "application/x-pkcs7-mime",
                b"\x30\x80abc",
            )],
        );
        let text = String::from_utf8(eml).unwrap();
        assert!(text.contains("\r\nContent-Type: application/pkcs7-mime; name=\"smime.p7m\"\r\n"));
        assert!(text.ends_with("\r\n\r\nMIBhYmM=\r\n"));

        let entity = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n";
        let eml = from_json(&record(), &[file("smime.p7m", "multipart/signed", entity)]);
        assert!(eml.ends_with(entity));
    }

    #[test]
    fn a_multipart_that_cannot_be_divided_is_attached() {
        let mail = |boundary: &str, content: &str| {
            let head =
                "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=";
            to_graph(format!("{head}{boundary}\r\n\r\n{content}").as_bytes())
        };
        let part = "Content-Type: text/plain\r\n\r\nall there is\r\n";
        let undivided = [
            // None of its boundaries is there, and only the last one.
            mail("b", &format!("--other\r\n{part}--other--\r\n")),
            mail("b", &format!("--other\r\n{part}--b--\r\n")),
            mail(
                "\"b \r\n c\"",
                &format!("--b \r\n c\r\n{part}--b \r\n c--\r\n"),
            ),
        ];
        for read in undivided {
            let [attached] = read.attachments.as_slice() else {
                panic!("{read:?}")
            };
            assert_eq!(attached.name, "ATT00001.txt");
            assert_eq!(attached.mime_type(), "text/plain");
            assert!(String::from_utf8_lossy(attached.bytes()).contains("all there is"));
        }
        assert_eq!(mail("b", "\r\n--b--\r\n\r\n").attachments, []);
    }

    #[test]
    fn what_is_cut_off_is_decoded() {
        for (encoding, encoded) in [
            ("base64", "Z3I9w7bDn2U="),
            ("Quoted-Printable", "gr=3D=C3=B6=C3=9Fe"),
        ] {
            let mime = format!(
                "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
                 Content-Type: application/pdf; name=a.pdf\r\n\
                 Content-Transfer-Encoding: {encoding}\r\n\r\n{encoded}"
            );
            let read = to_graph(mime.as_bytes());
            assert_eq!(read.attachments[0].name, "a.pdf");
            assert_eq!(read.attachments[0].bytes(), "gr=öße".as_bytes());
        }
    }

    #[test]
    fn a_mail_of_an_old_mac_has_lines() {
        for from in ["", "From x Mon\r"] {
            for end in ["", "\r", "\n"] {
                let mime = format!("{from}Subject: y\rFrom: i@x.test\r\rone\rtwo{end}");
                let read = to_graph(mime.as_bytes());
                assert_eq!(read.json["subject"], "y");
                assert_eq!(read.json["from"]["emailAddress"]["address"], "i@x.test");
                let content = read.json["body"]["content"].as_str().unwrap();
                assert_eq!(content.trim_end(), "one\ntwo");
            }
        }
        // A CR within a line is none of its end.
        let read = to_graph(b"Subject: y\r\n\r\none\rtwo\r\n");
        assert_eq!(read.json["body"]["content"], "one\rtwo\r\n");
    }

    #[test]
    fn nothing_is_needed_of_a_record() {
        let eml = from_json(&json!({}), &[]);
        assert_eq!(to_graph(&eml).json["subject"], "");
        from_json(
            &json!({ "body": 3, "from": [], "toRecipients": [{}, 1], "subject": null }),
            &[],
        );
        let empty = to_graph(b"");
        assert_eq!(empty.json["body"]["content"], "");
        assert_eq!(
            to_graph(b"From x Mon\nSubject: y\n\nz").json["subject"],
            "y"
        );
    }

    #[test]
    fn reads_every_corpus_mail() {
        let (mut mails, mut subjects, mut senders, mut bodies, mut dates) = (0, 0, 0, 0, 0);
        for (name, bytes) in corpus::mails() {
            let message = to_graph(&bytes);
            let json = &message.json;
            let filled = |v: &Value| v.as_str().is_some_and(|s| !s.trim().is_empty());
            mails += 1;
            subjects += usize::from(filled(&json["subject"]));
            senders += usize::from(filled(&json["from"]["emailAddress"]["address"]));
            bodies +=
                usize::from(filled(&json["body"]["content"]) || !message.attachments.is_empty());
            dates += usize::from(message.received.is_some());
            // And written by us, it reads the same again.
            let again = to_graph(&from_json(json, &message.attachments)).json;
            let words = |v: &Value| {
                let text = v.as_str().unwrap_or_default();
                text.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert_eq!(words(&again["subject"]), words(&json["subject"]), "{name}");
            for attachment in &message.attachments {
                attachment.to_graph_json();
            }
        }
        if mails > 0 {
            println!(
                "{mails} mails: {subjects} subjects, {senders} senders, {bodies} bodies, {dates} dates"
            );
            assert!(subjects * 100 >= mails * 95);
            assert!(senders * 100 >= mails * 95);
            assert!(bodies * 100 >= mails * 97);
            assert!(dates * 100 >= mails * 94);
        }
    }
}
