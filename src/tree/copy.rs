//! Copies snapshots to a second repository that has the same object ids and keys of its own.
//!
//! Objects go over one by one, decoded and sealed anew, those that the target has are left. That the
//! target has a node says nothing about what is below it: a copy that was interrupted may have left
//! it, or a prune. So a subtree is skipped only when a snapshot that is committed in the target has it.
//! The snapshot that is copied is compared with the newest such one, level of directories by level;
//! the cost is what differs, and the inner nodes of the maps that differ.
//!
//! A manifest is created last, after everything it needs was found in the target once more.

use std::collections::HashSet;

use super::TreeError;
use super::nodes::Nodes;
use super::references::{self, Reference, Way};
use crate::repo::{
    Kind, ObjectId, RepoError, Repository, Snapshot, SnapshotManifest, Stream, Writer,
};

/// What copying a snapshot took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Objects that the target did not have.
    pub objects: u64,
    /// Bytes of them, decoded.
    pub bytes: u64,
}

/// Copies snapshots from one repository to another.
pub struct Copier<'a> {
    source: &'a Repository,
    writer: &'a Writer,
    stream: Stream,
    nodes: Nodes,
    /// Snapshots that both have, by name.
    common: Vec<Snapshot>,
    /// Those of them that subtrees were skipped for. A prune of the target that runs meanwhile keeps
    /// what they need.
    held: Vec<Snapshot>,
    /// Nodes that the target has with everything below, as far as was found out.
    known: HashSet<Map>,
}

/// The root of a map or a node of it, and what its values are.
type Map = (ObjectId, Way);

impl<'a> Copier<'a> {
    /// Copies go to the repository of `writer`.
    ///
    /// # Errors
    /// The repositories do not give objects the same ids.
    pub fn new(source: &'a Repository, writer: &'a Writer) -> Result<Self, TreeError> {
        let target = writer.repository();
        if source.id() == target.id() || !source.shares_ids_with(&target) {
            return Err(TreeError::Repo(RepoError::Invalid(format!(
                "{} was not made for copies of {}; make another with `tenantfs init --copy`",
                target.location(),
                source.location()
            ))));
        }
        let there = target.snapshots()?;
        let mut common = source.snapshots()?;
        common.retain(|snapshot| there.contains(snapshot));
        Ok(Copier {
            source,
            stream: writer.stream(),
            writer,
            nodes: Nodes::new(source),
            common,
            held: Vec::new(),
            known: HashSet::new(),
        })
    }

    /// True when the target has this snapshot.
    pub fn has(&self, snapshot: &Snapshot) -> bool {
        self.common.contains(snapshot)
    }

    /// Copies a snapshot under its name. `progress` gets what was copied so far. Interrupted, what was
    /// copied stays, and the next try goes on from there.
    pub fn copy(
        &mut self,
        snapshot: &Snapshot,
        progress: &mut dyn FnMut(Copied),
    ) -> Result<Copied, TreeError> {
        let base = self.hold_base(snapshot)?;
        let copied = self.put(base.as_ref(), snapshot, progress);
        if copied.is_err() {
            // What is below the nodes that were visited last may be missing.
            self.known.clear();
        }
        let copied = copied?;
        self.writer.commit_copy(snapshot)?;
        self.common.push(snapshot.clone());
        self.common.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(copied)
    }

    /// Brings everything that a snapshot needs to the target, durably.
    fn put(
        &mut self,
        base: Option<&SnapshotManifest>,
        snapshot: &Snapshot,
        progress: &mut dyn FnMut(Copied),
    ) -> Result<Copied, TreeError> {
        let mut copied = Copied::default();
        let (source, writer, stream) = (self.source, self.writer, &mut self.stream);
        let mut put = |kind, id| {
            if !writer.contains(&id) {
                let bytes = source.get(kind, &id)?;
                if stream.put(kind, &bytes)? != id {
                    return Err(TreeError::Repo(RepoError::Invalid(format!(
                        "the {kind} object {id} has another content than it should; run verify --read-data \
                         on {}",
                        source.location()
                    ))));
                }
                copied.objects += 1;
                copied.bytes += bytes.len() as u64;
                progress(copied);
            }
            Ok(())
        };
        let mut walk = Walk {
            repo: source,
            nodes: &self.nodes,
            known: &mut self.known,
            need: &mut put,
        };
        walk.snapshot(base, &snapshot.manifest)?;
        writer.flush()?;
        check(writer, base, &snapshot.manifest)?;
        Ok(copied)
    }

