//! What is left of maps and collections of which objects are lost.
//!
//! Everything here goes on where an object is not there any more, and says that something is missing.
//! It never takes a store that does not answer for a loss: such errors are returned.

use std::collections::HashMap;

use super::TreeError;
use super::collection::CollectionRoot;
use super::editor::Editor;
use super::entry::{Entry, EntryKind};
use super::key::{ItemKey, Tag};
use super::map::MapRoot;
use super::node::Node;
use super::nodes::{NodeSink, Nodes};
use super::view::name_of;
use crate::repo::content::{ContentId, Recipe, Shape};
use crate::repo::{Kind, ObjectId, RepoError, Repository};

/// Edits after which a collection that is put together again is written, so that memory stays bounded.
const MAX_PENDING: usize = 100_000;

/// True for errors that say what was asked for is lost, not that it could not be asked for.
pub fn is_lost(error: &TreeError) -> bool {
    matches!(
        error,
        TreeError::Corrupt { .. }
            | TreeError::Repo(
                RepoError::ObjectMissing { .. }
                    | RepoError::WrongKind { .. }
                    | RepoError::Damaged { .. }
                    | RepoError::FileMissing { .. }
            )
    )
}

fn unless_lost<T>(result: Result<T, TreeError>) -> Result<Option<T>, TreeError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if is_lost(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Calls `take` with each entry of a map that can be read. False when some cannot.
pub fn readable(
    nodes: &Nodes,
    root: MapRoot,
    take: &mut dyn FnMut(&[u8], &[u8]) -> Result<(), TreeError>,
) -> Result<bool, TreeError> {
    let Some(root) = root else { return Ok(true) };
    match unless_lost(nodes.load(&root))? {
        Some(node) => below(nodes, &node, take),
        None => Ok(false),
    }
}

/// Levels fall by one on every step, so this ends.
fn below(
    nodes: &Nodes,
    node: &Node,
    take: &mut dyn FnMut(&[u8], &[u8]) -> Result<(), TreeError>,
) -> Result<bool, TreeError> {
    let mut whole = true;
    for index in 0..node.len() {
        if node.level() == 0 {
            take(node.key(index), node.value(index))?;
            continue;
        }
        whole &= match unless_lost(nodes.load_child(node, index))? {
            Some(child) => below(nodes, &child, take)?,
            None => false,
        };
    }
    Ok(whole)
}

/// The entries of a directory that can be read, and whether these are all.
fn entries(nodes: &Nodes, root: MapRoot) -> Result<(Vec<(String, Entry)>, bool), TreeError> {
    let mut found = Vec::new();
    let mut sound = true;
    let whole = readable(nodes, root, &mut |key, value| {
        let read = name_of(key).and_then(|name| Ok((name.to_owned(), Entry::decode(name, value)?)));
        match unless_lost(read)? {
            Some(entry) => found.push(entry),
            None => sound = false,
        }
        Ok(())
    })?;
    Ok((found, whole && sound))
}

/// Looks at collections.
pub struct Survey<'a> {
    repo: &'a Repository,
    nodes: &'a Nodes,
    /// Recipes that were looked into: whether all they need is there.
    recipes: HashMap<ObjectId, bool>,
}

impl<'a> Survey<'a> {
    /// Looks into `repo`, whose index must be new.
    pub fn new(repo: &'a Repository, nodes: &'a Nodes) -> Self {
        Survey {
            repo,
            nodes,
            recipes: HashMap::new(),
        }
    }

