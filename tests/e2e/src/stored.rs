//! The files of a repository, to be looked at and damaged: in a directory or in a bucket.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use futures::TryStreamExt;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::corpus;

/// Where a repository is.
pub enum Stored {
    Directory(PathBuf),
    Bucket {
        store: Arc<dyn ObjectStore>,
        prefix: String,
        runtime: tokio::runtime::Runtime,
    },
}

impl Stored {
    /// Names of all files below a folder, sorted.
    pub fn list(&self, folder: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        match self {
            Stored::Directory(root) => {
                for file in corpus::files(&root.join(folder)) {
                    names.push(file.strip_prefix(root)?.display().to_string());
                }
            }
            Stored::Bucket {
                store,
                prefix,
                runtime,
            } => {
                let listed = store.list(Some(&StorePath::from(format!("{prefix}/{folder}"))));
                for file in runtime.block_on(listed.try_collect::<Vec<_>>())? {
                    let name = file.location.as_ref().strip_prefix(prefix.as_str());
                    names.extend(name.map(|name| name.trim_start_matches('/').to_owned()));
                }
            }
        }
        names.sort();
        Ok(names)
    }

    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        match self {
            Stored::Directory(root) => Ok(fs::read(root.join(name))?),
            Stored::Bucket { store, runtime, .. } => {
                let path = self.path(name);
                let bytes = runtime.block_on(async { store.get(&path).await?.bytes().await })?;
                Ok(bytes.to_vec())
            }
        }
    }

    pub fn write(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        match self {
            Stored::Directory(root) => fs::write(root.join(name), bytes)?,
            Stored::Bucket { store, runtime, .. } => {
                runtime.block_on(store.put(&self.path(name), bytes.into()))?;
            }
        }
        Ok(())
    }

    pub fn remove(&self, name: &str) -> Result<()> {
        match self {
            Stored::Directory(root) => fs::remove_file(root.join(name))?,
            Stored::Bucket { store, runtime, .. } => {
                runtime.block_on(store.delete(&self.path(name)))?;
            }
        }
        Ok(())
    }

    /// Changes what a file says; one of which nothing is left is removed.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let mut bytes = self.read(name)?;
        change(&mut bytes);
        match bytes.is_empty() {
            true => self.remove(name),
            false => self.write(name, bytes),
        }
    }

    fn path(&self, name: &str) -> StorePath {
        match self {
            Stored::Directory(_) => StorePath::from(name),
            Stored::Bucket { prefix, .. } => StorePath::from(format!("{prefix}/{name}")),
        }
    }
}
