//! From objects to paths: what of which snapshot is hit when objects are damaged or gone.
//!
//! Verification finds damaged objects and knows nothing of trees. Here all trees are walked once: a
//! subtree that is found clean is not entered again in any other snapshot.

use super::TreeError;
use super::entry::Entry;
use super::map::MapRoot;
use super::node::Node;
use super::nodes::Nodes;
use super::state::Accounts;
use super::view::name_of;
use crate::repo::content::{ContentId, Recipe, Shape};
use crate::repo::{Kind, ObjectId, Repository};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Where the mount shows older versions of files, in each snapshot.
const VERSIONS: &str = ".tenantfs/versions";

/// What of a path is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The bytes of a file.
    Content,
    /// The item's Graph JSON.
    Record,
    /// What restores the item exactly, besides what is shown.
    Original,
    /// Some or all names of a folder.
    Listing,
    /// What the next cycle needs to go on (cursors, ids); the account is enumerated in full again.
    State,
}

/// One path of one snapshot that is hit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Name of the snapshot.
    pub snapshot: String,
    /// Path in it; empty for its top folder.
    pub path: String,
    /// What of it.
    pub part: Part,
}

/// Calls `report` for every path that needs one of the `damaged` objects, or one that the repository
/// does not have (the index has to be newer than the snapshots). `snapshots` are names with the
/// roots of tree and state.
///
/// Nodes that cannot be read count as damaged; there are no other errors.
pub fn find_hits<'a>(
    repo: &Repository,
    nodes: &Nodes,
    damaged: &HashSet<ObjectId>,
    snapshots: impl IntoIterator<Item = (&'a str, MapRoot, MapRoot)>,
    mut report: impl FnMut(Hit),
) {
    let mut search = Search {
        repo,
        nodes,
        damaged,
        clean: HashSet::new(),
        recipes: HashMap::new(),
        frames: Vec::new(),
    };
    for (snapshot, tree, state) in snapshots {
        let mut hit = |path: &str, part| {
            report(Hit {
                snapshot: snapshot.to_owned(),
                path: path.to_owned(),
                part,
            })
        };
        search.walk(tree, "", true, &mut hit);
        search.state(state, &mut hit);
    }
}

/// A node that is being walked; `path` is its directory's.
struct Frame {
    id: ObjectId,
    node: Arc<Node>,
    next: usize,
    path: Arc<str>,
    hit: bool,
}

struct Search<'a> {
    repo: &'a Repository,
    nodes: &'a Nodes,
    damaged: &'a HashSet<ObjectId>,
    /// Nodes below which nothing is hit.
    clean: HashSet<ObjectId>,
    recipes: HashMap<ObjectId, bool>,
    frames: Vec<Frame>,
}

