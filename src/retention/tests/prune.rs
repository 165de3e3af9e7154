//! What prune frees, what it leaves, and when it does nothing.

use super::*;
use crate::repo::{RepoError, RepoStats};

fn days(writer: &Writer, days: std::ops::Range<u64>) -> Vec<Snapshot> {
    days.map(|day| {
        let wanted = Wanted {
            day: day as i64,
            accounts: vec![("alice@x", day * 10..day * 10 + 20), ("bob@x", 5000..5010)],
            ..Wanted::default()
        };
        commit(writer, &wanted).unwrap()
    })
    .collect()
}

fn packs(repo: &Repository) -> RepoStats {
    repo.stats().unwrap()
}

#[test]
fn what_nothing_needs_goes_and_all_else_stays() {
    let (place, repo) = Place::new();
    let snapshots = days(&repo.writer().unwrap(), 0..6);
    let reader = place.open("reader");
    let old = snapshots[0].manifest.tree;
    assert_eq!(folders(&reader, old).len(), 2);
    let before = packs(&repo);
    let report = prune(&repo, &thorough()).unwrap();
    assert_eq!(report.live_objects, report.objects, "all is needed");
    assert_eq!(report.deleted, Default::default());
    forget(&repo, &Choice::Policy(keep_last(1))).unwrap();
    let dry = PruneOptions {
        dry_run: true,
        ..thorough()
    };
    let foreseen = prune(&repo, &dry).unwrap();
    assert_eq!(
        packs(&repo).objects,
        before.objects,
        "a dry run does nothing"
    );
    let report = prune(&repo, &thorough()).unwrap();
    assert_eq!(foreseen.deleted, report.deleted);
    assert_eq!(foreseen.repacked, report.repacked);
    let after = packs(&repo);
    assert!(after.bytes * 3 < before.bytes * 2, "{before:?} {after:?}");
    assert_eq!(
        after.objects, report.live_objects,
        "nothing useless is left"
    );
    check(&repo);
    check(&place.open("other"));
    // Who had the index open finds what was moved.
    assert_eq!(folders(&reader, snapshots[5].manifest.tree).len(), 2);
    check(&reader);
    let again = prune(&repo, &thorough()).unwrap();
    assert_eq!((again.deleted, again.repacked), Default::default());
    // And what was forgotten can be stored again.
    days(&repo.writer().unwrap(), 0..1);
    check(&repo);
}

#[test]
fn nothing_is_left_when_all_is_forgotten_but_an_empty_snapshot() {
    let (_place, repo) = Place::new();
    let writer = repo.writer().unwrap();
    days(&writer, 0..2);
    let wanted = Wanted {
        day: 5,
        ..Wanted::default()
    };
    commit(&writer, &wanted).unwrap();
    drop(writer);
    forget(&repo, &Choice::Policy(keep_last(1))).unwrap();
    let report = prune(&repo, &thorough()).unwrap();
    assert_eq!(report.live_objects, 1, "its report");
    assert_eq!(packs(&repo).objects, 1);
    check(&repo);
}

#[test]
fn limits_are_kept() {
    let (_place, repo) = Place::new();
    days(&repo.writer().unwrap(), 0..6);
    forget(&repo, &Choice::Policy(keep_last(1))).unwrap();
    let lazy = PruneOptions {
        max_unused: Unused::Bytes(1 << 40),
        ..PruneOptions::default()
    };
    let report = prune(&repo, &lazy).unwrap();
    assert_eq!(report.repacked, Default::default());
    let none = PruneOptions {
        max_repack: Some(0),
        ..thorough()
    };
    let report = prune(&repo, &none).unwrap();
    assert_eq!(report.repacked, Default::default());
    check(&repo);
    assert!(prune(&repo, &thorough()).unwrap().repacked.packs > 0);
    check(&repo);
}

