//! What the nodes of a snapshot's maps refer to.

use super::TreeError;
use super::collection::Detached;
use super::entry::Entry;
use super::map::MapRoot;
use super::node::Node;
use super::state::{AccountState, parse};
use super::view::name_of;
use crate::repo::content::{ContentId, Recipe, Shape};
use crate::repo::{Kind, ObjectId, Repository};

/// How an object is read, hence what it refers to. The same bytes could be met in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Way {
    /// It refers to nothing: records, chunks, mails, and nodes of maps whose values name no objects
    /// (cursors, ids, failed items).
    Plain,
    /// A node of a directory, also of one of older versions.
    Directory,
    /// A node of a map of items without a place.
    Detached,
    /// A node of the map of accounts.
    Accounts,
    /// A recipe.
    Recipe,
}

/// A reference from a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// The root of another map.
    Map(ObjectId, Way),
    /// An object that refers to nothing.
    Object(Kind, ObjectId),
    /// A content.
    Content(ContentId),
}

/// Appends all references of a leaf whose values are as `way` says.
pub(super) fn of_leaf(node: &Node, way: Way, found: &mut Vec<Reference>) -> Result<(), TreeError> {
    for index in 0..node.len() {
        let value = node.value(index);
        match way {
            Way::Plain | Way::Recipe => return Ok(()),
            Way::Directory => of_entry(&Entry::decode(name_of(node.key(index))?, value)?, found),
            Way::Detached => of_entry(&Detached::decode(value)?.entry, found),
            Way::Accounts => of_account(&parse(value)?, found),
        }
    }
    Ok(())
}

fn of_entry(entry: &Entry, found: &mut Vec<Reference>) {
    let maps = [entry.versions, entry.dir_root()];
    found.extend(to_maps(maps, Way::Directory));
    found.extend(entry.record.map(|id| Reference::Object(Kind::Record, id)));
    found.extend(entry.contents().map(Reference::Content));
}

fn of_account(account: &AccountState, found: &mut Vec<Reference>) {
    for workload in account.workloads.values() {
        let collection = &workload.collection;
        found.extend(to_maps([collection.dir], Way::Directory));
        found.extend(to_maps([collection.detached], Way::Detached));
        let plain = [
            collection.ids,
            workload.cursors,
            workload.failed,
            workload.waiting,
        ];
        found.extend(to_maps(plain, Way::Plain));
    }
}

fn to_maps<const N: usize>(roots: [MapRoot; N], way: Way) -> impl Iterator<Item = Reference> {
    let roots = roots.into_iter().flatten();
    roots.map(move |root| Reference::Map(root, way))
}

/// Calls `each` with all objects of a content, the recipe first.
pub(super) fn of_content<E: From<TreeError>>(
    repo: &Repository,
    content: ContentId,
    each: &mut dyn FnMut(Kind, ObjectId) -> Result<(), E>,
) -> Result<(), E> {
    let Some(kind) = content.shape.kind() else {
        return Ok(());
    };
    each(kind, content.object)?;
    if content.shape != Shape::Recipe {
        return Ok(());
    }
    let recipe = recipe(repo, kind, &content.object)?;
    recipe.objects().try_for_each(|(kind, id)| each(kind, id))
}

/// Reads a recipe.
pub(super) fn recipe(repo: &Repository, kind: Kind, id: &ObjectId) -> Result<Recipe, TreeError> {
    Recipe::decode(&repo.get(kind, id)?).map_err(|_| TreeError::Corrupt {
        what: "recipe",
        why: "it is not what it should be; a newer tenantfs may have written it",
    })
}
