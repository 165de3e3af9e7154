//! What is in the target already: the original, what is the same as it, what an earlier push made.

use serde_json::Value;
use uuid::Uuid;

use super::{Composed, Once};
use crate::graph::{Call, Client, ErrorClass, GraphError};
use crate::workload::known::Fact;
use crate::workload::{Account, ItemKey, Keyer, Marker, Push, Source};

/// Tells the item that a push restores from others.
pub(in crate::workload) struct Origin<'a> {
    keyer: &'a Keyer,
    key: Option<ItemKey>,
    push: Uuid,
}

impl<'a> Origin<'a> {
    pub fn of(keyer: &'a Keyer, push: &Push) -> Self {
        let key = match &push.source {
            Source::Record { key, .. } => Some(*key),
            Source::File => None,
        };
        Self {
            keyer,
            key,
            push: push.id,
        }
    }

    /// Was it made by another push, or by somebody else?
    pub fn is_foreign(&self, live: &Value) -> bool {
        Marker::of(live).is_none_or(|marker| marker.push != self.push)
    }

    /// Is it the original, or an earlier restore of it?
    pub fn is_original(&self, live: &Value) -> bool {
        let id = live["id"].as_str().map(|id| (self.keyer)(id));
        self.key.is_some()
            && (id == self.key || Marker::of(live).and_then(|m| m.origin) == self.key)
    }
}

/// The id of the original, or of an item that is the same, in the target.
pub(super) async fn existing<W: Once + ?Sized>(
    workload: &W,
    account: &Account,
    target: &str,
    push: &Push,
    composed: &W::Composed,
) -> Result<Option<String>, GraphError> {
    let origin = Origin::of(workload.keyer(), push);
    let facts = facts_of_push(workload, push, composed);
    if workload.known().lacks(account, target, &facts) {
        return Ok(None);
    }
    let found = foreign(workload, account, target, push, composed).await?;
    let same = found
        .iter()
        .find(|live| origin.is_original(live))
        .or_else(|| found.iter().find(|live| workload.same(live, composed)));
    Ok(same.and_then(id_in))
}

/// What is in the target and may be the same, and was not made by this push.
pub(super) async fn foreign<W: Once + ?Sized>(
    workload: &W,
    account: &Account,
    target: &str,
    push: &Push,
    composed: &W::Composed,
) -> Result<Vec<Value>, GraphError> {
    let origin = Origin::of(workload.keyer(), push);
    let mut found = workload
        .candidates(account, target, push, composed, &origin)
        .await?;
    found.retain(|live| origin.is_foreign(live));
    Ok(found)
}

pub(super) fn id_in(item: &Value) -> Option<String> {
    item["id"].as_str().map(str::to_owned)
}

/// What the item of a push will be known by.
pub(super) fn facts_of_push<W: Once + ?Sized>(
    workload: &W,
    push: &Push,
    composed: &W::Composed,
) -> Vec<Fact> {
    let origin = Origin::of(workload.keyer(), push);
    Fact::all_of_push(origin.key, workload.like(composed.item()))
}

/// The item that a push restores, by its id; `None`: it is gone, or the id is another mailbox's.
pub(in crate::workload) async fn original(
    client: &Client,
    call: &Call,
) -> Result<Option<Value>, GraphError> {
    match client.json(call).await {
        Ok(item) => Ok(Some(item)),
        Err(e) if e.class == ErrorClass::NotFound || e.status == Some(400) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The one of these items that carries the marker. A service that does not know the filter for it
/// ignores it, so only what carries it is believed.
pub(in crate::workload) fn carrying(marker: &Marker, items: Vec<Value>) -> Option<Value> {
    let carries = |item: &Value| Marker::of(item).is_some_and(|m| m.push == marker.push);
    items.into_iter().find(carries)
}