    /// The snapshot in the target that has most in common with this one: the newest before it, or else
    /// the oldest after it. It stays until the writer ends, even if it is forgotten meanwhile.
    fn hold_base(&mut self, snapshot: &Snapshot) -> Result<Option<SnapshotManifest>, TreeError> {
        loop {
            let before = self.common.partition_point(|c| c.name < snapshot.name);
            let nearest = before.saturating_sub(1);
            let Some(base) = self.common.get(nearest).cloned() else {
                return Ok(None);
            };
            if !self.held.contains(&base) {
                self.held.push(base.clone());
            }
            let held: Vec<&Snapshot> = self.held.iter().collect();
            if self.writer.go_on_from(&held)? {
                return Ok(Some(base.manifest));
            }
            // One of them was forgotten before it was held: begin again with what is there now.
            let there = self.writer.repository().snapshots()?;
            self.common.retain(|snapshot| there.contains(snapshot));
            self.held.clear();
            self.known.clear();
        }
    }
}

/// Everything that `new` needs beyond `base` must be in the target.
fn check(
    writer: &Writer,
    base: Option<&SnapshotManifest>,
    new: &SnapshotManifest,
) -> Result<(), TreeError> {
    let target = writer.repository();
    let mut need = |kind, id| match writer.contains(&id) {
        true => Ok(()),
        false => Err(TreeError::Repo(RepoError::ObjectMissing { kind, id })),
    };
    let mut walk = Walk {
        repo: &target,
        nodes: &Nodes::new(&target),
        known: &mut HashSet::new(),
        need: &mut need,
    };
    walk.snapshot(base, new)
}

/// Finds what a snapshot needs that another does not.
struct Walk<'a> {
    repo: &'a Repository,
    nodes: &'a Nodes,
    known: &'a mut HashSet<Map>,
    need: &'a mut dyn FnMut(Kind, ObjectId) -> Result<(), TreeError>,
}

impl Walk<'_> {
    fn snapshot(
        &mut self,
        base: Option<&SnapshotManifest>,
        new: &SnapshotManifest,
    ) -> Result<(), TreeError> {
        let mut base = base.map(roots).unwrap_or_default();
        let mut new_maps = roots(new);
        while !new_maps.is_empty() {
            (base, new_maps) = self.level(base, new_maps)?;
        }
        new.report
            .map_or(Ok(()), |report| (self.need)(Kind::Record, report))
    }

    /// Takes one level of maps; returns the next on both sides.
    fn level(
        &mut self,
        base: Vec<Map>,
        mut new: Vec<Map>,
    ) -> Result<(Vec<Map>, Vec<Map>), TreeError> {
        let wanted: HashSet<Map> = new.iter().copied().collect();
        let (same, base): (Vec<Map>, Vec<Map>) =
            base.into_iter().partition(|map| wanted.contains(map));
        self.known.extend(same);
        new.retain(|map| !self.known.contains(map));
        if new.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mentioned = self.mentioned(&new)?;
        let below_base = self.learn(base, &mentioned)?;
        let below_new = self.visit(new)?;
        Ok((below_base, below_new))
    }

    /// All nodes of these maps. Leaves are not read.
    fn mentioned(&self, maps: &[Map]) -> Result<HashSet<Map>, TreeError> {
        let mut mentioned = HashSet::new();
        let mut rest = maps.to_vec();
        while let Some((id, way)) = rest.pop() {
            if !mentioned.insert((id, way)) {
                continue;
            }
            let node = self.nodes.load(&id)?;
            for index in 0..children(&node) {
                let child = (node.child(index).0, way);
                match node.level() {
                    1 => {
                        mentioned.insert(child);
                    }
                    _ => rest.push(child),
                }
            }
        }
        Ok(mentioned)
    }

    /// Notes the nodes of committed maps that are among those `mentioned`. Returns the maps that the
    /// others refer to.
    fn learn(&mut self, maps: Vec<Map>, mentioned: &HashSet<Map>) -> Result<Vec<Map>, TreeError> {
        let mut below = HashSet::new();
        let mut seen = HashSet::new();
        let mut rest = maps;
        let mut found = Vec::new();
        while let Some((id, way)) = rest.pop() {
            if !seen.insert((id, way)) {
                continue;
            }
            if mentioned.contains(&(id, way)) {
                self.known.insert((id, way));
                continue;
            }
            let node = self.nodes.load(&id)?;
            if node.level() > 0 {
                rest.extend((0..children(&node)).map(|index| (node.child(index).0, way)));
                continue;
            }
            references::of_leaf(&node, way, &mut found)?;
            below.extend(found.drain(..).filter_map(|reference| match reference {
                Reference::Map(root, way) => Some((root, way)),
                Reference::Object(..) | Reference::Content(_) => None,
            }));
        }
        Ok(below.into_iter().collect())
    }

    /// Tells all nodes of these maps that are not known, and what their leaves refer to but for other
    /// maps, which are returned.
    fn visit(&mut self, maps: Vec<Map>) -> Result<Vec<Map>, TreeError> {
        let mut below = Vec::new();
        let mut met = HashSet::new();
        let mut rest = maps;
        rest.reverse();
        let mut found = Vec::new();
        while let Some((id, way)) = rest.pop() {
            if !self.known.insert((id, way)) {
                continue;
            }
            (self.need)(Kind::Node, id)?;
            let node = self.nodes.load(&id)?;
            if node.level() > 0 {
                // The first is taken first: neighbours stay neighbours.
                rest.extend(
                    (0..children(&node))
                        .rev()
                        .map(|index| (node.child(index).0, way)),
                );
                continue;
            }
            references::of_leaf(&node, way, &mut found)?;
            for reference in found.drain(..) {
                match reference {
                    Reference::Map(root, way) => {
                        if met.insert((root, way)) {
                            below.push((root, way));
                        }
                    }
                    Reference::Object(kind, id) => (self.need)(kind, id)?,
                    Reference::Content(content) => {
                        references::of_content(self.repo, content, self.need)?;
                    }
                }
            }
        }
        Ok(below)
    }
}

