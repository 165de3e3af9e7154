//! A repository that an earlier build of this format version made. It must open for ever.
//!
//! `golden/` was written by `make` below; it is never made again for format version 1.

use std::fs;

use super::super::content::{self, Encoding, Eol, MailParts, Piece};
use super::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/repo/tests/golden");

/// What is in it: chunks, a mail with a part, a record, a node.
fn fill(repo: &Repository) -> Snapshot {
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    let mut file = content::Writer::new(&mut stream);
    file.write(&document()).unwrap();
    let (document, _) = file.finish().unwrap();
    let (mail, _) = content::put_mail(&mut stream, &mail()).unwrap();
    let record = format!(
        "{} {:?} {} {:?}",
        document.object, document.shape, mail.object, mail.shape
    );
    let report = stream.put(Kind::Record, record.as_bytes()).unwrap();
    let tree = stream.put(Kind::Node, b"a tree").unwrap();
    let manifest = SnapshotManifest {
        time: 1_795_312_800,
        host: "golden".into(),
        complete: true,
        tree: Some(tree),
        report: Some(report),
        totals: Totals {
            accounts: 1,
            files: 2,
            ..Totals::default()
        },
        ..SnapshotManifest::default()
    };
    writer.commit(manifest).unwrap()
}

fn document() -> Vec<u8> {
    // Several chunks, and small in a repository of source code.
    let mut text = b"All happy families are alike; ".repeat(100_000);
    text.extend_from_slice(&noise(7, 300));
    text
}

fn mail() -> MailParts<'static> {
    let decoded = b"What is in the attachment is in the attachment. ".repeat(120);
    MailParts {
        skeleton: b"Subject: golden\r\n\r\n--b\r\n\r\n--b--\r\n"
            .as_slice()
            .into(),
        pieces: vec![
            Piece::Skeleton { len: 26 },
            Piece::Part {
                decoded: decoded.into(),
                encoding: Encoding::Base64 {
                    line: 76,
                    eol: Eol::CrLf,
                },
            },
            Piece::Skeleton { len: 7 },
        ],
    }
}

#[test]
#[ignore = "writes the fixture; for a new format version only"]
fn make() {
    let place = Place::new();
    fill(&place.init());
    for file in files(&place.root())
        .into_iter()
        .filter(|file| file != "lock")
    {
        let to = Path::new(FOLDER).join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(place.root().join(&file), to).unwrap();
    }
}

#[test]
fn the_first_repository_still_opens_and_dedups() {
    let place = Place::new();
    for file in files(Path::new(FOLDER)) {
        let to = place.root().join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(Path::new(FOLDER).join(&file), to).unwrap();
    }
    let repo = place.open();
    let report = repo.verify(true, &|_, _| {}).unwrap();
    assert!(
        report.is_clean() && report.unindexed.is_empty(),
        "{report:?}"
    );
    let [snapshot] = repo.snapshots().unwrap().try_into().unwrap();
    assert_eq!(
        (snapshot.name.as_str(), snapshot.manifest.host.as_str()),
        ("2026-11-22T020000Z", "golden")
    );
    assert_eq!(
        repo.get(Kind::Node, &snapshot.manifest.tree.unwrap())
            .unwrap(),
        &b"a tree"[..]
    );
    // The same input gives the same objects: ids, cut points and recipes are as they were.
    let before = repo.stats().unwrap();
    let again = fill(&repo);
    assert_eq!(again.manifest.tree, snapshot.manifest.tree);
    assert_eq!(again.manifest.report, snapshot.manifest.report);
    let after = repo.stats().unwrap();
    assert_eq!(
        (after.objects, after.data_bytes, after.meta_bytes),
        (before.objects, before.data_bytes, before.meta_bytes)
    );
    let mut same = content::IdOnly(&repo);
    let mut file = content::Writer::new(&mut same);
    file.write(&document()).unwrap();
    assert_eq!(
        content::read_all(&repo, file.finish().unwrap().0, 1 << 30).unwrap(),
        document()
    );
}
