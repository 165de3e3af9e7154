//! The editor against a simulated cloud, and against nonsense.

use super::collection::{CollectionRoot, Detached, Place, Reason};
use super::editor::{Editor, Scope};
use super::entry::Entry;
use super::key::ItemKey;
use super::map::{Map, Shape};
use super::names;
use super::nodes::Nodes;
use super::testing::{MemoryStore, TestRepository};
use super::view::{resolve, walk};
use crate::repo::ObjectId;
use crate::repo::content::{self, ContentId};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Small, fast, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.roll(one_in) == 0
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.roll(at + 1));
        }
    }
}

fn key(id: u32) -> ItemKey {
    if id == 0 {
        ItemKey::ROOT
    } else {
        ItemKey::from_hash(blake3::hash(&id.to_le_bytes()).as_bytes())
    }
}

fn file(version: u32) -> Entry {
    let content = ContentId {
        object: ObjectId([version as u8; 20]),
        shape: content::Shape::Chunk,
    };
    Entry::file(content, u64::from(version), i64::from(version), None)
}

#[derive(Clone, Debug, PartialEq)]
struct CloudItem {
    parent: u32,
    name: String,
    is_dir: bool,
    version: u32,
}

/// A drive: folders with unique names. 0 is its root.
#[derive(Clone, Default)]
struct Cloud {
    items: BTreeMap<u32, CloudItem>,
    last_id: u32,
    last_version: u32,
    unique: bool,
}

/// What one item went through in a round.
type Log = BTreeMap<u32, Vec<Option<CloudItem>>>;

impl Cloud {
    fn folders(&self) -> Vec<u32> {
        let folders = self
            .items
            .iter()
            .filter(|(_, item)| item.is_dir)
            .map(|(id, _)| *id);
        std::iter::once(0).chain(folders).collect()
    }

    fn any(&self, dice: &mut Dice) -> Option<u32> {
        let ids: Vec<u32> = self.items.keys().copied().collect();
        ids.get(dice.roll(ids.len())).copied()
    }

    fn lies_in(&self, mut id: u32, folder: u32) -> bool {
        while id != folder {
            if id == 0 {
                return false;
            }
            id = self.items[&id].parent;
        }
        true
    }

    fn named(&self, parent: u32, name: &str) -> Option<u32> {
        let mut found = self
            .items
            .iter()
            .filter(|(_, item)| item.parent == parent && item.name == name);
        if self.unique {
            found.next().map(|(id, _)| *id)
        } else {
            None
        }
    }

    fn set(&mut self, log: &mut Log, id: u32, item: CloudItem) {
        self.items.insert(id, item.clone());
        log.entry(id).or_default().push(Some(item));
    }

    fn step(&mut self, dice: &mut Dice, log: &mut Log, gone: &mut Vec<(u32, CloudItem)>) {
        let folders = self.folders();
        let parent = folders[dice.roll(folders.len())];
        let name = ["a", "b", "c", "x.txt"][dice.roll(4)].to_owned();
        self.last_version += 1;
        let version = self.last_version;
        match dice.roll(10) {
            0..=2 if self.named(parent, &name).is_none() => {
                self.last_id += 1;
                let is_dir = dice.roll(3) > 0;
                self.set(
                    log,
                    self.last_id,
                    CloudItem {
                        parent,
                        name,
                        is_dir,
                        version,
                    },
                );
            }
            3..=5 => {
                let Some(id) = self.any(dice) else { return };
                if self.lies_in(parent, id) || self.named(parent, &name).is_some() {
                    return;
                }
                let item = CloudItem {
                    parent,
                    name,
                    version,
                    ..self.items[&id].clone()
                };
                self.set(log, id, item);
            }
            6 => {
                // Two items change places, by way of a third name.
                let (Some(a), Some(b)) = (self.any(dice), self.any(dice)) else {
                    return;
                };
                if self.lies_in(a, b) || self.lies_in(b, a) {
                    return;
                }
                let (old_a, old_b) = (self.items[&a].clone(), self.items[&b].clone());
                self.set(
                    log,
                    a,
                    CloudItem {
                        name: "third".into(),
                        version,
                        ..old_a.clone()
                    },
                );
                self.set(
                    log,
                    b,
                    CloudItem {
                        parent: old_a.parent,
                        name: old_a.name.clone(),
                        ..old_b.clone()
                    },
                );
                self.set(
                    log,
                    a,
                    CloudItem {
                        parent: old_b.parent,
                        name: old_b.name,
                        ..old_a
                    },
                );
            }
            7 => {
                let Some(id) = self.any(dice).filter(|id| !self.items[id].is_dir) else {
                    return;
                };
                self.set(
                    log,
                    id,
                    CloudItem {
                        version,
                        ..self.items[&id].clone()
                    },
                );
            }
            8 => {
                let Some(id) = self.any(dice) else { return };
                let below: Vec<u32> = self
                    .items
                    .keys()
                    .copied()
                    .filter(|other| self.lies_in(*other, id))
                    .collect();
                for id in below {
                    gone.extend(self.items.remove(&id).map(|item| (id, item)));
                    log.entry(id).or_default().push(None);
                }
            }
            _ => {
                // Out of the recycle bin, with its old id.
                if gone.is_empty() {
                    return;
                }
                let (id, item) = gone[dice.roll(gone.len())].clone();
                if !self.items.contains_key(&id) && self.named(parent, &name).is_none() {
                    self.set(
                        log,
                        id,
                        CloudItem {
                            parent,
                            name,
                            version,
                            ..item
                        },
                    );
                }
            }
        }
    }

