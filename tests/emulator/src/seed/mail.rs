//! Generated mailboxes: folders, and message number `no` of a mailbox.
//!
//! Three messages in a row may be a thread. Attachments come out of a pool that the whole tenant
//! shares, so the same document is in many mails. Received times grow with the number and end at
//! [`ANCHOR`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::people::outsider;
use super::words::{paragraph, sentence, subject};
use super::{ANCHOR, words};
use crate::clock::rfc3339;
use crate::mail::content::{Attachment, AttachmentKind, Content, Text};
use crate::mail::ids::No;
use crate::mail::store::{Item, Mailbox};
use crate::odata::Object;
use crate::rng::Rng;

/// Days over which a mailbox's messages are spread.
const DAYS: u64 = 6 * 365;
/// Documents in the pool of attachments.
const POOL: u64 = 96;
const PROJECTS: &[&str] = &[
    "Projects",
    "Customers",
    "Newsletters",
    "Travel & expenses",
    "R/D",
    "Ärende",
    "2025",
    "Old",
];

/// What a message was to its owner when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Received,
    Sent,
    Draft,
}

/// Where generated messages go: folder numbers with their weight in a hundred.
pub struct Layout(pub(super) Vec<(No, u64, Role)>);

/// Makes the folders a generated mailbox has besides the system's.
pub fn layout(mailbox: &mut Mailbox) -> Layout {
    let inbox = mailbox.well_known("inbox");
    let root = mailbox.well_known("msgfolderroot");
    let mut out = vec![
        (inbox, 44, Role::Received),
        (mailbox.well_known("sentitems"), 20, Role::Sent),
        (mailbox.well_known("archive"), 9, Role::Received),
        (mailbox.well_known("deleteditems"), 3, Role::Received),
        (mailbox.well_known("junkemail"), 2, Role::Received),
        (mailbox.well_known("drafts"), 1, Role::Draft),
        (
            mailbox.well_known("recoverableitemsdeletions"),
            1,
            Role::Received,
        ),
    ];
    for (n, name) in PROJECTS.iter().enumerate() {
        let parent = if n % 2 == 0 { inbox } else { root };
        let no = mailbox.add_folder(name, parent, None);
        out.push((no, 2, Role::Received));
        if n < 2 {
            let child = mailbox.add_folder(&format!("{name} 2026"), no, None);
            out.push((child, 2, Role::Received));
        }
    }
    Layout(out)
}

fn rng(mailbox: &Mailbox, no: No, what: u64) -> Rng {
    Rng::at(
        mailbox
            .seed
            .wrapping_add(what.wrapping_mul(0x51_7cc1_b727_220a)),
        u64::from(no),
    )
}

fn role(rng: &mut Rng) -> (u64, Role) {
    let draw = rng.below(100);
    // The same draw as in `place`: sent items are 44..64, drafts 78.
    let role = match draw {
        44..64 => Role::Sent,
        78 => Role::Draft,
        _ => Role::Received,
    };
    (draw, role)
}

/// Folder, time and state of message `no` of `count`.
pub fn place(mailbox_seed: u64, layout: &Layout, no: No, count: No) -> Item {
    let mut rng = Rng::at(mailbox_seed, u64::from(no));
    let (mut draw, role) = role(&mut rng);
    let mut folder = layout.0[0].0;
    for (candidate, weight, _) in &layout.0 {
        if draw < *weight {
            folder = *candidate;
            break;
        }
        draw -= weight;
    }
    let span = DAYS * 86_400;
    let step = span / u64::from(count.max(1)) + 1;
    let received = ANCHOR - span as i64
        + (u64::from(no) * span / u64::from(count.max(1)) + rng.below(step)) as i64;
    Item {
        folder,
        moves: 0,
        seq: 0,
        seq_content: 0,
        entered: 0,
        received,
        is_read: role != Role::Received || rng.chance(82),
        is_draft: role == Role::Draft,
    }
}

