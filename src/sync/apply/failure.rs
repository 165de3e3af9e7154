//! The list of items that failed, which a collection keeps until they succeed or are gone.

use crate::graph::ErrorClass;
use crate::sync::collection::Collection;
use crate::tree::state::FailedItem;

/// What is written down of an item that failed for the first time.
pub(in crate::sync) fn failure(
    name: String,
    parent: Option<String>,
    class: ErrorClass,
    reason: String,
    now: i64,
) -> FailedItem {
    FailedItem {
        reason,
        class: class_name(class),
        name,
        parent,
        attempts: 1,
        last: now,
    }
}

/// Puts an item on the list of failed ones. One that is there for the same reason stays as it is:
/// failing once more is no change, and must not make a snapshot.
pub(in crate::sync) fn fail(c: &mut Collection, id: &str, new: FailedItem) {
    let known = c.failures().get(id);
    let same = known.is_some_and(|old| {
        old.class == new.class && old.name == new.name && old.parent == new.parent
    });
    if !same {
        let attempts = known.map_or(1, |old| old.attempts + 1);
        c.set_failure(id, Some(FailedItem { attempts, ..new }));
    }
}

/// A class as it is written down.
fn class_name(class: ErrorClass) -> String {
    let json = serde_json::to_value(class).unwrap_or_default();
    json.as_str().unwrap_or("unknown").to_owned()
}

/// The class that was written down so; `None`: of a version to come.
pub(in crate::sync) fn class_of(name: &str) -> Option<ErrorClass> {
    serde_json::from_value(name.into()).ok()
}