#[test]
fn many_small_commits_end_in_few_packs() {
    let (_place, repo) = Place::new();
    let writer = repo.writer().unwrap();
    for day in 0..40 {
        let wanted = Wanted {
            day,
            accounts: vec![("alice@x", 1..day as u64 + 2)],
            ..Wanted::default()
        };
        commit(&writer, &wanted).unwrap();
    }
    drop(writer);
    let before = packs(&repo);
    assert!(before.data_packs + before.meta_packs >= 64);
    let report = prune(&repo, &PruneOptions::default()).unwrap();
    let after = packs(&repo);
    assert!(after.data_packs + after.meta_packs < 8, "{after:?}");
    assert_eq!(report.deleted.objects, 0, "all are in use");
    check(&repo);
}

#[test]
fn what_is_stored_twice_is_stored_once_afterwards() {
    let (place, repo) = Place::new();
    days(&repo.writer().unwrap(), 0..2);
    // Two who write at once and know nothing of each other.
    let (one, two) = (place.open("one"), place.open("two"));
    let (first, second) = (one.writer().unwrap(), two.writer().unwrap());
    days(&first, 7..8);
    days(&second, 7..8);
    drop((first, second));
    let report = prune(&repo, &thorough()).unwrap();
    assert!(report.deleted.objects > 50, "{report:?}");
    assert_eq!(packs(&repo).objects, report.live_objects);
    check(&repo);
}

#[test]
fn a_live_writer_keeps_what_it_relied_on_and_stores_the_rest_again() {
    let (place, repo) = Place::new();
    let snapshots = days(&repo.writer().unwrap(), 0..6);
    let other = place.open("other");
    let writer = other.writer().unwrap();
    // Begins before anything is condemned, and deduplicates against what will be.
    let mut stream = writer.stream();
    let nodes = Nodes::new(&other);
    let early = account(&nodes, &mut stream, "early@x", 0..15);
    drop(stream);
    let stats = writer.stats();
    assert!(stats.objects_known * 2 > stats.objects_new, "{stats:?}");
    forget(&repo, &Choice::Policy(keep_last(1))).unwrap();
    let report = prune(&repo, &thorough()).unwrap();
    assert_eq!(report.deleted.packs, 0, "the writer knows of no list yet");
    assert!(
        report.waiting.packs > 0 && report.waiting_for.len() == 1,
        "{report:?}"
    );
    // Its next commit tells it; what it put before is in no manifest yet.
    let wanted = Wanted {
        day: 20,
        accounts: vec![("late@x", 10..30)],
        ..Wanted::default()
    };
    commit(&writer, &wanted).unwrap();
    let report = prune(&repo, &thorough()).unwrap();
    assert!(report.waiting.packs > 0, "it relies on some: {report:?}");
    let mut stream = writer.stream();
    let states = BTreeMap::from([("id".to_owned(), Some(early))]);
    let changes = [(None, states["id"].as_ref())];
    let tree = set_accounts(&nodes, &mut stream, None, &changes).unwrap();
    let state = Accounts::new(&nodes, None)
        .set(&mut stream, &states)
        .unwrap();
    let report = stream.put(Kind::Record, b"{}").unwrap();
    drop(stream);
    let manifest = SnapshotManifest {
        time: START + 30 * DAY,
        complete: true,
        tree,
        state: state.root(),
        report: Some(report),
        ..SnapshotManifest::default()
    };
    writer.commit(manifest).unwrap();
    drop(writer);
    check(&repo);
    let report = prune(&repo, &thorough()).unwrap();
    assert_eq!(report.waiting, Default::default());
    check(&repo);
    let report = prune(&repo, &thorough()).unwrap();
    assert_eq!(report.waiting, Default::default());
    assert_eq!(packs(&repo).objects, report.live_objects);
    check(&place.open("third"));
    assert_eq!(snapshots.len(), 6);
}

