//! Out and in again, and tars that somebody made up.

use std::collections::BTreeMap;

use tar::{Builder, EntryType, Header};

use super::*;
use crate::repo::content::{self, ContentId, Reader};
use crate::repo::{Kind, ObjectId, Repository, Snapshot, SnapshotManifest, Stream};
use crate::sync::put_mail;
use crate::tree::state::{AccountState, Accounts, WorkloadState};
use crate::tree::testing::TestRepository;
use crate::tree::{CollectionRoot, Editor, Entry, ItemKey, Nodes, versions, view};

fn key(n: u32) -> ItemKey {
    ItemKey::from_hash(blake3::hash(&n.to_le_bytes()).as_bytes())
}

fn noise(n: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&n.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn put(stream: &mut Stream, bytes: &[u8]) -> (ContentId, u64) {
    let mut writer = content::Writer::new(stream);
    writer.write(bytes).unwrap();
    writer.finish().unwrap()
}

/// Two folders with a mail that has an original, a large file with two versions, an empty file, a folder
/// with a record, long names, and one whose record's name is taken by a folder.
fn make(test: &TestRepository) -> Snapshot {
    let nodes = Nodes::new(&test.repo);
    let mut stream = test.writer.stream();
    let mut editor = Editor::new(&nodes, CollectionRoot::default());
    let record = |stream: &mut Stream, text: &str| {
        let json = format!("{{\"id\": \"{text}\"}}");
        Some(stream.put(Kind::Record, json.as_bytes()).unwrap())
    };
    let inbox = record(&mut stream, "inbox");
    editor
        .upsert_dir(key(1), ItemKey::ROOT, "Inbox", 5, inbox)
        .unwrap();
    editor
        .upsert_dir(key(2), key(1), "a.txt.json", 6, None)
        .unwrap();
    let attached = base64_lines(&noise(1, 30_000));
    let mail = format!("Subject: x\r\n\r\n{attached}\r\n--end--\r\n").into_bytes();
    let (content, size) = put_mail(&mut stream, &mail).unwrap();
    let mut entry = Entry::file(content, size, -77, record(&mut stream, "mail"));
    entry.original = Some(put(&mut stream, &noise(2, 5000)).0);
    let name = format!("mail.{}.eml", key(3).suffix());
    editor.upsert_file(key(3), key(1), &name, entry).unwrap();
    let (content, size) = put(&mut stream, &noise(4, 9_000_000));
    let mut entry = Entry::file(content, size, 1_795_312_800, record(&mut stream, "file"));
    let old = [20, 10].map(|n| {
        let (content, size) = put(&mut stream, &noise(n, 1000));
        let record = record(&mut stream, &n.to_string());
        (key(n), Entry::file(content, size, i64::from(n), record))
    });
    entry.versions = versions::change(&nodes, None, |_| true, old.into(), &mut stream).unwrap();
    editor.upsert_file(key(4), key(1), "a.txt", entry).unwrap();
    let long = format!("{}.bin", "é".repeat(120));
    for (n, name) in [(5, long.as_str()), (6, "empty"), (7, "b")] {
        let (content, size) = put(&mut stream, &noise(n, (n as usize % 3) * 100));
        let entry = Entry::file(content, size, 9, record(&mut stream, name));
        editor.upsert_file(key(n), key(2), name, entry).unwrap();
    }
    let root = editor.checkpoint(&mut stream).unwrap();
    let workload = WorkloadState {
        folder: "Inbox".into(),
        ..WorkloadState::default()
    };
    let account = AccountState {
        workloads: BTreeMap::from([("mail".into(), workload)]),
        ..AccountState::default()
    };
    let accounts = BTreeMap::from([("id".to_owned(), Some(account))]);
    let state = Accounts::new(&nodes, None).set(&mut stream, &accounts);
    let manifest = SnapshotManifest {
        state: state.unwrap().root(),
        time: 1_795_312_800,
        host: "there".into(),
        complete: true,
        tree: root.dir,
        report: record(&mut stream, "report"),
        ..SnapshotManifest::default()
    };
    test.writer.commit(manifest).unwrap()
}

fn base64_lines(bytes: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    lines.join("\r\n")
}

fn out(repo: &Repository, snapshot: &Snapshot, path: &str) -> Vec<u8> {
    let mut tar = Vec::new();
    export(repo, snapshot, path, &mut tar, &mut |_, _| {}).unwrap();
    tar
}

/// All that a snapshot shows and has besides, by path: bytes and facts, no ids.
fn facts(repo: &Repository, snapshot: &Snapshot) -> BTreeMap<String, Vec<u8>> {
    let nodes = Nodes::new(repo);
    let mut facts = BTreeMap::new();
    let bytes = |content: ContentId| {
        let reader = Reader::open(repo, content).unwrap();
        reader.read_at(0, reader.size() as usize).unwrap().to_vec()
    };
    let record = |id: ObjectId| repo.get(Kind::Record, &id).unwrap().to_vec();
    let mut add = |path: &str, entry: &Entry| {
        let shape = entry.content().map(|(content, size)| (content.shape, size));
        let text = format!("{:?} {} {}", shape, entry.mtime, entry.tag);
        facts.insert(format!("{path} facts"), text.into_bytes());
        for (what, found) in [
            (
                "content",
                entry.content().map(|(content, _)| bytes(content)),
            ),
            ("original", entry.original.map(bytes)),
            ("record", entry.record.map(record)),
        ] {
            facts.extend(found.map(|found| (format!("{path} {what}"), found)));
        }
    };
    for found in view::walk(&nodes, snapshot.manifest.tree) {
        let (path, entry) = found.unwrap();
        add(&path, &entry);
        for (name, version) in versions::list(&nodes, entry.versions).unwrap() {
            add(&format!("{path} {name}"), &version);
        }
    }
    facts.extend(
        snapshot
            .manifest
            .report
            .map(|id| ("report".into(), record(id))),
    );
    facts
}

#[test]
fn what_was_exported_comes_back_whole() {
    let (from, to) = (TestRepository::new(), TestRepository::new());
    let snapshot = make(&from);
    let tar = out(&from.repo, &snapshot, "");
    let imported = import(&to.repo, &tar[..], &mut |_, _| {}).unwrap();
    assert_eq!(imported.snapshot.name, snapshot.name);
    assert_eq!(imported.snapshot.manifest.host, "there");
    let workloads = BTreeMap::from([("Inbox".to_owned(), "mail".to_owned())]);
    assert_eq!(imported.snapshot.manifest.workloads, workloads);
    assert_eq!(imported.snapshot.manifest.totals.files, 5);
    let facts_of = facts(&from.repo, &snapshot);
    assert!(facts_of.len() > 25, "{:?}", facts_of.keys());
    let back = facts(&to.reopen(), &imported.snapshot);
    for (path, fact) in &facts_of {
        assert!(back.get(path) == Some(fact), "{path}");
    }
    assert_eq!(back.len(), facts_of.len());
    assert!(to.repo.verify(true, &|_, _| {}).unwrap().is_clean());
    // In the repository that it came from, content is found to be there already.
    let before = from.repo.stats().unwrap().data_bytes;
    let again = import(&from.repo, &tar[..], &mut |_, _| {}).unwrap();
    assert_eq!(again.snapshot.name, "2026-11-22T020001Z");
    assert_eq!(again.snapshot.manifest.tree, snapshot.manifest.tree);
    assert!(from.repo.stats().unwrap().data_bytes < before + 10_000);
}

#[test]
fn a_part_keeps_its_place() {
    let (from, to) = (TestRepository::new(), TestRepository::new());
    let snapshot = make(&from);
    let tar = out(&from.repo, &snapshot, "Inbox/a.txt.json");
    let imported = import(&to.repo, &tar[..], &mut |_, _| {}).unwrap();
    let all = facts(&from.repo, &snapshot);
    let part = facts(&to.repo, &imported.snapshot);
    assert!(part.contains_key("Inbox/a.txt.json/empty content"));
    assert!(!part.contains_key("Inbox/a.txt content"));
    for (path, fact) in &part {
        assert!(all.get(path) == Some(fact), "{path}");
    }
    let missing = export(&from.repo, &snapshot, "x", Vec::new(), &mut |_, _| {});
    assert!(matches!(missing, Err(TransferError::NoSuchPath { .. })));
}

#[test]
fn a_tar_shows_what_the_mount_shows() {
    let from = TestRepository::new();
    let snapshot = make(&from);
    let tar = out(&from.repo, &snapshot, "");
    let mut archive = tar::Archive::new(&tar[..]);
    let paths: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    for path in [
        "Inbox/",
        ".tenantfs/graph/Inbox.json",
        // `a.txt.json` is a folder, so the record of `a.txt` has another name.
        ".tenantfs/graph/Inbox/a.txt~1.json",
        ".tenantfs/versions/Inbox/a.txt/1970-01-01T000010Z/a.txt",
        ".tenantfs/report.json",
    ] {
        assert!(
            paths.iter().any(|found| found == path),
            "{path}: {paths:#?}"
        );
    }
    assert_eq!(paths.last().map(String::as_str), Some(MANIFEST));
}

#[test]
fn a_tar_that_was_cut_off_gives_no_snapshot() {
    let (from, to) = (TestRepository::new(), TestRepository::new());
    let snapshot = make(&from);
    let tar = out(&from.repo, &snapshot, "Inbox/a.txt.json");
    // The last two blocks are zero, and say nothing.
    for len in (0..tar.len() - 1024).step_by(256) {
        let cut = import(&to.repo, &tar[..len], &mut |_, _| {});
        assert!(
            matches!(cut, Err(TransferError::Truncated)),
            "{len} of {}: {cut:?}",
            tar.len()
        );
    }
    assert!(to.repo.snapshots().unwrap().is_empty());
}

/// A member of a tar: path, type, pax records without their prefix, bytes.
type Raw<'a> = (&'a str, EntryType, &'a [(&'a str, &'a str)], &'a [u8]);