    /// A round's changes as a delta feed may tell them: items in any order, each item's own states in
    /// order but not all of them, repetitions, and not every item of a deleted folder.
    fn feed(&self, dice: &mut Dice, before: &Cloud, log: &Log) -> Vec<(u32, Option<CloudItem>)> {
        let mut told: Vec<Vec<(u32, Option<CloudItem>)>> = Vec::new();
        for (id, states) in log {
            let old = before.items.get(id);
            let unmoved = states.len() == 1
                && old.is_some_and(|old| old.parent != 0 && !self.items.contains_key(&old.parent));
            if states[0].is_none() && unmoved && dice.chance(2) {
                continue;
            }
            let mut list: Vec<_> = states.iter().filter(|_| dice.chance(2)).cloned().collect();
            let last = states.last().unwrap().clone();
            for _ in 0..1 + dice.roll(2) {
                list.push(last.clone());
            }
            told.push(list.into_iter().map(|state| (*id, state)).collect());
        }
        // Interleave: draw the next event from any item that has one left.
        let mut order: Vec<usize> = told
            .iter()
            .enumerate()
            .flat_map(|(n, list)| vec![n; list.len()])
            .collect();
        dice.shuffle(&mut order);
        let mut told: Vec<_> = told.into_iter().map(Vec::into_iter).collect();
        order.into_iter().filter_map(|n| told[n].next()).collect()
    }

    fn path(&self, id: u32) -> String {
        let item = &self.items[&id];
        if item.parent == 0 {
            item.name.clone()
        } else {
            format!("{}/{}", self.path(item.parent), item.name)
        }
    }
}

fn tell(editor: &mut Editor, id: u32, state: &Option<CloudItem>) {
    match state {
        None => editor.remove(key(id)).unwrap(),
        Some(CloudItem {
            parent,
            name,
            is_dir: true,
            version,
        }) => {
            editor
                .upsert_dir(key(id), key(*parent), name, i64::from(*version), None)
                .unwrap();
        }
        Some(CloudItem {
            parent,
            name,
            version,
            ..
        }) => {
            editor
                .upsert_file(key(id), key(*parent), name, file(*version))
                .unwrap();
        }
    }
}

fn visible(nodes: &Nodes, root: CollectionRoot) -> BTreeMap<String, (bool, i64, u64)> {
    walk(nodes, root.dir)
        .map(|entry| entry.unwrap())
        .map(|(path, entry)| (path, (entry.is_dir(), entry.mtime, entry.tag)))
        .collect()
}