impl Search<'_> {
    /// True when an object is damaged, or nowhere.
    fn is_hit(&self, id: &ObjectId) -> bool {
        self.damaged.contains(id) || !self.repo.contains(id)
    }

    /// Walks a map, of directory entries or of values that name no objects.
    fn walk(
        &mut self,
        root: MapRoot,
        path: &str,
        directory: bool,
        report: &mut dyn FnMut(&str, Part),
    ) {
        let part = if directory {
            Part::Listing
        } else {
            Part::State
        };
        let Some(root) = root else { return };
        self.enter(root, path.into(), part, report);
        while let Some(frame) = self.frames.last_mut() {
            if frame.next >= frame.node.len() {
                let (id, hit) = (frame.id, frame.hit);
                self.frames.pop();
                if hit {
                    self.mark();
                } else {
                    self.clean.insert(id);
                }
                continue;
            }
            let (node, index, path) = (frame.node.clone(), frame.next, frame.path.clone());
            frame.next += 1;
            if node.level() > 0 {
                let (child, _) = node.child(index);
                match self.nodes.load_child(&node, index) {
                    Ok(_) => self.enter(child, path, part, report),
                    Err(_) => self.tell(&path, part, report),
                }
            } else if directory {
                self.entry(&node, index, &path, report);
            }
        }
    }

    fn entry(
        &mut self,
        node: &Node,
        index: usize,
        folder: &str,
        report: &mut dyn FnMut(&str, Part),
    ) {
        let read = |key, value| -> Result<(&str, Entry), TreeError> {
            let name = name_of(key)?;
            Ok((name, Entry::decode(name, value)?))
        };
        let Ok((name, entry)) = read(node.key(index), node.value(index)) else {
            return self.tell(folder, Part::Listing, report);
        };
        let path = if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        };
        if entry.record.is_some_and(|record| self.is_hit(&record)) {
            self.tell(&path, Part::Record, report);
        }
        if let Some((content, _)) = entry.content()
            && self.content_is_hit(content)
        {
            self.tell(&path, Part::Content, report);
        }
        if let Some(original) = entry.original
            && self.content_is_hit(original)
        {
            self.tell(&path, Part::Original, report);
        }
        if let Some(root) = entry.versions {
            let shown = format!("{VERSIONS}/{path}");
            self.enter(root, shown.into(), Part::Listing, report);
        }
        if let Some(root) = entry.dir_root() {
            self.enter(root, path.into(), Part::Listing, report);
        }
    }

    fn content_is_hit(&mut self, content: ContentId) -> bool {
        if content.shape == Shape::Empty {
            return false;
        }
        if content.shape != Shape::Recipe || self.is_hit(&content.object) {
            return self.is_hit(&content.object);
        }
        if let Some(known) = self.recipes.get(&content.object) {
            return *known;
        }
        let recipe = self.repo.get(Kind::Recipe, &content.object).ok();
        let hit = match recipe.and_then(|bytes| Recipe::decode(&bytes).ok()) {
            Some(recipe) => recipe.objects().any(|(_, id)| self.is_hit(&id)),
            None => true,
        };
        self.recipes.insert(content.object, hit);
        hit
    }

    fn enter(
        &mut self,
        id: ObjectId,
        path: Arc<str>,
        part: Part,
        report: &mut dyn FnMut(&str, Part),
    ) {
        if self.clean.contains(&id) {
            return;
        }
        if self.is_hit(&id) {
            return self.tell(&path, part, report);
        }
        match self.nodes.load(&id) {
            Ok(node) => self.frames.push(Frame {
                id,
                node,
                next: 0,
                path,
                hit: false,
            }),
            Err(_) => self.tell(&path, part, report),
        }
    }

    fn tell(&mut self, path: &str, part: Part, report: &mut dyn FnMut(&str, Part)) {
        report(path, part);
        self.mark();
    }

    fn mark(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.hit = true;
        }
    }

    fn state(&mut self, state: MapRoot, report: &mut dyn FnMut(&str, Part)) {
        let mut hit = false;
        self.walk(state, "", false, &mut |path, part| {
            hit = true;
            report(path, part);
        });
        if hit {
            return;
        }
        let Ok(accounts) = Accounts::new(self.nodes, state).iter() else {
            return;
        };
        for account in accounts {
            let Ok((_, account)) = account else {
                return report("", Part::State);
            };
            for workload in account.workloads.values() {
                let path = format!("{}/{}", account.folder, workload.folder);
                let collection = &workload.collection;
                let kept = [workload.cursors, workload.failed, workload.waiting];
                for root in [collection.ids].into_iter().chain(kept) {
                    self.walk(root, &path, false, report);
                }
                // Detached items hang on their folders, which may be large.
                if collection.detached.is_some_and(|root| self.is_hit(&root)) {
                    report(&path, Part::State);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::content;
    use crate::tree::collection::CollectionRoot;
    use crate::tree::editor::Editor;
    use crate::tree::key::ItemKey;
    use crate::tree::testing::TestRepository;
    use crate::tree::versions;
    use std::io::Read;

    fn key(n: u32) -> ItemKey {
        ItemKey::from_hash(blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    #[test]
    fn damaged_versions_are_named_by_file_and_time() {
        let test = TestRepository::new();
        let nodes = Nodes::new(&test.repo);
        let mut stream = test.writer.stream();
        let mut put = |bytes: &[u8], time| {
            let mut writer = content::Writer::new(&mut stream);
            writer.write(bytes).unwrap();
            let (content, size) = writer.finish().unwrap();
            let record = stream.put(Kind::Record, bytes).unwrap();
            Entry::file(content, size, time, Some(record))
        };
        let (now, old) = (put(b"now", 1_795_312_801), put(b"old", 1_795_312_800));
        let add = vec![(key(9), old)];
        let versions = versions::change(&nodes, None, |_| true, add, &mut stream).unwrap();
        let mut editor = Editor::new(&nodes, CollectionRoot::default());
        editor
            .upsert_dir(key(1), ItemKey::ROOT, "docs", 1, None)
            .unwrap();
        editor
            .upsert_file(key(2), key(1), "x.txt", Entry { versions, ..now })
            .unwrap();
        let root = editor.checkpoint(&mut stream).unwrap();
        test.writer.flush().unwrap();
        let find = |damaged: ObjectId| {
            let mut hits = Vec::new();
            let (damaged, snapshots) = ([damaged].into(), [("one", root.dir, None)]);
            find_hits(&test.repo, &nodes, &damaged, snapshots, |hit| {
                hits.push(format!("{} {:?}", hit.path, hit.part));
            });
            hits
        };
        let folder = ".tenantfs/versions/docs/x.txt";
        let version = format!("{folder}/2026-11-22T020000Z");
        let content = |entry: Entry| entry.content().unwrap().0.object;
        assert_eq!(find(content(old)), [format!("{version} Content")]);
        assert_eq!(find(old.record.unwrap()), [format!("{version} Record")]);
        assert_eq!(find(versions.unwrap()), [format!("{folder} Listing")]);
        assert_eq!(find(content(now)), ["docs/x.txt Content"]);
    }

    #[test]
    fn damaged_objects_become_paths() {
        let test = TestRepository::new();
        let nodes = Nodes::new(&test.repo);
        let mut stream = test.writer.stream();
        let mut editor = Editor::new(&nodes, CollectionRoot::default());
        editor
            .upsert_dir(key(1), ItemKey::ROOT, "docs", 1, None)
            .unwrap();
        editor
            .upsert_dir(key(2), ItemKey::ROOT, "other", 1, None)
            .unwrap();
        // More than one chunk, so a recipe.
        let mut bytes = Vec::new();
        blake3::Hasher::new()
            .finalize_xof()
            .take(6 << 20)
            .read_to_end(&mut bytes)
            .unwrap();
        let mut writer = content::Writer::new(&mut stream);
        writer.write(&bytes).unwrap();
        let (big, size) = writer.finish().unwrap();
        assert_eq!(big.shape, Shape::Recipe);
        let record = stream.put(Kind::Record, b"{}").unwrap();
        editor
            .upsert_file(
                key(3),
                key(1),
                "big.bin",
                Entry::file(big, size, 1, Some(record)),
            )
            .unwrap();
        editor
            .upsert_file(key(4), key(2), "same.bin", Entry::file(big, size, 1, None))
            .unwrap();
        let first = editor.checkpoint(&mut stream).unwrap();
        editor
            .upsert_dir(key(2), ItemKey::ROOT, "renamed", 1, None)
            .unwrap();
        let second = editor.checkpoint(&mut stream).unwrap();
        test.writer.flush().unwrap();

        let find = |damaged: &[ObjectId]| {
            let mut hits = Vec::new();
            let snapshots = [("one", first.dir, None), ("two", second.dir, None)];
            find_hits(
                &test.repo,
                &nodes,
                &damaged.iter().copied().collect(),
                snapshots,
                |hit| {
                    hits.push(format!("{} {} {:?}", hit.snapshot, hit.path, hit.part));
                },
            );
            hits
        };
        let recipe = Recipe::decode(&test.repo.get(Kind::Recipe, &big.object).unwrap()).unwrap();
        let (_, chunk) = recipe.objects().last().unwrap();
        let both = [
            "one docs/big.bin Content",
            "one other/same.bin Content",
            "two docs/big.bin Content",
            "two renamed/same.bin Content",
        ];
        assert_eq!(find(&[chunk]), both);
        assert_eq!(find(&[big.object]), both);
        assert_eq!(
            find(&[record]),
            ["one docs/big.bin Record", "two docs/big.bin Record"]
        );
        let docs = super::super::view::resolve(&nodes, first.dir, "docs")
            .unwrap()
            .unwrap();
        assert_eq!(
            find(&[docs.dir_root().unwrap()]),
            ["one docs Listing", "two docs Listing"]
        );
        assert_eq!(find(&[second.dir.unwrap()]), ["two  Listing"]);
        assert!(find(&[ObjectId([1; 20])]).is_empty());
    }

    /// Twelve folders' worth of files, small and large, with records; and the root of all.
    fn a_collection(test: &TestRepository, nodes: &Nodes) -> CollectionRoot {
        let mut stream = test.writer.stream();
        let mut editor = Editor::new(nodes, CollectionRoot::default());
        for n in 0..60u32 {
            let folder = key(1000 + n % 12);
            editor
                .upsert_dir(
                    folder,
                    ItemKey::ROOT,
                    &format!("folder {}", n % 12),
                    1,
                    None,
                )
                .unwrap();
            let mut bytes = vec![0; if n % 20 == 0 { 400_000 } else { 3000 }];
            blake3::Hasher::new()
                .update(&n.to_le_bytes())
                .finalize_xof()
                .fill(&mut bytes);
            let mut writer = content::Writer::new(&mut stream);
            writer.write(&bytes).unwrap();
            let (content, size) = writer.finish().unwrap();
            let record = stream.put(Kind::Record, &bytes[..2000]).unwrap();
            let entry = Entry::file(content, size, 1, Some(record));
            editor
                .upsert_file(key(n), folder, &format!("file {n}"), entry)
                .unwrap();
        }
        let root = editor.checkpoint(&mut stream).unwrap();
        test.writer.flush().unwrap();
        root
    }

    /// Paths of files that can be read with their records, and of folders that can be listed.
    fn readable(repo: &Repository, nodes: &Nodes, root: MapRoot) -> HashSet<String> {
        use crate::tree::view::walk;
        let whole = |entry: &Entry| {
            let shown = entry.content().is_none_or(|(content, size)| {
                content::read_all(repo, content, 1 << 30).is_ok_and(|b| b.len() as u64 == size)
            });
            shown
                && entry
                    .record
                    .is_none_or(|id| repo.get(Kind::Record, &id).is_ok())
        };
        let mut paths = HashSet::new();
        for (folder, entry) in walk(nodes, root).filter_map(Result::ok) {
            if !entry.is_dir() {
                if whole(&entry) {
                    paths.insert(folder);
                }
            } else if walk(nodes, entry.dir_root()).all(|found| found.is_ok()) {
                paths.insert(folder);
            }
        }
        paths
    }

    #[test]
    fn a_flipped_bit_anywhere_is_named_by_item() {
        let test = TestRepository::new();
        let root = a_collection(&test, &Nodes::new(&test.repo));
        let all = readable(&test.repo, &Nodes::new(&test.repo), root.dir);
        assert_eq!(all.len(), 72);
        let packs = test.repo.packs();
        assert!(packs.len() >= 2, "{packs:?}");
        let mut named = HashSet::new();
        for pack in packs {
            let file = test.root().join(&pack);
            let good = std::fs::read(&file).unwrap();
            for step in 0..16 {
                let mut bad = good.clone();
                // From the first frame to the footer.
                let at = 24 + step * (bad.len() - 25) / 15;
                bad[at] ^= 1 << (step % 8);
                std::fs::write(&file, bad).unwrap();
                let repo = test.reopen();
                let report = repo.verify(true, &|_, _| {}).unwrap();
                assert!(report.damaged.iter().any(|d| d.file == pack), "{pack} {at}");
                let lost = report.lost.iter().map(|(_, id)| *id).collect();
                let nodes = Nodes::new(&repo);
                let mut hits = HashSet::new();
                find_hits(&repo, &nodes, &lost, [("one", root.dir, None)], |hit| {
                    hits.insert(hit.path);
                });
                let still = readable(&repo, &nodes, root.dir);
                for path in &all {
                    let folder = path.split('/').next().unwrap();
                    let is_named = [path.as_str(), folder, ""]
                        .iter()
                        .any(|p| hits.contains(*p));
                    assert!(still.contains(path) || is_named, "{pack} {at}: {path}");
                }
                assert!(hits.is_disjoint(&still), "{pack} {at}: {hits:?}");
                named.extend(hits);
            }
            std::fs::write(&file, good).unwrap();
        }
        assert!(named.len() > 20, "{named:?}");
    }
}
