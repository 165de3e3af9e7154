//! Importing: a session's URL, then one request per item.
//!
//! An imported item is as it was exported, and nobody is told of it: no invitation, no mail. It carries
//! our marker because the stream is given one first, so what became of a request whose answer was lost
//! can be found out.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;

use super::{Exchange, Place};
use crate::format::fasttransfer::{self, Guid, New, Prop, props};
use crate::graph::{Call, ErrorClass, GraphError, ImportError};
use crate::workload::{Account, Marker};

const SESSION: &str = "/createImportSession";
/// The route of imports, for counting.
const IMPORT: &str = "(import session)";
/// Seconds before its end at which a session is not used any more.
const MARGIN: i64 = 60;
/// Sessions that are remembered.
const MAX_SESSIONS: usize = 10_000;

/// The named property of [`crate::workload::MARKER_ID`].
const MARKER: Prop = Prop::Name(MARKER_SET, "tenantfs");
/// `8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42`
const MARKER_SET: Guid = [
    0x1e, 0x1c, 0x2d, 0x8f, 0x0a, 0x6b, 0x53, 0x4a, 0x9c, 0x1e, 0x7e, 0x0f, 0x5d, 0x7a, 0x9b, 0x42,
];

/// URLs to import to, by mailbox.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<Place, (String, i64)>>);

/// What came of an import.
#[derive(Debug)]
pub enum Imported {
    /// Id of the item.
    Done(String),
    /// This identity may not import: there may be another way.
    Refused(GraphError),
}

impl Exchange {
    /// Imports a stream into a folder.
    ///
    /// # Errors
    /// After a temporary one the item may be there.
    pub async fn import(
        &self,
        account: &Account,
        place: &Place,
        folder: &str,
        stream: Bytes,
    ) -> Result<Imported, GraphError> {
        let body = body(folder, stream).await?;
        let scope = Self::scope(account);
        for attempt in 0..3 {
            let url = match self.session(account, place).await {
                Ok(url) => url,
                Err(e) if self.refused_import(account, &e) => return Ok(Imported::Refused(e)),
                Err(e) => return Err(e),
            };
            let error = match self.client.import(&url, IMPORT, body.clone(), &scope).await {
                Ok(answer) => {
                    return match answer["itemId"].as_str() {
                        Some(id) => Ok(Imported::Done(id.to_owned())),
                        None => Err(lost("the answer names no item")),
                    };
                }
                Err(ImportError::Graph(e)) => return Err(e),
                Err(e @ ImportError::Expired) => e,
            };
            self.sessions.0.lock().remove(place);
            if attempt == 2 {
                return Err(lost(&error.to_string()));
            }
        }
        Err(lost("import sessions expire again and again"))
    }

    async fn session(&self, account: &Account, place: &Place) -> Result<String, GraphError> {
        let now = Timestamp::now().as_second();
        if let Some((url, until)) = self.sessions.0.lock().get(place)
            && now < *until
        {
            return Ok(url.clone());
        }
        // A session that nothing was sent to leaves nothing behind: ask as often as needed.
        let call = Call::new(reqwest::Method::POST, SESSION, &[]).repeatable();
        let call = Self::of(account, place.call(call));
        let session = self.client.json(&call).await?;
        let Some(url) = session["importUrl"].as_str() else {
            return Err(lost("the session has no importUrl"));
        };
        let until = session["expirationDateTime"]
            .as_str()
            .and_then(|time| time.parse::<Timestamp>().ok())
            .map_or(now, |time| time.as_second() - MARGIN);
        let mut sessions = self.sessions.0.lock();
        if sessions.len() >= MAX_SESSIONS {
            sessions.clear();
        }
        sessions.insert(place.clone(), (url.to_owned(), until));
        Ok(url.to_owned())
    }
}

fn lost(what: &str) -> GraphError {
    GraphError::local(ErrorClass::Transient, format!("POST {IMPORT}"), what)
}

