//! What is created in Exchange for a vCard: the record's properties where it came out of a snapshot,
//! else what the card says. The photo always comes from the card.

use serde_json::{Map, Value, json};

use super::contact::{PHOTO, writable};
use crate::format::vcf::{self, Photo};
use crate::workload::Marker;
use crate::workload::{Policy, Push, PushError, Source};

/// Bytes of the largest card that is read for a restore.
const MAX_FILE: u64 = 16 << 20;
/// Bytes of a creating request: 4 MB are allowed.
const MAX_REQUEST: usize = 3_900_000;

/// A contact ready to be created.
pub(in crate::workload) struct Composed {
    /// The body of the creating request.
    pub json: Value,
    pub photo: Option<Photo>,
    pub marker: Marker,
    /// What can't be restored.
    pub notes: Vec<String>,
}

/// Reads the file of a push.
pub(super) async fn compose(push: &Push) -> Result<Composed, PushError> {
    if !push.name.to_ascii_lowercase().ends_with(".vcf") && matches!(push.source, Source::File) {
        return Err(PushError::Invalid(format!(
            "{}: only contacts (files that end in .vcf) can be put below Contacts",
            push.name
        )));
    }
    let size = tokio::fs::metadata(&push.file).await?.len();
    if size > MAX_FILE {
        return Err(PushError::Invalid(format!(
            "{}: {size} bytes are too many for a contact",
            push.name
        )));
    }
    let card = tokio::fs::read(&push.file).await?;
    let push = push.clone();
    // Parsing megabytes is no work for a thread that serves connections.
    let composed = tokio::task::spawn_blocking(move || build(&push, &card)).await;
    composed.map_err(|e| PushError::Invalid(format!("the vCard could not be read: {e}")))?
}

fn build(push: &Push, card: &[u8]) -> Result<Composed, PushError> {
    let read = vcf::read(card);
    let mut marker = Marker {
        push: push.id,
        origin: None,
        created: None,
    };
    let (mut json, photo, mut notes) = match &push.source {
        Source::Record { record, key } => {
            if push.policy != Policy::KeepBoth {
                marker.origin = Some(*key);
            }
            let mut notes = Vec::new();
            if let Some(why) = record[PHOTO]["missing"].as_str() {
                notes.push(format!("the photo was never captured: {why}"));
            }
            // An empty contact is one too, and its card may say nothing.
            (
                writable(record),
                read.ok().and_then(|card| card.photo),
                notes,
            )
        }
        Source::File => {
            let read = read.map_err(|e| PushError::Invalid(format!("{}: {e}", push.name)))?;
            let json = match read.json {
                Value::Object(json) => json,
                _ => Map::new(),
            };
            (json, read.photo, read.notes)
        }
    };
    fit(&mut json, &mut notes);
    json.insert(
        "singleValueExtendedProperties".into(),
        json!([marker.property()]),
    );
    Ok(Composed {
        json: Value::Object(json),
        photo,
        marker,
        notes,
    })
}

/// Cuts the notes where the request would be too large: nothing else of a contact is that long.
fn fit(json: &mut Map<String, Value>, notes: &mut Vec<String>) {
    if serde_json::to_vec(json).map_or(0, |body| body.len()) <= MAX_REQUEST {
        return;
    }
    if let Some(text) = json.get("personalNotes").and_then(Value::as_str) {
        // Escaping may make six bytes of one.
        let cut = text[..text.floor_char_boundary(MAX_REQUEST / 8)].to_owned();
        json.insert("personalNotes".into(), cut.into());
        notes.push("the notes are longer than Graph takes: they are cut".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::ItemKey;
    use uuid::Uuid;

    const CARD: &[u8] = b"BEGIN:VCARD\r\nVERSION:4.0\r\nFN:From card\r\n\
        PHOTO:data:image/gif;base64,R0lGODlh\r\nTEL;TYPE=fax:1\r\nEND:VCARD\r\n";

    fn push(source: Source, policy: Policy) -> Push {
        Push {
            id: Uuid::from_u128(9),
            folder: vec!["Contacts".into()],
            name: "x.vcf".into(),
            policy,
            source,
            original: None,
            file: "unused".into(),
            mtime: 0,
        }
    }

    fn record() -> Source {
        Source::Record {
            record: json!({ "id": "c", "displayName": "From record", "children": [], "fileAs": "x" }),
            key: ItemKey([1; 16]),
        }
    }

    #[test]
    fn a_recognised_card_comes_from_its_record() {
        let composed = build(&push(record(), Policy::Skip), CARD).unwrap();
        assert_eq!(composed.json["displayName"], "From record");
        assert_eq!(composed.json["fileAs"], "x");
        assert!(composed.json.get("id").is_none() && composed.json.get("children").is_none());
        assert_eq!(composed.photo.unwrap().content_type, "image/gif");
        assert_eq!(composed.notes, Vec::<String>::new());
        let marker = Marker::of(&composed.json).unwrap();
        assert_eq!(marker.origin, Some(ItemKey([1; 16])));
        let beside = build(&push(record(), Policy::KeepBoth), CARD).unwrap();
        assert_eq!(beside.marker.origin, None);
    }

    #[test]
    fn a_foreign_card_says_what_it_says() {
        let composed = build(&push(Source::File, Policy::Skip), CARD).unwrap();
        assert_eq!(composed.json["displayName"], "From card");
        assert_eq!(composed.notes.len(), 1);
        let refused = build(&push(Source::File, Policy::Skip), &CARD.repeat(2));
        let Err(PushError::Invalid(why)) = refused else {
            panic!("two cards in one file");
        };
        assert!(why.contains("x.vcf") && why.contains("split"), "{why}");
    }

    #[test]
    fn a_request_is_never_too_large() {
        let card = format!(
            "BEGIN:VCARD\nVERSION:4.0\nFN:A\nNOTE:{}\nEND:VCARD\n",
            "\u{e4}\"".repeat(2_000_000)
        );
        let composed = build(&push(Source::File, Policy::Skip), card.as_bytes()).unwrap();
        assert!(composed.json.to_string().len() <= 4_000_000);
        assert_eq!(composed.notes.len(), 1);
    }
}
