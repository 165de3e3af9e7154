//! Where nodes are read from and written to.
//!
//! [`Nodes`] reads: a handle to the repository with a bounded cache of decoded nodes, cheap to clone
//! and shared by all threads. [`NodeSink`] writes. Both are small seams over [`crate::repo`], so that
//! the tree's own tests can count every byte.

use super::TreeError;
use super::map::Shape;
use super::node::{Borders, Node};
use crate::repo::{Kind, ObjectId, RepoError, Repository, Stream};
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// Memory of the cache of decoded nodes unless told otherwise, in bytes.
pub const DEFAULT_CACHE: u64 = 32 << 20;

/// Reads encoded nodes.
pub trait NodeSource: Send + Sync {
    /// The bytes of a node.
    fn get_node(&self, id: &ObjectId) -> Result<Bytes, RepoError>;
}

impl NodeSource for Repository {
    fn get_node(&self, id: &ObjectId) -> Result<Bytes, RepoError> {
        self.get(Kind::Node, id)
    }
}

/// Takes encoded nodes; what was put can be read at once.
pub trait NodeSink {
    /// Stores a node and returns its id.
    fn put_node(&mut self, bytes: &[u8]) -> Result<ObjectId, RepoError>;
}

impl NodeSink for Stream {
    fn put_node(&mut self, bytes: &[u8]) -> Result<ObjectId, RepoError> {
        self.put(Kind::Node, bytes)
    }
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<ObjectId, Arc<Node>> for ByWeight {
    fn weight(&self, _: &ObjectId, node: &Arc<Node>) -> u64 {
        node.weight()
    }
}

/// A handle for reading the nodes of one repository. Clones share the cache.
#[derive(Clone)]
pub struct Nodes {
    source: Arc<dyn NodeSource>,
    border_key: [u8; 32],
    cache: Arc<Cache<ObjectId, Arc<Node>, ByWeight>>,
}

impl Nodes {
    /// Reads from `repo`, with a cache of [`DEFAULT_CACHE`] bytes.
    pub fn new(repo: &Repository) -> Nodes {
        Self::with_cache(repo, DEFAULT_CACHE)
    }

    /// Reads from `repo`, with a cache of at most `bytes` bytes.
    pub fn with_cache(repo: &Repository, bytes: u64) -> Nodes {
        Self::over(
            Arc::new(repo.clone()),
            repo.keyed_hash("tree node borders", b""),
            bytes,
        )
    }

    /// Reads from any source. `border_key` decides where nodes end: it must be the same for everyone
    /// who writes to one repository.
    pub fn over(source: Arc<dyn NodeSource>, border_key: [u8; 32], cache_bytes: u64) -> Nodes {
        let expected = (cache_bytes / 4096).max(16) as usize;
        Nodes {
            source,
            border_key,
            cache: Arc::new(Cache::with_weighter(expected, cache_bytes, ByWeight)),
        }
    }

    pub(crate) fn borders(&self, shape: Shape) -> Borders {
        let (leaf, inner) = shape.scales();
        Borders {
            key: self.border_key,
            leaf,
            inner,
        }
    }

    pub(crate) fn load(&self, id: &ObjectId) -> Result<Arc<Node>, TreeError> {
        if let Some(node) = self.cache.get(id) {
            return Ok(node);
        }
        // A copy: what was read is a slice of a frame, which the cached node would keep as a whole.
        let bytes = Bytes::copy_from_slice(&self.source.get_node(id)?);
        let node = Arc::new(Node::decode(bytes)?);
        self.cache.insert(*id, node.clone());
        Ok(node)
    }

    /// A child as its parent describes it. Levels fall by one on every step, so no chain of nodes is
    /// endless; positions rest on the counts, so they must agree.
    pub(crate) fn load_child(&self, parent: &Node, index: usize) -> Result<Arc<Node>, TreeError> {
        let (id, count) = parent.child(index);
        let node = self.load(&id)?;
        if node.level() + 1 != parent.level() || node.total() != count {
            return Err(TreeError::Corrupt {
                what: "tree node",
                why: "it is not what its parent says",
            });
        }
        Ok(node)
    }
}
