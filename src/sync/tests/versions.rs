//! Older versions of files: which are asked for, which stay, and what happens to those that can't be had.

use super::*;
use crate::tree::{Entry, versions};

const FILE: &str = "f1";

/// A drive with three files, of which so many older versions are kept.
fn drive(changed: usize, new: usize) -> Rig {
    let cloud = Cloud::new(true, &[(ANN, "ann@contoso.test")]);
    cloud.folder(ANN, "dir", None, "Dir");
    for id in ["f1", "f2", "f3"] {
        cloud.item(ANN, id, Some("dir"), id);
    }
    cloud.inner.lock().keep = (changed, new);
    Rig::new(cloud)
}

fn edit(rig: &Rig, id: &str) {
    rig.cloud.change(ANN, id, |item, now| item.version = now);
}

/// Calls for lists and for contents of versions since the last time.
fn asked(rig: &Rig) -> (u64, u64) {
    let calls = (rig.cloud.calls("versions"), rig.cloud.calls("version"));
    rig.cloud.reset_calls();
    calls
}

/// The entry of a file in the newest snapshot, wherever it is.
fn entry(rig: &Rig, id: &str) -> Entry {
    let snapshot = rig.cx.repo.snapshots().unwrap().pop().unwrap();
    let nodes = Nodes::new(&rig.cx.repo);
    let tag = rig.key(id).tag();
    let mut all = view::walk(&nodes, snapshot.manifest.tree).map(|found| found.unwrap().1);
    all.find(|entry| entry.tag == tag).unwrap()
}

/// Contents of a file's older versions, oldest first; names, sizes and records are held against them.
fn stored(rig: &Rig, id: &str) -> Vec<Vec<u8>> {
    let nodes = Nodes::new(&rig.cx.repo);
    let mut all = Vec::new();
    for (name, version) in versions::list(&nodes, entry(rig, id).versions).unwrap() {
        let (content, size) = version.content().unwrap();
        let bytes = read_all(&rig.cx.repo, content, 1 << 20).unwrap().to_vec();
        assert_eq!(bytes.len() as u64, size);
        assert!(name.starts_with("2026-09-21T"), "{name}");
        let record = version.record.unwrap();
        let record = rig.cx.repo.get(crate::repo::Kind::Record, &record).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let number = record["number"].as_u64().unwrap();
        assert_eq!(bytes, Cloud::content(id, number));
        all.push((number, bytes));
    }
    all.sort();
    all.into_iter().map(|(_, bytes)| bytes).collect()
}

