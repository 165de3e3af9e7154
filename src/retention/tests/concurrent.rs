//! Two that commit again and again while a third forgets and prunes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::*;

/// `TENANTFS_PRUNE_SECONDS`: how long it goes on.
fn seconds() -> u64 {
    let set = std::env::var("TENANTFS_PRUNE_SECONDS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// Commits until it is told to stop. Contents come back again and again: some of them were forgotten in
/// between and are on their way out.
fn write(repo: &Repository, own: &'static str, from: u64, stop: &AtomicBool, count: &AtomicU64) {
    let mut round = from;
    while !stop.load(Ordering::SeqCst) {
        // A session of a few commits, as a long cycle with its checkpoints.
        let writer = repo.writer().unwrap();
        for _ in 0..4 {
            let shared = round % 7 * 5;
            let wanted = Wanted {
                day: 1 + round as i64 % 3,
                accounts: vec![
                    (own, shared..shared + 8),
                    ("shared@x", round % 5..round % 5 + 6),
                ],
                ..Wanted::default()
            };
            commit(&writer, &wanted).unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            round += 1;
        }
    }
}

#[test]
fn others_write_while_one_forgets_and_prunes() {
    let (place, repo) = Place::new();
    let stop = AtomicBool::new(false);
    let (commits, deleted) = (AtomicU64::new(0), AtomicU64::new(0));
    let (one, two, third) = (place.open("one"), place.open("two"), place.open("third"));
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut prunes = 0;
    std::thread::scope(|scope| {
        // Whoever panics must not leave the others running for ever.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let (stop, commits) = (&stop, &commits);
        scope.spawn(move || {
            let _stop = Stop(stop);
            write(&one, "one@x", 0, stop, commits);
        });
        scope.spawn(move || {
            let _stop = Stop(stop);
            write(&two, "two@x", 100, stop, commits);
        });
        let _stop = Stop(stop);
        while Instant::now() < end && !stop.load(Ordering::SeqCst) {
            forget(&third, &Choice::Policy(keep_last(3))).unwrap();
            let report = prune(&third, &thorough()).unwrap();
            deleted.fetch_add(report.deleted.packs, Ordering::SeqCst);
            prunes += 1;
        }
    });
    check(&repo);
    check(&place.open("fresh"));
    let counts = (commits.into_inner(), deleted.into_inner(), prunes);
    assert!(counts.0 > 10 && counts.1 > 10 && counts.2 > 3, "{counts:?}");
    forget(&repo, &Choice::Policy(keep_last(1))).unwrap();
    let report = prune(&repo, &thorough()).unwrap();
    assert_eq!(report.waiting, Default::default());
    check(&repo);
}
