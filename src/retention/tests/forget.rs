//! What is forgotten, what is taken out, and what holds keep.

use super::super::{Action, Reason, tag};
use super::*;
use crate::repo::{Hold, RepoError};

/// Ten days of three accounts, the last day's snapshot a checkpoint.
fn ten_days() -> (Place, Repository) {
    let (place, repo) = Place::new();
    let writer = repo.writer().unwrap();
    for day in 0..10u64 {
        let wanted = Wanted {
            day: day as i64,
            accounts: vec![
                ("alice@x", day..day + 3),
                ("bob@x", 100..102),
                ("ceo@x", 200 + day..202 + day),
            ],
            tags: if day == 2 { vec!["audit"] } else { vec![] },
            incomplete: day == 9,
        };
        commit(&writer, &wanted).unwrap();
    }
    drop(writer);
    (place, repo)
}

/// What becomes of each day, in a letter: keep, trim, forget.
fn letters(lines: &[Line]) -> String {
    let letter = |line: &Line| match line.action {
        Action::Keep => 'k',
        Action::Trim(_) => 't',
        Action::Forget => 'f',
    };
    lines.iter().map(letter).collect()
}

fn day(day: i64) -> String {
    crate::repo::snapshot_name(START + day * DAY).unwrap()
}

#[test]
fn rules_forget_the_rest_but_no_checkpoint_and_not_the_newest() {
    let (_place, repo) = ten_days();
    let policy = Policy {
        general: Rules {
            keep_last: 2,
            keep_tags: BTreeSet::from(["audit".to_owned()]),
            ..Rules::default()
        },
        accounts: Vec::new(),
    };
    let choice = Choice::Policy(policy);
    let dry = plan(&repo, &Nodes::new(&repo), &choice, NOW).unwrap();
    assert_eq!(letters(&dry), "ffkffffkkk");
    assert_eq!(dry[2].reasons, [Reason::Tag("audit".into())]);
    assert_eq!(dry[8].reasons, [Reason::Newest, Reason::Last]);
    assert!(dry[9].reasons.is_empty(), "a checkpoint is not for rules");
    assert_eq!(names(&repo).len(), 10, "planning changes nothing");
    forget(&repo, &choice).unwrap();
    assert_eq!(names(&repo), [day(2), day(7), day(8), day(9)]);
    check(&repo);
    assert_eq!(letters(&forget(&repo, &choice).unwrap()), "kkkk");
}

#[test]
fn an_account_with_longer_rules_stays_alone_and_one_with_shorter_ones_leaves() {
    let (place, repo) = ten_days();
    let rules = |last| keep_last(last).general;
    let policy = Policy {
        general: rules(3),
        accounts: vec![("CEO@*".into(), rules(6)), ("b*".into(), rules(1))],
    };
    let choice = Choice::Policy(policy);
    let cached = place.open("reader");
    let before = cached.snapshots().unwrap();
    let lines = forget(&repo, &choice).unwrap();
    assert_eq!(letters(&lines), "fffttttt kk".replace(' ', ""));
    let snapshots = repo.snapshots().unwrap();
    let shown: Vec<_> = snapshots
        .iter()
        .map(|s| folders(&repo, s.manifest.tree))
        .collect();
    let (ceo, two) = (vec!["ceo@x"], vec!["alice@x", "ceo@x"]);
    let all = vec!["alice@x", "bob@x", "ceo@x"];
    assert_eq!(
        shown,
        [&ceo, &ceo, &ceo, &two, &two, &all, &all].map(Clone::clone)
    );
    let totals = snapshots[0].manifest.totals;
    assert_eq!(
        (
            totals.accounts,
            totals.files,
            snapshots[0].manifest.forgotten
        ),
        (1, 2, 2)
    );
    let totals = snapshots[3].manifest.totals;
    assert_eq!(
        (
            totals.accounts,
            totals.files,
            snapshots[3].manifest.forgotten
        ),
        (2, 5, 1)
    );
    // Who had read the manifests before notices.
    assert_ne!(cached.snapshots().unwrap(), before);
    assert_eq!(cached.snapshots().unwrap(), snapshots);
    // What is left of a snapshot takes no place among those of all: nothing more goes.
    assert_eq!(letters(&forget(&repo, &choice).unwrap()), "kkkkkkk");
    prune(&repo, &thorough()).unwrap();
    check(&repo);
}

#[test]
fn of_two_that_were_made_at_the_same_time_both_stay() {
    let (_place, repo) = ten_days();
    let writer = repo.writer().unwrap();
    let last = repo.snapshots().unwrap().remove(8);
    // Another host commits and has not seen the last one.
    let twin = SnapshotManifest {
        time: last.manifest.time + 1,
        ..last.manifest.clone()
    };
    writer.commit(twin).unwrap();
    drop(writer);
    let lines = forget(&repo, &Choice::Policy(keep_last(1))).unwrap();
    assert_eq!(letters(&lines), "ffffffffkkk");
    let named = named(&[&last.name]);
    assert!(forget(&repo, &named).unwrap()[0].refused);
    check(&repo);
}