struct Facts {
    role: Role,
    subject: String,
    /// Place in its thread; 0 for the first and for those that have none.
    reply: u32,
    thread: u64,
    html: bool,
    documents: Vec<u64>,
    logo: bool,
    /// An earlier message is attached.
    forwarded: Option<No>,
    /// A link to a file elsewhere is attached.
    link: bool,
    meeting: bool,
}

fn facts(mailbox: &Mailbox, no: No) -> Facts {
    let (_, role) = role(&mut rng(mailbox, no, 0));
    let mut own = rng(mailbox, no, 1);
    let mut thread = rng(mailbox, no / 3, 2);
    let threaded = thread.chance(60);
    let (reply, thread) = if threaded {
        (no % 3, thread)
    } else {
        (0, rng(mailbox, no, 3))
    };
    let mut words = thread.clone();
    let subject = subject(&mut words);
    let subject = if reply == 0 {
        subject
    } else {
        format!("Re: {subject}")
    };
    let html = own.chance(60);
    let mut documents = Vec::new();
    if own.chance(18) {
        for _ in 0..own.range(1, 2) {
            // Few documents are in many mails.
            let document = own.below(POOL).min(own.below(POOL));
            if !documents.contains(&document) {
                documents.push(document);
            }
        }
    }
    let logo = html && own.chance(15);
    let forwarded = (no > 0 && own.chance(3)).then(|| own.below(u64::from(no)) as No);
    let link = own.chance(1);
    let meeting = role == Role::Received && reply == 0 && own.chance(2);
    Facts {
        forwarded,
        link,
        meeting,
        role,
        subject,
        reply,
        thread: thread.clone().next(),
        html,
        documents,
        logo,
    }
}

fn message_id(mailbox: &Mailbox, no: No) -> String {
    format!(
        "<{:016x}.{no}@mail.{}>",
        rng(mailbox, no, 4).next(),
        domain(mailbox)
    )
}

/// The message of a generated mailbox that could have this internetMessageId.
pub fn by_message_id(mailbox: &Mailbox, id: &str) -> Option<No> {
    let no: No = id
        .strip_prefix('<')?
        .split('@')
        .next()?
        .split('.')
        .nth(1)?
        .parse()
        .ok()?;
    (no < mailbox.generated && message_id(mailbox, no) == id).then_some(no)
}

fn domain(mailbox: &Mailbox) -> &str {
    mailbox.user.upn.rsplit('@').next().unwrap_or("contoso.com")
}

fn person((name, address): &(String, String)) -> Value {
    json!({"emailAddress": {"name": name, "address": address}})
}

fn somebody(mailbox: &Mailbox, rng: &mut Rng) -> (String, String) {
    if rng.chance(55) && !mailbox.people.is_empty() {
        mailbox.people[rng.below(mailbox.people.len() as u64) as usize].clone()
    } else {
        outsider(rng)
    }
}

