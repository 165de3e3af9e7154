//! A sorted map of bytes to bytes in the repository: a prolly tree.
//!
//! A search tree whose nodes are immutable objects and end where the content says so (see
//! [`Borders`](super::node::Borders)), so a map's root depends on its entries alone and not on how
//! it came to have them: equal maps have equal roots, maps that share a run of entries share its
//! nodes. Inner nodes carry the number of entries below each child, so a position is found as fast
//! as a key. A child is filed under a separator: the shortest prefix of its first key that is above
//! every key before it.

use super::TreeError;
use super::apply;
use super::cursor::Cursor;
use super::mapdiff::MapDiff;
use super::nodes::{NodeSink, Nodes};
use crate::repo::ObjectId;
use bytes::Bytes;
use std::ops::ControlFlow;

/// The root node of a map; `None` is the empty map.
pub type MapRoot = Option<ObjectId>;

/// What a map's keys are like, which decides how large its nodes are. Part of the format: a map
/// must always be written with the same shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Names: neighbours are read and written together, so nodes are larger.
    Directory,
    /// Hashes: every change hits another node, so nodes are small.
    Hashed,
}

impl Shape {
    /// Scales of leaves and inner nodes, in bytes (see [`Borders`](super::node::Borders)). Chosen for
    /// what ten random changes in 1,000,000 entries write: 40 and 25 KB. Twice the inner nodes makes
    /// it 47 and 29 and saves half a percent of what is stored; small leaves would cost more there.
    pub(crate) fn scales(self) -> (u32, u32) {
        match self {
            Shape::Directory => (2048, 512),
            Shape::Hashed => (768, 256),
        }
    }
}

/// A key with its new value, or with `None` to take it out.
pub type Edit = (Vec<u8>, Option<Vec<u8>>);

/// A map at one root.
#[derive(Clone)]
pub struct Map {
    nodes: Nodes,
    root: MapRoot,
    shape: Shape,
}

impl Map {
    /// The map at `root`. Costs nothing; errors come with the first use.
    pub fn new(nodes: &Nodes, root: MapRoot, shape: Shape) -> Map {
        Map {
            nodes: nodes.clone(),
            root,
            shape,
        }
    }

    /// The root to store.
    pub fn root(&self) -> MapRoot {
        self.root
    }