#[test]
fn a_report_names_nobody_who_was_taken_out() {
    use crate::sync::{ItemLine, Report};
    let (_place, repo) = ten_days();
    let line = |account: &str| -> ItemLine {
        serde_json::from_value(serde_json::json!({
            "account": account, "workload": "drive", "path": "p", "id": "i", "reason": "r",
        }))
        .unwrap()
    };
    let report = Report {
        failed: vec![line("alice@x"), line("bob@x")],
        notes: vec![line("alice@x")],
        ..Report::default()
    };
    let about = report.about(&["bob@x".to_owned()]);
    assert_eq!(about.failed, [line("bob@x")]);
    assert!(about.notes.is_empty());
    assert_eq!((about.totals.failed, about.accounts.captured), (1, 1));
    drop(repo);
}

#[test]
fn holds_keep_what_rules_and_names_would_forget() {
    let (_place, repo) = ten_days();
    let maintenance = repo.maintain().unwrap();
    let hold = |name: &str, change: fn(&mut Hold)| {
        let mut hold = Hold {
            name: name.into(),
            ..Hold::default()
        };
        change(&mut hold);
        maintenance.add_hold(&hold).unwrap();
    };
    hold("everything-early", |h| h.until = Some(START + DAY));
    hold("one", |h| {
        h.snapshots
            .extend([crate::repo::snapshot_name(START + 3 * DAY).unwrap()])
    });
    hold("ceo", |h| {
        h.accounts.insert("Ceo@*".into());
        h.since = Some(START + 5 * DAY);
    });
    drop(maintenance);
    let lines = forget(&repo, &Choice::Policy(keep_last(1))).unwrap();
    assert_eq!(letters(&lines), "kkfkfttt kk".replace(' ', ""));
    let held = |name: &str| vec![Reason::Hold(name.into())];
    assert_eq!(lines[0].reasons, held("everything-early"));
    assert_eq!(lines[3].reasons, held("one"));
    assert_eq!(lines[5].reasons, held("ceo"));
    // By name neither.
    let lines = forget(&repo, &named(&[&day(0), &day(3), &day(5)])).unwrap();
    assert_eq!(letters(&lines), "kkkkkkkk");
    let refused: Vec<_> = lines
        .iter()
        .filter(|l| l.refused)
        .map(|l| l.snapshot.name.clone())
        .collect();
    assert_eq!(refused, [day(0), day(3), day(5)]);
    check(&repo);
    // Without the hold it goes.
    repo.maintain().unwrap().remove_hold("one").unwrap();
    let lines = forget(&repo, &named(&[&day(3)])).unwrap();
    assert!(!lines.iter().any(|line| line.refused));
    assert!(!names(&repo).contains(&day(3)));
}

#[test]
fn who_leaves_a_snapshot_leaves_it_without_its_report_too() {
    let (_place, repo) = ten_days();
    let maintenance = repo.maintain().unwrap();
    let mut first = repo.snapshots().unwrap().remove(0);
    first.manifest.report = Some(repo.id_of(Kind::Record, b"lost"));
    maintenance.replace(&first).unwrap();
    drop(maintenance);
    let choice = Choice::Policy(Policy {
        general: keep_last(1).general,
        accounts: vec![("ceo@*".into(), keep_last(20).general)],
    });
    assert_eq!(letters(&forget(&repo, &choice).unwrap()), "ttttttttkk");
    let trimmed = repo.snapshots().unwrap().remove(0);
    assert_eq!(trimmed.manifest.report, None);
    assert_eq!(folders(&repo, trimmed.manifest.tree), ["ceo@x"]);
}

#[test]
fn a_hold_of_an_account_keeps_all_of_what_was_imported() {
    let (_place, repo) = Place::new();
    let writer = repo.writer().unwrap();
    for day in 0..3 {
        let wanted = Wanted {
            day,
            accounts: vec![("ceo@x", 1..3)],
            ..Wanted::default()
        };
        let made = commit(&writer, &wanted).unwrap();
        // Imported: a tree, and nothing that says whose it is.
        let imported = SnapshotManifest {
            time: made.manifest.time + 60,
            state: None,
            parents: vec![made.name],
            ..made.manifest
        };
        writer.commit(imported).unwrap();
    }
    let wanted = Wanted {
        day: 3,
        accounts: vec![("ceo@x", 1..3)],
        ..Wanted::default()
    };
    commit(&writer, &wanted).unwrap();
    drop(writer);
    let hold = Hold {
        name: "case".into(),
        accounts: BTreeSet::from(["ceo@*".to_owned()]),
        since: Some(START + DAY),
        ..Hold::default()
    };
    repo.maintain().unwrap().add_hold(&hold).unwrap();
    let lines = forget(&repo, &Choice::Policy(keep_last(1))).unwrap();
    assert_eq!(letters(&lines), "ffkkkkk");
    assert_eq!(lines[3].reasons, [Reason::Hold("case".into())]);
    let imported = lines[3].snapshot.name.clone();
    let lines = forget(&repo, &named(&[&imported])).unwrap();
    assert!(lines.iter().any(|line| line.refused));
    assert!(names(&repo).contains(&imported));
    check(&repo);
}

