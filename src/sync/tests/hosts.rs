//! Several hosts that capture into one repository, each its own accounts.

use super::*;
use crate::repo::SnapshotManifest;

/// Another host: its own handle of the repository, and nothing kept on it.
fn host(rig: &Rig) -> SyncContext {
    let location = Location::Local(rig.dir.path().join("repo"));
    let local = rig.dir.path().join("index of another");
    let repo = Repository::open(&location, &password(), &local).unwrap();
    Rig::context(&rig.cloud, &rig.clock, repo, None)
}

fn only(id: &'static str) -> Scope {
    Scope {
        accounts: Some(Arc::new(move |account| account.id == id)),
        ..Scope::default()
    }
}

async fn cycle(cx: &SyncContext, id: &'static str) -> CycleOutcome {
    run(cx, &only(id), &Arc::default()).await.unwrap()
}

/// Cycles of both with nothing to do make no snapshot and fetch nothing.
async fn assert_idle(rig: &Rig, other: &SyncContext) {
    let before = rig.cloud.calls("fetch");
    for (cx, id) in [(&rig.cx, ANN), (other, BOB), (&rig.cx, ANN)] {
        let outcome = cycle(cx, id).await;
        assert_eq!(outcome.snapshot, None);
        assert!(!outcome.report.has_failures());
    }
    assert_eq!(rig.cloud.calls("fetch"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_at_once_end_in_a_snapshot_that_holds_both() {
    let rig = Rig::new(mailboxes());
    let other = host(&rig);
    for round in 0..4 {
        for id in [ANN, BOB] {
            let name = format!("{id} in round {round}");
            rig.cloud
                .item(id, &name, Some(&format!("{id}/inbox")), &name);
        }
        let (ann, bob) = tokio::join!(cycle(&rig.cx, ANN), cycle(&other, BOB));
        rig.assert_same(ANN);
        rig.assert_same(BOB);
        for outcome in [ann, bob] {
            let name = outcome.snapshot.unwrap();
            let snapshots = rig.cx.repo.snapshots().unwrap();
            let snapshot = snapshots.iter().find(|s| s.name == name).unwrap();
            let report = snapshot.manifest.report.unwrap();
            let report = rig.cx.repo.get(crate::repo::Kind::Record, &report).unwrap();
            let report: Report = serde_json::from_slice(&report).unwrap();
            assert_eq!(report.totals, outcome.report.totals);
        }
        assert_idle(&rig, &other).await;
    }
    let snapshots = rig.cx.repo.snapshots().unwrap();
    assert!(snapshots.iter().all(|s| s.manifest.complete));
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_that_knew_nothing_of_each_other_are_put_together() {
    let rig = Rig::new(mailboxes());
    let other = host(&rig);
    // Bob's is made when Ann's is not there to be seen, and the other way round.
    cycle(&other, BOB).await;
    let bob = other.repo.snapshots().unwrap().remove(0);
    let writer = other.repo.writer().unwrap();
    writer.delete_snapshot(&bob.name).unwrap();
    cycle(&rig.cx, ANN).await;
    let manifest = SnapshotManifest {
        time: (rig.cx.options.clock)(),
        ..bob.manifest
    };
    let bob = writer.commit(manifest).unwrap();
    drop(writer);
    assert!(bob.manifest.parents.is_empty());
    let fetched = rig.cloud.calls("fetch");
    let merged = cycle(&rig.cx, ANN).await.snapshot.unwrap();
    assert_eq!(rig.cloud.calls("fetch"), fetched);
    let newest = rig.cx.repo.snapshots().unwrap().pop().unwrap();
    assert_eq!((newest.name, newest.manifest.parents.len()), (merged, 2));
    rig.assert_same(ANN);
    rig.assert_same(BOB);
    assert_idle(&rig, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_left_alone_by_others_and_not_shown_as_theirs() {
    let rig = Rig::new(mailboxes());
    let other = host(&rig);
    let progress = Arc::new(Progress::default());
    let cancel = Box::new({
        let progress = Arc::clone(&progress);
        move || progress.cancel()
    });
    rig.cloud.inner.lock().faults.then = Some(("fetch", 7, cancel));
    let ann = run(&rig.cx, &only(ANN), &progress).await.unwrap();
    assert!(ann.cancelled && ann.snapshot.is_none());
    let checkpoints = || -> Vec<_> {
        let all = rig.cx.repo.snapshots().unwrap();
        let checkpoints = all.into_iter().filter(|s| !s.manifest.complete);
        checkpoints.map(|s| s.name).collect()
    };
    let before = checkpoints();
    assert_eq!(before.len(), 1);
    let bob = cycle(&other, BOB).await;
    assert_eq!(checkpoints(), before, "it is Ann's");
    let newest = rig.cx.repo.snapshots().unwrap().pop().unwrap();
    assert_eq!(bob.snapshot, Some(newest.name));
    assert!(newest.manifest.complete);
    assert_eq!(
        newest.manifest.totals.accounts, 1,
        "half of Ann is not in it"
    );
    rig.assert_same(BOB);
    // Whoever captures Ann next takes it up, here or elsewhere.
    let fetched = rig.cloud.calls("fetch");
    cycle(&other, ANN).await;
    assert!(rig.cloud.calls("fetch") - fetched < 10);
    assert!(checkpoints().is_empty());
    rig.assert_same(ANN);
    rig.assert_same(BOB);
    assert_idle(&rig, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_somebody_else_captures_is_left_to_them() {
    let rig = Rig::new(mailboxes());
    let other = host(&rig);
    let claim = other.repo.claim([ANN.to_owned()].into()).unwrap();
    let outcome = rig.cycle().await.unwrap();
    let [line] = &outcome.report.claimed[..] else {
        panic!("{:?}", outcome.report.claimed);
    };
    assert_eq!(line.id, ANN);
    assert!(line.holder.contains(&std::process::id().to_string()));
    assert_eq!(outcome.report.accounts.claimed, 1);
    assert!(outcome.report.has_failures());
    rig.assert_same(BOB);
    drop(claim);
    let outcome = rig.cycle().await.unwrap();
    assert!(!outcome.report.has_failures());
    rig.assert_same(ANN);
    rig.assert_same(BOB);
}
