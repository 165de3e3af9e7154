//! Exporting: twenty items with one request, each with an outcome of its own.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{Exchange, Place};
use crate::format::fasttransfer::{self, Rendered};
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::{Account, ItemError};

const EXPORT: &str = "/exportItems";

/// Bytes of the largest stream that is taken.
pub const MAX_STREAM: usize = 256 << 20;

/// An item of an export.
pub struct Item {
    pub stream: Bytes,
    /// The version that it is.
    pub change_key: Option<String>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    value: Vec<Response<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    #[serde(borrow)]
    item_id: Cow<'a, str>,
    #[serde(borrow, default)]
    change_key: Option<Cow<'a, str>>,
    // Borrowed from the answer: base64 has nothing to unescape.
    #[serde(borrow, default)]
    data: Option<Cow<'a, str>>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Exchange {
    /// Exports items; at most twenty. The outcomes come in the order of the ids. A request that fails
    /// for its size or for one of its items is sent again in halves.
    ///
    /// # Errors
    /// When nothing can be exported now, or at all.
    pub async fn export(
        &self,
        account: &Account,
        place: &Place,
        ids: &[String],
    ) -> Result<Vec<Result<Item, ItemError>>, GraphError> {
        let mut outcomes = Vec::with_capacity(ids.len());
        let mut todo = vec![ids];
        while let Some(ids) = todo.pop() {
            match self.export_once(account, place, ids).await {
                Ok(some) => outcomes.extend(some),
                Err(e) if ids.len() > 1 && is_for_size(&e) => {
                    let (first, second) = ids.split_at(ids.len() / 2);
                    todo.extend([second, first]);
                }
                // Of several requests the others may work.
                Err(e) if is_for_size(&e) => outcomes.push(Err(e.into())),
                Err(e) => return Err(e),
            }
        }
        Ok(outcomes)
    }

    async fn export_once(
        &self,
        account: &Account,
        place: &Place,
        ids: &[String],
    ) -> Result<Vec<Result<Item, ItemError>>, GraphError> {
        let call = Call::post(EXPORT, &[], json!({ "itemIds": ids }))
            .repeatable()
            .attempts(if ids.len() > 1 { 2 } else { 4 })
            .bounds(MAX_STREAM / 3 * 4 + (4 << 20), Duration::from_secs(1800));
        let call = Self::of(account, place.call(call));
        let answer = self.client.send(&call).await?;
        let body = answer.body;
        let ids = ids.to_vec();
        // Decoding tens of megabytes is no work for a thread that serves connections.
        let read = tokio::task::spawn_blocking(move || read(&body, &ids)).await;
        let unreadable =
            |what: String| GraphError::local(ErrorClass::Network, format!("POST {EXPORT}"), what);
        read.map_err(|e| unreadable(e.to_string()))?
            .map_err(|e| unreadable(e.to_string()))
    }
}

/// True for failures that a smaller request may not have.
fn is_for_size(error: &GraphError) -> bool {
    match error.class {
        ErrorClass::TooLarge | ErrorClass::Corrupt => true,
        ErrorClass::Transient => matches!(error.status, Some(500 | 502 | 504)),
        _ => false,
    }
}

fn read(body: &[u8], ids: &[String]) -> Result<Vec<Result<Item, ItemError>>, serde_json::Error> {
    let answer: Answer<'_> = serde_json::from_slice(body)?;
    let mut responses = answer.value;
    let outcomes = ids.iter().enumerate().map(|(n, id)| {
        // In order, as documented; else by id.
        let at = match responses.get(n) {
            Some(response) if response.item_id == id.as_str() => Some(n),
            _ => responses.iter().position(|r| r.item_id == id.as_str()),
        };
        let Some(response) = at.and_then(|at| responses.get_mut(at)) else {
            return Err(ItemError {
                class: ErrorClass::Transient,
                reason: "the export's answer leaves this item out".into(),
            });
        };
        outcome(response)
    });
    Ok(outcomes.collect())
}

fn outcome(response: &mut Response<'_>) -> Result<Item, ItemError> {
    if let Some(refusal) = &response.error {
        let body = json!({ "error": { "code": refusal.code, "message": refusal.message } });
        // The status is not told: the code decides.
        let error = GraphError::from_answer(400, body.to_string().as_bytes(), "exportItems");
        let class = match error.class {
            ErrorClass::Ours => ErrorClass::Corrupt,
            class => class,
        };
        return Err(ItemError {
            class,
            reason: error.to_string(),
        });
    }
    let corrupt = |reason: &str| ItemError {
        class: ErrorClass::Corrupt,
        reason: reason.to_owned(),
    };
    let data = response.data.take().unwrap_or_default();
    let stream = STANDARD
        .decode(data.as_bytes())
        .map_err(|e| corrupt(&format!("the export is no base64: {e}")))?;
    if stream.is_empty() {
        return Err(corrupt("the export is empty"));
    }
    Ok(Item {
        stream: stream.into(),
        change_key: response.change_key.take().map(Cow::into_owned),
    })
}

/// What a stream shows, and where its large attachments are. Reading is bounded, but takes its time:
/// done where it may.
pub async fn render(
    stream: Bytes,
) -> Result<(Rendered, Vec<Vec<std::ops::Range<usize>>>), fasttransfer::Error> {
    let read = tokio::task::spawn_blocking(move || {
        let rendered = fasttransfer::render(&stream)?;
        Ok((rendered, fasttransfer::parts(&stream)?))
    });
    // A panic in a parser costs the view, never the stream.
    read.await
        .unwrap_or(Err(fasttransfer::Error::Malformed { at: 0 }))
}

/// The only outcome of an export of one item.
pub fn single<T>(outcomes: Vec<Result<T, ItemError>>) -> Result<T, ItemError> {
    outcomes.into_iter().next().unwrap_or_else(|| {
        Err(ItemError {
            class: ErrorClass::Transient,
            reason: "the export has no answer".into(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_has_its_outcome() {
        let body = json!({ "value": [
            { "itemId": "b", "error": { "code": "ErrorItemNotFound", "message": "gone" } },
            { "itemId": "a", "changeKey": "CQ", "data": "aGkh" },
            { "itemId": "c", "error": { "code": "ErrorSomethingNew", "message": "?" } },
            { "itemId": "d", "data": "%%%" },
        ]});
        let ids = ["a", "b", "c", "d", "e"].map(str::to_owned);
        let read = read(body.to_string().as_bytes(), &ids).unwrap();
        let a = read[0].as_ref().ok().unwrap();
        assert_eq!(
            (&a.stream[..], a.change_key.as_deref()),
            (&b"hi!"[..], Some("CQ"))
        );
        let class = |n: usize| read[n].as_ref().err().unwrap().class;
        assert_eq!(class(1), ErrorClass::NotFound);
        assert_eq!(class(2), ErrorClass::Corrupt);
        assert_eq!(class(3), ErrorClass::Corrupt);
        assert_eq!(class(4), ErrorClass::Transient);
    }
}