/// The request. Written by hand, so that base64 of a large item is in memory once.
async fn body(folder: &str, stream: Bytes) -> Result<Bytes, GraphError> {
    let folder = Value::from(folder).to_string();
    let written = tokio::task::spawn_blocking(move || {
        let mut body = format!("{{\"FolderId\":{folder},\"Mode\":\"create\",\"Data\":\"");
        STANDARD.encode_string(&stream, &mut body);
        body.push_str("\"}");
        Bytes::from(body)
    });
    written.await.map_err(|e| lost(&e.to_string()))
}

/// The stream with our marker, and without a request for receipts.
///
/// # Errors
/// When it is no export.
pub fn marked(stream: &[u8], marker: &Marker) -> Result<Vec<u8>, fasttransfer::Error> {
    let value = marker.exact_value();
    let value = New::Text(&value);
    let mut set = vec![(MARKER, value.clone())];
    let mut drop = Vec::new();
    if let Ok(object) = fasttransfer::Object::parse(stream)
        && let Some(flags) = without_receipts(&object.properties, &mut drop)
    {
        set.push((props::MESSAGE_FLAGS, New::Int(flags)));
    }
    // A stream that can't be read is marked without being read: Exchange knows what is in it.
    fasttransfer::edit(stream, &drop, &set)
        .or_else(|_| fasttransfer::prepend(stream, MARKER, &value))
}

/// Flags of a message (MS-OXCMSG 2.2.1.6): it is a draft; a receipt is still to be sent when it is read, or when
/// it is deleted unread.
const UNSENT: i32 = 0x8;
const RECEIPTS_PENDING: i32 = 0x300;

/// What has to go of a message that was received, so that its sender is not told that it was read, perhaps years
/// later, by whoever opens what was restored. Returns its flags where these change as well.
fn without_receipts(p: &fasttransfer::Properties<'_>, drop: &mut Vec<Prop>) -> Option<i32> {
    let flags = p.int(props::MESSAGE_FLAGS).map(|flags| flags as i32);
    if flags.is_some_and(|flags| flags & UNSENT != 0) {
        return None;
    }
    for which in [props::READ_RECEIPT_REQUESTED, props::NON_RECEIPT_REQUESTED] {
        if p.get(which).is_some() {
            drop.push(which);
        }
    }
    flags
        .filter(|flags| flags & RECEIPTS_PENDING != 0)
        .map(|flags| flags & !RECEIPTS_PENDING)
}

