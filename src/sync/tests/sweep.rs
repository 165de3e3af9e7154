//! Sweeps: what they find, what they cost, and what they must not break.

use super::*;
use crate::sync::ItemLine;

/// A little more than the time after which a sweep is due.
const WEEK: i64 = 7 * 86_400 + 60;

fn drive() -> Cloud {
    let mut cloud = mailboxes();
    cloud.drive = true;
    cloud
}

/// Paths of what the report says a sweep found.
fn found(outcome: &CycleOutcome) -> Vec<&str> {
    let notes = outcome.report.notes.iter();
    let by_sweep = |line: &&ItemLine| line.reason.starts_with("found by the sweep");
    let mut paths: Vec<&str> = notes.filter(by_sweep).map(|line| &*line.path).collect();
    assert_eq!(outcome.report.totals.found, paths.len() as u64);
    paths.sort_unstable();
    paths
}

fn names(paths: &[&str]) -> Vec<String> {
    let name = |path: &&str| path.split('.').next().unwrap_or_default().to_owned();
    paths.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_finds_nothing_makes_no_snapshot_and_is_remembered() {
    // Pages of four: of ten items a folder of five takes two, a drive of twelve things three.
    for (cloud, feeds, enumeration) in [(mailboxes(), 6, 10), (drive(), 2, 6)] {
        let mut rig = Rig::new(cloud);
        rig.cycle().await.unwrap();
        let ask = async |rig: &Rig| {
            rig.cloud.reset_calls();
            let outcome = rig.cycle().await.unwrap();
            assert_eq!((outcome.snapshot, outcome.written), (None, 0));
            assert_eq!(rig.cloud.calls("fetch") + rig.cloud.calls("verify"), 0);
            rig.cloud.calls("page")
        };
        assert_eq!(ask(&rig).await, feeds);
        rig.advance(WEEK);
        // The enumeration, and behind it the ordinary round.
        assert_eq!(ask(&rig).await, enumeration + feeds);
        assert_eq!(ask(&rig).await, feeds);
        rig.advance(WEEK / 2);
        assert_eq!(ask(&rig).await, feeds);
        // What this host remembers may be lost: then it is done again.
        rig.reopen(false);
        assert_eq!(ask(&rig).await, enumeration + feeds);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_change_told_is_found_by_name() {
    for cloud in [mailboxes(), drive()] {
        let rig = Rig::new(cloud);
        rig.cycle().await.unwrap();
        let (inbox, deep) = ("ann-id/inbox", "ann-id/deep");
        rig.cloud.deaf(ANN, true);
        rig.cloud.item(ANN, "new", Some(inbox), "new");
        rig.cloud
            .change(ANN, "ann-id/m0", |item, now| item.version = now);
        rig.cloud
            .change(ANN, "ann-id/m1", |item, _| item.read = true);
        rig.cloud.change(ANN, "ann-id/m2", |item, _| {
            item.folder = Some("ann-id/deep".into())
        });
        rig.cloud.delete(ANN, "ann-id/m3");
        rig.cloud.folder(ANN, "fresh", Some(deep), "Fresh");
        rig.cloud.item(ANN, "inside", Some("fresh"), "inside");
        rig.cloud.deaf(ANN, false);
        assert_eq!(rig.cycle().await.unwrap().snapshot, None, "delta told it");

        rig.advance(WEEK);
        rig.cloud.reset_calls();
        let outcome = rig.cycle().await.unwrap();
        rig.assert_same(ANN);
        rig.assert_same(BOB);
        let mut expected = vec![
            "Inbox/Deep/Fresh",
            "Inbox/Deep/mail 1",
            "Inbox/Deep/mail 2",
            "Inbox/Deep/mail 3",
            "Inbox/mail 0",
            "Inbox/new",
        ];
        if rig.cloud.drive {
            // Of what is in a folder that is new, the folder's own feed tells.
            expected.insert(1, "Inbox/Deep/Fresh/inside");
        }
        assert_eq!(names(&found(&outcome)), expected);
        // The new ones, the changed one, and the question after the one that is gone.
        assert_eq!(rig.cloud.calls("fetch"), 3);
        assert_eq!(rig.cloud.calls("verify"), 1);
        assert_eq!(outcome.report.totals.removed, 1);
        // What was found has its cursor with it.
        rig.cloud.reset_calls();
        assert_eq!(rig.cycle().await.unwrap().snapshot, None);
        assert_eq!(rig.cloud.calls("page"), if rig.cloud.drive { 2 } else { 7 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_told_is_not_called_found() {
    for cloud in [mailboxes(), drive()] {
        let rig = Rig::new(cloud);
        rig.cycle().await.unwrap();
        rig.advance(WEEK);
        rig.cloud.item(ANN, "new", Some("ann-id/inbox"), "new");
        rig.cloud
            .change(ANN, "ann-id/m0", |item, now| item.version = now);
        rig.cloud.change(ANN, "ann-id/m2", |item, _| {
            item.folder = Some("ann-id/deep".into())
        });
        rig.cloud.delete(ANN, "ann-id/m3");
        rig.cloud.bounce(ANN, "ann-id/m4");
        rig.cloud.delete_folder(BOB, "bob-id/deep");
        rig.cloud.reset_calls();
        let outcome = rig.cycle().await.unwrap();
        assert_eq!(found(&outcome), [""; 0]);
        assert_eq!(rig.cloud.calls("fetch"), 2);
        rig.assert_same(ANN);
        rig.assert_same(BOB);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_expire_are_no_finding() {
    let rig = Rig::new(mailboxes());
    rig.cycle().await.unwrap();
    rig.advance(WEEK);
    rig.cloud.item(ANN, "new", Some("ann-id/inbox"), "new");
    rig.cloud.delete(ANN, "ann-id/m3");
    rig.cloud.expire_tokens(ANN);
    rig.cloud.reset_calls();
    let outcome = rig.cycle().await.unwrap();
    assert_eq!(found(&outcome), [""; 0]);
    assert_eq!(rig.cloud.calls("fetch"), 1);
    rig.assert_same(ANN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_fails_holds_nothing_up() {
    for cloud in [mailboxes(), drive()] {
        let rig = Rig::new(cloud);
        rig.cycle().await.unwrap();
        rig.advance(WEEK);
        rig.cloud.inner.lock().faults.no_full = true;
        rig.cloud.item(ANN, "new", Some("ann-id/inbox"), "new");
        rig.cloud.delete(ANN, "ann-id/m3");
        let outcome = rig.cycle().await.unwrap();
        assert!(!outcome.report.has_failures());
        let failed = |line: &&ItemLine| line.reason.contains("tried again tomorrow");
        let lines = outcome.report.notes.iter().filter(failed).count();
        assert_eq!(lines, if rig.cloud.drive { 2 } else { 6 });
        rig.assert_same(ANN);
        // Not in every cycle, but before the week is over.
        let quiet = rig.cycle().await.unwrap();
        assert_eq!((quiet.snapshot, quiet.report.notes.len()), (None, 0));
        rig.cloud.inner.lock().faults.no_full = false;
        rig.cloud.deaf(ANN, true);
        rig.cloud.item(ANN, "lost", Some("ann-id/inbox"), "lost");
        rig.advance(86_400 + 60);
        let outcome = rig.cycle().await.unwrap();
        assert_eq!(names(&found(&outcome)), ["Inbox/lost"]);
        rig.assert_same(ANN);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_can_be_switched_off() {
    let mut rig = Rig::new(mailboxes());
    rig.cx.options.sweep = None;
    rig.cycle().await.unwrap();
    rig.advance(100 * WEEK);
    rig.cloud.reset_calls();
    rig.cycle().await.unwrap();
    assert_eq!(rig.cloud.calls("page"), 6);
}
