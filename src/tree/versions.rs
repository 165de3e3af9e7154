//! The older versions of a file, as the service kept them: a small directory that hangs on the file's
//! entry ([`Entry::versions`]), so that they are moved, renamed and forgotten with their file, and all
//! snapshots share them.
//!
//! Each is a file of its own: content, size, when it was made, and its record. It is called by that time
//! as snapshots are; of several that were made in one second the later ones carry the suffix of their
//! key. What has a name keeps it as long as it is there.

use super::TreeError;
use super::entry::Entry;
use super::key::{ItemKey, Tag};
use super::map::{Map, MapRoot, Shape};
use super::names;
use super::nodes::{NodeSink, Nodes};
use super::view::Dir;
use crate::repo::content::ContentId;
use crate::repo::snapshot_name;
use std::collections::BTreeMap;

/// All versions with their names, by time.
pub fn list(nodes: &Nodes, root: MapRoot) -> Result<Vec<(Box<str>, Entry)>, TreeError> {
    Dir::new(nodes, root).list(0, usize::MAX)
}

/// The newest version with this content.
pub fn find(
    nodes: &Nodes,
    root: MapRoot,
    content: ContentId,
) -> Result<Option<(Box<str>, Entry)>, TreeError> {
    let mut all = list(nodes, root)?.into_iter().rev();
    Ok(all.find(|(_, entry)| entry.content().is_some_and(|(found, _)| found == content)))
}

/// Drops the versions that `keep` does not want and adds others, the oldest first. What does not
/// change keeps its root.
pub fn change(
    nodes: &Nodes,
    root: MapRoot,
    keep: impl Fn(Tag) -> bool,
    add: Vec<(ItemKey, Entry)>,
    out: &mut dyn NodeSink,
) -> Result<MapRoot, TreeError> {
    // Which names are taken, and by whom what is new.
    let mut taken: BTreeMap<String, Option<Entry>> = BTreeMap::new();
    let mut edits: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    for (name, entry) in list(nodes, root)? {
        if keep(entry.tag) {
            taken.insert(name.into(), None);
        } else {
            edits.insert(name.as_bytes().to_vec(), None);
        }
    }
    for (key, entry) in add {
        let plain = name_of(entry.mtime);
        let name = match taken.contains_key(&plain) {
            true => names::with_suffix(&plain, &key),
            false => plain,
        };
        let tag = key.tag();
        taken.insert(name, Some(Entry { tag, ..entry }));
    }
    for (name, entry) in taken {
        if let Some(entry) = entry {
            let value = entry.encode(&name);
            edits.insert(name.into_bytes(), Some(value));
        }
    }
    let map = Map::new(nodes, root, Shape::Directory);
    Ok(map.apply(out, edits)?.root())
}

/// A time as the names of snapshots have it.
fn name_of(time: i64) -> String {
    // Times that no calendar has are hostile; they are shown as the last or first that has a name.
    let last = 253_402_300_799; // 9999-12-31T23:59:59Z
    snapshot_name(time.clamp(0, last)).unwrap_or_else(|_| "0000-00-00T000000Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::ObjectId;
    use crate::repo::content;
    use crate::tree::collection::CollectionRoot;
    use crate::tree::editor::Editor;
    use crate::tree::testing::MemoryStore;
    use proptest::prelude::*;

    fn key(n: u32) -> ItemKey {
        ItemKey::from_hash(blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    fn version(n: u32, time: i64) -> (ItemKey, Entry) {
        let content = ContentId {
            object: ObjectId([n as u8; 20]),
            shape: content::Shape::Chunk,
        };
        (key(n), Entry::file(content, u64::from(n), time, None))
    }

    fn names(nodes: &Nodes, root: MapRoot) -> Vec<String> {
        let all = list(nodes, root).unwrap().into_iter();
        all.map(|(name, _)| name.into()).collect()
    }

    const T: i64 = 1_795_312_800;

    #[test]
    fn versions_come_and_go_and_keep_their_names() {
        let mut store = MemoryStore::default();
        let nodes = store.nodes();
        let add = vec![version(1, T), version(2, T + 1), version(3, T + 1)];
        let first = change(&nodes, None, |_| true, add, &mut store).unwrap();
        let twin = names::with_suffix("2026-11-22T020001Z", &key(3));
        assert_eq!(
            names(&nodes, first),
            ["2026-11-22T020000Z", "2026-11-22T020001Z", &twin]
        );
        // The twin keeps its name when what made it one is gone.
        let keep = |tag| tag == key(3).tag();
        let second = change(&nodes, first, keep, vec![version(4, T + 2)], &mut store).unwrap();
        assert_eq!(names(&nodes, second), [&twin, "2026-11-22T020002Z"]);
        let (_, entry) = version(3, T + 1);
        let found = find(&nodes, second, entry.content().unwrap().0)
            .unwrap()
            .unwrap();
        assert_eq!((&*found.0, found.1.tag), (&twin[..], key(3).tag()));
        assert_eq!(
            change(&nodes, second, |_| true, Vec::new(), &mut store).unwrap(),
            second
        );
        assert_eq!(
            change(&nodes, second, |_| false, Vec::new(), &mut store).unwrap(),
            None
        );
    }

    #[test]
    fn versions_go_where_their_file_goes() {
        let mut store = MemoryStore::default();
        let nodes = store.nodes();
        let versions = change(&nodes, None, |_| true, vec![version(1, T)], &mut store).unwrap();
        let mut editor = Editor::new(&nodes, CollectionRoot::default());
        let (_, plain) = version(9, T);
        let entry = Entry { versions, ..plain };
        editor
            .upsert_dir(key(10), ItemKey::ROOT, "a", 1, None)
            .unwrap();
        editor.upsert_file(key(9), key(10), "x.txt", entry).unwrap();
        let root = editor.checkpoint(&mut store).unwrap();
        let mut editor = Editor::new(&nodes, root);
        editor
            .upsert_dir(key(10), ItemKey::ROOT, "b", 1, None)
            .unwrap();
        let held = editor.get(&key(9)).unwrap().unwrap();
        assert_eq!(held.path.as_deref(), Some("b/x.txt"));
        assert_eq!(held.entry.versions, versions);
        // In no place, it still has them.
        editor.remove(key(9)).unwrap();
        let root = editor.checkpoint(&mut store).unwrap();
        let removed = Editor::new(&nodes, root).get(&key(9)).unwrap().unwrap();
        assert!(removed.removed && removed.entry.versions == versions);
    }

    #[test]
    fn a_file_without_versions_costs_nothing() {
        let (_, plain) = version(9, T);
        let with = Entry {
            versions: Some(ObjectId([1; 20])),
            ..plain
        };
        assert_eq!(with.encode("x").len(), plain.encode("x").len() + 20);
    }

    proptest! {
        #[test]
        fn any_time_has_a_name(times in prop::collection::vec(any::<i64>(), 1..20)) {
            let mut store = MemoryStore::default();
            let nodes = store.nodes();
            let add = (0..).zip(&times).map(|(n, time)| version(n, *time)).collect();
            let root = change(&nodes, None, |_| true, add, &mut store).unwrap();
            prop_assert_eq!(list(&nodes, root).unwrap().len(), times.len());
        }
    }
}
