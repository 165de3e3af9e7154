//! A repository with a tree that a test wants, and a mount of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use tempfile::TempDir;
use tenantfs::repo::content::{self, MailParts};
use tenantfs::repo::{
    InitOptions, KdfCost, Kind, Location, ObjectId, Repository, SnapshotManifest, Stream,
};
use tenantfs::tree::entry::Entry;
use tenantfs::tree::map::Shape;
use tenantfs::tree::{ItemKey, Map, MapRoot, Nodes, versions};
use tenantfs_mount::{Mount, MountConfig, MountHandle};

/// What a test puts in a folder.
pub enum Item {
    Mail {
        bytes: Vec<u8>,
        mtime: i64,
        record: Option<String>,
    },
    Blob {
        bytes: Vec<u8>,
        mtime: i64,
    },
    /// A file with older versions.
    Versioned {
        bytes: Vec<u8>,
        mtime: i64,
        older: Vec<(i64, Vec<u8>)>,
    },
    Dir(Dir, Option<String>),
}

pub type Dir = BTreeMap<String, Item>;

pub fn mail(text: impl Into<Vec<u8>>, mtime: i64) -> Item {
    Item::Mail {
        bytes: text.into(),
        mtime,
        record: None,
    }
}

pub fn mail_with_record(text: &str, mtime: i64, record: &str) -> Item {
    Item::Mail {
        bytes: text.as_bytes().to_vec(),
        mtime,
        record: Some(record.to_owned()),
    }
}

pub fn dir(items: impl IntoIterator<Item = (&'static str, Item)>) -> Item {
    Item::Dir(
        items
            .into_iter()
            .map(|(name, item)| (name.to_owned(), item))
            .collect(),
        None,
    )
}

pub fn folder(items: impl IntoIterator<Item = (&'static str, Item)>) -> Dir {
    items
        .into_iter()
        .map(|(name, item)| (name.to_owned(), item))
        .collect()
}

pub struct Fixture {
    pub root: TempDir,
    pub repo: Repository,
}

impl Default for Fixture {
    fn default() -> Self {
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("mnt")).unwrap();
        let location = Location::Local(root.path().join("repo"));
        let kdf = KdfCost {
            memory_kib: 64,
            passes: 1,
            lanes: 1,
        };
        let options = InitOptions {
            kdf,
            local: Some(root.path().join("local")),
            ..InitOptions::default()
        };
        let repo = Repository::init(&location, &SecretString::from("secret"), &options).unwrap();
        Fixture { root, repo }
    }
}

impl Fixture {
    pub fn mountpoint(&self) -> PathBuf {
        self.root.path().join("mnt")
    }

    /// Commits a snapshot of `tree` and returns its name.
    pub fn commit(&self, time: i64, tree: &Dir) -> String {
        self.commit_with(time, tree, None, true)
    }

    pub fn commit_with(
        &self,
        time: i64,
        tree: &Dir,
        report: Option<&str>,
        complete: bool,
    ) -> String {
        let writer = self.repo.writer().unwrap();
        let mut stream = writer.stream();
        let nodes = Nodes::new(&self.repo);
        let tree = store(&mut stream, &nodes, tree);
        let report = report.map(|json| stream.put(Kind::Record, json.as_bytes()).unwrap());
        let manifest = SnapshotManifest {
            time,
            complete,
            tree,
            report,
            host: "test".into(),
            ..Default::default()
        };
        writer.commit(manifest).unwrap().name
    }

    pub fn config(&self) -> MountConfig {
        MountConfig::new(self.mountpoint(), self.repo.clone())
    }

    pub fn mount(&self) -> MountHandle {
        Mount::start(self.config()).unwrap()
    }

    pub fn snapshots(&self) -> PathBuf {
        self.mountpoint().join("snapshots")
    }
}

pub fn store(stream: &mut Stream, nodes: &Nodes, tree: &Dir) -> MapRoot {
    let edits: Vec<_> = tree
        .iter()
        .map(|(name, item)| {
            let entry = match item {
                Item::Mail {
                    bytes,
                    mtime,
                    record,
                } => {
                    let (content, size) =
                        content::put_mail(stream, &MailParts::whole(bytes)).unwrap();
                    Entry::file(content, size, *mtime, put_record(stream, record))
                }
                Item::Blob { bytes, mtime } => {
                    let mut writer = content::Writer::new(stream);
                    writer.write(bytes).unwrap();
                    let (content, size) = writer.finish().unwrap();
                    Entry::file(content, size, *mtime, None)
                }
                Item::Versioned {
                    bytes,
                    mtime,
                    older,
                } => {
                    let mut put = |bytes: &[u8], time| {
                        let mut writer = content::Writer::new(stream);
                        writer.write(bytes).unwrap();
                        let (content, size) = writer.finish().unwrap();
                        Entry::file(content, size, time, None)
                    };
                    let entry = put(bytes, *mtime);
                    let older = older.iter().zip(1u8..);
                    let add = older
                        .map(|((time, bytes), n)| (ItemKey::from_hash(&[n; 32]), put(bytes, *time)))
                        .collect();
                    let versions = versions::change(nodes, None, |_| true, add, stream);
                    Entry {
                        versions: versions.unwrap(),
                        ..entry
                    }
                }
                Item::Dir(items, record) => {
                    let root = store(stream, nodes, items);
                    Entry {
                        record: put_record(stream, record),
                        ..Entry::dir(root, 1_700_000_000)
                    }
                }
            };
            (name.as_bytes().to_vec(), Some(entry.encode(name)))
        })
        .collect();
    Map::new(nodes, None, Shape::Directory)
        .apply(stream, edits)
        .unwrap()
        .root()
}

fn put_record(stream: &mut Stream, record: &Option<String>) -> Option<ObjectId> {
    record
        .as_ref()
        .map(|json| stream.put(Kind::Record, json.as_bytes()).unwrap())
}

/// Names in a folder, sorted.
pub fn names(path: impl AsRef<Path>) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The errno that an operation failed with.
pub fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}
