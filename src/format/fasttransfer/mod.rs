//! Exported items of the mailbox import/export API: what the FastTransfer stream says (MS-OXCFXICS),
//! and the file that shows it.
//!
//! The stream is what restores exactly, and it is kept as it came; all of this is a view of it. So a
//! stream that can't be read is an [`Error`] and nothing more.
//!
//! Every byte is hostile: lengths are held against what is there before anything is taken, numbers of
//! values and depth are bounded, and nothing is copied until it is asked for. Pure: the same stream
//! gives the same file.

mod blob;
mod contact;
mod elements;
mod event;
mod frames;
mod mail;
mod message;
mod people;
mod properties;
mod recurrence;
mod rtf;
mod task;
mod text;
mod write;
mod zone;

#[cfg(test)]
mod tests;

use std::ops::Range;

use serde_json::Value;

pub use elements::{Element, Elements, Guid, Key, Marker, Property, Value as MapiValue};
pub use message::{Attachment, Object, Properties};
pub use properties::Prop;
pub use recurrence::Recurrence;
pub use rtf::{Unwrapped, decompress, unwrap};
pub use write::{Builder, New, edit, of_mail, prepend};

/// Properties by name, for who changes a stream.
pub mod props {
    pub use super::properties::{
        FLAG_STATUS, FOLLOWUP_ICON, KEYWORDS, MESSAGE_FLAGS, NON_RECEIPT_REQUESTED,
        READ_RECEIPT_REQUESTED,
    };
}

/// Attachments from this size on are told by [`parts`]; the same as of mails.
const MIN_PART: usize = crate::format::mime::MIN_PART;

/// Calendar files in each other: each holds the one below in base64, which makes it longer by a third, and is built
/// in memory. A mail holds mails as they are.
const MAX_AROUND: usize = 3;

/// Why a stream can't be read. Places are bytes of the export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // Each says in its message what it is.
pub enum Error {
    #[error("these bytes are no exported item: the first frame is missing")]
    NotAnExport,
    #[error("the exported item ends too early, near byte {at}")]
    Truncated { at: usize },
    #[error("property {id:#06x} has an unknown type {kind:#06x} near byte {at}")]
    UnknownType { kind: u16, id: u16, at: usize },
    #[error("marker {marker:#010x} is where none may be, near byte {at}")]
    Misplaced { marker: u32, at: usize },
    #[error("the exported item has more parts than any real one, near byte {at}")]
    TooMany { at: usize },
    #[error("items are attached within items too deeply, near byte {at}")]
    TooDeep { at: usize },
    #[error("the exported item is malformed near byte {at}")]
    Malformed { at: usize },
}

/// An item as a file and as a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// `eml`, `ics`, `vcf` or `txt`.
    pub extension: &'static str,
    /// Of the file.
    pub bytes: Vec<u8>,
    /// What Graph would say of it: a `message`, `event`, `contact`, `todoTask` with its
    /// `@odata.type`, or the few properties of a note or a journal entry.
    pub item: Value,
    /// What of it the file can't show.
    pub notes: Vec<String>,
}

/// The file and the record of an exported item.
///
/// # Errors
/// When the stream is damaged, or is none.
pub fn render(export: &[u8]) -> Result<Rendered, Error> {
    Object::parse(export).map(|object| render_object(&object, 0))
}

/// `around`: calendar files that the item is attached within.
fn render_object(object: &Object<'_>, around: usize) -> Rendered {
    let class = object.properties.text(properties::MESSAGE_CLASS);
    match extension(class.as_deref().unwrap_or_default()) {
        Form::Event | Form::Task if around >= MAX_AROUND => {
            let mut mail = mail::render(object, around);
            let what = mail.item["subject"].as_str().unwrap_or_default();
            mail.notes
                .push(format!("{what}: attached too deeply, and shown as a mail"));
            mail
        }
        Form::Event => {
            let event = event::event(object, around);
            match event.to_ics() {
                Some(bytes) => Rendered {
                    extension: "ics",
                    bytes,
                    item: event.json,
                    notes: event.notes,
                },
                // Too strange for a calendar file; a mail has room for anything.
                None => mail::render(object, around),
            }
        }
        Form::Task => {
            let task = task::task(object, around);
            Rendered {
                extension: "ics",
                bytes: task.to_ics(),
                item: task.json,
                notes: task.notes,
            }
        }
        Form::Contact => {
            let (item, photo) = contact::contact(object);
            Rendered {
                extension: "vcf",
                bytes: crate::format::vcf::write(&item, photo.as_ref()),
                item,
                notes: Vec::new(),
            }
        }
        Form::List => plain("vcf", contact::list(object)),
        Form::Note => plain("txt", task::sticky_note(object)),
        Form::Journal => plain("txt", task::journal(object)),
        Form::Mail => mail::render(object, around),
    }
}