fn forge(members: &[Raw<'_>]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, kind, attributes, data) in members {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_size(data.len() as u64);
        header.set_mtime(1);
        header.set_cksum();
        let mut pax = vec![("path".to_owned(), path.as_bytes())];
        for (name, value) in *attributes {
            pax.push((format!("{ATTRIBUTE}{name}"), value.as_bytes()));
        }
        let pax = pax.iter().map(|(name, value)| (name.as_str(), *value));
        tar.append_pax_extensions(pax).unwrap();
        tar.append(&header, *data).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Members with an end that counts them right.
fn ended(members: &[Raw<'_>]) -> Vec<u8> {
    let entries = members
        .iter()
        .filter(|(path, ..)| !path.starts_with(HIDDEN));
    let files = entries.clone().filter(|(_, kind, ..)| kind.is_file());
    let manifest = Manifest {
        version: VERSION,
        entries: entries.count() as u64,
        bytes: files.clone().map(|(.., data)| data.len() as u64).sum(),
        files: files.count() as u64,
        ..Manifest::default()
    };
    let json = serde_json::to_vec(&manifest).unwrap();
    let end: Raw<'_> = (MANIFEST, EntryType::Regular, &[("role", "manifest")], &json);
    forge(&[members, &[end]].concat())
}

#[test]
fn forged_tars_are_refused_with_the_path_and_the_reason() {
    use EntryType::{Directory, Fifo, Link, Regular, Symlink};
    let to = TestRepository::new();
    let dir: Raw<'_> = ("a/", Directory, &[], b"");
    let file: Raw<'_> = ("a/x", Regular, &[], b"x");
    let record = |of| -> [(&'static str, &'static str); 2] { [("role", "record"), ("of", of)] };
    let good = ended(&[
        dir,
        file,
        (".tenantfs/graph/a/x.json", Regular, &record("a/x"), b"{}"),
    ]);
    import(&to.repo, &good[..], &mut |_, _| {}).unwrap();
    let refused = |tar: Vec<u8>, why: &str| {
        let error = import(&to.repo, &tar[..], &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains(why), "{why}: {error}");
    };
    let no_path = "is no path";
    for path in ["../x", "/x", "a/../x", "a//x", "a/./x", "a/x\u{1}", "", "."] {
        refused(ended(&[dir, (path, Regular, &[], b"x")]), no_path);
    }
    for kind in [Symlink, Link, Fifo, EntryType::Char, EntryType::GNUSparse] {
        refused(ended(&[dir, ("a/x", kind, &[], b"")]), "neither a file");
    }
    let order = "out of order";
    refused(ended(&[dir, file, file]), order);
    refused(ended(&[dir, file, dir]), order);
    refused(ended(&[file]), order);
    refused(ended(&[dir, ("a/y", Regular, &[], b""), file]), order);
    refused(ended(&[file, ("a/x/y", Regular, &[], b"")]), order);
    let behind = "behind what it belongs to";
    let misplaced = (
        ".tenantfs/graph/y.json",
        Regular,
        &record("a/y")[..],
        &b"{}"[..],
    );
    refused(ended(&[dir, file, misplaced]), behind);
    let marked = "not marked";
    refused(ended(&[(".tenantfs/x", Regular, &[], b"")]), marked);
    refused(ended(&[("x", Regular, &record("x"), b"")]), marked);
    let hidden = (".tenantfs/x", Regular, &[("role", "secret")][..], &b""[..]);
    refused(ended(&[hidden]), marked);
    refused(
        ended(&[("x", Regular, &[("tag", "ffffffffffffffff")], b"")]),
        "impossible",
    );
    let version = [("role", "version"), ("of", "x"), ("version", "../1")];
    let version = (".tenantfs/versions/x", Regular, &version[..], &b""[..]);
    refused(ended(&[("x", Regular, &[], b""), version]), "no version");
    let counted = ended(&[dir, file]);
    let mut twice = counted.clone();
    twice.splice(
        ..0,
        forge(&[("0", Regular, &[], b"")]).into_iter().take(1536),
    );
    refused(twice, "it was");
    let mut behind_end = counted[..counted.len() - 1024].to_vec();
    behind_end.extend(forge(&[("z", Regular, &[], b"")]));
    refused(behind_end, "after the end");
    refused(forge(&[dir, file]), "too early");
    // A file that claims more than there is, however much that be.
    for size in [1 << 20, u64::MAX >> 8] {
        let mut header = Header::new_ustar();
        header.set_size(size);
        header.as_old_mut().name[0] = b'x';
        header.set_cksum();
        refused(header.as_bytes().to_vec(), "too early");
    }
    let huge = "y".repeat(100_000);
    refused(
        ended(&[("x", Regular, &[("more", &huge)], b"")]),
        "extended header of",
    );
    assert_eq!(to.repo.snapshots().unwrap().len(), 1);
}
