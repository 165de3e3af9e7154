//! Copies that are whole, cost what is new, and are not stopped by what became of others.

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
fn what_was_tagged_or_trimmed_since_it_was_copied_stops_no_copy() {
    let mut mailbox = Mailbox::new();
    let mut first = mailbox.snapshot();
    let target = TestRepository::for_copies_of(&mailbox.test.repo);
    copy(&mailbox, &target.writer, &first);
    let copied = first.clone();
    first.manifest.tags.insert("audit".into());
    first.manifest.state = None;
    first.manifest.forgotten = 1;
    mailbox
        .test
        .repo
        .maintain()
        .unwrap()
        .replace(&first)
        .unwrap();
    mailbox.put(ITEMS..ITEMS + 5);
    let second = mailbox.snapshot();
    let mut copier = Copier::new(&mailbox.test.repo, &target.writer).unwrap();
    assert!(copier.has(&first) && copier.common.is_empty());
    assert_eq!(copier.copy(&first, &mut |_| {}).unwrap(), Copied::default());
    assert!(copier.common.is_empty(), "it is no base");
    copier.copy(&second, &mut |_| {}).unwrap();
    check_whole(&target, &[&copied, &second]);
    // Another commit of that name is none of it.
    let mut other = first;
    other.manifest.host = "another".into();
    assert!(!copier.has(&other));
    let refused = copier.copy(&other, &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("another one"), "{refused}");
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