/// The properties of a generated message that `wants` names: a page of a thousand messages should not
/// cost what nobody asked for.
pub fn props(mailbox: &Mailbox, no: No, wants: &dyn Fn(&str) -> bool) -> Object {
    let facts = facts(mailbox, no);
    let item = mailbox.item(no);
    let mut out = Object::new();
    let mut set = |name: &str, value: &dyn Fn() -> Value| {
        if wants(name) {
            out.insert(name.to_owned(), value());
        }
    };
    let stored = || json!(rfc3339(item.received + 1));
    set("createdDateTime", &stored);
    set("lastModifiedDateTime", &stored);
    set("receivedDateTime", &|| json!(rfc3339(item.received)));
    set("subject", &|| json!(facts.subject));
    set("hasAttachments", &|| {
        json!(!facts.documents.is_empty() || facts.forwarded.is_some() || facts.link)
    });
    set("internetMessageId", &|| json!(message_id(mailbox, no)));
    set("conversationId", &|| {
        json!(mailbox.ids.conversation(facts.thread))
    });
    set("conversationIndex", &|| {
        json!(conversation_index(facts.thread, facts.reply, item.received))
    });
    set("isDeliveryReceiptRequested", &|| Value::Null);
    set("isReadReceiptRequested", &|| json!(false));

    let mut state = rng(mailbox, no, 5);
    let delay = state.range(1, 40) as i64;
    set("sentDateTime", &|| json!(rfc3339(item.received - delay)));
    let draw = state.below(100);
    let later = || zoned(item.received + 86_400);
    set("flag", &|| match draw {
        0..3 => json!({"flagStatus": "flagged"}),
        3 => json!({"flagStatus": "complete", "completedDateTime": later()}),
        4 => {
            json!({"flagStatus": "flagged", "startDateTime": zoned(item.received), "dueDateTime": later()})
        }
        _ => json!({"flagStatus": "notFlagged"}),
    });
    let draw = state.below(40);
    set("categories", &|| match draw {
        0 => json!(["Red category"]),
        1 => json!(["Blue category", "Kunden – wichtig"]),
        _ => json!([]),
    });
    let draw = state.below(30);
    set("importance", &|| {
        json!(["high", "low"].get(draw as usize).unwrap_or(&"normal"))
    });
    let focused = state.chance(70);
    set("inferenceClassification", &|| {
        json!(if focused { "focused" } else { "other" })
    });

    if ["sender", "from", "toRecipients", "ccRecipients"]
        .iter()
        .any(|name| wants(name))
    {
        let mut rng = rng(mailbox, no, 8);
        let owner = (mailbox.user.display_name.clone(), mailbox.user.upn.clone());
        let other = somebody(mailbox, &mut rng);
        let copies = rng.below(4).saturating_sub(1);
        let cc: Vec<Value> = (0..copies)
            .map(|_| person(&somebody(mailbox, &mut rng)))
            .collect();
        let (from, to) = if facts.role == Role::Received {
            (other, owner)
        } else {
            (owner, other)
        };
        set("sender", &|| person(&from));
        set("from", &|| person(&from));
        set("toRecipients", &|| json!([person(&to)]));
        set("ccRecipients", &|| json!(cc));
    }
    set("bccRecipients", &|| json!([]));
    set("replyTo", &|| json!([]));
    if facts.meeting {
        meeting(item, &mut set);
        out.insert(
            "@odata.type".into(),
            json!("#microsoft.graph.eventMessageRequest"),
        );
    }
    out
}

/// What a meeting request has besides.
fn meeting(item: &Item, set: &mut dyn FnMut(&str, &dyn Fn() -> Value)) {
    let (start, end) = meeting_times(item);
    set("meetingMessageType", &|| json!("meetingRequest"));
    set("meetingRequestType", &|| json!("newMeetingRequest"));
    set("type", &|| json!("singleInstance"));
    set("startDateTime", &|| zoned(start));
    set("endDateTime", &|| zoned(end));
    set(
        "location",
        &|| json!({"displayName": "Room 1", "locationType": "default", "uniqueIdType": "unknown"}),
    );
    for name in ["isOutOfDate", "isAllDay", "isDelegated"] {
        set(name, &|| json!(false));
    }
    for name in ["responseRequested", "allowNewTimeProposals"] {
        set(name, &|| json!(true));
    }
    for name in [
        "recurrence",
        "previousStartDateTime",
        "previousEndDateTime",
        "previousLocation",
    ] {
        set(name, &|| Value::Null);
    }
}

/// Start and end of the meeting a message asks to.
fn meeting_times(item: &Item) -> (i64, i64) {
    let start = (item.received / 3600 + 30) * 3600;
    (start, start + 3600)
}