/// The stream of a message as [`marked`], and with what changed since it was exported: read state,
/// categories and flag, as the record has them. Changes of these alone export nothing again.
///
/// # Errors
/// As [`marked`].
pub fn changed(
    stream: &[u8],
    marker: &Marker,
    record: &Value,
) -> Result<Vec<u8>, fasttransfer::Error> {
    let object = fasttransfer::Object::parse(stream).ok();
    let value = marker.exact_value();
    let mut set = vec![(MARKER, New::Text(&value))];
    let mut drop = Vec::new();
    let p = object.as_ref().map(|object| &object.properties);
    let stored = |which: Prop| p.and_then(|p| p.int(which));
    let quiet = p.and_then(|p| without_receipts(p, &mut drop));
    let flags = quiet.unwrap_or_else(|| stored(props::MESSAGE_FLAGS).unwrap_or_default() as i32);
    match record["isRead"].as_bool() {
        Some(read) => set.push((props::MESSAGE_FLAGS, New::Int(flags & !1 | i32::from(read)))),
        None if quiet.is_some() => set.push((props::MESSAGE_FLAGS, New::Int(flags))),
        None => {}
    }
    let categories: Vec<String> = record["categories"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    if record["categories"].is_array() && p.is_some_and(|p| p.texts(props::KEYWORDS) != categories)
    {
        match categories.is_empty() {
            true => drop.push(props::KEYWORDS),
            false => set.push((props::KEYWORDS, New::Texts(&categories))),
        }
    }
    let status = match record["flag"]["flagStatus"].as_str() {
        Some("flagged") => Some(2),
        Some("complete") => Some(1),
        Some(_) => Some(0),
        None => None,
    };
    if let Some(status) = status.filter(|s| stored(props::FLAG_STATUS).unwrap_or(0) != *s) {
        match status {
            0 => drop.extend([props::FLAG_STATUS, props::FOLLOWUP_ICON]),
            2 => {
                set.push((props::FLAG_STATUS, New::Int(2)));
                // Red, as Outlook's own flags.
                set.push((props::FOLLOWUP_ICON, New::Int(6)));
            }
            status => set.push((props::FLAG_STATUS, New::Int(status as i32))),
        }
    }
    fasttransfer::edit(stream, &drop, &set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fasttransfer::{Builder, Object};
    use serde_json::json;
    use uuid::Uuid;

    fn marker() -> Marker {
        Marker {
            push: Uuid::from_u128(7),
            origin: None,
            created: None,
        }
    }

    #[test]
    fn nobody_is_told_that_a_restored_mail_was_read() {
        let stream = |flags: i32| {
            let mut builder = Builder::default();
            builder.property(props::MESSAGE_FLAGS, &New::Int(flags));
            builder.property(props::READ_RECEIPT_REQUESTED, &New::Bool(true));
            builder.property(props::NON_RECEIPT_REQUESTED, &New::Bool(true));
            builder.finish()
        };
        let asks = |stream: &[u8]| {
            let object = Object::parse(stream).unwrap();
            let p = object.properties;
            let receipts = [props::READ_RECEIPT_REQUESTED, props::NON_RECEIPT_REQUESTED];
            (
                receipts.map(|which| p.bool(which) == Some(true)),
                p.int(props::MESSAGE_FLAGS),
            )
        };
        let received = stream(0x300 | 0x10);
        let quiet = ([false, false], Some(0x10));
        assert_eq!(asks(&marked(&received, &marker()).unwrap()), quiet);
        let told = changed(&received, &marker(), &json!({})).unwrap();
        assert_eq!(asks(&told), quiet);
        let read = changed(&received, &marker(), &json!({"isRead": true})).unwrap();
        assert_eq!(asks(&read), ([false, false], Some(0x11)));
        // Whoever writes a draft still wants to know.
        let draft = stream(0x8);
        let kept = ([true, true], Some(0x8));
        assert_eq!(asks(&marked(&draft, &marker()).unwrap()), kept);
        assert_eq!(asks(&changed(&draft, &marker(), &json!({})).unwrap()), kept);
    }

    #[test]
    fn the_marker_is_the_property_that_is_asked_for() {
        let hex = MARKER_SET;
        let text = format!(
            "{:02x}{:02x}{:02x}{:02x}-{:02x}{:02x}-{:02x}{:02x}-{}-{}",
            hex[3],
            hex[2],
            hex[1],
            hex[0],
            hex[5],
            hex[4],
            hex[7],
            hex[6],
            hex[8..10]
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>(),
            hex[10..]
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>(),
        );
        assert_eq!(
            crate::workload::MARKER_ID,
            format!("String {{{text}}} Name tenantfs")
        );
        let stream = Builder::default().finish();
        let marked = marked(&stream, &marker()).unwrap();
        let object = Object::parse(&marked).unwrap();
        assert_eq!(object.properties.text(MARKER), Some(marker().exact_value()));
    }

    #[test]
    fn what_changed_since_is_laid_over() {
        let mut stream = Builder::default();
        stream.property(props::MESSAGE_FLAGS, &New::Int(0x11));
        stream.property(props::FLAG_STATUS, &New::Int(2));
        let stream = stream.finish();
        let record = json!({ "isRead": false, "categories": ["Red"], "flag": { "flagStatus": "notFlagged" } });
        let edited = changed(&stream, &marker(), &record).unwrap();
        let p = Object::parse(&edited).unwrap().properties;
        assert_eq!(p.int(props::MESSAGE_FLAGS), Some(0x10));
        assert_eq!(p.int(props::FLAG_STATUS), None);
        assert_eq!(p.texts(props::KEYWORDS), ["Red"]);
        // A record that says nothing changes nothing.
        let edited = changed(&stream, &marker(), &json!({})).unwrap();
        let p = Object::parse(&edited).unwrap().properties;
        assert_eq!(p.int(props::MESSAGE_FLAGS), Some(0x11));
        assert_eq!(p.int(props::FLAG_STATUS), Some(2));
    }
}
