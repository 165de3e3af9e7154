//! The same repository on an object store (in memory, reached as a bucket is).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::backend::Backend;
use super::super::watch::Timing;
use super::*;

#[test]
fn a_repository_on_an_object_store() {
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path();
    let backend = Arc::new(Backend::in_memory(local, Timing::default()).unwrap());
    let location = Location::S3(S3Location {
        bucket: "b".into(),
        ..S3Location::default()
    });
    let init = || {
        Repository::init_on(
            backend.clone(),
            &location,
            &password(),
            &options(),
            local,
            None,
        )
    };
    let repo = init().unwrap();
    assert!(matches!(init(), Err(RepoError::AlreadyExists { .. })));
    let writer = repo.writer().unwrap();
    let mut stream = writer.stream();
    let mut ids = Vec::new();
    for (n, kind) in Kind::ALL.into_iter().enumerate() {
        ids.push((kind, stream.put(kind, &noise(n as u64, 700_000)).unwrap()));
    }
    let tree = Some(ids[4].1);
    let snapshot = writer
        .commit(SnapshotManifest {
            time: 1_795_312_800,
            tree,
            ..Default::default()
        })
        .unwrap();
    drop((stream, writer));
    // Another host: another local folder. Also from within async code.
    let other = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let repo = Repository::open_with(
            &location,
            &password(),
            backend.clone(),
            other.path(),
            4 << 30,
            None,
        )
        .unwrap();
        for (n, (kind, id)) in ids.iter().enumerate() {
            assert_eq!(repo.get(*kind, id).unwrap(), noise(n as u64, 700_000));
        }
        assert_eq!(repo.snapshots().unwrap(), std::slice::from_ref(&snapshot));
        assert!(repo.verify(true, &|_, _| {}).unwrap().is_clean());
    });
    assert!(backend.size("lock").unwrap().is_none());
}

/// A repository in a bucket with two snapshots that share nothing, of which the first was forgotten.
fn forgotten(local: &Path, timing: Timing) -> (Arc<Backend>, Repository, [Snapshot; 2]) {
    let backend = Arc::new(Backend::in_memory(local, timing).unwrap());
    let location = Location::S3(S3Location::default());
    let repo = Repository::init_on(
        backend.clone(),
        &location,
        &password(),
        &options(),
        local,
        None,
    )
    .unwrap();
    let writer = repo.writer().unwrap();
    let commit = |n: u64| {
        let mut stream = writer.stream();
        let tree = stream.put(Kind::Node, &noise(n, 5000)).unwrap();
        drop(stream);
        let manifest = SnapshotManifest {
            time: 1_795_312_800 + n as i64,
            complete: true,
            tree: Some(tree),
            ..SnapshotManifest::default()
        };
        writer.commit(manifest).unwrap()
    };
    let both = [commit(1), commit(2)];
    drop(writer);
    let first = std::slice::from_ref(&both[0].name);
    repo.maintain().unwrap().forget(first).unwrap();
    (backend, repo, both)
}

fn prune(repo: &Repository, grace: Option<Duration>) -> PruneReport {
    let reach: Reach<'_> = &|roots, mark| {
        if let Some(tree) = roots.tree {
            mark.see(Kind::Node, &tree, 0)?;
        }
        Ok(())
    };
    let options = PruneOptions {
        grace,
        ..PruneOptions::default()
    };
    let maintenance = repo.maintain().unwrap();
    maintenance.prune(&options, reach, &|_, _, _| {}).unwrap()
}

#[test]
fn packs_in_an_object_store_wait_for_the_grace_period() {
    let folder = tempfile::tempdir().unwrap();
    let (_, repo, [first, second]) = forgotten(folder.path(), Timing::default());
    let report = prune(&repo, None);
    assert_eq!((report.deleted.packs, report.waiting.packs), (0, 1));
    assert!(report.grace_left > 86_000, "{report:?}");
    let report = prune(&repo, Some(Duration::ZERO));
    assert_eq!((report.deleted.packs, report.waiting.packs), (1, 0));
    assert!(repo.verify(true, &|_, _| {}).unwrap().is_clean());
    repo.get(Kind::Node, &second.manifest.tree.unwrap())
        .unwrap();
    let gone = first.manifest.tree.unwrap();
    assert!(repo.get(Kind::Node, &gone).is_err());
}

#[test]
fn prune_waits_for_the_living_and_not_for_the_dead() {
    let timing = Timing {
        refresh: Duration::from_millis(20),
        dead: Duration::from_millis(400),
        settle: Duration::from_millis(5),
    };
    let folder = tempfile::tempdir().unwrap();
    let (backend, repo, _) = forgotten(folder.path(), timing);
    let writer = repo.writer().unwrap();
    let session = format!("sessions/{}", writer.session_id());
    let report = prune(&repo, Some(Duration::ZERO));
    assert_eq!((report.deleted.packs, report.waiting.packs), (0, 1));
    assert_eq!(report.waiting_for.len(), 1, "{report:?}");
    // What is left of a writer that was killed.
    let bytes = backend.get(&session).unwrap();
    drop(writer);
    backend.put(&session, &bytes).unwrap();
    let report = prune(&repo, Some(Duration::ZERO));
    assert_eq!((report.deleted.packs, report.waiting.packs), (1, 0));
    assert!(backend.size(&session).unwrap().is_none());
    assert!(repo.verify(true, &|_, _| {}).unwrap().is_clean());
}

#[test]
fn a_host_that_only_adds_changes_nothing_that_is_there() {
    let place = Place::new();
    let commit = |repo: &Repository, n: u64| {
        let writer = repo.writer().unwrap();
        let mut stream = writer.stream();
        let tree = stream.put(Kind::Node, &noise(n, 5_000)).unwrap();
        let manifest = SnapshotManifest {
            time: 1_795_312_800 + n as i64,
            tree: Some(tree),
            ..Default::default()
        };
        (writer.commit(manifest).unwrap(), tree)
    };
    commit(&place.init(), 0);
    let bytes = |name: &String| std::fs::read(place.root().join(name)).unwrap();
    let before: Vec<_> = files(&place.root())
        .into_iter()
        .filter(|name| name != "lock")
        .map(|name| (bytes(&name), name))
        .collect();
    let access = Access {
        append_only: true,
        ..Access::default()
    };
    let repo =
        Repository::open_as(&place.location(), &password(), &place.local(), &access).unwrap();
    // More index files than are merged where that is allowed.
    let made: Vec<_> = (1..20).map(|n| commit(&repo, n)).collect();
    for (snapshot, tree) in &made {
        assert!(repo.get(Kind::Node, tree).is_ok());
        let refused = repo.writer().unwrap().delete_snapshot(&snapshot.name);
        assert!(matches!(refused, Err(RepoError::AppendOnly { .. })));
    }
    assert!(matches!(
        repo.rebuild_index(&|_, _| {}),
        Err(RepoError::AppendOnly { .. })
    ));
    let new = SecretString::from("another");
    assert!(matches!(
        repo.change_key(&new, &cheap(KeyKind::Password)),
        Err(RepoError::AppendOnly { .. })
    ));
    for (content, name) in &before {
        assert_eq!(&bytes(name), content, "{name}");
    }
    drop(repo);
    let repo = place.open();
    commit(&repo, 20);
    assert_eq!(repo.snapshots().unwrap().len(), 21);
    assert!(repo.verify(true, &|_, _| {}).unwrap().is_clean());
}