#[test]
fn the_grace_period_is_waited_for() {
    let (_place, repo) = Place::new();
    days(&repo.writer().unwrap(), 0..4);
    forget(&repo, &Choice::Policy(keep_last(1))).unwrap();
    let patient = PruneOptions {
        grace: Some(std::time::Duration::from_secs(3600)),
        ..thorough()
    };
    let before = packs(&repo);
    let report = prune(&repo, &patient).unwrap();
    assert_eq!(report.deleted.packs, 0);
    assert!(
        report.waiting.packs > 0 && report.grace_left > 3000,
        "{report:?}"
    );
    check(&repo);
    let report = prune(&repo, &thorough()).unwrap();
    assert!(report.deleted.packs > 0, "{report:?}");
    assert!(packs(&repo).bytes < before.bytes);
    check(&repo);
}

#[test]
fn a_damaged_repository_is_not_pruned() {
    let (place, repo) = Place::new();
    let snapshots = days(&repo.writer().unwrap(), 0..3);
    forget(&repo, &named(&[&snapshots[0].name])).unwrap();
    let root = place.folder.path().join("repo");
    let refused = |repo: &Repository, spoil: &dyn Fn(), mend: &dyn Fn()| {
        spoil();
        let error = prune(repo, &thorough()).unwrap_err();
        mend();
        error
    };
    // A pack that is not listed.
    let folder = std::fs::read_dir(root.join("data"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let pack = std::fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let away = place.folder.path().join("away");
    let error = refused(&repo, &|| std::fs::rename(&pack, &away).unwrap(), &|| {
        std::fs::rename(&away, &pack).unwrap()
    });
    assert!(
        matches!(error, RetentionError::Repo(RepoError::ListingShrank { .. })),
        "{error}"
    );
    // A manifest that was lost.
    let manifest = root.join("snapshots").join(&snapshots[1].name);
    let error = refused(
        &repo,
        &|| std::fs::rename(&manifest, &away).unwrap(),
        &|| std::fs::rename(&away, &manifest).unwrap(),
    );
    assert!(
        matches!(error, RetentionError::Repo(RepoError::FileMissing { .. })),
        "{error}"
    );
    // A manifest that is damaged.
    let good = std::fs::read(&manifest).unwrap();
    let error = refused(
        &place.open("fresh"),
        &|| std::fs::write(&manifest, &good[..good.len() - 1]).unwrap(),
        &|| std::fs::write(&manifest, &good).unwrap(),
    );
    assert!(
        matches!(error, RetentionError::Repo(RepoError::Damaged { .. })),
        "{error}"
    );
    // An index file that is damaged: what it names only seems to be nowhere.
    let index = std::fs::read_dir(root.join("index")).unwrap().next();
    let index = index.unwrap().unwrap().path();
    let good = std::fs::read(&index).unwrap();
    std::fs::write(&index, &good[..good.len() - 1]).unwrap();
    let error = prune(&place.open("another"), &thorough()).unwrap_err();
    std::fs::write(&index, &good).unwrap();
    assert!(
        matches!(error, RetentionError::Repo(RepoError::Damaged { .. })),
        "{error}"
    );
    prune(&repo, &thorough()).unwrap();
    check(&repo);
}

#[test]
fn what_a_repair_gave_up_does_not_stop_it() {
    let (place, repo) = Place::new();
    let snapshots = days(&repo.writer().unwrap(), 0..3);
    let root = place.folder.path().join("repo");
    let mut folders = std::fs::read_dir(root.join("data")).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    let pack = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    std::fs::remove_file(pack.path()).unwrap();
    repo.repair(false, &|_, _| {}).unwrap();
    forget(&repo, &named(&[&snapshots[0].name])).unwrap();
    let readable = |repo: &Repository| {
        let files = repo.verify(true, &|_, _| {}).unwrap();
        (files.damaged.len(), files.lost.len())
    };
    let before = readable(&repo);
    let report = prune(&repo, &thorough()).unwrap();
    assert!(report.lost > 0, "{report:?}");
    assert_eq!(readable(&repo), before);
    assert_eq!(packs(&repo).objects, report.live_objects);
}
