//! Dying at every step of forget and prune.

use super::*;

/// Three days of two accounts, of which one has rules of its own.
fn scene() -> (Place, Repository) {
    let (place, repo) = Place::new();
    let writer = repo.writer().unwrap();
    for day in 0..4u64 {
        let wanted = Wanted {
            day: day as i64,
            accounts: vec![
                ("alice@x", 1 + day * 3..7 + day * 3),
                ("ceo@x", 50 + day..53 + day),
            ],
            ..Wanted::default()
        };
        commit(&writer, &wanted).unwrap();
    }
    drop(writer);
    (place, repo)
}

fn policy() -> Choice {
    Choice::Policy(Policy {
        general: keep_last(1).general,
        accounts: vec![("ceo@x".into(), keep_last(2).general)],
    })
}

fn work(repo: &Repository) -> Result<(), RetentionError> {
    forget(repo, &policy())?;
    prune(repo, &thorough())?;
    Ok(())
}

#[test]
fn dying_at_any_step_of_forget_and_prune_leaves_every_kept_snapshot_whole() {
    let steps = {
        let (_place, repo) = scene();
        let taken = || {
            repo.faults()
                .taken
                .load(std::sync::atomic::Ordering::SeqCst)
        };
        let before = taken();
        work(&repo).unwrap();
        taken() - before
    };
    assert!(steps > 40, "{steps} steps");
    for step in 0..=steps {
        let (place, repo) = scene();
        repo.faults().die_after(step);
        let done = work(&repo);
        assert!(done.is_ok() || step < steps, "step {step}: {done:?}");
        drop(repo);
        let next = place.open(if step % 2 == 0 { "local" } else { "other" });
        check(&next);
        assert!(names(&next).len() >= 2, "step {step}");
        // The next run goes on to the end.
        work(&next).unwrap();
        check(&next);
        assert_eq!(names(&next).len(), 2, "step {step}");
        let again = prune(&next, &thorough()).unwrap();
        assert_eq!(again.waiting, Default::default(), "step {step}");
        assert_eq!(
            next.stats().unwrap().objects,
            again.live_objects,
            "step {step}"
        );
        check(&next);
    }
}

#[test]
fn a_full_disk_stops_prune_and_harms_nothing() {
    for step in (0..60).step_by(3) {
        let (place, repo) = scene();
        forget(&repo, &policy()).unwrap();
        repo.faults().fill_after(step);
        let full = prune(&repo, &thorough());
        repo.faults().mend();
        if let Err(error) = &full {
            assert!(error.to_string().contains("ENOSPC"), "{error}");
        }
        check(&place.open("other"));
        prune(&repo, &thorough()).unwrap();
        check(&repo);
    }
}
