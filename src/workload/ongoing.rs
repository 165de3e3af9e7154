//! Pushes that are under way. Two of the same item, pushed at the same time, would both find that it
//! is not there yet; so the second waits until the first has ended.

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{ItemKey, Push, Source};

/// The pushes of one workload.
#[derive(Default)]
pub(super) struct Ongoing {
    pushes: Mutex<Vec<Entry>>,
    ended: Notify,
}

struct Entry {
    push: Uuid,
    /// Id of the folder, calendar or list.
    target: String,
    origin: Option<ItemKey>,
    /// What the workload tells items apart by.
    item: Value,
}

/// The right to push an item into a target; given back when it is dropped.
pub(super) struct Turn<'a> {
    ongoing: &'a Ongoing,
    push: Uuid,
}

impl Ongoing {
    /// Waits until nothing that `same` calls the same as `item` is on its way to the target.
    pub async fn turn(
        &self,
        target: &str,
        push: &Push,
        item: &Value,
        same: impl Fn(&Value) -> bool + Send,
    ) -> Turn<'_> {
        let origin = match &push.source {
            Source::Record { key, .. } => Some(*key),
            Source::File => None,
        };
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // From here on no end is missed.
            ended.as_mut().enable();
            {
                let mut pushes = self.pushes.lock();
                let taken = pushes.iter().any(|other| {
                    other.target == target
                        && (origin.is_some() && other.origin == origin || same(&other.item))
                });
                if !taken {
                    pushes.push(Entry {
                        push: push.id,
                        target: target.to_owned(),
                        origin,
                        item: item.clone(),
                    });
                    return Turn {
                        ongoing: self,
                        push: push.id,
                    };
                }
            }
            ended.await;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.ongoing.pushes.lock().retain(|p| p.push != self.push);
        self.ongoing.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use serde_json::json;
    use tokio::time::timeout;

    use super::*;
    use crate::workload::Policy;

    fn push(id: u128) -> Push {
        Push {
            id: Uuid::from_u128(id),
            folder: Vec::new(),
            name: "a".into(),
            policy: Policy::Skip,
            source: Source::File,
            original: None,
            file: PathBuf::new(),
            mtime: 0,
        }
    }

    #[tokio::test]
    async fn only_the_same_item_in_the_same_place_waits() {
        let ongoing = Ongoing::default();
        let turn = |id, target, item: &'static str| {
            let item = json!(item);
            let ongoing = &ongoing;
            async move {
                let same = |other: &Value| *other == item;
                ongoing.turn(target, &push(id), &item, same).await
            }
        };
        let first = turn(1, "inbox", "a").await;
        let _other = turn(2, "inbox", "b").await;
        let _elsewhere = turn(3, "drafts", "a").await;
        let soon = Duration::from_millis(20);
        assert!(timeout(soon, turn(4, "inbox", "a")).await.is_err());
        let waits = turn(5, "inbox", "a");
        tokio::pin!(waits);
        assert!(timeout(soon, &mut waits).await.is_err());
        drop(first);
        assert!(timeout(Duration::from_secs(5), waits).await.is_ok());
    }
}