    /// Calls `lost` with the path and entry of each file whose record is there and whose content is
    /// not. False when more than contents is lost: names, places, records, older versions.
    pub fn collection(
        &mut self,
        root: &CollectionRoot,
        lost: &mut dyn FnMut(&str, &Entry),
    ) -> Result<bool, TreeError> {
        let mut sound = true;
        for map in [root.ids, root.detached] {
            sound &= readable(self.nodes, map, &mut |_, _| Ok(()))?;
        }
        let mut folders = vec![(String::new(), root.dir)];
        while let Some((path, root)) = folders.pop() {
            let (found, whole) = entries(self.nodes, root)?;
            sound &= whole;
            for (name, entry) in found {
                let path = match path.is_empty() {
                    true => name,
                    false => format!("{path}/{name}"),
                };
                let record = entry.record.is_none_or(|id| self.repo.contains(&id));
                sound &= record && self.versions_are_whole(entry.versions)?;
                match entry.kind {
                    EntryKind::Dir { root } => folders.push((path, root)),
                    EntryKind::File { .. } if record && !self.contents_are_whole(&entry)? => {
                        lost(&path, &entry);
                    }
                    EntryKind::File { .. } => {}
                }
            }
        }
        Ok(sound)
    }

    /// What is left of a collection, put together again: files and folders that can still be found, those
    /// without a record too. `id_of` tells the key in a record. Items whose key nothing tells, and what
    /// lies below them, are left out.
    pub fn rebuild(
        &mut self,
        root: &CollectionRoot,
        id_of: &dyn Fn(&[u8]) -> Option<ItemKey>,
        out: &mut dyn NodeSink,
    ) -> Result<CollectionRoot, TreeError> {
        let mut keys: HashMap<Tag, ItemKey> = HashMap::new();
        readable(self.nodes, root.ids, &mut |key, _| {
            if let Ok(key) = key.try_into().map(ItemKey) {
                keys.insert(key.tag(), key);
            }
            Ok(())
        })?;
        let mut editor = Editor::new(self.nodes, CollectionRoot::default());
        let mut folders = vec![(ItemKey::ROOT, root.dir)];
        while let Some((parent, root)) = folders.pop() {
            for (name, mut entry) in entries(self.nodes, root)?.0 {
                let record = match entry.record {
                    Some(id) => unless_lost(self.repo.get(Kind::Record, &id).map_err(Into::into))?,
                    None => None,
                };
                let told = record.as_deref().and_then(id_of);
                let key = keys.get(&entry.tag).copied().or(told);
                let Some(key) = key.filter(|key| key.tag() == entry.tag) else {
                    continue;
                };
                entry.record = entry.record.filter(|_| record.is_some());
                if !self.versions_are_whole(entry.versions)? {
                    entry.versions = None;
                }
                match entry.kind {
                    EntryKind::Dir { root } => {
                        editor.upsert_dir(key, parent, &name, entry.mtime, entry.record)?;
                        folders.push((key, root));
                    }
                    EntryKind::File { .. } => editor.upsert_file(key, parent, &name, entry)?,
                }
            }
            if editor.pending() > MAX_PENDING {
                editor.checkpoint(out)?;
            }
        }
        editor.checkpoint(out)
    }

    fn versions_are_whole(&mut self, root: MapRoot) -> Result<bool, TreeError> {
        if root.is_none() {
            return Ok(true);
        }
        let (versions, mut whole) = entries(self.nodes, root)?;
        for (_, version) in versions {
            whole &= version.record.is_none_or(|id| self.repo.contains(&id));
            whole &= self.contents_are_whole(&version)?;
        }
        Ok(whole)
    }

    fn contents_are_whole(&mut self, entry: &Entry) -> Result<bool, TreeError> {
        for content in entry.contents() {
            if !self.content_is_whole(content)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn content_is_whole(&mut self, content: ContentId) -> Result<bool, TreeError> {
        match content.shape {
            Shape::Empty => Ok(true),
            Shape::Mail | Shape::Chunk => Ok(self.repo.contains(&content.object)),
            Shape::Recipe => {
                if let Some(known) = self.recipes.get(&content.object) {
                    return Ok(*known);
                }
                let recipe = self.repo.get(Kind::Recipe, &content.object);
                let recipe = unless_lost(recipe.map_err(Into::into))?;
                let whole = recipe
                    .and_then(|bytes| Recipe::decode(&bytes).ok())
                    .is_some_and(|recipe| recipe.objects().all(|(_, id)| self.repo.contains(&id)));
                self.recipes.insert(content.object, whole);
                Ok(whole)
            }
        }
    }
}