    /// Number of entries.
    pub fn len(&self) -> Result<u64, TreeError> {
        self.root
            .map_or(Ok(0), |root| Ok(self.nodes.load(&root)?.total()))
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TreeError> {
        let Some(root) = self.root else {
            return Ok(None);
        };
        let cursor = Cursor::seek(&self.nodes, &root, 0, key)?;
        Ok(cursor
            .node()
            .search(key)
            .ok()
            .map(|index| cursor.node().value_bytes(index)))
    }

    /// The number of entries before `key`.
    pub fn position(&self, key: &[u8]) -> Result<u64, TreeError> {
        let Some(root) = self.root else { return Ok(0) };
        let (mut node, mut before) = (self.nodes.load(&root)?, 0);
        while node.level() > 0 {
            let index = node.route(key);
            before += node.before(index);
            node = self.nodes.load_child(&node, index)?;
        }
        Ok(before + node.search(key).unwrap_or_else(|index| index) as u64)
    }

    /// All entries, in order of their keys.
    pub fn iter(&self) -> Result<Iter, TreeError> {
        self.iter_at(0)
    }

    /// The entries from `key` on.
    pub fn iter_from(&self, key: &[u8]) -> Result<Iter, TreeError> {
        let Some(root) = self.root else {
            return Ok(Iter {
                nodes: self.nodes.clone(),
                place: None,
            });
        };
        let cursor = Cursor::seek(&self.nodes, &root, 0, key)?;
        let index = cursor.node().search(key).unwrap_or_else(|index| index);
        Ok(Iter {
            nodes: self.nodes.clone(),
            place: Some((cursor, index)),
        })
    }

    /// The entries from the `position`th on.
    pub fn iter_at(&self, position: u64) -> Result<Iter, TreeError> {
        let place = self
            .root
            .map(|root| Cursor::at(&self.nodes, &root, position))
            .transpose()?;
        Ok(Iter {
            nodes: self.nodes.clone(),
            place,
        })
    }

    /// Calls `visit` with each entry from the `position`th on until it breaks; nothing is allocated
    /// per entry.
    pub fn visit_at<F>(&self, position: u64, mut visit: F) -> Result<(), TreeError>
    where
        F: FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    {
        let Some(root) = self.root else { return Ok(()) };
        let (mut cursor, start) = Cursor::at(&self.nodes, &root, position)?;
        let mut start = start;
        loop {
            let node = cursor.node();
            for index in start..node.len() {
                if visit(node.key(index), node.value(index)).is_break() {
                    return Ok(());
                }
            }
            start = 0;
            if !cursor.next(&self.nodes)? {
                return Ok(());
            }
        }
    }

    /// The map with `edits` made, which must be sorted by key, each key once. Only nodes that hold an
    /// edited key, and those above them, are written. Edits are taken one by one, so a map of any
    /// size can be built from an iterator.
    pub fn apply<I>(&self, out: &mut dyn NodeSink, edits: I) -> Result<Map, TreeError>
    where
        I: IntoIterator<Item = Edit>,
    {
        let root = apply::apply(&self.nodes, self.shape, self.root, out, edits.into_iter())?;
        Ok(Map {
            root,
            ..self.clone()
        })
    }

    /// What must change to come from this map to `newer`. Costs what differs.
    pub fn diff(&self, newer: &Map) -> Result<MapDiff, TreeError> {
        MapDiff::new(&self.nodes, self.root, newer.root)
    }
}

/// Entries of a map in order.
pub struct Iter {
    nodes: Nodes,
    place: Option<(Cursor, usize)>,
}

impl Iterator for Iter {
    type Item = Result<(Vec<u8>, Bytes), TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (cursor, index) = self.place.as_mut()?;
        if *index >= cursor.node().len() {
            match cursor.next(&self.nodes) {
                Ok(true) => *index = 0,
                Ok(false) => {
                    self.place = None;
                    return None;
                }
                Err(error) => {
                    self.place = None;
                    return Some(Err(error));
                }
            }
        }
        let entry = (
            cursor.node().key(*index).to_vec(),
            cursor.node().value_bytes(*index),
        );
        *index += 1;
        Some(Ok(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::mapdiff::MapChange;
    use crate::tree::node::MAX_KEY;
    use crate::tree::testing::MemoryStore;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    fn build(store: &mut MemoryStore, shape: Shape, model: &Model) -> Map {
        let nodes = store.nodes();
        Map::new(&nodes, None, shape)
            .apply(
                store,
                model.iter().map(|(k, v)| (k.clone(), Some(v.clone()))),
            )
            .unwrap()
    }

    fn entries(map: &Map) -> Model {
        map.iter()
            .unwrap()
            .map(|entry| entry.map(|(k, v)| (k, v.to_vec())).unwrap())
            .collect()
    }

    /// Few distinct keys, so that edits meet; long and short ones, so that there are many nodes.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            (0u32..400).prop_map(|n| format!(
                "2026-11-{:02} {n:04} a subject of some length",
                n % 30
            )
            .into_bytes()),
            (0u16..300).prop_map(|n| blake3::hash(&n.to_le_bytes()).as_bytes()[..16].to_vec()),
            proptest::collection::vec(0u8..3, 0..5),
        ]
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => proptest::collection::vec(any::<u8>(), 0..80),
            1 => (0usize..6000).prop_map(|n| vec![n as u8; n]),
        ]
    }

    fn batch() -> impl Strategy<Value = BTreeMap<Vec<u8>, Option<Vec<u8>>>> {
        proptest::collection::btree_map(key(), proptest::option::weighted(0.6, value()), 0..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_map_is_a_btreemap_and_its_root_knows_no_history(
            batches in proptest::collection::vec(batch(), 1..8), hashed in any::<bool>(),
        ) {
            let mut store = MemoryStore::default();
            let shape = if hashed { Shape::Hashed } else { Shape::Directory };
            let mut model = Model::new();
            let mut map = build(&mut store, shape, &model);
            for batch in batches {
                let (old_model, old_map) = (model.clone(), map.clone());
                for (key, value) in &batch {
                    match value {
                        Some(value) => model.insert(key.clone(), value.clone()),
                        None => model.remove(key),
                    };
                }
                map = map.apply(&mut store, batch.clone()).unwrap();
                prop_assert_eq!(map.root(), build(&mut store, shape, &model).root());
                prop_assert_eq!(map.len().unwrap(), model.len() as u64);
                prop_assert_eq!(&entries(&map), &model);

                let mut expected = Vec::new();
                for key in old_model.keys().chain(model.keys()).collect::<std::collections::BTreeSet<_>>() {
                    let old = old_model.get(key).cloned().map(Bytes::from);
                    let new = model.get(key).cloned().map(Bytes::from);
                    if old != new {
                        expected.push(MapChange { key: key.clone(), old, new });
                    }
                }
                let changes: Result<Vec<_>, _> = old_map.diff(&map).unwrap().collect();
                prop_assert_eq!(changes.unwrap(), expected);

                for (position, key) in batch.keys().enumerate() {
                    prop_assert_eq!(map.get(key).unwrap().map(|v| v.to_vec()), model.get(key).cloned());
                    let before = model.range::<Vec<u8>, _>(..key).count();
                    prop_assert_eq!(map.position(key).unwrap(), before as u64);
                    let from = map.iter_from(key).unwrap().next().transpose().unwrap().map(|e| e.0);
                    prop_assert_eq!(from, model.range::<Vec<u8>, _>(key..).next().map(|e| e.0.clone()));
                    let at = map.iter_at(position as u64).unwrap().next().transpose().unwrap().map(|e| e.0);
                    prop_assert_eq!(at, model.keys().nth(position).cloned());
                }
            }
            let all: Vec<_> = model.keys().map(|key| (key.clone(), None)).collect();
            prop_assert_eq!(map.apply(&mut store, all).unwrap().root(), None);
        }
    }

    #[test]
    fn edits_out_of_order_and_oversized_are_refused() {
        let mut store = MemoryStore::default();
        let map = Map::new(&store.nodes(), None, Shape::Directory);
        let edit = |key: &[u8]| (key.to_vec(), Some(Vec::new()));
        for first in [b"b", b"a"] {
            let result = map.apply(&mut store, [edit(first), edit(b"a")]);
            assert!(matches!(result, Err(TreeError::Unsorted)));
        }
        let some = map.apply(&mut store, [edit(b"m")]).unwrap();
        assert!(matches!(
            some.apply(&mut store, [edit(b"b"), edit(b"a")]),
            Err(TreeError::Unsorted)
        ));
        let long = (vec![0; MAX_KEY + 1], Some(Vec::new()));
        assert!(matches!(
            map.apply(&mut store, [long]),
            Err(TreeError::TooLarge { .. })
        ));
    }

    /// A million entries like those of a mail folder and like those of an ids map: what ten random
    /// changes write, how high the tree is, and what the nodes cost.
    #[test]
    fn ten_changes_in_a_million_write_little() {
        let fresh = |n: u64| blake3::hash(&n.to_le_bytes()).as_bytes().to_vec();
        let directory = |n: u64| {
            let day = n / 200;
            let hash = fresh(n);
            let name = format!(
                "{:04}-{:02}-{:02} {:02}{:02} Re: about subject number {} of it.{:010x}.eml",
                2010 + day / 365,
                1 + day / 31 % 12,
                1 + day % 31,
                n % 200 / 9,
                n % 60,
                hash[0],
                n * 7919 % (1 << 40),
            );
            (
                name.into_bytes(),
                fresh(n + (1 << 40))
                    .into_iter()
                    .chain(fresh(n))
                    .take(51)
                    .collect::<Vec<_>>(),
            )
        };
        let ids = |n: u64| {
            let mut value = vec![1];
            value.extend_from_slice(&fresh(n % 30)[..16]);
            value.extend_from_slice(format!("2026-11-20 0915 Re: about {n}").as_bytes());
            (fresh(n)[..16].to_vec(), value)
        };
        type Make<'a> = &'a dyn Fn(u64) -> (Vec<u8>, Vec<u8>);
        let cases: [(Shape, Make<'_>, u64); 2] = [
            (Shape::Directory, &directory, 60_000),
            (Shape::Hashed, &ids, 30_000),
        ];
        for (shape, make, limit) in cases {
            let mut store = MemoryStore::default();
            let nodes = store.nodes();
            let mut model: Vec<_> = (0..1_000_000).map(make).collect();
            model.sort();
            model.dedup_by(|a, b| a.0 == b.0);
            let edits = model.iter().map(|(k, v)| (k.clone(), Some(v.clone())));
            let start = std::time::Instant::now();
            let map = Map::new(&nodes, None, shape)
                .apply(&mut store, edits)
                .unwrap();
            let built = (start.elapsed(), store.counters());
            let mut written = Vec::new();
            for round in 0..20u64 {
                let mut edits: Vec<_> = (0..10).map(|n| make(1_000_000 + round * 10 + n)).collect();
                if shape == Shape::Directory {
                    // Anywhere in the folder, not only at its end.
                    edits = edits
                        .into_iter()
                        .map(|(_, v)| {
                            let at =
                                u64::from_le_bytes(v[..8].try_into().unwrap()) % model.len() as u64;
                            ([&model[at as usize].0[..], b"x"].concat(), v)
                        })
                        .collect();
                }
                edits.sort();
                map.apply(&mut store, edits.into_iter().map(|(k, v)| (k, Some(v))))
                    .unwrap();
                written.push(store.counters().new_bytes);
            }
            let mean = written.iter().sum::<u64>() / written.len() as u64;
            println!(
                "{shape:?}: built in {:?}, {:?}; ten changes write {mean} bytes, at most {}, height {}",
                built.0,
                built.1,
                written.iter().max().unwrap(),
                nodes.load(&map.root().unwrap()).unwrap().level()
            );
            assert!(mean < limit, "{shape:?}: {mean}");
        }
    }
}