/// Everything physical has exactly one place, and every place something physical.
fn check_invariants(nodes: &Nodes, root: CollectionRoot) {
    let mut places = BTreeMap::new();
    for entry in Map::new(nodes, root.ids, Shape::Hashed).iter().unwrap() {
        let (bytes, value) = entry.unwrap();
        let key = ItemKey(bytes[..].try_into().unwrap());
        places.insert(key, Place::decode(&key, &value).unwrap());
    }
    let by_tag: BTreeMap<_, _> = places.keys().map(|key| (key.tag(), *key)).collect();
    let mut roots = vec![(ItemKey::ROOT, root.dir)];
    let mut found = 0;
    for entry in Map::new(nodes, root.detached, Shape::Hashed)
        .iter()
        .unwrap()
    {
        let (bytes, value) = entry.unwrap();
        let key = ItemKey(bytes[..].try_into().unwrap());
        let detached = Detached::decode(&value).unwrap();
        assert!(places[&key].detached);
        assert_eq!(places[&key].is_dir, detached.entry.is_dir());
        found += 1;
        roots.push((key, detached.entry.dir_root()));
    }
    while let Some((folder, root)) = roots.pop() {
        for entry in Map::new(nodes, root, Shape::Directory).iter().unwrap() {
            let (name, value) = entry.unwrap();
            let name = String::from_utf8(name).unwrap();
            let entry = Entry::decode(&name, &value).unwrap();
            let key = by_tag[&entry.tag];
            let place = &places[&key];
            let expected = Place {
                parent: folder,
                name,
                is_dir: entry.is_dir(),
                detached: false,
            };
            assert_eq!(*place, expected);
            found += 1;
            roots.push((key, entry.dir_root()));
        }
    }
    assert_eq!(found, places.len());
}

fn run_cloud(seed: u64, unique: bool) {
    let dice = &mut Dice(seed);
    let mut store = MemoryStore::default();
    let nodes = store.nodes();
    let mut root = CollectionRoot::default();
    let mut cloud = Cloud {
        unique,
        ..Cloud::default()
    };
    let mut gone = Vec::new();
    for _ in 0..1 + dice.roll(6) {
        let before = cloud.clone();
        let mut log = Log::new();
        for _ in 0..dice.roll(40) {
            cloud.step(dice, &mut log, &mut gone);
        }
        let mut editor = Editor::new(&nodes, root);
        if dice.chance(4) {
            // The token expired: everything that is there, nothing about what is gone.
            let mut all: Vec<_> = cloud
                .items
                .iter()
                .map(|(id, item)| (*id, Some(item.clone())))
                .collect();
            dice.shuffle(&mut all);
            for (id, state) in &all {
                tell(&mut editor, *id, state);
            }
            let seen: HashSet<ItemKey> = cloud.items.keys().map(|id| key(*id)).collect();
            editor.retain(Scope::All, |key| seen.contains(key)).unwrap();
        } else {
            for (id, state) in cloud.feed(dice, &before, &log) {
                tell(&mut editor, id, &state);
                if dice.chance(12) {
                    root = editor.checkpoint(&mut store).unwrap();
                    check_invariants(&nodes, root);
                    if dice.chance(2) {
                        editor = Editor::new(&nodes, root);
                    }
                }
            }
        }
        let round = editor.finish_round().unwrap();
        assert_eq!(round.unplaced, 0, "{round:?}");
        for (id, item) in &cloud.items {
            let known = editor.get(&key(*id)).unwrap().unwrap();
            assert_eq!(
                (known.parent, known.entry.is_dir(), known.removed),
                (key(item.parent), item.is_dir, false)
            );
        }
        root = editor.checkpoint(&mut store).unwrap();
        check_invariants(&nodes, root);
        assert_eq!(root.detached, None);
        assert_eq!(
            Map::new(&nodes, root.ids, Shape::Hashed).len().unwrap(),
            cloud.items.len() as u64
        );

        if !unique {
            // Some have a suffix, but each is in its folder.
            let mut editor = Editor::new(&nodes, root);
            let mut paths = BTreeSet::new();
            for (id, item) in &cloud.items {
                let known = editor.get(&key(*id)).unwrap().unwrap();
                let names = [item.name.clone(), names::with_suffix(&item.name, &key(*id))];
                assert!(names.contains(&known.name), "{known:?}");
                assert!(paths.insert(known.path.unwrap()));
            }
            assert_eq!(paths, visible(&nodes, root).into_keys().collect());
            continue;
        }
        let expected: BTreeMap<_, _> = cloud
            .items
            .iter()
            .map(|(id, item)| {
                (
                    cloud.path(*id),
                    (item.is_dir, i64::from(item.version), key(*id).tag()),
                )
            })
            .collect();
        assert_eq!(visible(&nodes, root), expected);
        let mut fresh = Editor::new(&nodes, CollectionRoot::default());
        let mut all: Vec<_> = cloud.items.clone().into_iter().collect();
        dice.shuffle(&mut all);
        for (id, item) in all {
            tell(&mut fresh, id, &Some(item));
        }
        fresh.finish_round().unwrap();
        assert_eq!(fresh.checkpoint(&mut store).unwrap(), root);
    }
}