/// Children of an inner node; a leaf has none.
fn children(node: &super::node::Node) -> usize {
    match node.level() {
        0 => 0,
        _ => node.len(),
    }
}

fn roots(manifest: &SnapshotManifest) -> Vec<Map> {
    let tree = manifest.tree.map(|root| (root, Way::Directory));
    let state = manifest.state.map(|root| (root, Way::Accounts));
    tree.into_iter().chain(state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::content;
    use crate::tree::collection::CollectionRoot;
    use crate::tree::damage::find_hits;
    use crate::tree::editor::Editor;
    use crate::tree::entry::Entry;
    use crate::tree::key::ItemKey;
    use crate::tree::state::{AccountState, Accounts, WorkloadState};
    use crate::tree::testing::TestRepository;
    use crate::tree::versions;
    use std::collections::BTreeMap;

    const ITEMS: u32 = 3000;

    fn key(n: u32) -> ItemKey {
        ItemKey::from_hash(blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    /// A mailbox that snapshots are taken of.
    struct Mailbox {
        test: TestRepository,
        collection: CollectionRoot,
        taken: i64,
    }

    impl Mailbox {
        fn new() -> Self {
            let mut mailbox = Mailbox {
                test: TestRepository::new(),
                collection: CollectionRoot::default(),
                taken: 0,
            };
            mailbox.put(0..ITEMS);
            mailbox
        }

        /// Puts items into ten folders; every hundredth has a large content and an older version.
        fn put(&mut self, items: std::ops::Range<u32>) {
            let nodes = Nodes::new(&self.test.repo);
            let mut stream = self.test.writer.stream();
            let mut editor = Editor::new(&nodes, self.collection);
            for folder in 0..10 {
                let name = format!("folder {folder}");
                let id = key(1_000_000 + folder);
                editor
                    .upsert_dir(id, ItemKey::ROOT, &name, 1, None)
                    .unwrap();
            }
            for n in items {
                let len = if n % 100 == 0 { 3_000_000 } else { 300 };
                let mut noise = vec![0; len];
                let mut hasher = blake3::Hasher::new();
                hasher
                    .update(&n.to_le_bytes())
                    .finalize_xof()
                    .fill(&mut noise);
                let mut writer = content::Writer::new(&mut stream);
                writer.write(&noise).unwrap();
                let (content, size) = writer.finish().unwrap();
                let record = stream.put(Kind::Record, &noise[..100]).unwrap();
                let mut entry = Entry::file(content, size, i64::from(n), Some(record));
                if n % 100 == 0 {
                    let old = Entry::file(content, size, 5, Some(record));
                    let add = vec![(key(2_000_000 + n), old)];
                    entry.versions =
                        versions::change(&nodes, None, |_| true, add, &mut stream).unwrap();
                }
                let folder = key(1_000_000 + n % 10);
                editor
                    .upsert_file(key(n), folder, &format!("item {n}"), entry)
                    .unwrap();
            }
            self.collection = editor.checkpoint(&mut stream).unwrap();
        }

        fn snapshot(&mut self) -> Snapshot {
            let nodes = Nodes::new(&self.test.repo);
            let mut stream = self.test.writer.stream();
            let workload = WorkloadState {
                folder: "Mail".into(),
                collection: self.collection,
                ..WorkloadState::default()
            };
            let account = AccountState {
                folder: "alice".into(),
                workloads: BTreeMap::from([("mail".into(), workload)]),
                ..AccountState::default()
            };
            let accounts = BTreeMap::from([("id".to_owned(), Some(account))]);
            let state = Accounts::new(&nodes, None)
                .set(&mut stream, &accounts)
                .unwrap();
            self.taken += 60;
            let manifest = SnapshotManifest {
                time: 1_795_312_800 + self.taken,
                complete: true,
                tree: self.collection.dir,
                state: state.root(),
                report: Some(stream.put(Kind::Record, &self.taken.to_le_bytes()).unwrap()),
                ..SnapshotManifest::default()
            };
            self.test.writer.commit(manifest).unwrap()
        }
    }

    fn copy(from: &Mailbox, to: &Writer, snapshot: &Snapshot) -> Copied {
        let mut copier = Copier::new(&from.test.repo, to).unwrap();
        copier.copy(snapshot, &mut |_| {}).unwrap()
    }

    /// Everything is there, as somebody sees it who has only the copy.
    fn check_whole(target: &TestRepository, snapshots: &[&Snapshot]) {
        let repo = target.reopen();
        let there = repo.snapshots().unwrap();
        assert_eq!(there.iter().collect::<Vec<_>>(), snapshots);
        assert!(repo.verify(true, &|_, _| {}).unwrap().is_clean());
        let roots = there
            .iter()
            .map(|s| (s.name.as_str(), s.manifest.tree, s.manifest.state));
        find_hits(&repo, &Nodes::new(&repo), &HashSet::new(), roots, |hit| {
            panic!("{hit:?}")
        });
    }

    #[test]
    fn a_copy_is_whole_and_the_next_costs_what_is_new() {
        let mut mailbox = Mailbox::new();
        let first = mailbox.snapshot();
        let target = TestRepository::for_copies_of(&mailbox.test.repo);
        let all = copy(&mailbox, &target.writer, &first);
        assert!(all.bytes > 90_000_000, "{all:?}");
        check_whole(&target, &[&first]);
        assert_eq!(copy(&mailbox, &target.writer, &first), Copied::default());

        mailbox.put(ITEMS..ITEMS + 5);
        let second = mailbox.snapshot();
        mailbox.put(ITEMS + 5..ITEMS + 10);
        let third = mailbox.snapshot();
        let mut read = Vec::new();
        let mut copier = Copier::new(&mailbox.test.repo, &target.writer).unwrap();
        assert!(copier.has(&first) && !copier.has(&second));
        for snapshot in [&second, &third] {
            let copied = copier.copy(snapshot, &mut |now| read.push(now)).unwrap();
            // How many nodes change is up to the repository's key.
            assert!(copied.objects > 12, "{copied:?}");
            assert!(copied.objects * 20 < all.objects, "{copied:?} of {all:?}");
            assert_eq!(read.last(), Some(&copied));
        }
        check_whole(&target, &[&first, &second, &third]);
    }

    #[test]
    fn what_an_interrupted_copy_left_is_not_taken_for_whole() {
        let mut mailbox = Mailbox::new();
        let first = mailbox.snapshot();
        let target = TestRepository::for_copies_of(&mailbox.test.repo);
        // All nodes are there, and nothing they refer to.
        let nodes = Nodes::new(&mailbox.test.repo);
        let mut stream = target.writer.stream();
        let mut put = |kind, id| {
            if kind == Kind::Node {
                stream.put(kind, &mailbox.test.repo.get(kind, &id)?)?;
            }
            Ok(())
        };
        let mut walk = Walk {
            repo: &mailbox.test.repo,
            nodes: &nodes,
            known: &mut HashSet::new(),
            need: &mut put,
        };
        walk.snapshot(None, &first.manifest).unwrap();
        target.writer.flush().unwrap();
        assert!(check(&target.writer, None, &first.manifest).is_err());
        copy(&mailbox, &target.writer, &first);
        check_whole(&target, &[&first]);
    }

    #[test]
    fn a_source_that_is_damaged_gives_no_snapshot() {
        let mut mailbox = Mailbox::new();
        let first = mailbox.snapshot();
        let target = TestRepository::for_copies_of(&mailbox.test.repo);
        mailbox.test.damage_packs("data");
        let source = mailbox.test.reopen();
        let mut copier = Copier::new(&source, &target.writer).unwrap();
        assert!(copier.copy(&first, &mut |_| {}).is_err());
        assert!(target.repo.snapshots().unwrap().is_empty());
        let stranger = TestRepository::new();
        let error = Copier::new(&source, &stranger.writer).err().unwrap();
        assert!(error.to_string().contains("init --copy"), "{error}");
    }
}