#[test]
fn rules_that_count_periods_forget_nothing_while_a_snapshot_is_from_the_future() {
    let (_place, repo) = ten_days();
    let ahead = START + 400 * DAY;
    let writer = repo.writer().unwrap();
    let last = repo.snapshots().unwrap().remove(8);
    writer
        .commit(SnapshotManifest {
            time: ahead,
            host: "wrong".into(),
            parents: vec![last.name.clone()],
            ..last.manifest
        })
        .unwrap();
    drop(writer);
    let daily = |general: fn(&mut Rules), own: fn(&mut Rules)| {
        let rules = |change: fn(&mut Rules)| {
            let mut rules = Rules {
                keep_last: 2,
                ..Rules::default()
            };
            change(&mut rules);
            rules
        };
        Choice::Policy(Policy {
            general: rules(general),
            accounts: vec![("ceo@*".into(), rules(own))],
        })
    };
    let counting = [
        daily(|rules| rules.keep_daily = 3, |_| {}),
        daily(|_| {}, |rules| rules.keep_within = "3d".parse().ok()),
    ];
    for choice in &counting {
        let refused = forget(&repo, choice).unwrap_err();
        assert!(matches!(refused, RetentionError::Ahead { .. }));
        let text = refused.to_string();
        assert!(text.contains(&day(400)) && text.contains("wrong"), "{text}");
    }
    assert_eq!(names(&repo).len(), 11);
    // By order and by name it goes on; and by periods when that time has come.
    let plan_at = |choice: &Choice, now: i64| plan(&repo, &Nodes::new(&repo), choice, now);
    let plain = daily(|_| {}, |_| {});
    assert_eq!(letters(&plan_at(&plain, NOW).unwrap()), "ffffffffkkk");
    assert_eq!(
        letters(&forget(&repo, &named(&[&day(0)])).unwrap())
            .matches('f')
            .count(),
        1
    );
    assert!(plan_at(&counting[0], ahead - 3600).is_ok());
    assert!(plan_at(&counting[0], ahead - 3601).is_err());
    check(&repo);
}

#[test]
fn nothing_is_forgotten_while_a_hold_cannot_be_read() {
    let (place, repo) = ten_days();
    let hold = Hold {
        name: "case".into(),
        ..Hold::default()
    };
    repo.maintain().unwrap().add_hold(&hold).unwrap();
    std::fs::remove_file(place.folder.path().join("repo/holds/case")).unwrap();
    let failed = forget(&repo, &Choice::Policy(keep_last(1)));
    assert!(matches!(
        failed,
        Err(RetentionError::Repo(RepoError::FileMissing { .. }))
    ));
    assert_eq!(names(&repo).len(), 10);
}

#[test]
fn the_newest_is_not_forgotten_by_name_but_checkpoints_are() {
    let (_place, repo) = ten_days();
    let lines = forget(&repo, &named(&[&day(7), &day(8), &day(9)])).unwrap();
    assert_eq!(letters(&lines), "kkkkkkkfkf");
    assert_eq!(lines.iter().filter(|line| line.refused).count(), 1);
    let unknown = forget(&repo, &named(&["2020-01-01T000000Z"]));
    assert!(matches!(unknown, Err(RetentionError::NoSnapshot(_))));
}

#[test]
fn tags_come_and_go_and_others_notice() {
    let (place, repo) = ten_days();
    let reader = place.open("reader");
    assert!(reader.snapshots().unwrap()[0].manifest.tags.is_empty());
    let maintenance = repo.maintain().unwrap();
    let first = |repo: &Repository| repo.snapshots().unwrap().remove(0);
    assert!(tag(&maintenance, &first(&repo), "audit", true).unwrap());
    assert!(!tag(&maintenance, &first(&repo), "audit", true).unwrap());
    assert!(first(&reader).manifest.tags.contains("audit"));
    assert!(tag(&maintenance, &first(&repo), "audit", false).unwrap());
    assert!(first(&reader).manifest.tags.is_empty());
    assert!(tag(&maintenance, &first(&repo), "a,b", true).is_err());
    drop(maintenance);
    check(&repo);
}