/// The iCalendar text of a meeting request.
pub fn calendar(mailbox: &Mailbox, no: No) -> Option<String> {
    let facts = facts(mailbox, no);
    if !facts.meeting {
        return None;
    }
    let (start, end) = meeting_times(mailbox.item(no));
    let stamp = |seconds: i64| rfc3339(seconds).replace(['-', ':'], "");
    let summary: String = facts
        .subject
        .chars()
        .filter(|c| !matches!(c, ',' | ';' | '\\'))
        .take(60)
        .collect();
    Some(format!(
        "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nPRODID:Emulator\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:{:016x}\r\nDTSTAMP:{}\r\nDTSTART:{}\r\nDTEND:{}\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        facts.thread,
        stamp(mailbox.item(no).received),
        stamp(start),
        stamp(end)
    ))
}

fn zoned(seconds: i64) -> Value {
    let text = rfc3339(seconds);
    json!({"dateTime": format!("{}.0000000", text.trim_end_matches('Z')), "timeZone": "UTC"})
}

/// 22 bytes, and 5 more for each reply.
pub fn conversation_index(thread: u64, reply: u32, time: i64) -> String {
    let filetime = (time.max(0) as u64 + 11_644_473_600).wrapping_mul(10_000_000);
    let mut out = vec![1];
    out.extend_from_slice(&filetime.to_be_bytes()[..5]);
    let mut rng = Rng::at(thread, 9);
    out.extend_from_slice(&rng.bytes16());
    for n in 0..reply {
        out.extend_from_slice(&[0, 1, n as u8, 0, 0x10]);
    }
    STANDARD.encode(out)
}

pub fn text(mailbox: &Mailbox, no: No) -> Text {
    let facts = facts(mailbox, no);
    let mut rng = rng(mailbox, no, 6);
    let count = rng.range(1, 5);
    let mut paragraphs: Vec<String> = (0..count).map(|_| paragraph(&mut rng)).collect();
    paragraphs.insert(0, "Hello,".to_owned());
    paragraphs.push("Best regards".to_owned());
    let quoted = (facts.reply > 0).then(|| sentence(&mut Rng::at(facts.thread, 8)));
    if !facts.html {
        let mut content = paragraphs.join("\r\n\r\n");
        if let Some(quoted) = quoted {
            content.push_str(&format!("\r\n\r\n> {quoted}\r\n"));
        }
        return Text {
            html: false,
            content,
        };
    }
    let mut content = String::from(
        "<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\"></head><body>\r\n",
    );
    for paragraph in &paragraphs {
        content.push_str(&format!("<p>{paragraph}</p>\r\n"));
    }
    if facts.logo {
        content.push_str("<p><img src=\"cid:logo@01\" alt=\"logo\"></p>\r\n");
    }
    if let Some(quoted) = quoted {
        content.push_str(&format!("<blockquote>{quoted}</blockquote>\r\n"));
    }
    content.push_str("</body></html>");
    Text {
        html: true,
        content,
    }
}

pub fn attachments(mailbox: &Mailbox, no: No) -> Vec<Attachment> {
    let facts = facts(mailbox, no);
    let modified = mailbox.item(no).received + 1;
    let mut out: Vec<Attachment> = facts
        .documents
        .iter()
        .map(|n| document(mailbox.tenant_seed, *n, modified))
        .collect();
    if facts.logo {
        out.push(Attachment {
            no: 0,
            kind: AttachmentKind::File(logo(mailbox.tenant_seed)),
            name: "image001.png".into(),
            content_type: Some("image/png".into()),
            is_inline: true,
            content_id: Some("logo@01".into()),
            content_location: None,
            modified,
        });
    }
    if let Some(other) = facts.forwarded {
        let mime = Content::of(mailbox, other).mime(0);
        let kind = AttachmentKind::Item {
            item: crate::mail::mime::item_of(&mime),
            mime: Some(mime),
        };
        let name =
            crate::mail::mime::subject(&kind).unwrap_or_else(|| "Attached message".to_owned());
        out.push(Attachment {
            kind,
            ..plain_attachment(name, modified)
        });
    }
    if facts.link {
        out.push(plain_attachment("Shared plan.docx".to_owned(), modified));
    }
    for (no, attachment) in out.iter_mut().enumerate() {
        attachment.no = no as u32;
    }
    out
}

