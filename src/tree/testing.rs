//! A repository in memory for the tree's own tests: it counts what is written.

use super::nodes::{NodeSink, NodeSource, Nodes};
use crate::repo::{InitOptions, KdfCost, Location, ObjectId, RepoError, Repository, Writer};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Nodes by id; clones share them.
#[derive(Clone, Default)]
pub(crate) struct MemoryStore {
    objects: Arc<Mutex<HashMap<ObjectId, Bytes>>>,
    counters: Arc<Mutex<Counters>>,
}

#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counters {
    pub(crate) new_nodes: u64,
    pub(crate) new_bytes: u64,
    pub(crate) reads: u64,
}

impl MemoryStore {
    pub(crate) fn nodes(&self) -> Nodes {
        self.nodes_with_cache(8 << 20)
    }

    pub(crate) fn nodes_with_cache(&self, bytes: u64) -> Nodes {
        Nodes::over(Arc::new(self.clone()), [42; 32], bytes)
    }

    /// What happened since the last call.
    pub(crate) fn counters(&self) -> Counters {
        std::mem::take(&mut *self.counters.lock())
    }
}

impl NodeSource for MemoryStore {
    fn get_node(&self, id: &ObjectId) -> Result<Bytes, RepoError> {
        self.counters.lock().reads += 1;
        Ok(self
            .objects
            .lock()
            .get(id)
            .cloned()
            .expect("a node that was put"))
    }
}

impl NodeSink for MemoryStore {
    fn put_node(&mut self, bytes: &[u8]) -> Result<ObjectId, RepoError> {
        let hash = blake3::hash(bytes);
        let id = ObjectId::from_slice(&hash.as_bytes()[..20]).expect("20 bytes");
        let mut objects = self.objects.lock();
        if objects.insert(id, Bytes::copy_from_slice(bytes)).is_none() {
            let mut counters = self.counters.lock();
            counters.new_nodes += 1;
            counters.new_bytes += bytes.len() as u64;
        }
        Ok(id)
    }
}

/// A real repository in a temporary folder.
pub(crate) struct TestRepository {
    pub(crate) writer: Writer,
    pub(crate) repo: Repository,
    folder: tempfile::TempDir,
}

impl TestRepository {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Local(folder.path().join("repo"));
        let options = InitOptions {
            kdf: KdfCost::cheapest(),
            local: Some(folder.path().join("local")),
            ..InitOptions::default()
        };
        let repo = Repository::init(&location, &password(), &options).unwrap();
        TestRepository {
            writer: repo.writer().unwrap(),
            repo,
            folder,
        }
    }

    /// As another process sees it.
    pub(crate) fn reopen(&self) -> Repository {
        let location = Location::Local(self.folder.path().join("repo"));
        Repository::open(&location, &password(), &self.folder.path().join("other")).unwrap()
    }
}

fn password() -> secrecy::SecretString {
    secrecy::SecretString::from("correct horse battery staple")
}
