//! Dying at every step, a disk that fills up at every step, and what is left then.

use super::*;

/// What is committed: names of snapshots with the objects they need.
pub(super) type Committed = Vec<(String, Vec<(Kind, ObjectId)>)>;

/// Two commits of a few objects in both kinds of packs. Stops at the first error.
fn work(repo: &Repository, seed: u64, committed: &mut Committed) -> Result<()> {
    let writer = repo.writer()?;
    for round in 0..2 {
        let objects = put_round(&writer, seed * 10 + round)?;
        commit(&writer, objects, committed)?;
    }
    Ok(())
}

pub(super) fn put_round(writer: &Writer, seed: u64) -> Result<Vec<(Kind, ObjectId)>> {
    let mut stream = writer.stream();
    let mut objects = Vec::new();
    for n in 0..12u64 {
        let kind = Kind::ALL[n as usize % 5];
        let size = if n == 1 { 300_000 } else { 3000 };
        objects.push((kind, stream.put(kind, &noise(seed * 100 + n, size))?));
    }
    // Something all rounds have in common.
    objects.push((Kind::Node, stream.put(Kind::Node, b"common")?));
    Ok(objects)
}

pub(super) fn commit(
    writer: &Writer,
    objects: Vec<(Kind, ObjectId)>,
    committed: &mut Committed,
) -> Result<()> {
    let manifest = SnapshotManifest {
        time: 1_795_312_800,
        tree: Some(objects[4].1),
        ..SnapshotManifest::default()
    };
    let snapshot = writer.commit(manifest)?;
    committed.push((snapshot.name, objects));
    Ok(())
}