fn plain(extension: &'static str, (item, bytes): (Value, Vec<u8>)) -> Rendered {
    Rendered {
        extension,
        bytes,
        item,
        notes: Vec::new(),
    }
}

/// What an item is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A message, `.eml`.
    Mail,
    /// An appointment or meeting, `.ics`.
    Event,
    /// A person, `.vcf`.
    Contact,
    /// A distribution list.
    List,
    /// A task, `.ics`.
    Task,
    /// A sticky note, `.txt`.
    Note,
    /// An entry of the journal, `.txt`.
    Journal,
}

impl Form {
    /// The extension of its file.
    pub fn extension(self) -> &'static str {
        match self {
            Form::Mail => "eml",
            Form::Event | Form::Task => "ics",
            Form::Contact | Form::List => "vcf",
            Form::Note | Form::Journal => "txt",
        }
    }
}

/// The form of a message class (MS-OXCMSG 2.2.1.3). Classes are hierarchical: `IPM.Note.SMIME` is a
/// kind of `IPM.Note`. What is not known is shown as a mail, which has room for anything.
pub fn extension(class: &str) -> Form {
    let class = class.to_ascii_lowercase();
    let is = |kind: &str| {
        let rest = class.strip_prefix(kind);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if is("ipm.appointment") || is("ipm.ole.class") {
        Form::Event
    } else if is("ipm.contact") {
        Form::Contact
    } else if is("ipm.distlist") {
        Form::List
    } else if is("ipm.task") {
        Form::Task
    } else if is("ipm.stickynote") {
        Form::Note
    } else if is("ipm.activity") {
        Form::Journal
    } else {
        Form::Mail
    }
}

/// Where the contents of large attachments are in an export, each in pieces, in order: the same
/// bytes that the attachments of the rendered mail have.
///
/// # Errors
/// When the stream is damaged, or is none.
pub fn parts(export: &[u8]) -> Result<Vec<Vec<Range<usize>>>, Error> {
    let mut elements = Elements::new(export)?;
    let mut parts = Vec::new();
    while let Some(element) = elements.read()? {
        if let Element::Property(property) = element
            && property.key == Key::Tag(ATTACH_DATA)
            && let MapiValue::Binary(bytes) = property.value
            && bytes.len() >= MIN_PART
        {
            parts.push(bytes.ranges().collect());
        }
    }
    Ok(parts)
}

const ATTACH_DATA: u16 = 0x3701;

/// Everything that is done with a stream from the cloud, for fuzzing: whatever the bytes, it ends
/// without a panic. What is shown of a stream does not depend on whether it was marked.
#[doc(hidden)]
pub fn survive(bytes: &[u8]) {
    let shown = render(bytes);
    if let Ok(parts) = parts(bytes) {
        let mut end = 0;
        for range in parts.iter().flatten() {
            assert!(
                end <= range.start && range.end <= bytes.len(),
                "parts are in order"
            );
            end = range.end;
        }
    }
    let mark = Prop::Name([7; 16], "tenantfs");
    if let Ok(edited) = edit(bytes, &[], &[(mark, New::Text("m"))])
        && let (Ok(before), Ok(after)) = (&shown, render(&edited))
    {
        assert_eq!(
            before.extension, after.extension,
            "an edit changes nothing else"
        );
    }
    let _ = prepend(bytes, mark, &New::Text("m"));
    for at in 0..bytes.len().min(4) {
        let _ = Recurrence::parse(&bytes[at..]).map(|r| (r.to_graph(None), r.cancelled()));
    }
    if let Some(rtf) = decompress(bytes) {
        let _ = unwrap(&rtf);
    }
}
