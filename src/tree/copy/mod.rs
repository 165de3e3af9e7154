//! Copies snapshots to a second repository that has the same object ids and keys of its own.
//!
//! Objects go over one by one, decoded and sealed anew, those that the target has are left. That the
//! target has a node says nothing about what is below it: a copy that was interrupted may have left
//! it, or a prune. So a subtree is skipped only when a snapshot that is committed in the target has it.
//! The snapshot that is copied is compared with the newest such one, level of directories by level;
//! the cost is what differs, and the inner nodes of the maps that differ.
//!
//! A manifest is created last, after everything it needs was found in the target once more. A copy is a
//! snapshot of its own then: tags that the source gives it later, and accounts that are taken out of it there,
//! change nothing in the target. So the target has a snapshot when it has one of the same commit, while only one
//! that is equal in all is a base to compare with.

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
    /// Snapshots of the target.
    there: Vec<Snapshot>,
    /// Those of them that are the same in the source in all, by name.
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
            there,
            common,
            held: Vec::new(),
            known: HashSet::new(),
        })
    }

    /// True when the target has this snapshot, whatever became of either since it was copied.
    pub fn has(&self, snapshot: &Snapshot) -> bool {
        self.there.iter().any(|there| there.is_same(snapshot))
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
        if self.writer.commit_copy(snapshot)? {
            self.there.push(snapshot.clone());
            self.common.push(snapshot.clone());
            self.common.sort_by(|a, b| a.name.cmp(&b.name));
        }
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
            self.there = self.writer.repository().snapshots()?;
            let there = &self.there;
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
mod tests;
