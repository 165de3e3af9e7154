//! All objects that a snapshot needs.
//!
//! A walk of its trees that tells each object it meets. What was met before in the same way is not entered
//! again, so all snapshots together cost what they have, not what they show. Nothing is left out
//! because it cannot be read: that is an error, and whoever asks deletes nothing.

use super::TreeError;
use super::collection::Detached;
use super::entry::Entry;
use super::map::MapRoot;
use super::node::Node;
use super::nodes::Nodes;
use super::state::AccountState;
use super::view::name_of;
use crate::repo::content::{ContentId, Recipe, Shape};
use crate::repo::{Kind, ObjectId, RepoError, Repository};

/// How an object is read, hence what it refers to. The same bytes could be met in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Way {
    /// It refers to nothing: records, chunks, mails, and nodes of maps whose values name no objects.
    Plain = 0,
    /// A node of a directory, also of one of versions.
    Directory = 1,
    /// A node of a map of items without a place.
    Detached = 2,
    /// A node of the map of accounts.
    Accounts = 3,
    /// A recipe.
    Recipe = 4,
}

/// Tells `seen` every object that these trees need, with the way it is read. It answers whether the
/// object is new to it in this way; if not, what it refers to is known and not told again.
///
/// # Errors
/// Those of `seen`, and what cannot be read.
pub fn reach(
    repo: &Repository,
    nodes: &Nodes,
    tree: MapRoot,
    state: MapRoot,
    seen: &mut dyn FnMut(Kind, ObjectId, Way) -> Result<bool, RepoError>,
) -> Result<(), TreeError> {
    let mut walk = Walk {
        repo,
        nodes,
        seen,
        rest: Vec::new(),
    };
    walk.push(tree, Way::Directory);
    walk.push(state, Way::Accounts);
    walk.run()
}

struct Walk<'a> {
    repo: &'a Repository,
    nodes: &'a Nodes,
    seen: &'a mut dyn FnMut(Kind, ObjectId, Way) -> Result<bool, RepoError>,
    /// Nodes that are still to be entered: at most those beside the path to the present one.
    rest: Vec<(ObjectId, Way)>,
}

impl Walk<'_> {
    fn push(&mut self, root: MapRoot, way: Way) {
        self.rest.extend(root.map(|root| (root, way)));
    }

    fn run(&mut self) -> Result<(), TreeError> {
        while let Some((id, way)) = self.rest.pop() {
            if (self.seen)(Kind::Node, id, way)? {
                let node = self.nodes.load(&id)?;
                // The last first, so that they are taken in their order.
                for index in (0..node.len()).rev() {
                    match node.level() {
                        0 => self.value(&node, index, way)?,
                        _ => self.rest.push((node.child(index).0, way)),
                    }
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, node: &Node, index: usize, way: Way) -> Result<(), TreeError> {
        let (key, value) = (node.key(index), node.value(index));
        match way {
            Way::Directory => self.entry(&Entry::decode(name_of(key)?, value)?),
            Way::Detached => self.entry(&Detached::decode(value)?.entry),
            Way::Accounts => self.account(value),
            Way::Plain | Way::Recipe => Ok(()),
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), TreeError> {
        self.push(entry.versions, Way::Directory);
        self.push(entry.dir_root(), Way::Directory);
        if let Some(record) = entry.record {
            (self.seen)(Kind::Record, record, Way::Plain)?;
        }
        let shown = entry.content().map(|(content, _)| content);
        for content in shown.into_iter().chain(entry.original) {
            self.content(content)?;
        }
        Ok(())
    }

    fn content(&mut self, content: ContentId) -> Result<(), TreeError> {
        let Some(kind) = content.shape.kind() else {
            return Ok(());
        };
        let id = content.object;
        if content.shape != Shape::Recipe {
            (self.seen)(kind, id, Way::Plain)?;
            return Ok(());
        }
        if (self.seen)(kind, id, Way::Recipe)? {
            let recipe = Recipe::decode(&self.repo.get(kind, &id)?);
            let recipe = recipe.map_err(|_| TreeError::Corrupt {
                what: "recipe",
                why: "it is not what it should be; a newer tenantfs may have written it",
            })?;
            for (kind, id) in recipe.objects() {
                (self.seen)(kind, id, Way::Plain)?;
            }
        }
        Ok(())
    }

    fn account(&mut self, json: &[u8]) -> Result<(), TreeError> {
        let account: AccountState = super::state::parse(json)?;
        for workload in account.workloads.values() {
            let collection = &workload.collection;
            self.push(collection.dir, Way::Directory);
            self.push(collection.detached, Way::Detached);
            let plain = [
                collection.ids,
                workload.cursors,
                workload.failed,
                workload.waiting,
            ];
            for root in plain {
                self.push(root, Way::Plain);
            }
        }
        Ok(())
    }
}