pub(super) fn check(place: &crate::repo::tests::Place, committed: &Committed) {
    let repo = place.open();
    let names: Vec<_> = repo
        .snapshots()
        .unwrap()
        .into_iter()
        .map(|s| s.name)
        .collect();
    for (name, objects) in committed {
        assert!(names.contains(name), "{name} is gone");
        for (kind, id) in objects {
            assert_eq!(repo.id_of(*kind, &repo.get(*kind, id).unwrap()), *id);
        }
    }
    let report = repo.verify(true, &|_, _| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn dying_at_any_step_loses_nothing_committed() {
    let steps = {
        let place = Place::new();
        let repo = place.init();
        let before = repo.inner.backend.faults.taken.load(Ordering::SeqCst);
        work(&repo, 1, &mut Vec::new()).unwrap();
        repo.inner.backend.faults.taken.load(Ordering::SeqCst) - before
    };
    assert!(steps > 20, "{steps} steps");
    for step in 0..=steps {
        let place = Place::new();
        let mut committed = Vec::new();
        {
            let repo = place.init();
            repo.inner.backend.faults.die_after(step);
            let done = work(&repo, 1, &mut committed);
            // The last ones tell of the snapshot, and fold the session; it is committed without them.
            assert_eq!(done.is_ok(), step + 7 >= steps, "step {step}: {done:?}");
        }
        check(&place, &committed);
        // The next run finishes the job, with or without its local state.
        if step % 2 == 0 {
            std::fs::remove_dir_all(place.local()).unwrap();
        }
        work(&place.open(), 1, &mut committed).unwrap();
        check(&place, &committed);
        assert!(!place.root().join("tmp").exists() || files(&place.root().join("tmp")).is_empty());
    }
}

#[test]
fn packs_without_an_index_are_adopted_instead_of_stored_again() {
    let place = Place::new();
    let repo = place.init();
    let mut committed = Vec::new();
    work(&repo, 1, &mut committed).unwrap();
    drop(repo);
    std::fs::remove_dir_all(place.root().join("index")).unwrap();
    std::fs::remove_dir_all(place.local()).unwrap();
    let repo = place.open();
    let (kind, id) = committed[0].1[0];
    assert!(matches!(
        repo.get(kind, &id),
        Err(RepoError::ObjectMissing { .. })
    ));
    assert!(
        !repo.verify(false, &|_, _| {}).unwrap().is_clean(),
        "a snapshot's tree is not in the index"
    );
    let writer = repo.writer().unwrap();
    put_round(&writer, 10).unwrap();
    writer.flush().unwrap();
    assert_eq!(writer.bytes_written(), 0);
    drop(writer);
    // Everything can be read, but that index files are lost is not forgotten.
    assert_eq!(repo.get(kind, &id).unwrap().len(), 3000);
    assert!(!repo.verify(true, &|_, _| {}).unwrap().is_clean());
    repo.rebuild_index(&|_, _| {}).unwrap();
    check(&place, &committed);
}

#[test]
fn a_full_disk_is_named_and_the_writer_goes_on_when_there_is_room() {
    for step in 0..24 {
        let place = Place::new();
        let repo = place.init();
        let faults = &repo.inner.backend.faults;
        let mut committed = Vec::new();
        let writer = repo.writer().unwrap();
        let objects = put_round(&writer, 1).unwrap();
        commit(&writer, objects, &mut committed).unwrap();
        faults.fill_after(step);
        let mut accepted = Vec::new();
        let mut full = None;
        let mut stream = writer.stream();
        for n in 0..40u64 {
            let kind = Kind::ALL[n as usize % 5];
            match stream.put(kind, &noise(1000 + n, 100_000)) {
                Ok(id) => accepted.push((kind, id)),
                Err(e) => full = Some(e),
            }
        }
        if let Err(e) = writer.flush() {
            full = Some(e);
        }
        if let Some(error) = full {
            assert!(
                matches!(error, RepoError::DiskFull { .. }),
                "step {step}: {error:?}"
            );
            assert!(error.to_string().contains("ENOSPC"));
        } else {
            assert!(step > 10);
        }
        for (kind, id) in &accepted {
            assert_eq!(
                repo.id_of(*kind, &repo.get(*kind, id).unwrap()),
                *id,
                "accepted, so readable"
            );
        }
        faults.mend();
        accepted.push((Kind::Node, stream.put(Kind::Node, b"after").unwrap()));
        writer.flush().unwrap();
        accepted.rotate_right(5);
        commit(&writer, accepted, &mut committed).unwrap();
        drop((stream, writer, repo));
        check(&place, &committed);
    }
}

#[test]
fn many_commits_are_merged_to_few_index_files_and_dying_meanwhile_is_harmless() {
    for step in [None, Some(1), Some(2), Some(3), Some(4), Some(6), Some(9)] {
        let place = Place::new();
        let mut committed = Vec::new();
        let repo = place.init();
        let writer = repo.writer().unwrap();
        let mut most = 0;
        for round in 0..40 {
            let count = files(&place.root().join("index")).len();
            most = most.max(count);
            if let (Some(step), 16..) = (step, count) {
                // The flush below writes two packs and an index file, then merges.
                repo.inner.backend.faults.die_after(12 + step);
            }
            let Ok(objects) = put_round(&writer, round) else {
                break;
            };
            if commit(&writer, objects, &mut committed).is_err() {
                break;
            }
        }
        assert!(most <= 17, "{most} index files");
        assert_eq!(repo.inner.backend.faults.dead(), step.is_some());
        drop((writer, repo));
        check(&place, &committed);
        place.open().writer().unwrap();
        check(&place, &committed);
    }
}

#[test]
fn an_incremental_commit_writes_little() {
    let place = Place::new();
    let repo = place.init();
    let writer = repo.writer().unwrap();
    let objects = put_round(&writer, 1).unwrap();
    commit(&writer, objects, &mut Vec::new()).unwrap();
    let before = writer.bytes_written();
    let mut stream = writer.stream();
    let mut raw = 0;
    for n in 0..30 {
        stream.put(Kind::Node, &noise(n, 2000)).unwrap();
        raw += 2000;
    }
    for n in 0..10 {
        stream.put(Kind::Mail, &noise(n, 1000)).unwrap();
        raw += 1000;
    }
    drop(stream);
    commit(
        &writer,
        vec![(Kind::Node, repo.id_of(Kind::Node, b"common")); 5],
        &mut Vec::new(),
    )
    .unwrap();
    let overhead = writer.bytes_written() - before - raw;
    assert!(overhead < 3000, "{overhead} bytes beside the objects");
}