/// Anything at all: cycles, files as parents, things that change their kind, names that are taken.
fn run_nonsense(seed: u64) {
    let dice = &mut Dice(seed);
    let mut store = MemoryStore::default();
    let nodes = store.nodes();
    let mut editor = Editor::new(&nodes, CollectionRoot::default());
    let names = ["a", "b", "..", "a/b", "", "a~0123456789", "\u{7}", "long"];
    for n in 0..dice.roll(120) {
        let (id, parent) = (dice.roll(9) as u32, dice.roll(9) as u32);
        let name = match names[dice.roll(names.len())] {
            "long" => "é".repeat(200),
            "a~0123456789" => format!("a~{}", key(dice.roll(9) as u32).suffix()),
            name => name.to_owned(),
        };
        match dice.roll(10) {
            0..=4 => editor
                .upsert_dir(key(id), key(parent), &name, n as i64, None)
                .unwrap(),
            5..=6 => editor
                .upsert_file(key(id), key(parent), &name, file(n as u32))
                .unwrap(),
            7 if dice.chance(2) => editor.remove_from(key(id), key(parent)).unwrap(),
            7 => editor.remove(key(id)).unwrap(),
            8 => {
                let root = editor.checkpoint(&mut store).unwrap();
                check_invariants(&nodes, root);
                editor = Editor::new(&nodes, root);
            }
            _ => {
                if dice.chance(4) {
                    let scope = [
                        Scope::All,
                        Scope::Folders,
                        Scope::FilesIn(key(parent)),
                        Scope::Below(key(parent)),
                    ][dice.roll(4)];
                    editor.retain(scope, |key| key.0[0] % 2 == 0).unwrap();
                }
                let round = editor.finish_round().unwrap();
                let root = editor.checkpoint(&mut store).unwrap();
                check_invariants(&nodes, root);
                let unplaced = Map::new(&nodes, root.detached, Shape::Hashed)
                    .len()
                    .unwrap();
                assert_eq!(
                    (round.unplaced, round.named.len() as u64),
                    (unplaced, unplaced)
                );
                assert!(
                    round
                        .named
                        .iter()
                        .all(|item| item.reason != Reason::Removed)
                );
            }
        }
        editor.get(&key(id)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_order_the_tree_is_the_clouds(seed in any::<u64>()) {
        run_cloud(seed, true);
    }

    #[test]
    fn items_that_share_a_name_are_all_there(seed in any::<u64>()) {
        run_cloud(seed, false);
    }

    #[test]
    fn nonsense_does_no_harm(seed in any::<u64>()) {
        run_nonsense(seed);
    }
}

#[test]
fn a_removed_item_comes_back_with_its_content() {
    let mut store = MemoryStore::default();
    let nodes = store.nodes();
    let mut editor = Editor::new(&nodes, CollectionRoot::default());
    editor
        .upsert_dir(key(1), ItemKey::ROOT, "Inbox", 1, None)
        .unwrap();
    editor
        .upsert_dir(key(2), ItemKey::ROOT, "Done", 1, None)
        .unwrap();
    editor.upsert_file(key(3), key(1), "mail", file(7)).unwrap();
    editor.finish_round().unwrap();

    // A move, told by two feeds: removal first.
    editor.remove_from(key(3), key(1)).unwrap();
    let root = editor.checkpoint(&mut store).unwrap();
    let mut editor = Editor::new(&nodes, root);
    let item = editor.get(&key(3)).unwrap().unwrap();
    assert!(item.removed && item.path.is_none());
    editor
        .upsert_file(key(3), key(2), "mail", item.entry)
        .unwrap();
    // And the other way round.
    editor
        .upsert_file(key(3), key(1), "mail", item.entry)
        .unwrap();
    editor.remove_from(key(3), key(2)).unwrap();
    assert_eq!(editor.finish_round().unwrap().removed, 0);
    assert_eq!(
        editor.get(&key(3)).unwrap().unwrap().path.as_deref(),
        Some("Inbox/mail")
    );

    editor.remove(key(1)).unwrap();
    assert_eq!(editor.finish_round().unwrap().removed, 2);
    assert_eq!(editor.get(&key(3)).unwrap(), None);
}

#[test]
fn a_feed_of_one_folder_can_start_over() {
    let mut store = MemoryStore::default();
    let nodes = store.nodes();
    let mut editor = Editor::new(&nodes, CollectionRoot::default());
    for folder in [1, 2] {
        editor
            .upsert_dir(
                key(folder),
                ItemKey::ROOT,
                &format!("folder {folder}"),
                1,
                None,
            )
            .unwrap();
        for id in 10..20 {
            editor
                .upsert_file(
                    key(folder * 100 + id),
                    key(folder),
                    &format!("{id}"),
                    file(1),
                )
                .unwrap();
        }
        editor
            .upsert_dir(key(folder * 100), key(folder), "below", 1, None)
            .unwrap();
    }
    let root = editor.checkpoint(&mut store).unwrap();
    let mut editor = Editor::new(&nodes, root);
    editor
        .retain(Scope::FilesIn(key(1)), |seen| *seen == key(115))
        .unwrap();
    assert_eq!(editor.finish_round().unwrap().removed, 9);
    let root = editor.checkpoint(&mut store).unwrap();
    assert_eq!(visible(&nodes, root).len(), 15);
}

/// One folder is enumerated anew with all below it; its neighbour is not looked at.
#[test]
fn what_was_not_seen_below_a_folder_goes_at_any_depth() {
    let mut store = MemoryStore::default();
    let nodes = store.nodes();
    let mut editor = Editor::new(&nodes, CollectionRoot::default());
    for top in [1, 2] {
        let mut dir = |id: u32, parent: ItemKey| {
            let name = format!("d{id}");
            editor.upsert_dir(key(id), parent, &name, 1, None).unwrap();
        };
        dir(top, ItemKey::ROOT);
        dir(top * 10, key(top));
        dir(top * 10 + 1, key(top * 10));
        dir(top * 10 + 2, key(top));
        for (id, parent) in [
            (top * 100, top),
            (top * 100 + 1, top * 10 + 1),
            (top * 100 + 2, top * 10 + 2),
        ] {
            editor
                .upsert_file(key(id), key(parent), &format!("f{id}"), file(id))
                .unwrap();
        }
    }
    // Of the first folder only one file two folders down is seen: the folders above it stay.
    editor
        .retain(Scope::Below(key(1)), |seen| *seen == key(101))
        .unwrap();
    assert_eq!(editor.finish_round().unwrap().removed, 3);
    let root = editor.checkpoint(&mut store).unwrap();
    check_invariants(&nodes, root);
    let left = visible(&nodes, root);
    let first: Vec<_> = left.keys().filter(|path| path.starts_with("d1")).collect();
    assert_eq!(first, ["d1", "d1/d10", "d1/d10/d11", "d1/d10/d11/f101"]);
    assert_eq!(left.len(), 4 + 7);
}

/// A real repository; a folder of 20,000 items moves, and what is written does not know of them.
#[test]
fn moving_a_big_folder_writes_next_to_nothing() {
    let test = TestRepository::new();
    let mut stream = test.writer.stream();
    let nodes = Nodes::new(&test.repo);
    let mut editor = Editor::new(&nodes, CollectionRoot::default());
    editor
        .upsert_dir(key(1), ItemKey::ROOT, "big", 1, None)
        .unwrap();
    editor
        .upsert_dir(key(2), ItemKey::ROOT, "other", 1, None)
        .unwrap();
    for id in 10..20_010 {
        editor
            .upsert_file(key(id), key(1), &format!("item {id}.txt"), file(id))
            .unwrap();
    }
    assert_eq!(editor.pending(), 20_002 + 20_002);
    let old = editor.checkpoint(&mut stream).unwrap();
    test.writer.flush().unwrap();
    let before = test.writer.bytes_written();
    editor.upsert_dir(key(1), key(2), "moved", 2, None).unwrap();
    editor.finish_round().unwrap();
    let new = editor.checkpoint(&mut stream).unwrap();
    test.writer.flush().unwrap();
    let written = test.writer.bytes_written() - before;
    println!("moving a folder of 20,000 items writes {written} bytes");
    assert!(written < 10_000, "{written}");

    let repo = test.reopen();
    let nodes = Nodes::new(&repo);
    check_invariants(&nodes, old);
    assert_eq!(visible(&nodes, new).len(), 20_002);
    assert!(
        resolve(&nodes, new.dir, "other/moved/item 777.txt")
            .unwrap()
            .is_some()
    );
    assert!(
        resolve(&nodes, old.dir, "big/item 777.txt")
            .unwrap()
            .is_some()
    );
}