/// What the service has of them.
fn kept_by_service(rig: &Rig, id: &str) -> Vec<Vec<u8>> {
    let inner = rig.cloud.inner.lock();
    let older = inner.stores[ANN].items[id].older.iter();
    older.map(|number| Cloud::content(id, *number)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_unless_wanted_and_only_of_what_changed() {
    let rig = drive(0, 0);
    rig.cycle().await.unwrap();
    edit(&rig, FILE);
    rig.cycle().await.unwrap();
    assert_eq!(asked(&rig), (0, 0));
    assert!(stored(&rig, FILE).is_empty());

    rig.cloud.inner.lock().keep = (10, 0);
    assert_eq!(rig.cycle().await.unwrap().snapshot, None);
    assert_eq!(asked(&rig), (0, 0));
    // Several edits at once: all that is there, with what was missed before.
    edit(&rig, FILE);
    edit(&rig, FILE);
    edit(&rig, "f2");
    rig.cloud.item(ANN, "new", Some("dir"), "new");
    let outcome = rig.cycle().await.unwrap();
    assert_eq!(asked(&rig), (2, 4));
    assert_eq!(stored(&rig, FILE).len(), 3);
    assert_eq!(stored(&rig, FILE), kept_by_service(&rig, FILE));
    assert_eq!(outcome.report.totals.fetched, 3 + 4);
    // Only what is not stored yet.
    edit(&rig, FILE);
    rig.cycle().await.unwrap();
    assert_eq!(asked(&rig), (1, 1));
    assert_eq!(stored(&rig, FILE), kept_by_service(&rig, FILE));
    // A sweep finds the files as they are.
    rig.advance(8 * 86_400);
    rig.cycle().await.unwrap();
    assert_eq!(asked(&rig), (0, 0));
    rig.assert_same(ANN);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_new_bring_their_history_when_wanted() {
    let rig = drive(5, 5);
    for _ in 0..3 {
        edit(&rig, FILE);
    }
    rig.cycle().await.unwrap();
    assert_eq!(asked(&rig), (3, 3));
    assert_eq!(stored(&rig, FILE), kept_by_service(&rig, FILE));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_stay_with_their_file_and_in_older_snapshots() {
    let rig = drive(5, 0);
    rig.cycle().await.unwrap();
    edit(&rig, FILE);
    rig.cycle().await.unwrap();
    let root = entry(&rig, FILE).versions;
    assert!(root.is_some());
    // Renamed and moved, and its folder too: the same versions, no request.
    asked(&rig);
    rig.cloud.folder(ANN, "other", None, "Other");
    rig.cloud.change(ANN, FILE, |item, _| {
        item.name = "renamed".into();
        item.folder = Some("other".into());
    });
    rig.cloud.move_folder(ANN, "dir", Some("other"), "Moved");
    rig.cycle().await.unwrap();
    assert_eq!(entry(&rig, FILE).versions, root);
    assert_eq!(asked(&rig), (0, 0));
    // Off again: they stay, even when the file changes.
    rig.cloud.inner.lock().keep = (0, 0);
    edit(&rig, FILE);
    rig.cycle().await.unwrap();
    assert_eq!(entry(&rig, FILE).versions, root);
    // A content that can't be had: what is stored of the file stays, with its versions.
    rig.cloud.inner.lock().keep = (5, 0);
    let bad = |class: Option<ErrorClass>| {
        let faults = &mut rig.cloud.inner.lock().faults;
        faults.bad = class
            .map(|class| (FILE.to_owned(), class))
            .into_iter()
            .collect();
    };
    bad(Some(ErrorClass::Corrupt));
    edit(&rig, FILE);
    rig.cycle().await.unwrap();
    assert_eq!(entry(&rig, FILE).versions, root);
    bad(None);
    rig.advance(2 * 86_400);
    rig.cycle().await.unwrap();
    assert_eq!(stored(&rig, FILE), kept_by_service(&rig, FILE));

    rig.cloud.delete(ANN, FILE);
    let before = rig.cx.repo.snapshots().unwrap().pop().unwrap();
    rig.cycle().await.unwrap();
    let nodes = Nodes::new(&rig.cx.repo);
    let (mut hits, none) = (Vec::new(), Default::default());
    let all = rig.cx.repo.snapshots().unwrap();
    let roots = all
        .iter()
        .map(|s| (s.name.as_str(), s.manifest.tree, s.manifest.state));
    crate::tree::damage::find_hits(&rig.cx.repo, &nodes, &none, roots, |hit| hits.push(hit));
    assert!(hits.is_empty(), "{hits:?}");
    let old = view::walk(&nodes, before.manifest.tree).map(|found| found.unwrap().1);
    let with_versions: Vec<Entry> = old.filter(|entry| entry.versions.is_some()).collect();
    assert_eq!(with_versions.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_are_kept_also_of_those_that_the_service_dropped() {
    let rig = drive(3, 0);
    rig.cycle().await.unwrap();
    for _ in 0..6 {
        edit(&rig, FILE);
    }
    rig.cycle().await.unwrap();
    assert_eq!(asked(&rig), (1, 3));
    let all = kept_by_service(&rig, FILE);
    assert_eq!(stored(&rig, FILE), all[3..]);
    // The service thins them out: only the two oldest and the newest are left.
    rig.cloud.change(ANN, FILE, |item, now| {
        item.older.drain(2..);
        item.version = now;
    });
    rig.cycle().await.unwrap();
    let now = kept_by_service(&rig, FILE);
    assert_eq!(now.len(), 3);
    // Older ones do not push out newer ones, and are not even asked for.
    assert_eq!(asked(&rig), (1, 1));
    assert_eq!(stored(&rig, FILE), [&all[4..], &now[2..]].concat());
    // Fewer are wanted.
    rig.cloud.inner.lock().keep = (1, 0);
    edit(&rig, FILE);
    rig.cycle().await.unwrap();
    assert_eq!(stored(&rig, FILE), kept_by_service(&rig, FILE)[3..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_is_a_line_in_the_report_and_costs_nothing_else() {
    let rig = drive(5, 0);
    rig.cycle().await.unwrap();
    for _ in 0..3 {
        edit(&rig, FILE);
    }
    let all = kept_by_service(&rig, FILE);
    let ids: Vec<String> = {
        let inner = rig.cloud.inner.lock();
        let older = inner.stores[ANN].items[FILE].older.iter();
        older.map(|number| format!("{number}.0")).collect()
    };
    // One is gone meanwhile, which is nothing to tell of; one comes damaged.
    let bad = |rules: &[(&str, ErrorClass)]| {
        let faults = &mut rig.cloud.inner.lock().faults;
        faults.bad_versions = rules
            .iter()
            .map(|(id, class)| ((*id).into(), *class))
            .collect();
    };
    bad(&[
        (&ids[0], ErrorClass::NotFound),
        (&ids[1], ErrorClass::Corrupt),
    ]);
    let outcome = rig.cycle().await.unwrap();
    assert!(!outcome.report.has_failures());
    assert_eq!(outcome.report.notes.len(), 1, "{:?}", outcome.report.notes);
    let told = format!("{:?}", outcome.report.notes[0]);
    assert!(told.contains(&format!("version {}", ids[1])), "{told}");
    assert!(!told.contains(&format!("version {}", ids[0])), "{told}");
    assert_eq!(stored(&rig, FILE), all[2..]);
    rig.assert_same(ANN);
    // It is asked for again when the file changes, and a list that can't be had costs none.
    rig.cloud.inner.lock().faults.unlisted.insert(FILE.into());
    edit(&rig, FILE);
    let outcome = rig.cycle().await.unwrap();
    assert_eq!(outcome.report.notes.len(), 1, "{:?}", outcome.report.notes);
    assert_eq!(stored(&rig, FILE), all[2..]);
    rig.assert_same(ANN);
    bad(&[]);
    rig.cloud.inner.lock().faults.unlisted.clear();
    edit(&rig, FILE);
    let outcome = rig.cycle().await.unwrap();
    assert!(outcome.report.notes.is_empty());
    assert_eq!(stored(&rig, FILE), kept_by_service(&rig, FILE));
}
