//! Folders that programs made through the mount. Which folder of which snapshot one stands for shows when
//! the first item comes that was in a folder of that name: then it gets the access that its original had,
//! before the item is in it, and what else the original's record says.
//!
//! A folder is remembered until the service ends; one that was made by an earlier service is an ordinary
//! folder, and is left as it is.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::errno::RestoreError;
use super::place::Place;
use super::policy::Policy;
use super::push::{Pusher, blocking};
use super::spool::Origin;
use super::target::TargetPath;
use crate::graph::GraphError;
use crate::workload::LiveEntry;

/// Folders that are remembered.
const MAX: usize = 100_000;

/// A folder that was made, and the record of its original once that is known.
struct Made {
    folder: LiveEntry,
    original: Option<Value>,
}

/// Items of one folder wait for each other until it is as its original.
type Slot = Arc<tokio::sync::Mutex<Made>>;

/// All that were made.
#[derive(Default)]
pub(super) struct MadeFolders {
    slots: Mutex<HashMap<TargetPath, Slot>>,
}

impl MadeFolders {
    pub fn add(&self, target: &TargetPath, folder: LiveEntry) {
        let mut slots = self.slots.lock();
        if slots.len() >= MAX {
            slots.clear();
        }
        let made = Made {
            folder,
            original: None,
        };
        slots.insert(plain(target), Arc::new(tokio::sync::Mutex::new(made)));
    }

    fn get(&self, target: &TargetPath) -> Option<Slot> {
        self.slots.lock().get(&plain(target)).cloned()
    }

    /// The folders that an item goes into and that stand for those that it was in, with the paths of these
    /// in the snapshots; the outer ones first.
    fn above(&self, target: &TargetPath, origin: &Origin) -> Vec<(TargetPath, Slot, String)> {
        let mut found = Vec::new();
        let (mut folder, mut original) = (target.parent(), parent(&origin.path));
        while let (Some(at), Some(path)) = (&folder, original) {
            if at.path().is_empty() || at.name() != path.rsplit('/').next() {
                break;
            }
            if let Some(slot) = self.get(at) {
                found.push((at.clone(), slot, path.to_owned()));
            }
            (folder, original) = (at.parent(), parent(path));
        }
        found.reverse();
        found
    }
}

/// The same place, whatever becomes of what is there.
fn plain(target: &TargetPath) -> TargetPath {
    target.clone().with_policy(Policy::default())
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

impl Pusher {
    /// Makes the folders that an item goes into as those that it was in, where they were made for it.
    ///
    /// # Errors
    /// What passes. Anything else is told in the log.
    pub(super) async fn adopt_folders(
        &self,
        place: &Place,
        target: &TargetPath,
        origin: Option<&Origin>,
    ) -> Result<(), RestoreError> {
        let (Some(origin), Some(recogniser)) = (origin, &self.recogniser) else {
            return Ok(());
        };
        if origin.workload != place.workload.name() {
            return Ok(());
        }
        for (at, slot, path) in self.made.above(target, origin) {
            let mut made = slot.lock().await;
            if made.original.is_some() {
                continue;
            }
            let reader = Arc::clone(recogniser);
            let Some(record) = blocking(move || reader.folder(&path)).await? else {
                continue;
            };
            let (account, folder) = (&place.account, &made.folder);
            let shared = place.workload.share_folder(account, folder, &record);
            self.tell(&at, shared.await)?;
            let finished = place.workload.finish_folder(account, folder, &record);
            self.tell(&at, finished.await)?;
            made.original = Some(record);
        }
        Ok(())
    }

    /// Gives a folder once more what changed with each item: everything is in it now.
    pub(super) async fn finish_made(&self, target: &TargetPath) -> Result<(), RestoreError> {
        let Some(slot) = self.made.get(target) else {
            return Ok(());
        };
        let made = slot.lock().await;
        let Some(record) = &made.original else {
            return Ok(());
        };
        let place = self.places.resolve(target).await?;
        let finished = place
            .workload
            .finish_folder(&place.account, &made.folder, record);
        self.tell(target, finished.await)
    }

    /// Puts into the log what a folder could not be given.
    fn tell(
        &self,
        folder: &TargetPath,
        outcome: Result<Vec<String>, GraphError>,
    ) -> Result<(), RestoreError> {
        let notes = match outcome {
            Ok(notes) => notes,
            Err(e) if e.class.is_temporary() => return Err(e.into()),
            Err(e) => vec![e.to_string()],
        };
        for note in notes {
            self.folder_differs(folder, &note);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(path: &str) -> Origin {
        Origin {
            record: String::new(),
            key: String::new(),
            workload: "drive".to_owned(),
            path: path.to_owned(),
            original: None,
            version: None,
        }
    }

    fn at(path: &str) -> TargetPath {
        TargetPath::parse(path).unwrap()
    }

    #[test]
    fn folders_stand_for_those_of_the_same_name_that_items_were_in() {
        let made = MadeFolders::default();
        for path in [
            "@overwrite/a@x/OneDrive/P",
            "a@x/OneDrive/P/Q",
            "a@x/OneDrive/Z",
        ] {
            let folder = LiveEntry::default();
            made.add(&at(path), folder);
        }
        let pairs = |target: &str, path: &str| -> Vec<String> {
            let found = made.above(&at(target), &origin(path)).into_iter();
            found.map(|(at, _, path)| format!("{at} {path}")).collect()
        };
        assert_eq!(
            pairs("a@x/OneDrive/P/Q/f", "s/a@x/OneDrive/P/Q/f"),
            [
                "a@x/OneDrive/P s/a@x/OneDrive/P",
                "a@x/OneDrive/P/Q s/a@x/OneDrive/P/Q"
            ]
        );
        // Moved: only the folder that is still the same, and none that was not made here.
        assert_eq!(
            pairs("a@x/OneDrive/P/Q/f", "s/a@x/OneDrive/R/Q/f"),
            ["a@x/OneDrive/P/Q s/a@x/OneDrive/R/Q"]
        );
        assert!(pairs("a@x/OneDrive/Z/f", "s/a@x/OneDrive/P/f").is_empty());
        assert!(pairs("a@x/OneDrive/N/f", "s/a@x/OneDrive/N/f").is_empty());
        assert!(pairs("a@x/OneDrive/f", "s/a@x/OneDrive/f").is_empty());
    }
}