/// A reference attachment; what it becomes otherwise is filled in.
fn plain_attachment(name: String, modified: i64) -> Attachment {
    Attachment {
        no: 0,
        kind: AttachmentKind::Reference,
        name,
        content_type: None,
        is_inline: false,
        content_id: None,
        content_location: None,
        modified,
    }
}

/// Document `n` of the pool: text that compresses, or bytes that do not.
fn document(seed: u64, n: u64, modified: i64) -> Attachment {
    let mut rng = Rng::at(seed ^ 0xd0c5, n);
    let (extension, kind) = [
        ("pdf", "application/pdf"),
        (
            "docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        ("csv", "text/csv"),
        ("txt", "text/plain"),
        ("jpg", "image/jpeg"),
    ][rng.below(5) as usize];
    let size = match rng.below(20) {
        0 => rng.range(150_000, 400_000),
        1..6 => rng.range(30_000, 90_000),
        _ => rng.range(800, 20_000),
    } as usize;
    let mut bytes = Vec::with_capacity(size + 200);
    if matches!(extension, "csv" | "txt") {
        while bytes.len() < size {
            let line = if extension == "csv" {
                format!(
                    "{};{};{}.{:02}\r\n",
                    rng.below(10_000),
                    words::words(&mut rng, 2),
                    rng.below(9_000),
                    rng.below(100)
                )
            } else {
                format!("{}\r\n", paragraph(&mut rng))
            };
            bytes.extend_from_slice(line.as_bytes());
        }
    } else {
        bytes.resize(size, 0);
        rng.fill(&mut bytes);
        let magic: &[u8] = match extension {
            "pdf" => b"%PDF-1.7\n",
            "docx" => b"PK\x03\x04",
            _ => b"\xff\xd8\xff\xe0",
        };
        bytes[..magic.len()].copy_from_slice(magic);
    }
    let name = format!("{} {n}.{extension}", words::words(&mut rng, 2));
    Attachment {
        no: 0,
        kind: AttachmentKind::File(Bytes::from(bytes)),
        name,
        content_type: Some(kind.to_owned()),
        is_inline: false,
        content_id: None,
        content_location: None,
        modified,
    }
}

fn logo(seed: u64) -> Bytes {
    let mut bytes = vec![0; 5_432];
    Rng::at(seed, 77).fill(&mut bytes);
    bytes[..8].copy_from_slice(b"\x89PNG\r\n\x1a\n");
    Bytes::from(bytes)
}

/// Header lines that the way to the mailbox added.
pub fn transport(mailbox: &Mailbox, no: No) -> Vec<String> {
    let facts = facts(mailbox, no);
    let mut out = Vec::new();
    let date = |offset: i64| {
        jiff::Timestamp::from_second(mailbox.item(no).received - offset)
            .map(|t| t.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string())
            .unwrap_or_default()
    };
    if facts.role == Role::Received {
        let mut rng = rng(mailbox, no, 7);
        let host = domain(mailbox);
        let mut id = || format!("{:X}", rng.next());
        out.push(format!(
            "Received: from mx1.{host} (10.1.0.4) by mbx1.{host}\r\n\twith HTTPS id {}; {}",
            id(),
            date(0)
        ));
        out.push(format!("Received: from relay.example.org (192.0.2.{}) by mx1.{host}\r\n\twith ESMTPS id {}; {}", no % 250, id(), date(1)));
        out.push(format!(
            "Authentication-Results: mx1.{host}; spf=pass; dkim=pass; dmarc=pass"
        ));
        out.push(format!(
            "X-MS-Exchange-Organization-Network-Message-Id: {}",
            id()
        ));
    }
    if facts.reply > 0 {
        let first = no - facts.reply;
        let all: Vec<String> = (first..no).map(|n| message_id(mailbox, n)).collect();
        if let Some(last) = all.last() {
            out.push(format!("In-Reply-To: {last}"));
        }
        out.push(format!("References: {}", all.join("\r\n ")));
    }
    out
}
